# SPDX-License-Identifier: Apache-2.0
"""LMCache's RemoteConnector, for engines with LMCache in their own process. Checked against LMCache
0.5.6. In its configuration:

    remote_storage_plugins: ["cenote"]
    extra_config:
      remote_storage_plugin.cenote.module_path: cenote.adapters.lmcache_remote
      remote_storage_plugin.cenote.class_name: CenoteConnectorAdapter
      remote_storage_plugin.cenote.meta: unix:/run/cenote/control

A value is a chunk's header, as LMCache packs it, and behind it the chunk. A chunk is fetched into
memory for a full one; one that is shorter is cut to what it says. Importing this module needs
LMCache.
"""
from __future__ import annotations

import typing

from lmcache.v1.protocol import RemoteMetadata
from lmcache.v1.storage_backend.connector import ConnectorAdapter
from lmcache.v1.storage_backend.connector.base_connector import RemoteConnector

from .. import errors
from ..records import milliseconds
from .link import LOGGER, OPTIONS, Link
from .loop import LoopFlights

__all__ = ["CenoteConnectorAdapter", "CenoteRemoteConnector"]

PLUGIN = "cenote"
DEADLINE_SECONDS = 10.0
_STORED = frozenset({0, int(errors.Status.EXISTS)})


def _parameters(config, plugin: str) -> dict:
    """What the configuration says of this plugin."""
    start = f"remote_storage_plugin.{plugin}."
    extra = (config.extra_config if config is not None else None) or {}
    return {name[len(start):]: value for name, value in extra.items()
            if name.startswith(start) and name[len(start):] in {*OPTIONS, "deadline", "prefix"}}


class CenoteConnectorAdapter(ConnectorAdapter):
    """What LMCache loads by name; makes connectors for plugin://cenote and plugin://cenote.NAME."""

    def __init__(self):
        super().__init__(f"plugin://{PLUGIN}")

    def create_connector(self, context) -> RemoteConnector:
        """A connector for an engine's worker or scheduler."""
        plugin = getattr(context, "plugin_name", None) or PLUGIN
        return CenoteRemoteConnector(context.loop, context.local_cpu_backend, context.config,
                                     context.metadata, **_parameters(context.config, plugin))


