#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote.adapters.ascend_store by its caller's contract: lists of addresses in transfer threads,
blocks as a whole and layer by layer, in the host's memory and in a device's. fake_ascend.py is the
caller, and the device."""
import contextlib
import json
import os
import sys
import threading
import time
import unittest
import unittest.mock

import fake_ascend
from suite import PoolCase, in_child, main, pools, stopped

fake_ascend.install()
from cenote.adapters import (ascend_layers, ascend_memory, ascend_plugin,  # noqa: E402
                             ascend_store, link)
from fake_ascend import BASE, BLOCK_BYTES, CACHES, LAYERS, Device, Host, Worker  # noqa: E402

TIMEOUT_SECONDS = 0.4 * pools.SLOWNESS
link.RETRY_SECONDS = 0.2 * pools.SLOWNESS
KEYS = [f"model@pcp0@dcp0@head_or_tp_rank:0@pp_rank:0@{i:064x}" for i in range(40)]
TOTAL = LAYERS * CACHES * BLOCK_BYTES


def backend_of(meta, **options):
    """A backend as vllm-ascend makes it: with its parameters in the environment."""
    with unittest.mock.patch.dict(os.environ, {
            "CENOTE_META": meta, ascend_store.OPTIONS_VARIABLE: json.dumps(options)}):
        return ascend_store.CenoteBackend(object(), lazy_init=False)


class Blocks(PoolCase):
    """On the host; Devices has the same again."""

    memory = Host

    def setUp(self):
        super().setUp()
        self.worker = self.start()

    def backend(self, **options):
        return backend_of(self.pool.meta_endpoint, namespace=self._testMethodName[:64],
                          **options)

    def start(self, blocks=40, **options):
        worker = Worker(self.backend(**options), blocks, self.memory)
        self.addCleanup(worker.close)
        for i in range(blocks):
            worker.fill(i, 5 * i)
        return worker

    def test_blocks_come_and_go(self):
        first, second = self.worker, self.start()
        self.assertEqual(first.put(KEYS[:30], range(30)), [0] * 30)
        self.assertEqual(first.put(KEYS[:2], range(2)), [0] * 2)  # there already
        self.assertEqual(second.backend.exists(KEYS), [1] * 30 + [0] * 10)
        self.assertEqual(second.backend.batch_is_exist(KEYS[29:31]), [1, 0])
        found = second.get(KEYS, list(reversed(range(40))))
        self.assertEqual(found, [0] * 30 + [1] * 10)
        self.assertEqual([second.content(39 - i) for i in range(30)],
                         [first.content(i) for i in range(30)])
        counters = second.backend.counters
        self.assertEqual([counters[n] for n in ("gets", "hits", "misses")], [40, 30, 10])

    def test_in_several_groups(self):
        """More than is staged at a time, and a block that is larger than that."""
        with unittest.mock.patch.object(ascend_memory, "STAGING_BYTES", 5 * TOTAL // 2):
            worker = self.start()
            self.assertEqual(worker.put(KEYS, range(40)), [0] * 40)
        with unittest.mock.patch.object(ascend_memory, "STAGING_BYTES", TOTAL // 2):
            worker = self.start()
            before = self.worker.content(7)
            worker.fill(0, 99)
            self.assertEqual(worker.get(KEYS[7:9], [0, 1]), [0, 0])
            self.assertEqual(worker.content(0), before)

    def test_layer_by_layer(self):
        first, second = self.worker, self.start()
        self.assertEqual(first.save_layers(KEYS[:6], range(6), [0, 0, 0, -1, 0, 0]), [0] * 6)
        there = [True] * 3 + [False] + [True] * 2 + [False]
        self.assertEqual(second.load_layers(KEYS[:7], range(10, 17)), there)
        self.assertEqual([second.content(10 + i) for i in (0, 5)],
                         [first.content(i) for i in (0, 5)])
        self.assertEqual(second.get(KEYS[:1], [20]), [0])  # the same as a block put as a whole
        self.assertEqual(second.content(20), first.content(0))
        self.assertEqual(first.put(KEYS[8:9], [8]), [0])
        self.assertEqual(second.load_layers(KEYS[8:9], [8]), [True])
        self.assertEqual(first.save_layers(KEYS[:6], range(6)), [0] * 6)  # there, but for one
        self.assertEqual(second.load_layers(KEYS[3:4], [3]), [True])
        for worker in (first, second):
            self.assertEqual((worker.backend.store._blocks, worker.backend.store._bytes), ({}, 0))
        self.assertEqual(first.backend.counters["dropped_puts"], 1)

    def test_layers_with_holes(self):
        """What wasn't written as a whole is never stored."""
        backend = self.worker.backend
        addresses, sizes = self.worker.pieces(0)
        for number, skip in enumerate((0, 1, len(sizes) - 1)):
            key = KEYS[number]
            (begin,) = backend.batch_alloc([key], [TOTAL])
            for i, (address, size) in enumerate(zip(addresses, sizes)):
                if i != skip:
                    backend.store.batch_copy([begin + i * size], [address], [size], 0)
            self.assertEqual(backend.batch_write_finish([key], [0]), [0])
        (begin,) = backend.batch_alloc([KEYS[3]], [TOTAL])
        numbers = [begin + i * BLOCK_BYTES for i in range(len(sizes))]
        backend.store.batch_copy(numbers, addresses, sizes, 0)
        backend.store.batch_copy([begin + TOTAL - 1], addresses[:1], sizes[:1], 0)  # too long
        backend.batch_write_finish([KEYS[3]], [0])
        self.assertEqual(backend.exists(KEYS[:4]), [0] * 4)
        self.assertEqual(backend.counters["dropped_puts"], 4)

    def test_leases_of_two_requests(self):
        first, second = self.worker, self.start()
        first.put(KEYS[:1], [0])
        backend = second.backend
        (info,) = backend.batch_get_key_info(KEYS[:1])
        (number,) = info.gva_list()
        self.assertEqual(info.size(), TOTAL)
        for _ in range(2):
            self.assertEqual(backend.batch_add_lease(KEYS[:1], 1000), [0])
        self.client.remove_batch([e.key for e in self.client.keys()])
        backend.batch_remove_lease(KEYS[:1])
        for layer in range(LAYERS):
            self.assertEqual(second._copy([number], [9], layer, 1), 0)
        self.assertEqual(second.content(9), first.content(0))
        backend.batch_remove_lease(KEYS[:1])
        self.assertNotEqual(second._copy([number], [9], 0, 1), 0)
        self.assertEqual(backend.batch_get_key_info(KEYS[:1])[0].size(), 0)
        self.assertEqual(backend.batch_get_key_info(KEYS[:1])[0].gva_list(), [])

    def test_too_many_layers(self):
        """Blocks that nobody finishes or gives back go with time; no more than there is room."""
        self.worker.put(KEYS[:3], range(3))
        backend = self.worker.backend
        with unittest.mock.patch.object(ascend_layers, "BLOCKS_BYTES_MAX", 2 * TOTAL):
            numbers = backend.batch_alloc(KEYS[5:8], [TOTAL] * 3)
            self.assertEqual([n > 0 for n in numbers], [True, True, False])
            infos = backend.batch_get_key_info(KEYS[:2])
            self.assertEqual(len({i.gva_list()[0] for i in infos}), 2)
            self.assertEqual([r == 0 for r in backend.batch_add_lease(KEYS[:2])], [False] * 2)
            for block in backend.store._blocks.values():
                block.ends = 0
            self.assertEqual(backend.batch_add_lease(KEYS[:2], 1), [0, 0])
        self.assertEqual(backend.batch_alloc(KEYS[5:7], [0, -5]), [0, 0])
        self.assertEqual(backend.batch_alloc(KEYS[5:6], [1 << 50]), [0])

    def test_wrong_arguments(self):
        worker, backend = self.worker, self.worker.backend
        worker.put(KEYS[:2], [0, 1])
        addresses, sizes = worker.pieces(0)
        for keys, addrs, lengths in (
                (KEYS[:2], [addresses], [sizes]), (KEYS[:1], [addresses], [sizes[:1]]),
                ([5], [addresses], [sizes]), ([None], [addresses], [sizes]),
                (["x" * 2000], [addresses], [sizes]), (KEYS[:1], [["a"]], [["b"]]),
                (KEYS[:1], [[1 << 40]], [[TOTAL]]), (KEYS[:1], [[16]], [[TOTAL]]),
                (KEYS[:1], [[-5]], [[TOTAL]]), (KEYS[:1], [addresses[:1]], [[-1]]),
                (KEYS[:1], None, None)):
            for call in (backend.get, backend.put):
                self.assertEqual(call(keys, addrs, lengths), [1] * len(keys), (keys, addrs))
        self.assertEqual(worker.get(KEYS[:1], [0]), [0])
        self.assertEqual(backend.get(KEYS[:1], [addresses[:2]], [sizes[:2]]), [1])  # too short
        for keys in ([5], [None], ["x" * 2000]):
            self.assertEqual(backend.exists(keys), [0])
            self.assertEqual(backend.batch_get_key_info(keys)[0].size(), 0)
            self.assertNotEqual(backend.batch_add_lease(keys), [0])
            backend.batch_remove_lease(keys)
            backend.batch_write_finish(keys, [0])
        self.assertEqual(backend.batch_alloc(KEYS[:2], [5]), [0, 0])
        self.assertEqual(backend.batch_alloc(KEYS[:1], ["x"]), [0])
        copy = backend.store.batch_copy
        for numbers, direction in (([1], 1), ([1 << 41], 1), ([-5], 1), (["x"], 1), ([], 7),
                                   ([1, 2], 0)):
            self.assertNotEqual(copy(numbers, addresses[:1], sizes[:1], direction), 0)
        self.assertEqual(copy([1], addresses[:1], sizes[:1], 0), 0)  # a dropped save
        self.assertEqual(copy([], [], [], 0), 0)
        backend.register_buffer([1, 2], [3])
        self.assertGreater(backend.counters["failed_calls"], 20)
        counters = backend.counters
        self.assertEqual(counters["gets"], counters["hits"] + counters["misses"])
        self.assertRaises(TypeError, self.backend, no_such=1)
        self.assertRaises(ValueError, self.backend, memory="tape")
        with unittest.mock.patch.dict(os.environ, {ascend_store.OPTIONS_VARIABLE: "[]"}):
            self.assertRaises(ValueError, ascend_store.CenoteBackend, object())

    def test_after_close_and_fork(self):
        worker, backend = self.worker, self.worker.backend
        worker.put(KEYS[:2], [0, 1])
        pieces = [[p] for p in worker.pieces(0)]

        def misses():
            return (backend.exists(KEYS[:1]) == [0] and backend.get(KEYS[:1], *pieces) == [1] and
                    backend.put(KEYS[:1], *pieces) == [1] and
                    backend.batch_get_key_info(KEYS[:1])[0].size() == 0 and
                    backend.batch_write_finish(KEYS[:1], [0]) == [0])

        self.assertTrue(in_child(misses))
        self.assertEqual(backend.exists(KEYS[:1]), [1])
        backend.close()
        self.assertTrue(misses())

    def test_threads(self):
        wrong = []

        def work(number):
            worker = self.start(8)
            keys = [f"{number}-{i}" for i in range(8)]
            for _ in range(3):
                worker.save_layers(keys[:4], range(4))
                worker.put(keys[4:], range(4, 8))
                if worker.load_layers(keys[4:], range(4)) != [True] * 4 or \
                        worker.get(keys[:4], range(4, 8)) != [0] * 4:
                    wrong.append(number)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_beneath_a_stopped_pool(self):
        worker = self.start(timeout=TIMEOUT_SECONDS)
        worker.put(KEYS[:4], range(4))
        with stopped(self.pool.meta):
            begin = time.monotonic()
            self.assertEqual(worker.get(KEYS[5:7], [0, 1]), [1, 1])
            self.assertEqual(worker.put(KEYS[5:7], [0, 1]), [1, 1])
            self.assertEqual(worker.backend.exists(KEYS[:2]), [0, 0])
            self.assertEqual(worker.load_layers(KEYS[:2], [0, 1]), [False] * 2)
            self.assertEqual(worker.save_layers(KEYS[:2], [0, 1]), [0, 0])
            self.assertLess(time.monotonic() - begin, 15 * pools.SLOWNESS)
        self.assertGreaterEqual(worker.backend.counters["dropped_puts"], 4)
        pools.wait_until(lambda: worker.get(KEYS[:4], range(4)) == [0] * 4, 20, "the pool")


