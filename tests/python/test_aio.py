#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""AsyncClient: puts and gets in flight, deadlines, cancelling, ends."""
import asyncio
import os
import threading
import time
import weakref

from suite import BLOCK, PoolCase, cenote, main, pools, stopped

Status = cenote.Status


class Memory(bytearray):
    """Can be referred to weakly."""


class InFlight(PoolCase):
    client_options = {"timeout": 5}

    def run_async(self, function):
        """function(an AsyncClient), in a loop of its own."""
        async def run():
            async with self.open(cenote.AsyncClient) as client:
                return await asyncio.wait_for(function(client), 60)
        return asyncio.run(run())

    def test_each_method(self):
        async def use(client):
            self.assertIs(await client.put("k", b"one"), True)
            self.assertIs(await client.put("k", b"two"), False)
            self.assertIs(await client.put("k", BLOCK, replace=True), True)
            self.assertEqual(await client.get("k"), BLOCK)
            memory = bytearray(len(BLOCK))
            self.assertEqual(await client.get_into("k", memory), len(BLOCK))
            self.assertEqual(memory, BLOCK)
            self.assertEqual(await client.put_batch(["a", "b"], [b"1", [b"2", b"3"]]), [0, 0])
            self.assertEqual(await client.get_batch(["b", "c"], [bytearray(2), memory]),
                             [2, Status.NOT_FOUND])
            self.assertEqual((await client.put_batch([], []), await client.get_batch([], [])),
                             ([], []))
            self.assertEqual(await client.exists_batch(["a", "c"]), [True, False])
            self.assertEqual((await client.prefix(["a", "b", "c"]), await client.exists("a")),
                             (2, True))
            self.assertEqual((await client.stat("k")).length, len(BLOCK))
            self.assertEqual((await client.remove("a"), await client.remove("a")), (True, False))
            self.assertEqual(await client.remove_batch(["a", "b"]), [Status.NOT_FOUND, 0])
            with self.assertRaises(cenote.NotFoundError):
                await client.get("a")
            with self.assertRaises(cenote.BufferSizeError):
                await client.get_into("k", bytearray(5))
        self.run_async(use)

    def test_lengths_that_get_must_guess(self):
        async def use(client):
            for length in (0, 5, 100000, 3 << 20, 1, 0):
                await client.put(f"{length}", bytes(length))
                self.assertEqual(len(await client.get(f"{length}")), length)
        self.run_async(use)

    def test_many_take_no_threads(self):
        async def use(client):
            keys = [f"{i}" for i in range(2000)]
            stored = await asyncio.gather(*(client.put(k, k.encode()) for k in keys))
            self.assertEqual(sum(stored), len(keys))
            gets = [asyncio.ensure_future(client.get(k)) for k in keys]
            await asyncio.sleep(0)
            self.assertEqual(threading.active_count(), 1)
            self.assertLessEqual(len(os.listdir("/proc/self/task")), 8)
            self.assertEqual(await asyncio.gather(*gets), [k.encode() for k in keys])
        self.run_async(use)

    def test_wrong_arguments_raise_at_once(self):
        async def use(client):
            for keys, buffers, error in ((["a"], [], ValueError), ("a", [b""], TypeError),
                                         ([5], [bytearray(1)], TypeError),
                                         (["a"], [b"const"], BufferError),
                                         ([""], [bytearray(1)], cenote.KeySizeError)):
                with self.assertRaises(error):
                    await client.get_batch(keys, buffers)
            with self.assertRaises(ValueError):
                await client.put("k", b"", deadline=-1)
            with self.assertRaises(cenote.InvalidError):
                await client.get_batch(["a"] * 5000, [bytearray(1)] * 5000)
        self.run_async(use)

    def test_deadline_and_cancel_beneath_a_stopped_service(self):
        async def use(client):
            await client.put("warm", b"1")
            memory = Memory(5)
            watch = weakref.ref(memory)
            with stopped(self.pool.meta):
                with self.assertRaises(TimeoutError):
                    await client.get("k", deadline=0.1)
                self.assertEqual(await client.get_batch(["k"], [memory], deadline=0.1),
                                 [Status.TIMED_OUT])
                task = asyncio.ensure_future(client.get_batch(["k"], [memory]))
                del memory
                await asyncio.sleep(0.05)
                self.assertIsNotNone(watch())
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                del task
            end = time.monotonic() + 10 * pools.SLOWNESS
            while watch() is not None and time.monotonic() < end:
                await asyncio.sleep(0.01)
            self.assertIsNone(watch())  # let go of when it has landed
            self.assertEqual(await client.get("warm"), b"1")
        self.run_async(use)

    def test_close_with_operations_in_flight(self):
        memory = Memory(len(BLOCK))
        watch = weakref.ref(memory)

        async def use():
            client = self.open(cenote.AsyncClient)
            await client.put("k", BLOCK)
            with stopped(self.pool.meta):
                task = asyncio.ensure_future(client.get_batch(["missing"], [memory]))
                await asyncio.sleep(0.05)
                closing = asyncio.ensure_future(client.close())
                with self.assertRaises((asyncio.CancelledError, cenote.ClosedError)):
                    await task
            await closing
            await client.close()
            self.assertTrue(client.closed)
            for call in (client.get("k"), client.put("k", b""), client.exists("k")):
                with self.assertRaises(cenote.ClosedError):
                    await call
        asyncio.run(use())
        del memory
        self.assertIsNone(watch())

    def test_one_loop_after_another(self):
        client = self.open(cenote.AsyncClient)
        asyncio.run(client.put("k", b"1"))
        self.assertEqual(asyncio.run(client.get("k")), b"1")
        asyncio.run(client.close())

    def test_a_client_that_is_forgotten(self):
        async def use():
            client = self.open(cenote.AsyncClient)
            await client.put("k", b"1")
            client.detach()
        asyncio.run(use())
        self.assertEqual(self.client.get("k"), b"1")


class ServiceGone(PoolCase):
    client_options = {"timeout": 0.5, "cache_bytes": 1}

    def test_operations_end(self):
        async def use():
            async with self.open(cenote.AsyncClient) as client:
                await client.put("k", BLOCK)
                self.pool.allow(".")
                self.pool.meta.kill()
                lost = (cenote.UnavailableError, cenote.TimedOutError, cenote.NodeDownError)
                for _ in range(2):
                    with self.assertRaises(lost):
                        await client.get("k")
                    with self.assertRaises(lost):
                        await client.put("x", b"1")
                with self.assertRaises(lost):
                    await client.exists("k")
        asyncio.run(use())


if __name__ == "__main__":
    main()