class CenoteRemoteConnector(RemoteConnector):
    """Coroutines run on LMCache's loop; outages are misses and dropped puts, and counted."""

    def __init__(self, loop, local_cpu_backend, config, metadata, *,
                 deadline: float = DEADLINE_SECONDS, prefix: str = "", **options):
        super().__init__(config, metadata)
        self._link = Link(**options)
        self._flights = LoopFlights(self._link, loop, milliseconds(deadline))
        self._prefix = prefix
        self._memory = local_cpu_backend
        self._register_memory()

    @property
    def counters(self) -> typing.Counter[str]:
        """hits, misses, puts, dropped_puts, outages, refused_in_outage."""
        return self._link.counters

    def _register_memory(self) -> None:
        """The memory of chunks, where LMCache has it in one piece."""
        allocator = getattr(self._memory, "memory_allocator", None)
        buffer = getattr(getattr(allocator, "pin_allocator", None), "buffer", None)
        if buffer is None:
            return
        def tell(handle):
            try:
                handle.register((buffer.data_ptr(), buffer.numel() * buffer.element_size()))
            except errors.CenoteError as error:
                LOGGER.warning("LMCache's memory isn't registered: %s", error)
        self._link.when_reached(tell)

    def _name(self, key) -> str:
        return self._prefix + key.to_string()

    # ---- questions

    async def exists(self, key) -> bool:
        """Is it there?"""
        return (await self._flights.ask(lambda h: h.exists([self._name(key)]), [False]))[0]

    def exists_sync(self, key) -> bool:
        """Is it there? On any thread."""
        return self._flights.ask_now(lambda h: h.exists([self._name(key)]), [False])[0]

    def support_batched_contains(self) -> bool:
        """Yes."""
        return True

    def batched_contains(self, keys: list) -> int:
        """How many leading keys are there."""
        names = [self._name(key) for key in keys]
        return self._flights.ask_now(lambda h: h.prefix(names), 0)

    def support_batched_async_contains(self) -> bool:
        """Yes."""
        return True

    async def batched_async_contains(self, lookup_id: str, keys: list, pin: bool = False) -> int:
        """How many leading keys are there."""
        names = [self._name(key) for key in keys]
        return await self._flights.ask(lambda h: h.prefix(names), 0)

    async def list(self) -> list[str]:
        """All keys."""
        return await self._flights.ask(self._list, [])

    def _list(self, handle) -> list[str]:
        found, listing, more = [], None, True
        while more:
            entries, listing = handle.list(self._prefix, listing)
            found += [key.decode(errors="replace")[len(self._prefix):] for key, _, _ in entries]
            more = listing is not None
        return found

    def support_ping(self) -> bool:
        """Yes."""
        return True

    async def ping(self) -> int:
        """0: the pool answers."""
        return 0 if await self._flights.ask(lambda h: h.exists(["ping"]), None) is not None else -1

    # ---- chunks

    def support_batched_get(self) -> bool:
        """Yes."""
        return True

    def support_batched_put(self) -> bool:
        """Yes."""
        return True

    def support_batched_get_non_blocking(self) -> bool:
        """Yes."""
        return True

    async def get(self, key):
        """A chunk, or None."""
        return (await self.batched_get([key]))[0]

    async def batched_get(self, keys: list) -> list:
        """Chunks, with None where one can't be had, or there is no memory for it."""
        chunks = [self._memory.allocate(self.meta_shapes, self.meta_dtypes, self.meta_fmt)
                  for _ in keys]
        headers = [bytearray(self.remote_metadata_bytes) for _ in keys]
        there = [i for i, chunk in enumerate(chunks) if chunk is not None]
        results = await self._flights.get(
            [self._name(keys[i]) for i in there],
            [[headers[i], chunks[i].byte_array] for i in there])
        for i, length in zip(there, results, strict=True):
            chunks[i] = self._received(chunks[i], headers[i], length)
        hits = sum(chunk is not None for chunk in chunks)
        self._link.count("hits", hits)
        self._link.count("misses", len(keys) - hits)
        return chunks

    def _received(self, chunk, header: bytearray, length: int):
        """A chunk as its header says; None, and the memory given back, if it isn't one."""
        try:
            if length > len(header):
                metadata = RemoteMetadata.deserialize(header)
                if metadata.length == length - len(header) and metadata.fmt == self.meta_fmt:
                    return self.reshape_partial_chunk(chunk, metadata.length)
        except Exception as error:  # another release's header, another model's chunk
            LOGGER.warning("a chunk that isn't one: %s", error)
        chunk.ref_count_down()
        return None

    async def batched_get_non_blocking(self, lookup_id: str, keys: list) -> list:
        """The leading chunks that can be had."""
        chunks = await self.batched_get(keys)
        leading = next((i for i, chunk in enumerate(chunks) if chunk is None), len(chunks))
        for chunk in chunks[leading:]:
            if chunk is not None:
                chunk.ref_count_down()
        return chunks[:leading]

    async def put(self, key, memory_obj) -> None:
        """Stores a chunk, or drops it. Its memory is the caller's to give back."""
        await self.batched_put([key], [memory_obj])

    async def batched_put(self, keys: list, memory_objs: list) -> None:
        """Stores chunks, or drops them."""
        results = await self._flights.put(
            [self._name(key) for key in keys],
            [[self._header(m), m.byte_array] for m in memory_objs])
        self._link.count("puts", len(results))
        self._link.count("dropped_puts", sum(r not in _STORED for r in results))

    @staticmethod
    def _header(memory_obj) -> bytes:
        return RemoteMetadata(len(memory_obj.byte_array), memory_obj.get_shapes(),
                              memory_obj.get_dtypes(), memory_obj.get_memory_format()).serialize()

    def remove_sync(self, key) -> bool:
        """Removes a chunk."""
        return self._flights.ask_now(lambda h: h.remove([self._name(key)]), [-1])[0] == 0

    async def close(self) -> None:
        """Ends the session."""
        self._flights.close()
        self._link.close()
