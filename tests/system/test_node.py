#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A node process against a service that this test plays itself, message by message."""
import collections
import pathlib
import signal
import socket
import tempfile
import time
import unittest

import msgpack

from pool import Daemon, wait_until

OK, NODE_KNOWN, NODE_UNKNOWN, OLD_REIGN, BAD_RANGE = 0, -61, -62, -63, -66
GVA = (1 << 60) + (7 << 30)
DRAM = 256 << 20
INCARNATION = 41
POOL_KEY = bytes(range(16))

Join = collections.namedtuple(
    "Join", "protocol name boot host zone shm rdma tcp grant_key reign segments life")


class FakeService:
    """The service's end of the node's connections."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(8)
        self.listener.settimeout(10)
        self.conn = None
        self.next_id = 100
        self.reign = 1

    def close(self):
        self.hang_up()
        self.listener.close()

    def accept(self):
        self.hang_up()
        self.conn, _ = self.listener.accept()
        self.conn.settimeout(10)
        self.unpacker = msgpack.Unpacker(raw=False)
        self.answers = {}

    def hang_up(self):
        if self.conn:
            self.conn.close()
        self.conn = None

    def receive(self):
        for message in self.unpacker:
            return message
        part = self.conn.recv(65536)
        if not part:
            raise EOFError
        self.unpacker.feed(part)
        return self.receive()

    def send(self, message):
        self.conn.sendall(msgpack.packb(message, use_bin_type=True))

    def request(self, method, heartbeats=True):
        """The node's next request of this method; heartbeats before it are answered."""
        while True:
            message = self.receive()
            if message[0] == 1:
                self.answers[message[1]] = message
            elif message[2] == method:
                return message[1], message[3]
            elif message[2] == "node_heartbeat" and heartbeats:
                self.answer(message[1], [self.reign])

    def answer(self, msgid, result):
        self.send([1, msgid, None, result])

    def refuse(self, msgid, status):
        self.send([1, msgid, [status, "refused"], None])

    def call(self, method, params):
        """Calls the node: returns (status, result)."""
        self.next_id += 1
        self.send([0, self.next_id, method, params])
        while self.next_id not in self.answers:
            message = self.receive()
            if message[0] == 1:
                self.answers[message[1]] = message
            else:
                self.answer(message[1], [self.reign])
        _, _, error, result = self.answers.pop(self.next_id)
        return (error[0] if error else OK), result

    def take_join(self):
        self.accept()
        msgid, params = self.request("node_join")
        return msgid, Join(*params)

    def let_join(self, incarnation=INCARNATION, gva=GVA, reign=1, heartbeat_ms=100):
        msgid, join = self.take_join()
        self.reign = reign
        self.answer(msgid, [5, reign, POOL_KEY, heartbeat_ms, [[incarnation, gva]], 0])
        return join


