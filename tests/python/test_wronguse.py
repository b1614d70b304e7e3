#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Use after close, after fork, from several threads, with keys that are none, and with the service
gone: exceptions or statuses, and the interpreter goes on."""
import gc
import threading
import time

from suite import BLOCK, PoolCase, cenote, in_child, main, pools, stopped

Status = cenote.Status


def calls(client):
    """One of each call of a client, on key k."""
    memory = bytearray(len(BLOCK))
    return (lambda: client.put("k2", b"x"), lambda: client.get("k"),
            lambda: client.get_into("k", memory), lambda: client.view("k"),
            lambda: client.stat("k"), lambda: client.places("k"), lambda: client.remove("k2"),
            lambda: client.exists("k"), lambda: client.put_batch(["k2"], [b"x"]),
            lambda: client.get_batch(["k"], [memory]), lambda: client.prefix(["k"]),
            lambda: client.get_ranges(["k"], [0], [memory]), lambda: client.exists_batch(["k"]),
            lambda: client.remove_batch(["k2"]), lambda: list(client.keys()),
            lambda: client.writer("k3", 5), lambda: client.register(bytearray(5)),
            lambda: client.set_policy("k", ttl=5), lambda: client.get_policy("k"),
            lambda: client.remove_prefix("k"), client.namespaces,
            lambda: client.namespace_create("n"), lambda: client.namespace_clear("n"),
            lambda: client.namespace_remove("n"), client.status)


class WrongUse(PoolCase):
    def test_keys_that_are_none(self):
        client = self.client
        for key in (None, 5, 5.0, ["k"], ("k",), bytearray(b"k"), memoryview(b"k"), object()):
            for call in (lambda: client.put(key, b""), lambda: client.get(key),
                         lambda: client.get_into(key, bytearray(1)), lambda: client.view(key),
                         lambda: client.stat(key), lambda: client.remove(key),
                         lambda: client.exists(key), lambda: client.prefix(["k", key]),
                         lambda: client.get_batch([key], [bytearray(1)]),
                         lambda: client.writer(key, 5), lambda: list(client.keys(key))):
                self.assertRaisesRegex(TypeError, "key is bytes or str", call)
        for key in ("", b"", "x" * 1025):
            self.assertRaises(cenote.KeySizeError, client.put, key, b"")
        self.assertRaises(UnicodeEncodeError, client.get, "\ud800")
        for keys in ("k", b"k"):
            self.assertRaisesRegex(TypeError, "a list is wanted", client.exists_batch, keys)
        self.assertRaises(TypeError, client.exists_batch, 5)

    def test_options_that_are_none(self):
        for options, error in (({"transport": "ship"}, ValueError), ({"verify": ""}, ValueError),
                               ({"timeout": 0}, ValueError), ({"timeout": -1}, ValueError),
                               ({"replicas": -1}, OverflowError), ({"replicas": 99}, ValueError),
                               ({"namespace": "with space"}, ValueError),
                               ({"namespace": "a\0b"}, TypeError), ({"namespace": 5}, TypeError),
                               ({"rdma": "no such thing,"}, ValueError)):
            with self.assertRaises(error, msg=str(options)):
                cenote.Client(self.pool.meta_endpoint, **options)
        self.assertRaises(ValueError, self.client.put, "k", b"", replicas=9)
        self.assertRaises(cenote.NoNodesError, self.client.put, "k", b"", replicas=8)
        self.assertRaises(TypeError, cenote.View)
        self.assertRaises(cenote.UnavailableError, cenote.Client, "unix:/nonexistent/socket")
        self.assertRaises(ConnectionError, cenote.Client, "127.0.0.1:1")

    def test_after_close(self):
        client = self.client
        client.put("k", BLOCK)
        region = client.register(bytearray(5))
        writer = client.writer("w", 3)
        view = client.view("k")
        client.close()
        client.close()
        self.assertTrue(client.closed)
        for call in (*calls(client), region.unregister):
            self.assertRaises(cenote.ClosedError, call)
        self.assertEqual(bytes(view), BLOCK)
        writer.write(0, b"abc")
        writer.commit()  # it was begun before
        writer.close()
        view.release()
        with self.open() as other:
            self.assertEqual(other.get("w"), b"abc")

    def test_sent_to_another_process(self):
        self.assertRaisesRegex(TypeError, "another process", self.client.__reduce__)

    def test_after_fork(self):
        client = self.client
        client.put("k", BLOCK)
        view = client.view("k")
        writer = client.writer("w", 3)

        def child():
            for call in calls(client):
                self.assertRaises(cenote.ForkedError, call)
            self.assertRaises(cenote.ForkedError, bytes, view)
            self.assertRaises(cenote.ForkedError, writer.write, 0, b"abc")
            self.assertTrue(client.closed)
            client.close()
            writer.close()
            view.release()
            with self.open() as own:
                self.assertEqual(own.get("k"), BLOCK)
            return True

        self.assertTrue(in_child(child))
        writer.write(0, b"abc")
        self.assertTrue(writer.commit())
        writer.close()
        self.assertEqual((bytes(view), client.get("k")), (BLOCK, BLOCK))

    def test_forgotten_in_a_child(self):
        holder = [self.open(), self.open(cenote.AsyncClient)]
        holder[0].put("k", BLOCK)
        holder += [holder[0].view("k"), holder[0].writer("w", 3)]

        def child():
            holder.clear()
            gc.collect()
            return True

        self.assertTrue(in_child(child))
        self.assertEqual(holder[0].get("k"), BLOCK)

    def test_threads_and_a_close(self):
        """Calls of several threads end well, or say that the client was closed."""
        client = self.open()
        client.put("k", BLOCK)
        wrong, ended = [], []

        def run(number):
            memory = bytearray(len(BLOCK))
            try:
                while True:
                    client.get_into("k", memory)
                    client.put(f"{number}", memory, replace=True)
                    with client.view("k") as view:
                        if memory != BLOCK or memoryview(view) != BLOCK:
                            wrong.append(number)
            except cenote.ClosedError:
                ended.append(number)

        threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        client.close()
        for thread in threads:
            thread.join(20)
        self.assertEqual((wrong, sorted(ended)), ([], [0, 1, 2, 3]))

    def test_others_run_while_a_call_waits(self):
        """The interpreter's lock isn't held: another thread goes on beneath a stopped service."""
        client = self.open(timeout=2)
        waited = threading.Thread(target=lambda: client.exists("k"))
        with stopped(self.pool.meta):
            waited.start()
            time.sleep(0.2)
            self.assertTrue(waited.is_alive())
        waited.join(20)
        client.close()

    def test_lists_that_change_meanwhile(self):
        values = []

        class Sly(list):
            """A list whose items empty it."""

        class Item:
            def __dlpack_device__(self):
                values.clear()
                keys.clear()
                return 1, 0

            def __dlpack__(self):
                values.clear()
                return "no capsule"

        values += [Sly([Item(), b"x"]), b"y"]
        keys = ["a", "b"]
        self.assertRaises((ValueError, TypeError), self.client.put_batch, keys, values)


class ServiceGone(PoolCase):
    pool_options = {"meta_options": ("--lease=300ms",)}
    client_options = {"timeout": 0.5, "cache_bytes": 1}

    def test_calls_and_batches(self):
        client = self.client
        client.put("k", BLOCK)
        view = client.view("k")
        self.pool.allow(".")
        self.pool.meta.kill()
        begin = time.monotonic()
        lost = (cenote.UnavailableError, cenote.TimedOutError, cenote.NodeDownError)
        for call in (lambda: client.get("k"), lambda: client.put("x", b"1"),
                     lambda: client.exists("k"), lambda: client.prefix(["k"]),
                     lambda: client.view("k"), lambda: client.remove("k"), client.status,
                     lambda: list(client.keys()), lambda: client.writer("y", 3),
                     lambda: client.get_policy("k"), lambda: client.set_policy("k", ttl=5),
                     lambda: client.remove_prefix("k"), client.namespaces):
            self.assertRaises(lost, call)
        codes = {Status.UNAVAILABLE, Status.TIMED_OUT, Status.NODE_DOWN}
        memory = bytearray(len(BLOCK))
        self.assertIn(client.get_batch(["k"], [memory])[0], codes)
        self.assertIn(client.put_batch(["z"], [BLOCK])[0], codes)
        self.assertIn(client.remove_batch(["k"])[0], codes)
        self.assertEqual(bytes(view), BLOCK)
        view.release()
        client.close()
        self.assertLess(time.monotonic() - begin, 30 * pools.SLOWNESS)


if __name__ == "__main__":
    main()
