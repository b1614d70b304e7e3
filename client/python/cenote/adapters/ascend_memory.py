# SPDX-License-Identifier: Apache-2.0
"""Memory of an engine on Ascend devices: its addresses mean nothing to the host, so all bytes go
through memory of the host, by CANN's copies. Without CANN the engine's memory is the host's."""
from __future__ import annotations

import bisect
import ctypes
import importlib
import importlib.util
import threading
import typing

HOST_TO_DEVICE, DEVICE_TO_HOST = 1, 2  # of acl.rt.memcpy
STAGING_BYTES = 64 << 20  # of a thread; a larger value has its own


def address_of(memory: bytearray) -> int:
    """Where it lies; as long as it doesn't grow."""
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class EngineMemory:
    """Copies between the engine's memory and the host's. kind: "npu", "host" or "auto"."""

    def __init__(self, kind: str):
        if kind not in ("auto", "npu", "host"):
            raise ValueError(f"memory: auto, npu or host; not {kind!r}")
        there = importlib.util.find_spec("acl") is not None
        self.is_device = kind == "npu" or (kind == "auto" and there)
        self._copy = importlib.import_module("acl.rt").memcpy if self.is_device else None
        self._regions: list[tuple[int, int]] = []
        self._own = threading.local()

    def add(self, pointers: list[int], lengths: list[int]) -> None:
        """Tells of memory that stays."""
        self._regions = sorted([*self._regions, *((int(p), int(p) + int(n)) for p, n in zip(
            pointers, lengths, strict=True))])

    def _check(self, address: int, size: int) -> None:
        """Of the host's memory, which a copy of ours would otherwise be the first to find gone."""
        at = bisect.bisect(self._regions, (address, 1 << 64)) - 1
        if at < 0 or address + size > self._regions[at][1]:
            raise ValueError(f"({address:#x}, {size}) isn't in a registered buffer")

    def _move(self, target: int, source: int, size: int, kind: int) -> None:
        if self._copy is not None:
            code = self._copy(target, size, source, size, kind)
            if code != 0:
                raise OSError(f"acl.rt.memcpy of {size} bytes ended with {code}")
            return
        self._check(source if kind == DEVICE_TO_HOST else target, size)
        ctypes.memmove(target, source, size)

    def read(self, address: int, host: int, size: int) -> None:
        """From the engine's memory."""
        self._move(host, address, size, DEVICE_TO_HOST)

    def write(self, address: int, host: int, size: int) -> None:
        """To the engine's memory."""
        self._move(address, host, size, HOST_TO_DEVICE)

    def staging(self, size: int, made: typing.Callable[[bytearray], None]) -> bytearray:
        """Memory of this thread's for so many bytes; made(memory) when it is new, and stays."""
        if size > STAGING_BYTES:
            return bytearray(size)
        if not hasattr(self._own, "staging"):
            self._own.staging = bytearray(STAGING_BYTES)
            made(self._own.staging)
        return self._own.staging


def groups_of(totals: list[int]) -> typing.Iterator[range]:
    """Values that are staged together, by their lengths."""
    begin, room = 0, STAGING_BYTES
    for i, total in enumerate(totals):
        if total > room and i > begin:
            yield range(begin, i)
            begin, room = i, STAGING_BYTES
        room -= total
    if begin < len(totals):
        yield range(begin, len(totals))
