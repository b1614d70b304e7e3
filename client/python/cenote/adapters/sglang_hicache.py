# SPDX-License-Identifier: Apache-2.0
"""SGLang's HiCache storage, of type `dynamic`. Checked against SGLang 0.5.23.

    --enable-hierarchical-cache --hicache-storage-backend dynamic
    --hicache-storage-backend-extra-config '{"backend_name": "cenote",
        "module_path": "cenote.adapters.sglang_hicache", "class_name": "CenoteHiCacheStorage",
        "interface_v1": 1, "meta": "unix:/run/cenote/control"}'

A page is one value, whatever pieces the host pool keeps it in: a page is there or it isn't. Each
pool of a hybrid model has values of its own. Keys name the model, the shard, the pool and the form
of its pages, so that ranks and settings that differ never read each other's.

Its callers are SGLang's prefetch and backup threads, which may wait; they don't wait for a pool
that is away. Importing this module needs SGLang.
"""
from __future__ import annotations

import collections
import hashlib
import time
import typing

from sglang.srt.mem_cache.hicache_storage import (HiCacheStorage, PoolHitPolicy, PoolName,
                                                  PoolTransferResult)

from .calls import TIMEOUT_SECONDS, Calls
from .link import LOGGER, OPTIONS, Link
from .pages import host_buffers, memory_of, page_pieces, size_of

__all__ = ["CenoteHiCacheStorage"]

# What SGLang's configuration has for others; these are taken out before, or not ours.
NOT_OURS = frozenset({"backend_name", "module_path", "class_name", "interface_v1"})
MODEL_NAME_MAX = 200
FIGURES_MAX = 1024  # that wait for get_stats()
# Pools that each rank has its own part of, though the model's are alike on all ranks; and those of
# drafts, of which the class tells.
OWN_PARTS = frozenset({"mamba"})
DRAFTS = frozenset({"draft", "draft_swa"})
REPLICATED_CLASSES = frozenset({"MLATokenToKVPoolHost", "DeepSeekV4PagedHostPool"})


def _model(name: str | None) -> str:
    """A model's name as a part of keys."""
    text = (name or "model").replace("/", "-")
    if len(text) <= MODEL_NAME_MAX:
        return text
    return f"{text[-MODEL_NAME_MAX:]}~{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _places(config) -> tuple[str, str]:
    """What names a rank's own pages, and those that all tensor-parallel ranks have alike."""
    shared = f"pp{config.pp_rank}of{config.pp_size}"
    for name in ("attn_cp", "dcp"):
        if getattr(config, f"{name}_size", 1) > 1:
            shared += f".{name}{getattr(config, f'{name}_rank')}of{getattr(config, f'{name}_size')}"
    return f"tp{config.tp_rank}of{config.tp_size}.{shared}", f"all.{shared}"


