#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote.adapters.sglang_hicache by its caller's contract: a prefetch and a backup thread that end
for good with an exception, host pools in several layouts, pools of hybrid models. fake_sglang.py is
the caller.

With SGLang 0.5.23 importable ($SGLANG_SOURCE names its folder) its own factory, host pools and
controller drive the adapter, too.
"""
import contextlib
import os
import subprocess
import sys
import threading
import time
import types
import unittest

import fake_sglang
from suite import PACKAGE, SOURCE, PoolCase, in_child, main, pools, stopped

fake_sglang.install()
from cenote.adapters import link, sglang_hicache  # noqa: E402 pylint: disable=wrong-import-position
from fake_sglang import (Config, Controller, HostPool, MambaPool, PoolHitPolicy, PoolName,
                         PoolTransfer, Tensor, places)  # noqa: E402

PAGES = 300  # more than two batches
TIMEOUT_SECONDS = 0.4 * pools.SLOWNESS
link.RETRY_SECONDS = 0.2 * pools.SLOWNESS
HASHES = [f"{i:064x}" for i in range(PAGES)]


def storage(meta, extra=None, **config):
    """A backend as SGLang's factory makes it."""
    extra = {"backend_name": "cenote", "module_path": "cenote.adapters.sglang_hicache",
             "class_name": "CenoteHiCacheStorage", "interface_v1": 1, "meta": meta, **(extra or {})}
    return sglang_hicache.CenoteHiCacheStorage(Config(extra_config=extra, **config), {})


