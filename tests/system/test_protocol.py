#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""protocol.py, a client written from doc/PROTOCOL.md alone, and libcenote read what the other has
written, and the answers to both follow the page."""
import os
import pathlib
import random
import struct
import unittest

import protocol
from pool import MIB, SHORT, UNSCRUBBED, Pool, wait_until
from protocol import DRAINED, VISIBLE, Failure

SOURCE = pathlib.Path(os.environ.get("CENOTE_SOURCE", ".")).resolve()
SIZES = (0, 1, 65535, 65536, 65537, 200000, 2 * MIB + 3)
NOT_FOUND, EXISTS, NO_SUCH_PUT, DENIED, STALE = -1, -2, -14, -15, -18
INVALID, NO_NODES, UNKNOWN, ABORTED, LIMIT, NO_SESSION = -3, -8, -11, -13, -17, -43


def content(size):
    return random.Random(size).randbytes(size)


class Protocol(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.pool = Pool(nodes=2, split=True, dram="64MiB",
                        options=[*SHORT, UNSCRUBBED]).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.pool.close()

    def setUp(self):
        self.pool.status()
        self.used = self.pool.used_bytes()
        self.client = self.pool.client()

    def tearDown(self):
        self.client.close()
        self.pool.wait_used(self.used)

    def refused(self, status, function, *args):
        with self.assertRaises(Failure) as raised:
            function(*args)
        self.assertEqual(raised.exception.status, status)

    def test_the_tool_reads_what_the_page_writes(self):
        for size in SIZES:
            self.client.put(b"page", content(size))
            for transport in ("shm", "tcp"):
                with self.subTest(size=size, transport=transport):
                    done = self.pool.cenote("get", "--transport", transport, "page", "-")
                    self.assertTrue(done.stdout == content(size))
            self.client.remove(b"page")

    def test_the_page_reads_what_the_tool_writes(self):
        for size in SIZES:
            for transport in ("shm", "tcp"):
                with self.subTest(size=size, transport=transport):
                    self.pool.cenote("put", "--transport", transport, "tool", "-",
                                     input=content(size))
                    self.assertTrue(self.client.get(b"tool") == content(size))
                    self.pool.cenote("rm", "tool")

    def test_the_seal_of_the_tool(self):
        """Field by field."""
        data = content(200000)
        self.pool.cenote("put", "--transport", "tcp", "sealed", "-", input=data)
        _, (item,) = self.client.call("lookup", [[b"sealed"]])
        _, put_id, _, _, _, ((_, length, root, (gva,)),) = item
        node, incarnation = self.client.locate(gva)
        end = protocol.seal_offset(length)
        count = len(protocol.chunk_sums(data))
        tail = self.client.channel(node).read(put_id, gva, length, end - 8 * count, 8 * count + 128)
        sums, seal = tail[:-128], tail[-128:]
        self.assertEqual(sums, struct.pack(f"<{count}Q", *protocol.chunk_sums(data)))
        key_hash = seal[32:48]
        expected = protocol.make_seal(put_id, gva, incarnation, key_hash, self.client.namespace,
                                      (0, 1, 0), length, length, root)
        self.assertEqual(seal.hex(), expected.hex())
        self.client.remove(b"sealed")
        again = self.client.put_start(b"sealed", 1)
        self.assertEqual(again[1], key_hash)
        self.client.call("put_abort", [self.client.next_seq(), [[again[0], 0, [], [DRAINED]]]])

    def test_a_value_whose_bytes_are_not_its_sums(self):
        """Written with another root than the service was told."""
        put_id, key_hash, (stripe,) = self.client.put_start(b"false", 100000)
        root = self.client.write_stripe(content(100000), put_id, key_hash, stripe, 0, 1)
        commit = [self.client.next_seq(), [[put_id, 1, [root ^ 1], [VISIBLE]]]]
        self.assertEqual(self.client.call("put_commit", commit)[0], [0])
        for transport in ("shm", "tcp"):
            done = self.pool.cenote("get", "--transport", transport, "false", "-", code=1)
            self.assertIn(b"verification", done.stderr)
            self.assertEqual(done.stdout, b"")
        self.client.remove(b"false")

    def test_a_value_that_was_never_written(self):
        """Committed as visible all the same."""
        put_id, _, _ = self.client.put_start(b"hollow", 5000)
        commit = [self.client.next_seq(), [[put_id, 1, [123], [VISIBLE]]]]
        self.assertEqual(self.client.call("put_commit", commit)[0], [0])
        for transport in ("shm", "tcp"):
            done = self.pool.cenote("get", "--transport", transport, "hollow", "-", code=None)
            self.assertIn(done.returncode, (1, 3))
            self.assertEqual(done.stdout, b"")
        self.client.remove(b"hollow")

    def test_replicas(self):
        """On two nodes, and each of them has the bytes; three nodes there are not."""
        data = content(2 * MIB + 3)
        self.client.put(b"twice", data, flags=2 << 8)
        _, (item,) = self.client.call("lookup", [[b"twice"]])
        for _, length, _, gvas in item[5]:
            self.assertEqual(len({self.client.locate(gva)[0][0] for gva in gvas}), 2)
            read = {bytes(self.client.channel(self.client.locate(gva)[0])
                          .read(item[1], gva, length, 0, length)) for gva in gvas}
            self.assertEqual(len(read), 1)
        self.assertEqual(self.client.get(b"twice"), data)
        self.client.remove(b"twice")
        self.refused(NO_NODES, self.client.put, b"thrice", b"x", 3 << 8)
        self.refused(LIMIT, self.client.put, b"many", b"x", 9 << 8)

    def test_a_replica_that_was_not_written(self):
        """The value is there without it; without any it isn't."""
        for number, states in enumerate(([VISIBLE, protocol.UNKNOWN], [DRAINED, VISIBLE],
                                         [DRAINED, protocol.UNKNOWN])):
            key = b"partly%d" % number
            put_id, key_hash, stripes = self.client.put_start(key, 5000, 2 << 8)
            root = self.client.write_stripe(content(5000), put_id, key_hash, stripes[0], 0, 1)
            commit = [self.client.next_seq(), [[put_id, 1, [root], states]]]
            kept = [gva for (gva, _, _), s in zip(stripes[0][2], states) if s == VISIBLE]
            status = self.client.call("put_commit", commit)[0]
            self.assertEqual(status, [0] if kept else [ABORTED])
            if kept:
                _, (item,) = self.client.call("lookup", [[key]])
                self.assertEqual([gvas for _, _, _, gvas in item[5]], [kept])
                self.assertEqual(self.client.get(key), content(5000))
                self.client.remove(key)

    def test_put_is_put_if_absent(self):
        first = self.client.put(b"once", b"first")
        self.refused(EXISTS, self.client.put, b"once", b"second")
        self.assertEqual(self.client.get(b"once"), b"first")
        self.assertGreater(self.client.put(b"once", b"third", 1), first)
        self.assertEqual(self.client.get(b"once"), b"third")
        self.client.remove(b"once")
        self.refused(NOT_FOUND, self.client.remove, b"once")
        self.refused(NOT_FOUND, self.client.get, b"once")

    def test_of_two_pending_puts_the_first_commit_wins(self):
        other = self.pool.client()
        late = self.client.put_start(b"race", 10)
        other.put(b"race", b"the winner")
        put_id, key_hash, (stripe,) = late
        root = self.client.write_stripe(b"the second", put_id, key_hash, stripe, 0, 1)
        commit = [self.client.next_seq(), [[put_id, 1, [root], [VISIBLE]]]]
        self.assertEqual(self.client.call("put_commit", commit)[0], [EXISTS])
        self.assertEqual(self.client.get(b"race"), b"the winner")
        other.remove(b"race")
        other.close()

    def test_a_commit_sent_twice_succeeds_twice(self):
        put_id, key_hash, (stripe,) = self.client.put_start(b"twice", 10)
        root = self.client.write_stripe(b"0123456789", put_id, key_hash, stripe, 0, 1)
        items = [[put_id, 1, [root], [VISIBLE]]]
        seq = self.client.next_seq()
        self.assertEqual(self.client.call("put_commit", [seq, items])[0], [0])
        self.assertEqual(self.client.call("put_commit", [seq, items])[0], [0])
        self.assertEqual(self.client.call("put_commit", [self.client.next_seq(), items])[0], [0])
        self.client.remove(b"twice")

    def test_removed_bytes_are_not_read(self):
        """A reader that goes on with an old lookup learns that the extent is another's."""
        self.client.put(b"gone", content(5000))
        _, (item,) = self.client.call("lookup", [[b"gone"]])
        _, put_id, _, _, lease_ms, ((_, length, _root, (gva,)),) = item
        self.assertGreater(lease_ms, 0)
        channel = self.client.channel(self.client.locate(gva)[0])
        self.assertEqual(channel.read(put_id, gva, length, 0, length), content(5000))
        self.client.remove(b"gone")
        self.refused(STALE, channel.read, put_id, gva, length, 0, length)

    def test_namespaces_are_checked_by_nodes(self):
        self.client.put(b"mine", content(5000))
        _, (item,) = self.client.call("lookup", [[b"mine"]])
        _, put_id, _, _, _, ((_, length, _root, (gva,)),) = item
        other = self.pool.client("other")
        self.refused(NOT_FOUND, other.get, b"mine")
        channel = other.channel(other.locate(gva)[0])
        with self.assertRaises(Failure) as raised:
            channel.read(put_id, gva, length, 0, length)
        self.assertIn(raised.exception.status, (DENIED, STALE))
        other.close()
        self.client.remove(b"mine")

    def test_a_session_moves_to_another_connection(self):
        before = self.client
        put_id, key_hash, (stripe,) = before.put_start(b"moved", 10)
        root = before.write_stripe(b"0123456789", put_id, key_hash, stripe, 0, 1)
        sock = protocol.connect(self.pool.meta_tcp)
        old, before.sock = before.sock, sock
        old.close()
        params = [1, before.session, before.token, before.namespace]
        self.assertEqual(before.call("session_resume", params), [before.reign])
        commit = [before.next_seq(), [[put_id, 1, [root], [VISIBLE]]]]
        self.assertEqual(before.call("put_commit", commit)[0], [0])
        before.remove(b"moved")
        stranger = protocol.Client(self.pool.meta_tcp, opens=False)
        self.refused(NO_SESSION, stranger.call, "session_resume",
                     [1, before.session, bytes(16), before.namespace])
        stranger.close()

    def test_numbered_calls_take_effect_once(self):
        start = [self.client.next_seq(), 0, [[b"once", 10], [b"twice", 10]]]
        items = self.client.call("put_start", start)
        self.assertEqual(self.client.call("put_start", start), items)
        ends = [[item[1], 0, [], [DRAINED]] for item in items]
        self.client.call("put_abort", [self.client.next_seq(), ends])
        self.assertEqual(self.client.call("put_start", start), [[ABORTED], [ABORTED]])
        self.client.put(b"once", b"older")
        remove = [self.client.next_seq(), [b"once"]]
        self.assertEqual(self.client.call("remove", remove), [0])
        self.client.put(b"once", b"newer")
        self.assertEqual(self.client.call("remove", remove), [0])
        self.assertEqual(self.client.get(b"once"), b"newer")
        self.refused(INVALID, self.client.call, "remove", [remove[0], [b"once", b"twice"]])
        self.client.remove(b"once")
        for _ in range(128):
            self.client.call("remove", [self.client.next_seq(), [b"none"]])
        self.assertEqual(self.client.call("remove", remove), [UNKNOWN])

    def test_a_put_that_takes_too_long_is_aborted(self):
        put_id, key_hash, (stripe,) = self.client.put_start(b"late", 10)
        wait_until(self.pool.settled, 10, "the put's end")
        commit = [self.client.next_seq(), [[put_id, 1, [1], [VISIBLE]]]]
        self.assertEqual(self.client.call("put_commit", commit)[0], [NO_SUCH_PUT])
        with self.assertRaises((Failure, ConnectionError)):
            self.client.write_stripe(b"0123456789", put_id, key_hash, stripe, 0, 1)
        self.refused(NOT_FOUND, self.client.get, b"late")

    def test_a_service_that_is_alone_owns_all_slots(self):
        self.assertEqual(self.client.call("slots", []), [0, 16384, [[0, 16383, "", 0]], 0])
        text = (SOURCE / "doc/PROTOCOL.md").read_text()
        for key, shown in ((b"a", "`a`"), (b"b", "`b`"), (b"x" * 1024, "1,024 times `x`"),
                           (bytes(range(256)), "the bytes 0 to 255")):
            self.assertIn(f"{shown} {protocol.slot_of('default', key)}",
                          " ".join(text.split()))
        self.assertIn(f"of `other`: `a` {protocol.slot_of('other', b'a')}", " ".join(text.split()))

    def test_exists_list_and_stat(self):
        keys = [b"l/%04d" % i for i in range(1203)]
        for key in keys:
            self.client.put(key, key)
        leading, bits = self.client.call("exists", [[keys[0], keys[1], b"none", keys[2]]])
        self.assertEqual((leading, bits), (2, b"\x0b"))
        (item, missing) = self.client.call("stat", [[keys[3], b"none"]])
        self.assertEqual((item[0], item[2], item[3], missing), (0, 6, 1, [NOT_FOUND]))
        listed, cursor = [], None
        while True:
            page, cursor = self.client.call("list", [b"l/", cursor, 1000])
            listed += [key for key, _length, _put in page]
            if cursor is None:
                break
        self.assertEqual(listed, keys)
        removed = self.client.call("remove", [self.client.next_seq(), keys])
        self.assertEqual(set(removed), {0})
        self.assertEqual(self.client.call("list", [b"", None, 10]), [[], None])
        version = self.client.call("map", [0])[0]
        self.assertEqual(self.client.call("map", [version]), [version])


if __name__ == "__main__":
    unittest.main()
