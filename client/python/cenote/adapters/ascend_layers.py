# SPDX-License-Identifier: Apache-2.0
"""Layerwise copies as vllm-ascend has them with shared memory: it gets a number for each block, and
copies pieces to or from number + offset. Here the numbers are names of blocks in memory of this
process: what is written is put when the last layer is there, and what was leased has been fetched
as a whole, so that no copy of a layer can fail because of the pool."""
from __future__ import annotations

import bisect
import threading
import time

from .ascend_memory import EngineMemory, address_of
from .calls import Calls
from .link import Link

FIRST, SPACING = 1 << 40, 1 << 36  # numbers of blocks; more than a block has bytes
BLOCKS_BYTES_MAX = 4 << 30  # in this process
LEASE_SECONDS = 300.0
SAVE, LOAD = 0, 1
REFUSED = -1


class _Block:
    """A block that is being written, or was fetched."""

    def __init__(self, name: str, start: int, size: int):
        self.name = name
        self.start = start
        self.size = size
        self.memory: bytearray | None = None
        self.address = 0
        self.leases = 0
        self.ends = time.monotonic() + LEASE_SECONDS
        self.pieces: dict[int, int] = {}  # that were written: lengths by offsets
        self.damaged = False

    def is_whole(self) -> bool:
        """Was every byte written?"""
        end = 0
        for offset, length in sorted(self.pieces.items()):
            if offset > end:
                return False
            end = max(end, offset + length)
        return end == self.size and not self.damaged


class KeyInfo:
    """What is known of a key."""

    def __init__(self, layers: Layers, name: str, length: int):
        self._layers = layers
        self._name = name
        self._length = length

    def size(self) -> int:
        """Of its block; 0: it isn't there."""
        return self._length

    def gva_list(self) -> list[int]:
        """The numbers by which it is copied: one."""
        return [self._layers.number_of(self._name, self._length)] if self._length else []