class CenoteHiCacheStorage(HiCacheStorage):
    """The class that SGLang loads. Of the configuration it takes the parameters of `cenote.Client`,
    `ttl` and `pin` of its puts, and `prefix` of all keys; the rest it leaves alone, and says so.

    `counters` tells of pages: gets, hits, misses, puts, dropped_puts; and of outages,
    refused_in_outage, failed_calls (of wrong arguments, and of pages that are too large)."""

    def __init__(self, storage_config, kwargs: dict | None = None):
        extra = dict(storage_config.extra_config or {})
        unknown = extra.keys() - OPTIONS.keys() - NOT_OURS - {"prefix"}
        if unknown:
            LOGGER.warning("options that mean nothing to Cenote: %s", ", ".join(sorted(unknown)))
        options = {name: value for name, value in extra.items() if name in OPTIONS}
        self._link = Link(**{"timeout": TIMEOUT_SECONDS, **options})
        self._calls = Calls(self._link)
        self._root = f"{extra.get('prefix', '')}sglang/{_model(storage_config.model_name)}/"
        self._own, self._shared = _places(storage_config)
        self._alike = bool(storage_config.is_mla_model)
        self._flat = not extra.get("interface_v1", 0)
        self._figures: dict[str, collections.deque] | None = None
        if storage_config.enable_storage_metrics:
            self._figures = {name: collections.deque(maxlen=FIGURES_MAX)
                             for name in ("prefetch", "backup")}
        self.mem_pool_host = None
        self.registered_pools: dict[str, typing.Any] = {}
        self._anchor_only = False
        self._starts: dict[str, str] = {}
        self._kept: list = []  # what was registered: not to go while transfers may come

    @property
    def counters(self) -> typing.Counter[str]:
        """What has happened so far."""
        return self._link.counters

    # ---- pools

    def register_mem_pool_host(self, mem_pool_host) -> None:
        """Tells of the pool of KV pages."""
        self.mem_pool_host = mem_pool_host
        # Some models' main pool has places only, and all bytes are in others.
        self._anchor_only = getattr(mem_pool_host, "kv_buffer", None) is None
        self._add_pool(PoolName.KV, mem_pool_host)

    def register_mem_host_pool_v2(self, host_pool, host_pool_name) -> None:
        """Tells of one more pool of a hybrid model."""
        if host_pool_name != PoolName.KV or host_pool is not self.mem_pool_host:
            self._add_pool(host_pool_name, host_pool)

    def _add_pool(self, name, pool) -> None:
        self.registered_pools[name] = pool
        self._starts[name] = self._start_of(str(getattr(name, "value", name)), pool)
        for memory in self._calls.guarded("a host pool", lambda: [
                memory_of(tensor) for tensor in host_buffers(pool)], []):
            self._kept.append(memory)
            self._link.when_reached(lambda handle, memory=memory: self._calls.guarded(
                "registering a host pool", lambda: handle.register(memory), None))

    def _start_of(self, name: str, pool) -> str:
        """What the keys of a pool's pages begin with."""
        alike = self._alike and name not in OWN_PARTS
        if alike and name in DRAFTS:
            alike = any(c.__name__ in REPLICATED_CLASSES for c in type(pool).__mro__)
        form = "flat" if self._flat else "pieces"
        dtype = str(getattr(pool, "dtype", "")).removeprefix("torch.")
        return (f"{self._root}{self._shared if alike else self._own}/{name}/{form}."
                f"{getattr(pool, 'layout', '')}.{dtype}.{getattr(pool, 'page_size', 1)}/")

    def _names(self, pool, keys: list[str]) -> list[str]:
        start = self._starts[pool]
        return [start + key for key in keys]

    def _pages(self, name, keys: list[str], host_indices) -> tuple[list[str], list, list[int]]:
        """Names, memory and sizes of pages."""
        pool = self.registered_pools[name]
        if getattr(pool, "_destroyed", False):
            raise ValueError(f"the host pool {name} is gone")
        pieces = page_pieces(pool, host_indices, len(keys))
        return self._names(name, keys), pieces, [sum(size for _, size in p) for p in pieces]

    # ---- questions

    def exists(self, key: str) -> bool:
        """Is a page there?"""
        return self.batch_exists([key]) == 1

    def batch_exists(self, keys: list[str], extra_info=None) -> int:
        """How many leading pages are there."""
        names = self._calls.guarded("a question", lambda: self._names(PoolName.KV, keys), [])
        return self._calls.prefix(names) if names else 0

    def batch_exists_v2(self, keys: list[str], pool_transfers=None,
                        extra_info=None) -> PoolTransferResult:
        """At which lengths a prefix can be restored, all pools considered."""
        return self._calls.guarded("a question", lambda: self._restorable(keys, pool_transfers),
                                   PoolTransferResult(0, {}, []))

    def _restorable(self, keys: list[str], transfers) -> PoolTransferResult:
        pages = len(keys) if self._anchor_only else self.batch_exists(keys)
        hits = {PoolName.KV: pages} if pages else {}
        lengths = set(range(1, pages + 1))
        asked = [t for t in transfers or () if t.hit_policy != PoolHitPolicy.BLOCK_GROUPS]
        names = [n for t in asked for n in self._names(t.name, keys[:pages])]
        there = self._calls.exists(names) if names else []
        for i, transfer in enumerate(asked):
            found = there[i * pages:(i + 1) * pages]
            able = _lengths_of(transfer, found)
            if able:
                hits[transfer.name] = max(able)
            lengths &= able
        return PoolTransferResult(max(lengths, default=0), hits, sorted(lengths))

    # ---- pages between the host pools and Cenote

    def batch_get_v1(self, keys: list[str], host_indices, extra_info=None) -> list[bool]:
        """Fetches pages into the KV pool's memory."""
        return self._move([(PoolName.KV, keys, host_indices)], self._get)[0]

    def batch_set_v1(self, keys: list[str], host_indices, extra_info=None) -> list[bool]:
        """Stores pages of the KV pool's memory, or drops them."""
        return self._move([(PoolName.KV, keys, host_indices)], self._put)[0]

    def batch_get_v2(self, transfers, extra_info=None) -> dict[str, list[bool]]:
        """Fetches pages into several pools' memory."""
        moves = [(t.name, t.keys or [], t.host_indices) for t in transfers]
        return dict(zip((t.name for t in transfers), self._move(moves, self._get), strict=True))

    def batch_set_v2(self, transfers, extra_info=None) -> dict[str, list[bool]]:
        """Stores pages of several pools' memory, or drops them."""
        moves = [(t.name, t.keys or [], t.host_indices) for t in transfers]
        return dict(zip((t.name for t in transfers), self._move(moves, self._put), strict=True))

    def _move(self, moves: list, function: typing.Callable) -> list[list[bool]]:
        """All of them at once; a result for each key of each."""
        pages = []
        for name, keys, host_indices in moves:
            if name == PoolName.KV and self._anchor_only:
                pages.append(None)  # it has no bytes: they are always there
                continue
            pages.append(self._calls.guarded("pages of a host pool", lambda: self._pages(
                name, keys, host_indices), ([], [], [])))
        names, memory, sizes = (sum((p[i] for p in pages if p), []) for i in range(3))
        results = iter(function(names, memory, sizes) if names else [])
        return [[True] * len(keys) if p is None else
                [next(results) for _ in p[0]] or self._lost(len(keys), function)
                for p, (_, keys, _) in zip(pages, moves, strict=True)]

    def _lost(self, count: int, function: typing.Callable) -> list[bool]:
        """Of pages that couldn't even be asked for."""
        kinds = ("gets", "misses") if function == self._get else ("puts", "dropped_puts")
        for kind in kinds:
            self._link.count(kind, count)
        return [False] * count

    def _get(self, names: list[str], memory: list, sizes: list[int]) -> list[bool]:
        begin = time.perf_counter()
        found = self._calls.get(names, memory, sizes)
        self._note("prefetch", found, sizes, begin)
        return found

    def _put(self, names: list[str], memory: list, sizes: list[int]) -> list[bool]:
        begin = time.perf_counter()
        stored = self._calls.put(names, memory)
        self._note("backup", stored, sizes, begin)
        return stored

    def _note(self, kind: str, done: list[bool], sizes: list[int], begin: float) -> None:
        if self._figures is not None:
            moved = sum(size for size, ok in zip(sizes, done, strict=True) if ok)
            self._figures[kind].append((sum(done), moved / (time.perf_counter() - begin) / 2**30))

    # ---- pages by themselves: what SGLang uses without interface_v1

    def get(self, key: str, target_location=None, target_sizes=None):
        """Fetches a page into a tensor, or to an address; what was given, or None."""
        return self.batch_get([key], [target_location], [target_sizes])[0]

    def batch_get(self, keys: list[str], target_locations=None, target_sizes=None) -> list:
        """Fetches pages into tensors, or to addresses; each of these, or None."""
        targets = list(target_locations or [])
        sizes = list(target_sizes or [None] * len(keys))

        def fetch():
            memory = [memory_of(t, size) for t, size in zip(targets, sizes, strict=True)]
            names = self._names(PoolName.KV, keys)
            return self._get(names, memory, [size_of(m) for m in memory])

        found = self._calls.guarded("a get", fetch, None)
        if found is None:
            return [None] * len(self._lost(len(keys), self._get))
        return [t if ok else None for t, ok in zip(targets, found, strict=True)]

    def set(self, key: str, value=None, target_location=None, target_sizes=None) -> bool:
        """Stores a page from a tensor, or from an address; or drops it."""
        return self.batch_set([key], None if value is None else [value],
                              [target_location], [target_sizes])

    def batch_set(self, keys: list[str], values=None, target_locations=None,
                  target_sizes=None) -> bool:
        """Stores pages from tensors, or from addresses; were all stored?"""
        sources = list(values if values is not None else target_locations or [])
        sizes = list(target_sizes or []) if values is None else []

        def store():
            memory = [memory_of(s, size, copy=True)
                      for s, size in zip(sources, sizes or [None] * len(keys), strict=True)]
            names = self._names(PoolName.KV, keys)
            return self._put(names, memory, [size_of(m) for m in memory])

        stored = self._calls.guarded("a put", store, None)
        return all(stored if stored is not None else self._lost(len(keys), self._put))

    # ---- the rest

    def clear(self) -> None:
        """Removes all pages of the model, those of other ranks and engines too."""
        self._calls.remove_beneath(self._root)

    def get_stats(self):
        """Pages and GiB/s of transfers since the last call, as SGLang's StorageMetrics."""
        if self._figures is None:
            return None
        from sglang.srt.observability.metrics_collector import StorageMetrics
        taken = {}
        for name, figures in self._figures.items():
            pairs = [figures.popleft() for _ in range(len(figures))]
            taken[f"{name}_pgs"] = [pages for pages, _ in pairs]
            taken[f"{name}_bandwidth"] = [rate for _, rate in pairs]
        return StorageMetrics(**taken)

    def close(self) -> None:
        """Ends the session; nothing touches the pools' memory any more."""
        self._link.close()
        self._kept.clear()


def _lengths_of(transfer, found: list[bool]) -> set[int]:
    """The prefix lengths that one pool's pages can restore."""
    if transfer.hit_policy == PoolHitPolicy.ALL_PAGES:
        return set(range(1, (found.index(False) if False in found else len(found)) + 1))
    if transfer.hit_policy != PoolHitPolicy.TRAILING_PAGES:
        raise ValueError(f"a policy {transfer.hit_policy}")
    window = max(1, len(transfer.keys or ()))
    return {n for n in range(1, len(found) + 1) if all(found[max(0, n - window):n])}