class Devices(Blocks):
    memory = Device

    @classmethod
    def setUpClass(cls):
        fake_ascend.install_device()
        cls.addClassCleanup(fake_ascend.remove_device)
        modules = {"torch": unittest.mock.MagicMock()}
        for name in ("vllm", "vllm.distributed", "vllm.distributed.parallel_state"):
            modules[name] = unittest.mock.MagicMock()
        for patch in (unittest.mock.patch.dict(sys.modules, modules),
                      unittest.mock.patch.object(ascend_memory, "STAGING_BYTES", 1 << 20)):
            patch.start()
            cls.addClassCleanup(patch.stop)
        super().setUpClass()

    def test_a_device_that_fails(self):
        self.worker.put(KEYS[:2], [0, 1])
        with unittest.mock.patch.object(Device, "fails", True):
            self.assertEqual(self.worker.get(KEYS[:2], [0, 1]), [1, 1])
            self.assertEqual(self.worker.put(KEYS[2:4], [2, 3]), [1, 1])
            self.assertEqual(self.worker.save_layers(KEYS[2:4], [2, 3]), [0, 0])
        self.assertEqual(self.worker.backend.exists(KEYS[:4]), [1, 1, 0, 0])
        counters = self.worker.backend.counters
        self.assertEqual((counters["puts"], counters["dropped_puts"]), (6, 4))