class NodeTest(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory(prefix="cenote-test-")
        self.dir = pathlib.Path(self.temporary.name)
        self.service = FakeService(self.dir / "control.sock")
        self.node = Daemon("node", self.dir,
                           ["--roles=node", "--meta", f"unix:{self.dir}/control.sock", "--dram",
                            DRAM, "--node-name", "n1", "--shm-dir", self.dir])
        self.node.start(wait=False)

    def tearDown(self):
        self.node.kill()
        self.node.check_log()
        self.service.close()
        self.temporary.cleanup()

    def test_joins_and_populates(self):
        join = self.service.let_join()
        self.assertEqual(join.protocol, 1)
        self.assertEqual(join.name, "n1")
        self.assertNotEqual(join.boot, 0)
        self.assertEqual(join.shm, f"unix:{self.dir}/n1.sock")
        self.assertEqual(join.segments, [[DRAM, 0, 0, 0]])
        self.assertEqual(join.reign, 0)
        populated = 0
        while populated < DRAM:
            msgid, params = self.service.request("node_heartbeat", heartbeats=False)
            self.assertGreaterEqual(params[0][0], populated)
            populated = params[0][0]
            self.service.answer(msgid, [1])
        self.node.wait_ready()
        self.assertEqual(self.node.endpoints["data"], [join.tcp])

    def test_comes_back_with_the_same_contents(self):
        first = self.service.let_join()
        self.service.request("node_heartbeat", heartbeats=False)
        self.service.hang_up()
        again = self.service.let_join()
        self.assertEqual(again.boot, first.boot)
        self.assertEqual(again.reign, 1)
        self.assertEqual(again.segments, [[DRAM, 0, INCARNATION, GVA]])

    def assert_begins_anew(self, first):
        anew = self.service.let_join(incarnation=INCARNATION + 1, gva=GVA + (1 << 30), reign=2)
        self.assertNotEqual(anew.boot, first.boot)
        self.assertNotEqual(anew.grant_key, first.grant_key)
        self.assertEqual(anew.segments, [[DRAM, 0, 0, 0]])
        self.assertEqual(anew.reign, 1)
        self.service.request("node_heartbeat")

    def test_contents_ended_while_it_was_away(self):
        first = self.service.let_join()
        self.service.request("node_heartbeat", heartbeats=False)
        self.service.hang_up()
        msgid, _ = self.service.take_join()
        self.service.refuse(msgid, NODE_UNKNOWN)
        self.assert_begins_anew(first)

    def test_contents_ended_by_a_heartbeat(self):
        first = self.service.let_join()
        msgid, _ = self.service.request("node_heartbeat", heartbeats=False)
        self.service.refuse(msgid, NODE_UNKNOWN)
        self.assert_begins_anew(first)

    def test_name_taken_tries_again(self):
        msgid, first = self.service.take_join()
        self.service.refuse(msgid, NODE_KNOWN)
        second = self.service.let_join()
        self.assertEqual(second.boot, first.boot)
        self.node.wait_ready()

    def test_fence(self):
        self.service.let_join(reign=5)
        self.assertEqual(self.service.call("fence", [5, 77, 1000]), (OK, None))
        self.assertEqual(self.service.call("fence", [4, 77, 1000])[0], OLD_REIGN)
        self.assertEqual(self.service.call("fence", [6, 77, 1000]), (OK, None))

    def test_void(self):
        self.service.let_join(reign=5)
        self.node.wait_ready()
        def populated():
            return self.service.call("void", [5, [[GVA + DRAM - 128, 0]]])[0] == OK
        wait_until(populated, 30)
        self.assertEqual(self.service.call("void", [5, [[GVA, 4096], [GVA + 8192, 0]]]), (OK, None))
        for gva, length in ((GVA - 128, 0), (GVA + DRAM - 128, 1), (GVA + 1, 0), (GVA, 1 << 59),
                            (GVA + DRAM, 0)):
            self.assertEqual(self.service.call("void", [5, [[gva, length]]])[0], BAD_RANGE)
        self.assertEqual(self.service.call("void", [4, [[GVA, 4096]]])[0], OLD_REIGN)

    def test_nonsense_from_the_service(self):
        self.service.let_join()
        self.assertEqual(self.service.call("surprise", [])[0], -44)
        for method in ("fence", "void"):
            for params in ([], [1], [None, None, None], [1, "x", 3], [1, [[1]]], [-1, -1, -1]):
                self.assertLess(self.service.call(method, params)[0], 0)
        self.service.conn.sendall(b"\xc1\xff\x00garbage")
        self.service.hang_up()
        self.service.let_join()

    def test_leaves_in_order(self):
        self.service.let_join()
        self.node.wait_ready()
        self.node.signal(signal.SIGTERM)
        msgid, params = self.service.request("node_leave")
        self.assertEqual(params, [])
        self.service.answer(msgid, None)
        self.node.wait_ended()
        self.assertFalse((self.dir / "n1.sock").exists())

    def test_stops_although_the_service_is_silent(self):
        self.service.let_join()
        self.node.wait_ready()
        begin = time.monotonic()
        self.node.stop()
        self.assertLess(time.monotonic() - begin, 8)

    def test_stops_before_it_has_joined(self):
        self.service.take_join()
        self.node.stop()

    def test_a_second_signal_ends_it_at_once(self):
        self.service.let_join()
        self.node.wait_ready()
        self.node.signal(signal.SIGTERM)
        self.service.request("node_leave") # and no answer
        self.node.signal(signal.SIGTERM)
        self.assertEqual(self.node.process.wait(1), -signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
