#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Client: what its methods say they do."""
import pickle
import threading

from suite import BLOCK, PoolCase, cenote, main

Status = cenote.Status


class Values(PoolCase):
    def test_put_says_whether_it_stored(self):
        self.assertIs(self.client.put("k", b"one"), True)
        self.assertIs(self.client.put("k", b"two"), False)
        self.assertEqual(self.client.get("k"), b"one")
        self.assertIs(self.client.put("k", b"two", replace=True), True)
        self.assertEqual(self.client.get("k"), b"two")

    def test_text_and_bytes_name_the_same(self):
        self.client.put("schlüssel", b"x")
        self.assertEqual(self.client.get("schlüssel".encode()), b"x")
        self.client.put(b"\0\xff" * 256, b"y")  # binary, 512 bytes
        self.assertEqual(self.client.get(b"\0\xff" * 256), b"y")

    def test_lengths(self):
        for length in (0, 1, 4095, 4096, 4097, 100000, 1 << 20, 3 << 20, 5):
            value = (BLOCK * (length // len(BLOCK) + 1))[:length]
            self.client.put(f"n{length}", value)
            self.assertEqual(self.client.get(f"n{length}"), value, length)
            memory = bytearray(length + 1)
            self.assertEqual(self.client.get_into(f"n{length}", memory), length)
            self.assertEqual(memory[:length], value)

    def test_a_miss_is_a_key_error(self):
        with self.assertRaises(KeyError) as caught:
            self.client.get("nothing")
        self.assertIsInstance(caught.exception, cenote.NotFoundError)
        self.assertEqual(caught.exception.code, Status.NOT_FOUND)
        self.assertEqual(str(caught.exception), "nothing: no such key")
        self.assertEqual(pickle.loads(pickle.dumps(caught.exception)).code, Status.NOT_FOUND)

    def test_remove(self):
        self.client.put("k", b"1")
        self.assertIs(self.client.remove("k"), True)
        self.assertIs(self.client.remove("k"), False)
        self.assertNotIn("k", self.client)

    def test_stat_and_places(self):
        self.client.put("k", BLOCK)
        stat = self.client.stat("k")
        self.assertEqual((stat.length, stat.stripes, stat.replicas, stat.has_sums),
                         (len(BLOCK), 1, 1, True))
        place, = self.client.places("k")
        self.assertEqual((place.offset, place.length, place.node), (0, len(BLOCK), "node0"))

    def test_namespaces_and_statuses(self):
        self.client.put("k", b"1")
        with cenote.Client(self.pool.meta_endpoint, namespace="other") as other:
            self.assertNotIn("k", other)
        self.assertEqual(self.client.status()["nodes"][0]["name"], "node0")


class Batches(PoolCase):
    def test_a_result_for_each(self):
        client = self.client
        self.assertEqual(client.put_batch(["a", "b"], [b"1", [b"2", b"", b"3"]]), [0, 0])
        self.assertEqual(client.put_batch(["a", "c"], [b"9", b"4"]), [Status.EXISTS, 0])
        memory = [bytearray(2) for _ in range(4)]
        self.assertEqual(client.get_batch(["a", "b", "missing", "c"], memory),
                         [1, 2, Status.NOT_FOUND, 1])
        self.assertEqual(memory[1], b"23")
        self.assertEqual(client.get_batch(["b"], [bytearray(1)]), [Status.BUFFER_SIZE])
        # What can't be asked at all fails as a whole, and changes nothing.
        self.assertEqual(client.put_batch(["d", "x" * 1025], [b"", b""]), [Status.KEY_SIZE] * 2)
        self.assertNotIn("d", client)

    def test_scattered_over_layers(self):
        pieces = [bytes([i]) * (1 + i * 7) for i in range(160)]
        self.client.put("block", pieces)
        into = [bytearray(len(p)) for p in pieces]
        self.assertEqual(self.client.get_batch(["block"], [into]), [sum(map(len, pieces))])
        self.assertEqual(into, pieces)

    def test_longer_than_a_call_of_the_library(self):
        keys = [f"{i:05}" for i in range(cenote.BATCH_MAX + 100)]
        self.assertEqual(self.client.put_batch(keys, [k.encode() for k in keys]), [0] * len(keys))
        memory = bytearray(5 * len(keys))
        into = [memoryview(memory)[5 * i:5 * i + 5] for i in range(len(keys))]
        self.assertEqual(self.client.get_batch(keys, into), [5] * len(keys))
        self.assertEqual(memory, "".join(keys).encode())
        self.assertEqual(self.client.prefix(keys), len(keys))
        self.assertEqual(self.client.prefix([*keys[:4200], "none", *keys]), min(4200, len(keys)))
        self.assertEqual(self.client.exists_batch([*keys, "none"]), [True] * len(keys) + [False])
        self.assertEqual([e.key.decode() for e in self.client.keys("00")],
                         [k for k in keys if k.startswith("00")])
        self.assertEqual(self.client.remove_batch(keys), [0] * len(keys))
        self.assertEqual(list(self.client.keys()), [])

    def test_none(self):
        client = self.client
        self.assertEqual(client.put_batch([], []), [])
        self.assertEqual(client.get_batch([], []), [])
        self.assertEqual((client.exists_batch([]), client.prefix([]), client.remove_batch([])),
                         ([], 0, []))


class Parts(PoolCase):
    def test_ranges(self):
        self.client.put("k", BLOCK)
        into = [bytearray(10), bytearray(20), bytearray(1)]
        found = self.client.get_ranges(["k", "k", "k"], [5, 1000, len(BLOCK)], into)
        self.assertEqual([r.status for r in found], [0, 0, Status.BAD_RANGE])
        self.assertEqual({r.length for r in found[:2]}, {len(BLOCK)})
        self.assertEqual((into[0], into[1]), (BLOCK[5:15], BLOCK[1000:1020]))

    def test_writer(self):
        with self.client.writer("k", 10) as writer:
            writer.write(5, [b"wor", b"ld"])
            self.assertRaises(cenote.InvalidError, writer.commit)
            self.assertNotIn("k", self.client)
            writer.write(0, b"hello")
        self.assertEqual(self.client.get("k"), b"helloworld")
        self.assertRaises(cenote.ExistsError, self.client.writer, "k", 10)
        self.assertRaises(cenote.ClosedError, writer.write, 0, b"x")

    def test_a_writer_that_is_given_up(self):
        with self.assertRaises(ZeroDivisionError), self.client.writer("k", 4) as writer:
            writer.write(0, b"1234")
            raise ZeroDivisionError
        self.assertNotIn("k", self.client)

    def test_a_writer_of_many_threads(self):
        with self.client.writer("k", len(BLOCK) * 8) as writer:
            threads = [threading.Thread(target=writer.write, args=(i * len(BLOCK), BLOCK))
                       for i in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(self.client.get("k"), BLOCK * 8)

    def test_views_show_what_was_put(self):
        self.client.put("k", BLOCK)
        with self.client.view("k") as view:
            self.assertEqual((len(view), bytes(view)), (len(BLOCK), BLOCK))
            self.assertEqual(view.put_id, self.client.stat("k").put_id)
            self.assertTrue(memoryview(view).readonly)
        self.assertTrue(view.released)
        self.assertRaises(ValueError, memoryview, view)
        self.assertRaises(ValueError, len, view)

    def test_a_view_lasts_as_long_as_it_is_shown(self):
        self.client.put("k", BLOCK)
        view = self.client.view("k")
        shown = memoryview(view)[16:32]
        view.release()
        self.client.remove("k")
        self.client.put("k2", b"x" * len(BLOCK))
        del view
        self.assertEqual(shown, BLOCK[16:32])
        views = self.client.status()["client"]["views"]
        self.assertEqual(views["open"] if isinstance(views, dict) else views, 1)
        self.client.close()  # the session stays for the view
        self.assertEqual(shown, BLOCK[16:32])
        self.assertRaises(cenote.ClosedError, self.client.get, "k2")
        shown.release()

    def test_many_views_come_and_go(self):
        self.client.put("k", BLOCK)
        for _ in range(10000):  # more than a client may have
            self.client.view("k")

    def test_tcp(self):
        with self.open(transport="tcp") as client:
            client.put("k", BLOCK)
            self.assertEqual(client.get("k"), BLOCK)
            self.assertRaises(cenote.NotSupportedError, client.view, "k")
            self.assertRaises(NotImplementedError, client.view, "k")


if __name__ == "__main__":
    main()
