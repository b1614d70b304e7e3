#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote.adapters.lmcache_native by its caller's contract: two threads that submit under a lock,
one that waits for the descriptor and drains.

With LMCache 0.5.6 importable ($LMCACHE_SOURCE names its folder) its own wrapper drives the adapter,
too.
"""
import contextlib
import ctypes
import os
import select
import subprocess
import sys
import threading
import time
import unittest
import weakref

from suite import BLOCK, PACKAGE, SOURCE, PoolCase, cenote, main, pools, stopped
from cenote.adapters import lmcache_native  # noqa: E402 pylint: disable=wrong-import-order

KEY = "model@00000001@0@{:032x}"
NON_BLOCKING_SECONDS = 1 * pools.SLOWNESS  # half of the deadline, on a busy machine, too


class Caller:
    """What LMCache does with a connector."""

    def __init__(self, **parameters):
        self.connector = lmcache_native.CenoteConnector(**parameters)
        self.ended = {}
        self.news = threading.Condition()
        self.stop = threading.Event()
        self.slowest = 0.0
        self.demux = threading.Thread(target=self._demux)
        self.demux.start()

    def _demux(self):
        poller = select.poll()
        poller.register(self.connector.event_fd(), select.POLLIN)
        while not self.stop.is_set():
            if poller.poll(50):
                for number, ok, error, results in self.connector.drain_completions():
                    with self.news:
                        self.ended[number] = (ok, error, results)
                        self.news.notify_all()

    def submit(self, kind, *arguments):
        begin = time.monotonic()
        number = getattr(self.connector, "submit_batch_" + kind)(*arguments)
        self.slowest = max(self.slowest, time.monotonic() - begin)
        return number

    def wait(self, number):
        with self.news:
            if not self.news.wait_for(lambda: number in self.ended, 30 * pools.SLOWNESS):
                raise AssertionError("no completion")
            return self.ended.pop(number)

    def call(self, kind, *arguments):
        return self.wait(self.submit(kind, *arguments))

    def close(self):
        self.stop.set()
        self.demux.join()
        self.connector.close()


def views(count, size=len(BLOCK), fill=0):
    """Buffers as LMCache has them: memoryviews of ctypes arrays."""
    arrays = [(ctypes.c_ubyte * size)() for _ in range(count)]
    for i, a in enumerate(arrays):
        ctypes.memset(a, fill + i if fill else 0, size)
    return [memoryview(a) for a in arrays]


class Connector(PoolCase):
    def setUp(self):
        super().setUp()
        self.caller = Caller(meta=self.pool.meta_endpoint, namespace=self._testMethodName[:64],
                             deadline=2)
        self.addCleanup(self.caller.close)

    def test_store_lookup_load_delete(self):
        call, keys = self.caller.call, [KEY.format(i) for i in range(8)]
        source, target = views(8, fill=1), views(8)
        self.assertEqual(call("set", keys[:6], source[:6]), (True, "", None))
        self.assertEqual(call("set", keys[:6], source[:6]), (True, "", None))  # there already
        self.assertEqual(call("exists", keys), (True, "", [True] * 6 + [False] * 2))
        ok, error, found = call("get", keys, target)
        self.assertEqual((ok, error, found), (True, "", [True] * 6 + [False] * 2))
        self.assertEqual([bytes(t) for t in target[:6]], [bytes(s) for s in source[:6]])
        self.assertEqual(call("delete", keys[3:]), (True, "", [True] * 5))
        self.assertEqual(call("exists", keys)[2], [True] * 3 + [False] * 5)
        counters = self.caller.connector.counters
        self.assertEqual([counters[n] for n in ("gets", "hits", "misses", "puts", "dropped_puts")],
                         [8, 6, 2, 12, 0])

    def test_how_values_are_kept(self):
        caller = Caller(meta=self.pool.meta_endpoint, namespace=self._testMethodName[:64],
                        ttl=3600, pin=["soft", 60])
        self.addCleanup(caller.close)
        self.assertTrue(caller.call("set", ["a", "b"], views(2))[0])
        self.check_kept(2, 3600, "soft", 60)

    def test_sizes_that_do_not_match(self):
        call = self.caller.call
        call("set", ["k"], views(1))
        self.assertEqual(call("get", ["k"], views(1, len(BLOCK) + 1))[2], [False])
        ok, error, found = call("get", ["k"], views(1, 5))
        self.assertEqual((ok, found), (False, [False]))
        self.assertIn("smaller", error)
        self.assertEqual(call("get", [], []), (True, "", []))

    def test_wrong_arguments(self):
        submit = self.caller.submit
        self.assertRaises(ValueError, submit, "get", ["k"], [])
        self.assertRaises(BufferError, submit, "get", ["k"], [memoryview(b"read-only")])
        self.assertRaises(TypeError, lmcache_native.CenoteConnector, no_such=1)
        ok, error, found = self.caller.call("exists", ["", "x" * 2000])
        self.assertEqual((ok, found), (False, [False] * 2))
        self.assertIn("1024", error)

    def test_more_keys_than_one_call_takes(self):
        keys = [KEY.format(i) for i in range(5000)]
        self.assertTrue(self.caller.call("set", keys, views(5000, 8, fill=1))[0])
        self.assertEqual(self.caller.call("get", keys, views(5000, 8))[2], [True] * 5000)

    def test_two_controllers_at_once(self):
        keys = [KEY.format(i) for i in range(200)]
        ended = []

        def store():
            numbers = [self.caller.submit("set", [k], views(1, fill=7)) for k in keys]
            ended.extend(self.caller.wait(n)[0] for n in numbers)

        def prefetch():
            for _ in range(20):
                found = self.caller.call("exists", keys)[2]
                hits = [k for k, there in zip(keys, found) if there]
                target = views(len(hits))
                self.caller.call("get", hits, target)
                ended.extend(bytes(t) == bytes([7]) * len(BLOCK) for t in target)

        threads = [threading.Thread(target=f) for f in (store, prefetch)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(set(ended), {True})

    def test_beneath_a_stopped_pool(self):
        """Nothing waits; gets are misses in their time, and nothing touches their buffers then."""
        self.caller.call("set", ["k"], views(1))
        target = views(1)
        watch = weakref.ref(target[0].obj)
        with stopped(self.pool.meta):
            numbers = [self.caller.submit("get", ["other"], target),
                       self.caller.submit("set", ["new"], views(1)),
                       self.caller.submit("exists", ["k"]), self.caller.submit("delete", ["k"])]
            self.assertLess(self.caller.slowest, NON_BLOCKING_SECONDS)
            self.assertEqual(self.caller.wait(numbers[0])[2], [False])
            self.assertFalse(self.caller.wait(numbers[1])[0])
            ok, error, found = self.caller.call("get", ["k"], target)  # at once
            self.assertEqual((ok, found), (False, [False]))
            self.assertIn("can't be reached", error)
            del target
            self.assertIsNone(watch())
        for number in numbers[2:]:
            self.caller.wait(number)
        self.assertGreaterEqual(self.caller.connector.counters["outages"], 1)
        time.sleep(1.1)
        self.assertTrue(self.caller.call("set", ["again"], views(1))[0])

    def test_close_with_work_in_flight(self):
        numbers = [self.caller.submit(kind, ["k"], *rest) for kind, rest in
                   (("get", [views(1)]), ("set", [views(1)]), ("exists", []), ("delete", []))]
        self.assertEqual(len(set(numbers)), 4)
        self.caller.close()
        self.caller.connector.close()


class Beginning(unittest.TestCase):
    def test_a_pool_that_comes_later(self):
        """The engine starts without its pool, and finds it when it comes."""
        pool = pools.Pool()
        caller = Caller(meta=pool.meta_endpoint)
        with contextlib.closing(caller):
            self.assertEqual(caller.call("get", ["k"], views(1))[2], [False])
            self.assertFalse(caller.call("set", ["k"], views(1))[0])
            self.assertEqual(caller.call("exists", ["k"])[2], [False])
            with pool:
                pools.wait_until(lambda: caller.call("set", ["k"], views(1))[0], 20, "the pool")
                self.assertEqual(caller.call("get", ["k"], views(1))[2], [True])
                pool.allow(".")
                pool.meta.kill()
                pools.wait_until(lambda: not caller.call("set", ["x"], views(1))[0], 20, "the end")
                self.assertEqual(caller.call("get", ["y"], views(1))[2], [False])
        self.assertLess(caller.slowest, NON_BLOCKING_SECONDS)

    def test_wrong_options_are_told_at_once(self):
        for wrong in ({"transport": "ship"}, {"ttl": -1}, {"pin": "firm"}, {"pin": ["hard", 5]}):
            self.assertRaises(ValueError, lmcache_native.CenoteConnector, **wrong)
        self.assertRaises(cenote.InvalidError, lmcache_native.CenoteConnector,
                          namespace="with space")


class Upstream(PoolCase):
    """LMCache's own wrapper, from $LMCACHE_SOURCE."""

    @unittest.skipUnless(os.environ.get("LMCACHE_SOURCE"), "SKIPPED: no LMCACHE_SOURCE")
    def test_native_connector_l2_adapter(self):
        environment = self.pool.environment(PYTHONPATH=os.pathsep.join(
            (str(PACKAGE), os.environ["LMCACHE_SOURCE"])))
        subprocess.run([sys.executable, SOURCE / "tests/python/upstream_lmcache.py"], check=True,
                       timeout=120, env=environment)


if __name__ == "__main__":
    main()
