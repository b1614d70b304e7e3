#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote.adapters.vllm_tier by its caller's contract: the scheduler's loop, in which no call may
wait, over a primary tier of one memory. fake_vllm.py is the caller.

With vLLM 0.33.0 importable ($VLLM_SOURCE names its folder) its own factory and tiering manager
drive the adapter, too.
"""
import contextlib
import os
import subprocess
import sys
import threading
import unittest

import fake_vllm
from suite import PACKAGE, SOURCE, PoolCase, in_child, main, pools, stopped

fake_vllm.install()
from cenote.adapters import link, vllm_tier  # noqa: E402 pylint: disable=wrong-import-position
from fake_vllm import (CHUNK_BYTES, LookupResult, Primary, Request, Scheduler,  # noqa: E402
                       TransferJob, spec)

DEADLINE_SECONDS = 1.0 * pools.SLOWNESS
NON_BLOCKING_SECONDS = 0.5 * pools.SLOWNESS  # half of the deadline, on a busy machine, too
link.RETRY_SECONDS = 0.2 * pools.SLOWNESS


def keys_of(count, first=0):
    """Keys as vLLM makes them: a block's hash, and its group's number."""
    return [bytes([i % 256, i // 256]) * 16 + bytes(4) for i in range(first, first + count)]


class Tier(PoolCase):
    def tier(self, primary, of=None, **options):
        made = vllm_tier.CenoteTier(
            of or spec(), primary.view, "CenoteTier", meta=self.pool.meta_endpoint,
            namespace=self._testMethodName[:64], **{"lookup_deadline": 30, **options})
        self.addCleanup(made.shutdown)
        return made

    def engine(self, chunks=64, chunk_bytes=CHUNK_BYTES, **options):
        primary = Primary(chunks, chunk_bytes)
        return Scheduler(self.tier(primary, **options), primary)

    def check_chunks(self, engine, keys):
        for key in keys:
            self.assertEqual(engine.primary.chunk(engine.primary.chunk_of[key]),
                             bytes([key[0]]) * CHUNK_BYTES)

    def test_store_and_load(self):
        keys = keys_of(20)
        first = self.engine()
        self.assertEqual(first.run(keys[:12]), [0])
        first.settle()
        first.primary.forget()
        self.assertEqual(first.run(keys), [12])
        first.settle()
        second = self.engine()
        self.assertEqual(second.run(keys, keys_of(9, 9), keys_of(3, 100)), [20, 9, 0])
        self.check_chunks(second, keys)
        second.settle()
        counters = second.tier.counters
        self.assertEqual([counters[n] for n in ("gets", "hits", "misses", "puts", "dropped_puts")],
                         [20, 20, 0, 3, 0])
        self.assertEqual((second.failed, second.jobs), ({True: 0, False: 0}, {}))
        self.assertLess(max(first.slowest, second.slowest), NON_BLOCKING_SECONDS)

    def test_how_chunks_are_kept(self):
        engine = self.engine(ttl=3600, pin="soft")
        engine.run(keys_of(5))
        engine.settle()
        self.check_kept(5, 3600, "soft")

    def test_a_chunk_goes_after_it_was_seen(self):
        """A load that fails in part: its chunks are computed, and nobody asks for ever."""
        keys = keys_of(6)
        engine = self.engine()
        engine.run(keys)
        engine.reset()
        request = Request(keys)
        while any(engine.tier.lookup(k, request) is not LookupResult.HIT for k in keys):
            engine.step([])
        self.client.remove(next(e.key for e in self.client.keys()
                                if e.key.decode().endswith(keys[3].hex())))
        request.hits = None
        while request.hits is None:
            engine.step([request])
        self.assertEqual((request.hits, engine.failed), (3, {True: 1, False: 0}))
        self.check_chunks(engine, keys[:3] + keys[4:])
        engine.tier.on_request_finished(request)
        self.assertEqual(engine.run(keys), [3])

    def test_what_must_not_meet(self):
        keys = keys_of(4)
        self.engine(of=spec(tp_size=2)).run(keys)
        for other, size in ((spec(), CHUNK_BYTES), (spec("other"), CHUNK_BYTES),
                            (spec(tp_size=2, layers=("a",)), CHUNK_BYTES),
                            (spec(tp_size=2, layout="HND"), CHUNK_BYTES),
                            (spec(tp_size=2), CHUNK_BYTES // 2)):
            self.assertEqual(self.engine(of=other, chunk_bytes=size).run(keys), [0])
        alike = self.engine(of=spec(tp_size=2, agnostic=True))
        alike.run(keys)
        alike.settle()
        self.assertEqual(self.engine(of=spec(tp_size=4, agnostic=True)).run(keys), [4])

    def test_more_chunks_than_one_submission_takes(self):
        keys = keys_of(3000)
        first, second = (self.engine(3000, 64) for _ in range(2))
        first.run(keys)
        first.settle()
        self.assertEqual(second.run(keys), [3000])
        self.assertEqual(second.failed[True], 0)

    def test_reset_with_jobs_under_way(self):
        engine = self.engine()
        for i in range(5):
            engine.run(keys_of(10, 10 * i))
        engine.reset()
        self.assertEqual(len(engine.primary.free), 64)
        self.assertEqual(engine.run(keys_of(50)), [50])

    def test_wrong_arguments(self):
        engine = self.engine(8)
        tier, keys = engine.tier, keys_of(2)
        for number, (names, chunks) in enumerate((
                (keys, [0]), (keys, [0, 8]), (keys, [-1, 0]), ([5, None], [0, 1]), (keys, []),
                (["text", "text"], [0, 1]), ([b"x" * 600] * 2, [0, 1]), (keys, ["a", "b"]))):
            for submit in (tier.submit_load, tier.submit_store):
                submit(TransferJob(number, names, chunks, submit == tier.submit_load, None))
                self.assertEqual([(r.job_id, r.success) for r in tier.get_finished_jobs()],
                                 [(number, False)])
        for key in (None, 5, "text", []):
            self.assertIs(tier.lookup(key, Request([])), LookupResult.MISS)
        tier.submit_store(TransferJob(99, [], [], False, None))
        self.assertTrue(tier.get_finished_jobs()[0].success)
        self.assertGreaterEqual(tier.counters["failed_calls"], 18)
        self.assertEqual(engine.run(keys_of(8)), [0])
        for view in (memoryview(bytes(64)).cast("b", (8, 8)), memoryview(bytearray(64))[::2]):
            self.assertRaises(ValueError, vllm_tier.CenoteTier, spec(), view, "t")
        self.assertRaises(TypeError, self.tier, engine.primary, no_such=1)
        self.assertRaises(ValueError, self.tier, engine.primary, locality="NOWHERE")
        self.assertEqual(self.tier(Primary(1), locality="REMOTE").locality.value, "REMOTE")

    def test_after_shutdown_and_fork(self):
        keys = keys_of(4)
        engine = self.engine()
        engine.run(keys)
        engine.settle()
        tier = engine.tier

        def misses():
            tier.submit_load(TransferJob(77, keys, [0, 1, 2, 3], True, None))
            tier.submit_store(TransferJob(78, keys, [0, 1, 2, 3], False, None))
            tier.drain_jobs()
            return ([r.success for r in tier.get_finished_jobs()] == [False, False] and
                    tier.lookup(keys[0], Request(keys)) is LookupResult.MISS)

        self.assertTrue(in_child(misses))
        tier.submit_store(TransferJob(5, keys, [0, 1, 2, 3], False, None))
        tier.shutdown()
        self.assertEqual([r.job_id for r in tier.get_finished_jobs()], [5])
        self.assertTrue(misses())
        tier.on_schedule_end(None)
        tier.shutdown()
        engine.primary.view.release()  # nobody has hold of it
        self.assertTrue(misses())

    def test_two_threads_in_turn(self):
        """Under the manager's lock any thread may call."""
        engine, lock, wrong = self.engine(600), threading.Lock(), []

        def work(first):
            for i in range(20):
                with lock:
                    if engine.run(keys_of(10, first + 10 * i)) != [0]:
                        wrong.append(first)

        threads = [threading.Thread(target=work, args=(first,)) for first in (0, 300)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        engine.reset()
        self.assertEqual(engine.run(keys_of(200), keys_of(200, 300)), [200, 200])
        self.assertEqual(wrong, [])

    def test_beneath_a_stopped_pool(self):
        """The scheduler goes on: lookups are late and miss, jobs fail with their deadline."""
        keys = keys_of(8)
        engine = self.engine(timeout=DEADLINE_SECONDS, deadline=DEADLINE_SECONDS,
                             lookup_deadline=DEADLINE_SECONDS / 4)
        engine.run(keys)
        engine.reset()
        with stopped(self.pool.meta):
            self.assertEqual(engine.run(keys), [0])
            engine.settle()
            self.assertEqual(engine.failed[False], 1)
            self.assertEqual(engine.run(keys_of(3, 50)), [0])
            self.assertLess(engine.slowest, NON_BLOCKING_SECONDS)
        engine.settle()
        counters = engine.tier.counters
        self.assertGreaterEqual(counters["late_lookups"], 1)
        self.assertGreaterEqual(counters["dropped_puts"], 8)
        engine.primary.forget()

        def loads():
            hits = engine.run(keys)
            engine.settle()
            engine.primary.forget()
            return hits == [8]
        pools.wait_until(loads, 20, "the pool")


class Beginning(unittest.TestCase):
    def test_a_pool_that_comes_later(self):
        pool, primary = pools.Pool(), Primary(16)
        tier = vllm_tier.CenoteTier(spec(), primary.view, "CenoteTier", meta=pool.meta_endpoint,
                                    timeout=DEADLINE_SECONDS)
        engine = Scheduler(tier, primary)

        def kept():
            hits = engine.run(keys_of(3))
            engine.settle()
            primary.forget()
            return hits == [3]

        with contextlib.ExitStack() as stack:
            stack.callback(tier.shutdown)
            self.assertFalse(kept() or kept())
            with pool:
                pools.wait_until(kept, 20, "the pool")
                pool.allow(".")
                pool.meta.kill()
                pools.wait_until(lambda: engine.run(keys_of(1, 90)) == [0] and not kept(), 20,
                                 "the end")
            engine.settle()
        self.assertLess(engine.slowest, NON_BLOCKING_SECONDS)


class Upstream(PoolCase):
    """vLLM's own tiering manager, from $VLLM_SOURCE."""

    @unittest.skipUnless(os.environ.get("VLLM_SOURCE"), "SKIPPED: no VLLM_SOURCE")
    def test_tiering_manager(self):
        environment = self.pool.environment(PYTHONPATH=os.pathsep.join(
            (str(PACKAGE), os.environ["VLLM_SOURCE"])))
        subprocess.run([sys.executable, SOURCE / "tests/python/upstream_vllm.py"], check=True,
                       timeout=120, env=environment)


if __name__ == "__main__":
    main()