class Beginning(unittest.TestCase):
    def test_the_plugin(self):
        backends = sys.modules[BASE].backend_map
        for name, names in (("", {"cenote"}), ("memcache", {"cenote", "memcache"})):
            with unittest.mock.patch.dict(os.environ, CENOTE_ASCEND_AS=name), \
                    unittest.mock.patch.dict(backends):
                ascend_plugin.register()
                ours = {n for n, b in backends.items() if b.get("name") == "CenoteBackend"}
                self.assertEqual(ours, names)
                module = sys.modules[backends["cenote"]["path"]]
                self.assertIs(getattr(module, "CenoteBackend"), ascend_store.CenoteBackend)

    def test_a_pool_that_comes_later(self):
        pool = pools.Pool()
        worker = Worker(backend_of(pool.meta_endpoint), 8)
        with contextlib.closing(worker):
            self.assertEqual(worker.get(KEYS[:1], [0]), [1])
            self.assertEqual(worker.put(KEYS[:1], [0]), [1])
            with pool:
                pools.wait_until(lambda: worker.put(KEYS[:1], [0]) == [0], 20, "the pool")
                self.assertEqual(worker.get(KEYS[:1], [1]), [0])
                client = ascend_store.CenoteBackend.create_scheduler_client
                with unittest.mock.patch.dict(os.environ, CENOTE_META=pool.meta_endpoint):
                    scheduler = client(object())
                self.assertEqual(scheduler.batch_is_exist(KEYS[:2]), [1, 0])
                scheduler.close()
                pool.allow(".")
                pool.meta.kill()
                pools.wait_until(lambda: worker.put(KEYS[3:4], [0]) == [1], 20, "the end")
                self.assertEqual(worker.get(KEYS[4:5], [0]), [1])


if __name__ == "__main__":
    main()
