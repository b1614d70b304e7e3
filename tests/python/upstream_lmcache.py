#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""LMCache's own classes over the adapters, against the pool at $CENOTE_META: its factories load and
check them, its wrapper stores, looks up, loads and deletes objects of its memory.

Run by test_lmcache.py with LMCache importable; prints its version and "passed".
"""
import asyncio
import ctypes
import select
import sys
import types

from importlib.metadata import version

import torch
from lmcache.v1.distributed.api import ObjectKey
from lmcache.v1.distributed.internal_api import L1MemoryDesc
from lmcache.v1.distributed.l2_adapters import native_plugin_l2_adapter, plugin_l2_adapter
from lmcache.v1.storage_backend.connector import ConnectorContext
from lmcache.v1.memory_management import MemoryFormat, MemoryObjMetadata, TensorMemoryObj

SIZE, COUNT = 1 << 20, 6
SECONDS = 30


def objects(arena, first):
    """LMCache's memory objects in an arena of its kind."""
    shape = torch.Size([SIZE // 2])
    found = []
    for i in range(COUNT):
        raw = arena[(first + i) * SIZE:(first + i + 1) * SIZE]
        metadata = MemoryObjMetadata(shape=shape, dtype=torch.bfloat16, address=(first + i) * SIZE,
                                     phy_size=SIZE, ref_count=1, pin_count=0,
                                     fmt=MemoryFormat.KV_2LTD, shapes=[shape],
                                     dtypes=[torch.bfloat16])
        found.append(TensorMemoryObj(raw, metadata, None))
    return found


def wait(fd, ask):
    """Until a result is there."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    while (result := ask()) is None or result == {}:
        assert poller.poll(SECONDS * 1000), "no completion"
    return result


def drive(adapter, salt):
    """What the store and the prefetch controllers do."""
    arena = torch.zeros(2 * COUNT * SIZE, dtype=torch.uint8)
    arena[:COUNT * SIZE] = torch.randint(0, 255, (COUNT * SIZE,), dtype=torch.uint8)
    keys = [ObjectKey(chunk_hash=bytes([i]) * 32, model_name="model", kv_rank=0, cache_salt=salt)
            for i in range(COUNT)]
    source, target = objects(arena, 0), objects(arena, COUNT)
    task = adapter.submit_store_task(keys[:4], source[:4])
    stored = wait(adapter.get_store_event_fd(), adapter.pop_completed_store_tasks)
    assert stored[task].is_successful() and stored[task].bytes_transferred() == 4 * SIZE, stored
    task = adapter.submit_lookup_and_lock_task(keys, {})
    found = wait(adapter.get_lookup_and_lock_event_fd(),
                 lambda: adapter.query_lookup_and_lock_result(task))
    assert [found.test(i) for i in range(COUNT)] == [True] * 4 + [False] * 2
    task = adapter.submit_load_task(keys, target)
    loaded = wait(adapter.get_load_event_fd(), lambda: adapter.query_load_result(task))
    assert [loaded.test(i) for i in range(COUNT)] == [True] * 4 + [False] * 2
    begin, half = arena.data_ptr(), COUNT * SIZE
    assert ctypes.string_at(begin, 4 * SIZE) == ctypes.string_at(begin + half, 4 * SIZE)
    assert not arena[half + 4 * SIZE:].any()
    adapter.submit_unlock(keys[:4])
    assert adapter.get_usage().total_bytes_used == 4 * SIZE
    adapter.delete(keys[:4])
    assert adapter.get_usage().total_bytes_used == 0
    task = adapter.submit_lookup_and_lock_task(keys, {})
    found = wait(adapter.get_lookup_and_lock_event_fd(),
                 lambda: adapter.query_lookup_and_lock_result(task))
    assert not any(found.test(i) for i in range(COUNT))
    assert adapter.report_status()["is_healthy"]
    adapter.close()


class Backend:
    """Memory for chunks."""

    shape = torch.Size([2, 4, 16, 64])

    def __init__(self):
        self.live = 0

    def allocate(self, shapes, dtypes, fmt):
        self.live += 1
        size = self.shape.numel() * 2
        metadata = MemoryObjMetadata(shape=self.shape, dtype=torch.bfloat16, address=0,
                                     phy_size=size, ref_count=1, pin_count=0, fmt=fmt,
                                     shapes=[self.shape], dtypes=[torch.bfloat16])
        return TensorMemoryObj(torch.zeros(size, dtype=torch.uint8), metadata, None)


async def drive_remote():
    """What the remote backend does."""
    from cenote.adapters.lmcache_remote import CenoteConnectorAdapter
    backend = Backend()
    metadata = types.SimpleNamespace(
        get_shapes=lambda: [backend.shape], get_dtypes=lambda: [torch.bfloat16], use_mla=False,
        chunk_size=16, get_num_groups=lambda: 1)
    context = ConnectorContext("plugin://cenote", asyncio.get_running_loop(), backend,
                               types.SimpleNamespace(extra_config={}, use_layerwise=False),
                               metadata, "cenote")
    adapter = CenoteConnectorAdapter()
    assert adapter.can_parse(context.url)
    connector = adapter.create_connector(context)
    keys = [types.SimpleNamespace(to_string=lambda i=i: f"model@1@0@{i:x}@bfloat16")
            for i in range(3)]
    chunk = backend.allocate(None, None, MemoryFormat.KV_2LTD)
    chunk.raw_data[:] = torch.randint(0, 255, (chunk.get_size(),), dtype=torch.uint8)
    await connector.batched_put(keys[:2], [chunk, chunk])
    assert await connector.batched_async_contains("id", keys) == 2
    found = await connector.batched_get_non_blocking("id", keys)
    assert [bytes(c.byte_array) for c in found] == [bytes(chunk.byte_array)] * 2
    assert found[0].get_shape() == backend.shape
    assert await connector.get(keys[2]) is None and connector.remove_sync(keys[0])
    await connector.close()


def main():
    native = native_plugin_l2_adapter
    drive(native._create_native_plugin_l2_adapter(native.NativePluginL2AdapterConfig.from_dict(
        {"module_path": "cenote.adapters.lmcache_native", "class_name": "CenoteConnector",
         "max_capacity_gb": 1})), "")
    arena = torch.zeros(1 << 20, dtype=torch.uint8)
    plugin = plugin_l2_adapter
    drive(plugin._create_plugin_adapter(plugin.PluginL2AdapterConfig.from_dict(
        {"module_path": "cenote.adapters.lmcache_plugin", "class_name": "CenoteL2Adapter",
         "adapter_params": {"max_capacity_gb": 1}}),
        L1MemoryDesc(ptr=arena.data_ptr(), size=1 << 20, align_bytes=4096)), "salt")
    asyncio.run(drive_remote())
    print(f"LMCache {version('lmcache')}, torch {torch.__version__}: passed")


if __name__ == "__main__":
    sys.exit(main())