class Layers:
    """Any thread may call; nothing raises for the pool's sake."""

    def __init__(self, link: Link, calls: Calls, memory: EngineMemory):
        self._link = link
        self._calls = calls
        self._memory = memory
        self._lock = threading.Lock()
        self._next = FIRST
        self._starts: list[int] = []  # of blocks, ascending
        self._blocks: dict[int, _Block] = {}
        self._writing: dict[str, _Block] = {}
        self._reading: dict[str, _Block] = {}
        self._bytes = 0

    # ---- blocks; under the lock

    def _add(self, name: str, size: int) -> _Block:
        block = _Block(name, self._next, size)
        self._next += SPACING
        self._starts.append(block.start)
        self._blocks[block.start] = block
        return block

    def _keep(self, block: _Block, memory: bytearray) -> bool:
        """Gives memory to a block; False: there is too much of it."""
        if self._bytes + block.size > BLOCKS_BYTES_MAX:
            self._drop_old()
        if not 0 < block.size <= min(SPACING, BLOCKS_BYTES_MAX - self._bytes):
            return False
        block.memory, block.address = memory, address_of(memory)
        self._bytes += block.size
        return True

    def _drop(self, block: _Block) -> None:
        for table in (self._writing, self._reading):
            if table.get(block.name) is block:
                del table[block.name]
        del self._starts[bisect.bisect_left(self._starts, block.start)]
        del self._blocks[block.start]
        self._bytes -= len(block.memory or b"")

    def _drop_old(self) -> None:
        """Blocks that nobody has finished or given back."""
        now = time.monotonic()
        for block in [b for b in self._blocks.values() if b.ends < now]:
            self._drop(block)

    def _find(self, number: int, size: int) -> tuple[_Block, int]:
        at = bisect.bisect_right(self._starts, number) - 1
        block = self._blocks[self._starts[at]] if at >= 0 else None
        if block is not None and block.memory is not None:
            if 0 <= size <= block.start + block.size - number:
                return block, number - block.start
            block.damaged = number < block.start + SPACING
        raise ValueError(f"no block has ({number:#x}, {size})")

    # ---- writing

    def allocate(self, names: list[str], sizes: list[int]) -> list[int]:
        """Begins blocks; a number for each, 0 for one that can't be had."""
        numbers = []
        with self._lock:
            for name, size in zip(names, sizes, strict=True):
                block = self._writing.get(name)
                if block is None or block.size != size:
                    block = self._add(name, size)
                    if not 0 < size <= BLOCKS_BYTES_MAX or not self._keep(block, bytearray(size)):
                        self._drop(block)
                        numbers.append(0)
                        continue
                    self._writing[name] = block
                numbers.append(block.start)
        return numbers

    def finish(self, names: list[str], results: list[int]) -> None:
        """Puts blocks of which all layers are there; drops the others."""
        done = []
        with self._lock:
            for name, result in zip(names, results, strict=True):
                block = self._writing.get(name)
                if block is not None:
                    self._drop(block)
                if block is None or result != 0 or not block.is_whole():
                    self._link.count("puts")
                    self._link.count("dropped_puts")
                else:
                    done.append(block)
        if done:
            self._calls.put([b.name for b in done], [b.memory for b in done])

    # ---- reading

    def infos(self, names: list[str]) -> list[KeyInfo]:
        """What is known of keys: one question, no bytes."""
        found = self._calls.ask("a question", lambda h: h.get_ranges(
            names, [0] * len(names), [bytearray() for _ in names]), None)
        lengths = [length if status == 0 else 0 for status, length, _ in found or ()]
        return [KeyInfo(self, name, length)
                for name, length in zip(names, lengths or [0] * len(names), strict=True)]

    def number_of(self, name: str, size: int) -> int:
        """The number of a block that will be leased."""
        with self._lock:
            block = self._reading.get(name)
            if block is None or block.size != size:
                self._drop_old()
                block = self._reading[name] = self._add(name, size)
            return block.start

    def lease(self, names: list[str], seconds: float) -> list[int]:
        """Fetches blocks; 0 for each that is here now."""
        results, missing = [REFUSED] * len(names), []
        ends = time.monotonic() + (seconds or LEASE_SECONDS)
        with self._lock:
            for i, name in enumerate(names):
                block = self._reading.get(name)
                if block is None:
                    continue
                block.ends = max(block.ends, ends)
                if block.memory is not None:
                    block.leases += 1
                    results[i] = 0
                else:
                    missing.append((i, block, bytearray(block.size)))
        found = self._calls.get([b.name for _, b, _ in missing], [m for _, _, m in missing],
                                [b.size for _, b, _ in missing]) if missing else []
        with self._lock:
            for (i, block, memory), ok in zip(missing, found, strict=True):
                if not ok or self._reading.get(block.name) is not block:
                    continue
                if block.memory is not None or self._keep(block, memory):
                    block.leases += 1
                    results[i] = 0
        return results

    def release(self, names: list[str]) -> None:
        """Gives leases back."""
        with self._lock:
            for name in names:
                block = self._reading.get(name)
                if block is not None:
                    block.leases -= 1
                    if block.leases <= 0:
                        self._drop(block)

    # ---- copies

    def batch_copy(self, numbers: list[int], addresses: list[int], sizes: list[int],
                   direction: int) -> int:
        """Copies pieces: direction 0 from the engine's memory, 1 to it. 0, or an error; a block of
        which a piece can't be saved is dropped in the end, which is no error of the caller's."""
        pieces = self._calls.guarded("copying layers", lambda: list(zip(
            numbers, addresses, sizes, strict=True)), None)
        if pieces is None or direction not in (SAVE, LOAD):
            return REFUSED
        if direction == SAVE:
            for piece in pieces:
                self._calls.guarded("saving a layer", lambda piece=piece: self._save(*piece), None)
            return 0
        return self._calls.guarded("loading layers", lambda: self._load(pieces), REFUSED)

    def _save(self, number: int, address: int, size: int) -> None:
        with self._lock:
            block, offset = self._find(number, size)
        try:
            self._memory.read(address, block.address + offset, size)
            block.pieces[offset] = size
        except BaseException:
            block.damaged = True
            raise

    def _load(self, pieces: list[tuple[int, int, int]]) -> int:
        for number, address, size in pieces:
            with self._lock:
                block, offset = self._find(number, size)
            self._memory.write(address, block.address + offset, size)
        return 0
