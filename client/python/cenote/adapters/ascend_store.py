# SPDX-License-Identifier: Apache-2.0
"""vllm-ascend's store backend. Checked against vllm-ascend 0.23.0.post1, and its main at 182b75e.

    CENOTE_META=unix:/run/cenote/control vllm serve MODEL --kv-transfer-config '{
        "kv_connector": "AscendStoreConnector", "kv_role": "kv_both",
        "kv_connector_extra_config": {"backend": "cenote"}}'

The name is known by ascend_plugin.py. There is no way for parameters but the environment:
CENOTE_META, and CENOTE_ASCEND_OPTIONS with a JSON object of the parameters of `cenote.Client`,
`ttl` and `pin` of its puts, `prefix` of all keys, and `memory`: "npu", "host" or "auto" (npu where
CANN's `acl` is there).

Its callers are transfer threads and the worker's own, which may wait; they don't wait for a pool
that is away. Importing this module needs vllm-ascend.
"""
from __future__ import annotations

import importlib
import json
import os
import typing

from .ascend_layers import KeyInfo, Layers
from .ascend_memory import EngineMemory, address_of, groups_of
from .ascend_plugin import STORE
from .calls import TIMEOUT_SECONDS, Calls
from .link import Link

__all__ = ["CenoteBackend"]

OPTIONS_VARIABLE = "CENOTE_ASCEND_OPTIONS"
DONE, FAILED = 0, 1


def _base() -> typing.Any:
    """The class of all backends: its module has another name since 0.23."""
    for name in ("base", "backend"):
        try:
            return importlib.import_module(f"{STORE}.{name}").Backend
        except ModuleNotFoundError as error:
            missing = error
    raise missing


def _options() -> dict:
    options = json.loads(os.environ.get(OPTIONS_VARIABLE) or "{}")
    if not isinstance(options, dict):
        raise ValueError(f"{OPTIONS_VARIABLE} is no JSON object")
    return {"meta": os.environ.get("CENOTE_META"), "timeout": TIMEOUT_SECONDS, **options}