class HiCache(PoolCase):
    def backend(self, extra=None, **config):
        made = storage(self.pool.meta_endpoint,
                       {"namespace": self._testMethodName[:64], **(extra or {})}, **config)
        self.addCleanup(made.close)
        return made

    def engine(self, pool=None, extra=None, **config):
        """A controller over a pool of its own."""
        made = Controller(self.backend(extra, **config), pool or HostPool(PAGES))
        self.addCleanup(made.close)
        return made

    def filled(self, **options):
        """An engine whose pages are stored."""
        engine = self.engine(**options)
        for i in range(PAGES):
            engine.pool.fill(i, i)
        self.assertEqual(engine.call("backup", HASHES, list(range(PAGES))), PAGES)
        return engine

    def test_backup_and_prefetch(self):
        first = self.filled()
        second = self.engine()
        backwards = list(reversed(range(PAGES)))
        self.assertEqual(second.call("prefetch", HASHES, backwards), PAGES)
        for i in range(0, PAGES, 37):
            self.assertEqual(second.pool.page(backwards[i]), first.pool.page(i))
        self.assertEqual(first.call("backup", HASHES[:5], list(range(5))), 5)  # there already
        counters = second.backend.counters
        self.assertEqual([counters[n] for n in ("gets", "hits", "misses")], [PAGES, PAGES, 0])
        self.assertEqual(first.backend.counters["dropped_puts"], 0)

    def test_how_pages_are_kept(self):
        self.filled(extra={"ttl": 1800, "pin": ["soft", 60]})
        self.check_kept(PAGES, 1800, "soft", 60)

    def test_a_hole_ends_the_prefix(self):
        engine = self.filled()
        key = next(e.key for e in self.client.keys() if e.key.decode().endswith(HASHES[130]))
        self.client.remove(key)
        self.assertEqual(engine.backend.batch_exists(HASHES), 130)
        self.assertFalse(engine.backend.exists(HASHES[130]))
        self.assertEqual(engine.call("prefetch", HASHES, list(range(PAGES))), 130)
        self.assertEqual(engine.backend.batch_get_v1(HASHES[129:132], places(range(3))),
                         [True, False, True])

    def test_what_must_not_meet(self):
        """Another rank, model, layout or page form has pages of its own; MLA's ranks share."""
        self.filled(tp_rank=0, tp_size=2)
        for config, pool in (({"tp_rank": 1, "tp_size": 2}, HostPool(4)),
                             ({"tp_rank": 0, "tp_size": 4}, HostPool(4)),
                             ({"tp_rank": 0, "tp_size": 2, "model_name": "other"}, HostPool(4)),
                             ({"tp_rank": 0, "tp_size": 2, "pp_size": 2}, HostPool(4)),
                             ({"tp_rank": 0, "tp_size": 2, "attn_cp_size": 2}, HostPool(4)),
                             ({"tp_rank": 0, "tp_size": 2}, HostPool(4, "page_first_direct"))):
            self.assertEqual(self.engine(pool, **config).backend.batch_exists(HASHES[:2]), 0)
        mla = self.engine(HostPool(4, halves=1), tp_size=2, is_mla_model=True, model_name="x" * 999)
        self.assertEqual(mla.call("backup", HASHES[:2], [0, 1]), 2)
        other = self.engine(HostPool(4, halves=1), tp_rank=1, tp_size=2, is_mla_model=True,
                            model_name="x" * 999)
        self.assertEqual(other.call("prefetch", HASHES[:2], [0, 1]), 2)

    def test_pages_by_themselves(self):
        """Without interface_v1: tensors, or addresses and sizes."""
        backend = self.backend({"interface_v1": 0})
        backend.register_mem_pool_host(HostPool(4))
        source, target = Tensor(1000), Tensor(1000)
        source.array[:] = bytes(i % 251 for i in range(1000))
        self.assertTrue(backend.batch_set(["a", "b"], [source, source]))
        self.assertEqual(backend.batch_get(["a", "c"], [target, Tensor(1000)]), [target, None])
        self.assertEqual(bytes(target.array), bytes(source.array))
        self.assertTrue(backend.set("d", target_location=source.data_ptr(), target_sizes=500))
        half = Tensor(500)
        self.assertIs(backend.get("d", half), half)
        self.assertEqual(bytes(half.array), bytes(source.array[:500]))
        self.assertTrue(backend.set("e", Tensor(8, contiguous=False)))
        self.assertIsNone(backend.get("e", Tensor(8, contiguous=False)))
        self.assertIsNone(backend.get("e", Tensor(9)))
        self.assertIsNone(backend.get("e", Tensor(7)))
        self.assertIsNone(backend.get("e"))
        self.assertIsNone(backend.get("e", 4096))
        self.assertIsNone(backend.get("e", memoryview(b"readonly")))
        self.assertFalse(backend.set("f"))
        self.assertFalse(backend.batch_set(["f", "g"], [source]))
        on_device = Tensor(8)
        on_device.device = types.SimpleNamespace(type="cuda")
        self.assertIsNone(backend.get("e", on_device))
        self.assertEqual(backend.batch_exists(["a", "b", "c"]), 2)
        self.assertGreaterEqual(backend.counters["failed_calls"], 6)

    def hybrid(self, **config):
        """A backend with the pools of a hybrid model."""
        backend = self.backend(**config)
        pool_of = {PoolName.KV: HostPool(16), PoolName.MAMBA: MambaPool(16),
                   PoolName.SWA: HostPool(16)}
        backend.register_mem_pool_host(pool_of[PoolName.KV])
        for name, pool in pool_of.items():
            backend.register_mem_host_pool_v2(pool, name)
            for i in range(16):
                HostPool.fill(pool, i, i)
        return backend, pool_of

    def test_hybrid_models(self):
        backend, pool_of = self.hybrid()
        keys = HASHES[:8]
        self.assertEqual(backend.batch_set_v1(keys, places(range(8))), [True] * 8)
        results = backend.batch_set_v2([
            PoolTransfer(PoolName.MAMBA, [2, 5], [keys[2], keys[5]]),
            PoolTransfer(PoolName.SWA, places([3, 4, 5]), keys[3:6])])
        self.assertEqual(results, {PoolName.MAMBA: [True] * 2, PoolName.SWA: [True] * 3})
        state = PoolTransfer(PoolName.MAMBA, None, ["any"], PoolHitPolicy.TRAILING_PAGES)
        window = PoolTransfer(PoolName.SWA, None, ["any"] * 2, PoolHitPolicy.TRAILING_PAGES)
        found = backend.batch_exists_v2(keys, [state])
        self.assertEqual((found.kv_hit_pages, found.restorable_prefix_pages), (6, [3, 6]))
        self.assertEqual(found.extra_pool_hit_pages, {PoolName.KV: 8, PoolName.MAMBA: 6})
        found = backend.batch_exists_v2(keys, [state, window])
        self.assertEqual((found.kv_hit_pages, found.restorable_prefix_pages), (6, [6]))
        found = backend.batch_exists_v2(keys, [PoolTransfer(PoolName.SWA)])
        self.assertEqual((found.kv_hit_pages, found.restorable_prefix_pages), (0, []))
        found = backend.batch_exists_v2(keys, [PoolTransfer(
            PoolName.SWA, hit_policy=PoolHitPolicy.BLOCK_GROUPS)])
        self.assertEqual(found.kv_hit_pages, 8)
        other, other_pools = self.hybrid()
        results = other.batch_get_v2([
            PoolTransfer(PoolName.MAMBA, [7], [keys[5]]),
            PoolTransfer(PoolName.SWA, places([9, 8]), [keys[4], keys[6]]),
            PoolTransfer(PoolName.KV, places([12]), [keys[1]])])
        self.assertEqual(results, {PoolName.MAMBA: [True], PoolName.SWA: [True, False],
                                   PoolName.KV: [True]})
        self.assertEqual(other_pools[PoolName.SWA].page(9), pool_of[PoolName.SWA].page(4))
        self.assertEqual(other_pools[PoolName.KV].page(12), pool_of[PoolName.KV].page(1))

    def test_an_anchor_without_bytes(self):
        backend = self.backend()
        anchor = HostPool(4)
        anchor.kv_buffer = None
        backend.register_mem_pool_host(anchor)
        backend.register_mem_host_pool_v2(HostPool(8), PoolName.SWA)
        self.assertEqual(backend.batch_set_v1(HASHES[:3], places(range(3))), [True] * 3)
        self.assertEqual(backend.batch_get_v1(HASHES[:3], places(range(3))), [True] * 3)
        backend.batch_set_v2([PoolTransfer(PoolName.SWA, places([1, 2]), HASHES[:2])])
        found = backend.batch_exists_v2(HASHES[:3], [PoolTransfer(PoolName.SWA)])
        self.assertEqual((found.kv_hit_pages, found.restorable_prefix_pages), (2, [1, 2]))

    def test_a_pool_that_cannot_be_registered(self):
        """It is no contiguous memory, or raises when it is asked: pages go all the same."""
        class Odd(HostPool):
            def get_hybrid_pool_buffer(self):
                if self.layout == "page_head":
                    raise RuntimeError("no buffers of its own")
                return [Tensor(8, contiguous=False)]

        for layout in ("page_head", "layer_first"):
            engine = self.engine(Odd(4, layout))
            self.assertEqual(engine.backend.counters["failed_calls"], 1)
            self.assertEqual(engine.call("backup", HASHES[:4], [0, 1, 2, 3]), 4)
            self.assertEqual(engine.call("prefetch", HASHES[:4], [3, 2, 1, 0]), 4)

    def test_ranks_of_hybrid_models(self):
        """Each rank's states are its own, though KV is alike on all of them."""
        for rank in range(2):
            backend, _ = self.hybrid(tp_rank=rank, tp_size=2, is_mla_model=True)
            found = backend.batch_exists_v2(HASHES[:1], [PoolTransfer(PoolName.MAMBA)])
            self.assertEqual(found.kv_hit_pages, 0)
            backend.batch_set_v1(HASHES[:1], places([0]))
            backend.batch_set_v2([PoolTransfer(PoolName.MAMBA, [0], HASHES[:1]),
                                  PoolTransfer(PoolName.SWA, places([0]), HASHES[:1])])
        self.assertEqual(len(list(self.client.keys())), 4)

    def test_wrong_arguments(self):
        engine = self.engine()
        backend, pool = engine.backend, engine.pool
        backend.batch_set_v1(HASHES[:2], places([0, 1]))
        for keys, where in ((HASHES[:2], places([0])), (HASHES[:2], places([0, 1, 2])),
                            ([HASHES[0], 5], places([0, 1])), ([None, None], places([0, 1])),
                            (HASHES[:2], None), (["x" * 2000, "y"], places([0, 1])),
                            (HASHES[:2], places([0, 1 << 40]))):
            for call in (backend.batch_get_v1, backend.batch_set_v1):
                self.assertEqual(call(keys, where), [False] * 2, (keys, where))
            transfer = PoolTransfer(PoolName.KV, where, keys)
            self.assertEqual(backend.batch_get_v2([transfer]), {PoolName.KV: [False] * 2})
        for keys in ([5], [None], ["x" * 2000], [b"bytes"]):
            self.assertEqual(backend.batch_exists(keys), 0)
        self.assertEqual(backend.batch_get_v1([], []), [])
        lost = PoolTransfer(PoolName.DRAFT, [0], HASHES[:1])
        self.assertEqual(backend.batch_set_v2([lost]), {PoolName.DRAFT: [False]})
        self.assertEqual(backend.batch_exists_v2(HASHES[:2], [lost]).kv_hit_pages, 0)
        self.client.put(next(self.client.keys()).key, b"short", replace=True)
        self.assertIn(False, backend.batch_get_v1(HASHES[:2], places([0, 1])))
        pool.destroy()
        self.assertEqual(backend.batch_get_v1(HASHES[:2], places([0, 1])), [False] * 2)
        self.assertEqual(backend.batch_set_v1(HASHES[:2], places([0, 1])), [False] * 2)
        self.assertGreater(backend.counters["failed_calls"], 20)
        counters = backend.counters
        self.assertEqual(counters["gets"], counters["hits"] + counters["misses"])
        self.assertRaises(ValueError, self.backend, {"transport": "ship"})

    def test_clear_and_figures(self):
        engine = self.engine(enable_storage_metrics=True)
        other = self.engine(tp_rank=1, tp_size=2)
        alike = self.engine(model_name="org/model-2")
        for each in (engine, other, alike):
            self.assertEqual(each.call("backup", HASHES[:200], list(range(200))), 200)
        engine.call("prefetch", HASHES[:3], [0, 1, 2])
        figures = engine.backend.get_stats()
        self.assertEqual((figures.backup_pgs, figures.prefetch_pgs), ([128, 72], [3]))
        self.assertGreater(min(figures.backup_bandwidth + figures.prefetch_bandwidth), 0)
        self.assertEqual(engine.backend.get_stats().backup_pgs, [])
        self.assertIsNone(other.backend.get_stats())
        engine.backend.clear()
        for each, pages in ((engine, 0), (other, 0), (alike, 3)):
            self.assertEqual(each.backend.batch_exists(HASHES[:3]), pages)

    def test_threads(self):
        engine = self.filled()
        wrong = []

        def fetch(number):
            own = HostPool(PAGES)
            backend = self.backend()
            backend.register_mem_pool_host(own)
            for _ in range(3):
                for each in (backend, engine.backend):
                    if not all(each.batch_get_v1(HASHES[:100], places(range(100)))):
                        wrong.append(number)
            if own.page(50) != engine.pool.page(50):
                wrong.append(number)

        threads = [threading.Thread(target=fetch, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_after_close_and_fork(self):
        engine = self.filled()
        backend = engine.backend

        def child():
            return (backend.batch_exists(HASHES[:2]) == 0 and
                    backend.batch_get_v1(HASHES[:2], places([0, 1])) == [False] * 2 and
                    backend.batch_set_v1(HASHES[:2], places([0, 1])) == [False] * 2 and
                    backend.clear() is None and backend.close() is None)

        self.assertTrue(in_child(child))
        self.assertEqual(backend.batch_exists(HASHES[:2]), 2)
        backend.close()
        self.assertEqual(backend.batch_exists(HASHES[:2]), 0)
        self.assertEqual(backend.batch_get_v1(HASHES[:2], places([0, 1])), [False] * 2)
        self.assertEqual(engine.call("backup", HASHES[:2], [0, 1]), 0)
        backend.close()

    def test_beneath_a_stopped_pool(self):
        engine = self.filled(extra={"timeout": TIMEOUT_SECONDS})
        with stopped(self.pool.meta):
            begin = time.monotonic()
            self.assertEqual(engine.call("prefetch", ["0" * 63 + "x"], [0]), 0)
            self.assertEqual(engine.call("backup", ["0" * 63 + "y"], [0]), 0)
            self.assertEqual(engine.call("prefetch", HASHES, list(range(PAGES))), 0)
            self.assertLess(time.monotonic() - begin, 15 * pools.SLOWNESS)
        self.assertGreaterEqual(engine.backend.counters["outages"], 1)
        pools.wait_until(lambda: engine.backend.batch_exists(HASHES[:9]) == 9, 20, "the pool")
        self.assertEqual(engine.call("prefetch", HASHES, list(range(PAGES))), PAGES)


class Beginning(unittest.TestCase):
    def test_a_pool_that_comes_later(self):
        """The engine starts without its pool, finds it, and goes on without it again."""
        pool = pools.Pool()
        engine = Controller(storage(pool.meta_endpoint), HostPool(8))
        with contextlib.closing(engine):
            self.assertEqual(engine.call("prefetch", HASHES[:2], [0, 1]), 0)
            self.assertEqual(engine.call("backup", HASHES[:2], [0, 1]), 0)
            with pool:
                pools.wait_until(lambda: engine.call("backup", HASHES[:2], [0, 1]) == 2, 20,
                                 "the pool")
                self.assertEqual(engine.call("prefetch", HASHES[:2], [2, 3]), 2)
                pool.allow(".")
                pool.meta.kill()
                pools.wait_until(lambda: engine.call("backup", HASHES[4:5], [0]) == 0, 20,
                                 "the end")
                self.assertEqual(engine.call("prefetch", HASHES[5:6], [0]), 0)


class Upstream(PoolCase):
    """SGLang's own factory, pools and controller, from $SGLANG_SOURCE."""

    @unittest.skipUnless(os.environ.get("SGLANG_SOURCE"), "SKIPPED: no SGLANG_SOURCE")
    def test_storage_controller(self):
        environment = self.pool.environment(PYTHONPATH=os.pathsep.join(
            (str(PACKAGE), os.environ["SGLANG_SOURCE"])))
        subprocess.run([sys.executable, SOURCE / "tests/python/upstream_sglang.py"], check=True,
                       timeout=120, env=environment)


if __name__ == "__main__":
    main()
