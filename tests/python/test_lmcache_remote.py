#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote.adapters.lmcache_remote by its caller's contract: coroutines on a loop in a thread of its
own, other calls on any thread, chunks with counted references. fake_lmcache.py is the caller."""
import asyncio
import concurrent.futures
import threading
import time
import types

import fake_lmcache
from suite import PoolCase, main, pools, stopped

fake_lmcache.install()
from cenote.adapters import lmcache_remote  # noqa: E402 pylint: disable=wrong-import-position

Key, CHUNK_BYTES, TOKEN_BYTES = (fake_lmcache.Key, fake_lmcache.CHUNK_BYTES,
                                 fake_lmcache.TOKEN_BYTES)


class Engine:
    """An engine's process: LMCache's loop, its memory, and the connector that it makes."""

    def __init__(self, meta, namespace, room=1000, **options):
        self.memory = fake_lmcache.Allocator(room)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        start = "remote_storage_plugin.cenote.first."
        config = types.SimpleNamespace(extra_config={
            start + "meta": meta, start + "namespace": namespace, start + "deadline": 2,
            start + "module_path": "cenote.adapters.lmcache_remote", "other": 1,
            **{start + name: value for name, value in options.items()}})
        adapter = lmcache_remote.CenoteConnectorAdapter()
        assert adapter.can_parse("plugin://cenote.first")
        assert not adapter.can_parse("plugin://redis")
        self.connector = adapter.create_connector(types.SimpleNamespace(
            loop=self.loop, local_cpu_backend=self.memory, config=config, metadata=object(),
            plugin_name="cenote.first"))

    def submit(self, coroutine) -> concurrent.futures.Future:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, name, *arguments):
        return self.submit(getattr(self.connector, name)(*arguments)).result(30 * pools.SLOWNESS)

    def store(self, numbers, size=CHUNK_BYTES):
        """As the store path does: the caller gives the memory back."""
        chunks = [self.memory.filled(n, size) for n in numbers]
        self.call("batched_put", [Key(n) for n in numbers], chunks)
        for chunk in chunks:
            chunk.ref_count_down()

    def close(self):
        self.call("close")
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Remote(PoolCase):
    def setUp(self):
        super().setUp()
        self.engine = self.start()

    def start(self, **options):
        engine = Engine(self.pool.meta_endpoint, self._testMethodName[:64], **options)
        self.addCleanup(engine.close)
        return engine

    def check_chunks(self, chunks, wanted):
        self.assertEqual([None if c is None else bytes(c.byte_array) for c in chunks], wanted)
        for chunk in chunks:
            if chunk is not None:
                chunk.ref_count_down()
        self.assertEqual(self.engine.memory.live, 0)

    def test_chunks_come_and_go(self):
        engine = self.engine
        engine.store(range(5))
        keys = [Key(n) for n in (0, 9, 4)]
        self.check_chunks(engine.call("batched_get", keys),
                          [bytes(CHUNK_BYTES), None, b"\4" * CHUNK_BYTES])
        self.check_chunks([engine.call("get", Key(3))], [b"\3" * CHUNK_BYTES])
        self.assertIsNone(engine.call("get", Key(9)))
        self.check_chunks(engine.call("batched_get_non_blocking", "id", [Key(1), Key(9), Key(2)]),
                          [b"\1" * CHUNK_BYTES])
        self.assertEqual(engine.call("exists", Key(1)), True)
        self.assertEqual(engine.connector.exists_sync(Key(9)), False)
        prefix = [Key(n) for n in (0, 1, 2, 9, 3)]
        self.assertEqual(engine.connector.batched_contains(prefix), 3)
        self.assertEqual(engine.call("batched_async_contains", "id", prefix, True), 3)
        self.assertEqual(sorted(engine.call("list")), sorted(Key(n).to_string() for n in range(5)))
        self.assertEqual(engine.call("ping"), 0)
        self.assertTrue(engine.connector.remove_sync(Key(0)))
        self.assertFalse(engine.connector.remove_sync(Key(0)))
        counters = engine.connector.counters
        self.assertEqual([counters[n] for n in ("hits", "misses", "puts", "dropped_puts")],
                         [5, 3, 5, 0])

    def test_how_chunks_are_kept(self):
        self.start(ttl=3600, pin="hard").store(range(3))
        self.check_kept(3, 3600, "hard")

    def test_a_chunk_that_is_not_full(self):
        self.engine.store([1], 3 * TOKEN_BYTES)
        self.check_chunks([self.engine.call("get", Key(1))], [b"\1" * 3 * TOKEN_BYTES])

    def test_what_is_no_chunk(self):
        for number, value in enumerate((b"", b"short", bytes(100), bytes(CHUNK_BYTES * 2))):
            self.client.put(Key(number).to_string(), value)
            self.check_chunks([self.engine.call("get", Key(number))], [None])

    def test_no_memory_for_a_chunk(self):
        self.engine.store([1, 2])
        engine = self.engine = self.start(room=1)
        self.check_chunks(engine.call("batched_get", [Key(1), Key(2)]),
                          [b"\1" * CHUNK_BYTES, None])

    def test_many_at_once(self):
        self.engine.store(range(100))
        futures = [self.engine.submit(self.engine.connector.get(Key(n))) for n in range(100)]
        self.check_chunks([f.result(30) for f in futures],
                          [bytes([n]) * CHUNK_BYTES for n in range(100)])

    def test_beneath_a_stopped_pool(self):
        """The loop goes on; gets miss in their time, then at once, and memory comes back."""
        engine = self.engine
        engine.store([1])
        with stopped(self.pool.meta):
            lost = engine.submit(engine.connector.get(Key(2)))
            begin = time.monotonic()
            engine.submit(asyncio.sleep(0)).result(5)
            self.assertLess(time.monotonic() - begin, 1)
            self.assertIsNone(lost.result(20))
            engine.store([3])
            self.assertIsNone(engine.call("get", Key(1)))
            self.assertEqual(engine.connector.batched_contains([Key(1)]), 0)
            self.assertEqual(engine.memory.live, 0)
        counters = engine.connector.counters
        self.assertGreaterEqual(counters["dropped_puts"], 1)
        self.assertGreaterEqual(counters["refused_in_outage"], 3)
        pools.wait_until(lambda: engine.connector.exists_sync(Key(1)), 20, "the pool being back")


class ServiceGone(PoolCase):
    def test_everything_is_a_miss(self):
        engine = Engine(self.pool.meta_endpoint, "gone")
        engine.store([1])
        self.pool.allow(".")
        self.pool.meta.kill()
        engine.store([2])
        self.assertIsNone(engine.call("get", Key(5)))
        self.assertEqual(engine.call("ping"), -1)
        self.assertFalse(engine.connector.exists_sync(Key(1)))
        self.assertFalse(engine.connector.remove_sync(Key(1)))
        self.assertEqual(engine.call("list"), [])
        self.assertEqual(engine.memory.live, 0)
        engine.close()


if __name__ == "__main__":
    main()