class CenoteBackend(_base()):
    """The class that vllm-ascend loads; in the scheduler's process for questions only.

    `counters` tells of blocks: gets, hits, misses, puts, dropped_puts; and of outages,
    refused_in_outage, failed_calls."""

    def __init__(self, parallel_config, lazy_init: bool = False):
        options = _options()
        self._prefix = options.pop("prefix", "") + "ascend/"
        self._memory = EngineMemory(options.pop("memory", "auto"))
        self._link = Link(**options)
        self._calls = Calls(self._link)
        self.store = Layers(self._link, self._calls, self._memory)  # for its batch_copy()

    @property
    def counters(self) -> typing.Counter[str]:
        """What has happened so far."""
        return self._link.counters

    def ensure_initialized(self) -> None:
        """It is, or the pool is away."""

    def set_device(self) -> None:
        """Makes the calling thread's copies those of the worker's device."""
        if not self._memory.is_device:
            return
        import torch
        from vllm.distributed.parallel_state import get_world_group
        torch.npu.set_device(torch.device(f"npu:{get_world_group().local_rank}"))

    def register_buffer(self, ptrs: list[int], lengths: list[int]) -> None:
        """Tells of the caches that blocks come from and go to."""
        self._calls.guarded("registering caches", lambda: self._memory.add(ptrs, lengths), None)

    def _names(self, keys: list[str]) -> list[str]:
        return [self._prefix + key for key in keys]

    # ---- blocks

    def exists(self, keys: list[str]) -> list[int]:
        """1 for each that is there, or else 0."""
        names = self._calls.guarded("a question", lambda: self._names(keys), None)
        found = self._calls.exists(names) if names else [False] * len(keys)
        return [int(there) for there in found]

    batch_is_exist = exists

    def put(self, keys: list[str], addrs: list[list[int]], sizes: list[list[int]]) -> list[int]:
        """Stores blocks, or drops them: 0 for each that is stored, or else 1."""
        return self._transfer(keys, addrs, sizes, self._put, ("puts", "dropped_puts"))

    def get(self, keys: list[str], addrs: list[list[int]], sizes: list[list[int]]) -> list[int]:
        """Fetches blocks: 0 for each that is where it should be, or else 1."""
        return self._transfer(keys, addrs, sizes, self._get, ("gets", "misses"))

    def _transfer(self, keys: list, addrs: list, sizes: list, function: typing.Callable,
                  lost: tuple[str, str]) -> list[int]:
        def transfer():
            names = self._names(keys)
            pieces = [list(zip(a, s, strict=True)) for a, s in zip(addrs, sizes, strict=True)]
            totals = [sum(size) for size in sizes]
            if len(pieces) != len(names) or any(n < 0 for size in sizes for n in size):
                raise ValueError(f"{len(names)} keys, but {len(pieces)} lists of pieces, "
                                 "or a negative size")
            return names, pieces, totals

        order = self._calls.guarded("a batch of blocks", transfer, None)
        if order is None:
            for name in lost:
                self._link.count(name, len(keys))
            return [FAILED] * len(keys)
        return [DONE if ok else FAILED for ok in function(*order)]

    def _put(self, names: list[str], pieces: list, totals: list[int]) -> list[bool]:
        if not self._memory.is_device:
            return self._calls.put(names, pieces)
        stored: list[bool] = []
        for group in groups_of(totals):
            memory, offsets = self._staged(totals, group)
            good = [i for i in group if self._copy(self._memory.read, pieces[i], memory,
                                                   offsets[i])]
            done = dict(zip(good, self._calls.put(
                [names[i] for i in good],
                [memoryview(memory)[offsets[i]:offsets[i] + totals[i]] for i in good])))
            self._link.count("puts", len(group) - len(good))
            self._link.count("dropped_puts", len(group) - len(good))
            stored += [done.get(i, False) for i in group]
        return stored

    def _get(self, names: list[str], pieces: list, totals: list[int]) -> list[bool]:
        if not self._memory.is_device:
            return self._calls.get(names, pieces, totals)
        there: list[bool] = []
        for group in groups_of(totals):
            memory, offsets = self._staged(totals, group)
            found = self._calls.get(
                [names[i] for i in group],
                [memoryview(memory)[offsets[i]:offsets[i] + totals[i]] for i in group],
                [totals[i] for i in group])
            there += [ok and self._copy(self._memory.write, pieces[i], memory, offsets[i])
                      for i, ok in zip(group, found, strict=True)]
        return there

    def _staged(self, totals: list[int], group: range) -> tuple[bytearray, dict[int, int]]:
        """Memory of the host's for a group of blocks, and where in it each lies."""
        offsets, end = {}, 0
        for i in group:
            offsets[i] = end
            end += totals[i]
        return self._memory.staging(end, self._register), offsets

    def _register(self, memory: bytearray) -> None:
        self._link.when_reached(lambda handle: self._calls.guarded(
            "registering staging memory", lambda: handle.register(memory), None))

    def _copy(self, function: typing.Callable, pieces: list, memory: bytearray,
              offset: int) -> bool:
        """Copies a block between the device's pieces and the host's memory."""
        def copy():
            at = address_of(memory) + offset
            for address, size in pieces:
                function(address, at, size)
                at += size
            return True

        return self._calls.guarded("a device's memory", copy, False)

    # ---- blocks layer by layer; store.batch_copy() moves the layers

    def batch_alloc(self, keys: list[str], sizes: list[int]) -> list[int]:
        """Begins blocks; a number for each to copy to, or 0."""
        return self._calls.guarded("beginning blocks", lambda: self.store.allocate(
            self._names(keys), sizes), [0] * len(keys))

    def batch_write_finish(self, keys: list[str], results: list[int]) -> list[int]:
        """Stores blocks whose layers were all copied (result 0), or drops them, which is counted
        and no error."""
        self._calls.guarded("finishing blocks", lambda: self.store.finish(
            self._names(keys), results), None)
        return [DONE] * len(keys)

    def batch_get_key_info(self, keys: list[str]) -> list[KeyInfo]:
        """Sizes of blocks, 0 for what isn't there, and numbers to copy from after a lease."""
        infos = self._calls.guarded("a question", lambda: self.store.infos(self._names(keys)), None)
        return infos or [KeyInfo(self.store, "", 0) for _ in keys]

    def batch_add_lease(self, keys: list[str], lease_ttl_ms: int = 0) -> list[int]:
        """Fetches blocks to copy layers from: 0 for each that was fetched."""
        return self._calls.guarded("leasing blocks", lambda: self.store.lease(
            self._names(keys), lease_ttl_ms / 1000), [FAILED] * len(keys))

    def batch_remove_lease(self, keys: list[str]) -> int:
        """Gives blocks back."""
        self._calls.guarded("giving blocks back", lambda: self.store.release(self._names(keys)),
                            None)
        return DONE

    def close(self) -> None:
        """Ends the session."""
        self._link.close()
