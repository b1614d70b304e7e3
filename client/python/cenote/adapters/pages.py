# SPDX-License-Identifier: Apache-2.0
"""Memory of engines' pages, as `cenote` takes it; without the frameworks whose tensors it knows."""
from __future__ import annotations

import typing


def memory_of(value, size: int | None = None, copy: bool = False) -> typing.Any:
    """Of a tensor, an address with its size, or a buffer. `copy`: of a tensor in pieces a copy."""
    if isinstance(value, int):
        if size is None:
            raise ValueError(f"an address {value:#x} without a size")
        return (value, int(size))
    if not hasattr(value, "data_ptr"):
        if value is None:
            raise TypeError("no memory was given")
        return memoryview(value)
    if value.device.type != "cpu":
        raise BufferError(f"a tensor in memory of {value.device}: the host's is wanted")
    if not value.is_contiguous():
        if not copy:
            raise BufferError("a tensor that isn't contiguous")
        value = value.contiguous()
    return _Held((value.data_ptr(), value.numel() * value.element_size()), value)


class _Held(tuple):
    """(address, length) of a tensor, which it keeps."""

    def __new__(cls, memory: tuple[int, int], tensor):
        made = super().__new__(cls, memory)
        made.tensor = tensor
        return made


def size_of(memory) -> int:
    """Bytes of what memory_of() gave."""
    return memory[1] if isinstance(memory, tuple) else memory.nbytes


def host_buffers(pool) -> list:
    """The tensors that a host pool of SGLang's lies in."""
    if hasattr(pool, "get_hybrid_pool_buffer"):
        found = pool.get_hybrid_pool_buffer()
    else:
        found = getattr(pool, "kv_buffer", None)
    if not isinstance(found, (list, tuple)):
        found = [found]
    return [tensor for tensor in found if tensor is not None and tensor.numel() > 0]


def page_pieces(pool, host_indices, count: int) -> list[list[tuple[int, int]]]:
    """The pieces of each of `count` pages of a host pool, in its order."""
    if count == 0:
        return []
    page_size = getattr(pool, "page_size", 1) or 1
    if host_indices is None or len(host_indices) != count * page_size:
        found = 0 if host_indices is None else len(host_indices)
        raise ValueError(f"{count} pages of {page_size}, but {found} places")
    pointers, sizes = pool.get_page_buffer_meta(host_indices)
    if len(pointers) != len(sizes) or len(pointers) % count != 0 or not pointers:
        raise ValueError(f"{count} pages in {len(pointers)} pieces of {len(sizes)} sizes")
    pieces = [(int(p), int(size)) for p, size in zip(pointers, sizes, strict=True)]
    each = len(pieces) // count
    return [pieces[i:i + each] for i in range(0, len(pieces), each)]
