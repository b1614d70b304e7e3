#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Input that nobody well-meaning sends. Each case is refused with its own status, and after it the
pool serves and as many bytes are in use as before."""
import os
import random
import signal
import socket
import struct
import subprocess
import threading
import time
import unittest

import msgpack

from pool import BIN, MIB, SHORT, Daemon, Pool, connect, end_of, wait_stopped, wait_until
from protocol import DRAINED, VISIBLE, Client, Failure

NOT_FOUND, INVALID, KEY_SIZE, VALUE_SIZE, NO_SPACE = -1, -3, -4, -5, -7
ABORTED, NO_SUCH_PUT, DENIED, LIMIT = -13, -14, -15, -17
PROTOCOL, VERSION, NO_SESSION, NO_METHOD, FRAME_SIZE, MALFORMED = -41, -42, -43, -44, -45, -46
NODE_KNOWN, OLD_BOOT, BAD_GRANT, BAD_RANGE = -61, -64, -65, -66
DRAM = 64 * MIB
SEED = int(os.environ.get("CENOTE_SEED", random.randrange(1 << 32)))


def refuse_versions(listener, asked):
    """A service whose protocol is newer, until the listener is closed. Methods go to asked."""
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        with sock:
            unpacker = msgpack.Unpacker()
            while data := sock.recv(4096):
                unpacker.feed(data)
                for message in unpacker:
                    asked.append(message[2])
                    sock.sendall(msgpack.packb([1, message[1], [VERSION, ""], None]))


def read_all(sock):
    data = b""
    try:
        while part := sock.recv(65536):
            data += part
    except OSError:
        pass
    return data


class Hostile(unittest.TestCase):
    """A pool that is sent nonsense."""

    @classmethod
    def setUpClass(cls):
        cls.pool = Pool(split=True, dram=DRAM, meta_options=SHORT).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.pool.close()

    def setUp(self):
        self.random = random.Random(SEED)

    def tearDown(self):
        for daemon in self.pool.daemons:
            self.assertTrue(daemon.alive(), daemon.name)
        self.pool.cenote("put", "still-works", "-", input=b"yes")
        for transport in ("shm", "tcp"):
            got = self.pool.cenote("--transport", transport, "get", "still-works", "-")
            self.assertEqual(got.stdout, b"yes")
        self.pool.cenote("rm", "still-works")
        self.pool.wait_used(0, f"the space coming back (seed {SEED})")

    def failure(self, function, *args):
        """The status with which a call is refused."""
        with self.assertRaises(Failure) as raised:
            function(*args)
        return raised.exception.status

    def endpoints(self):
        node = self.pool.status()["nodes"][0]
        return {"control": self.pool.meta_tcp, "control over unix": self.pool.meta_endpoint,
                "data": node["tcp"], "shm": node["shm"]}

    def test_random_bytes(self):
        for name, endpoint in self.endpoints().items():
            for _ in range(30):
                with self.subTest(name), connect(endpoint) as s:
                    try:
                        s.sendall(self.random.randbytes(self.random.randrange(1, 4096)))
                        s.shutdown(1)
                    except OSError:
                        pass
                    read_all(s)

    def test_connections_that_say_nothing(self):
        for endpoint in self.endpoints().values():
            idle = [connect(endpoint) for _ in range(20)]
            for s in idle:
                s.close()

    def refused(self, data):
        """What the control port says before it closes the connection."""
        with connect(self.pool.meta_tcp) as s:
            s.sendall(data)
            answer = msgpack.unpackb(read_all(s))
            self.assertEqual(answer[:2], [1, 0])
            return answer[2][0]

    def test_frames_that_lie(self):
        nested = b"\x94\x00\x01\xa3map" + b"\x91" * 64
        cases = ((b"\x94\x00\x01\xa3map\xdd\x7f\xff\xff\xff", (FRAME_SIZE, MALFORMED)),
                 (b"\x94\x00\x01\xa3map\x91\xc6\xff\xff\xff\xff", (FRAME_SIZE, MALFORMED)),
                 (nested, (MALFORMED,)),
                 (b"\x94\x00\x01\xa3map\x91\xd4\x01\x00", (MALFORMED,)),
                 (b"\xc1", (MALFORMED,)),
                 (b"\x90", (MALFORMED,)),
                 (b"\x94\x00\xff\xa3map\x90", (MALFORMED,)),
                 (b"\x94\x00\x01\xd9\xffx" + b"x" * 254 + b"\x90", (MALFORMED,)))
        for data, statuses in cases:
            with self.subTest(data[:24]):
                self.assertIn(self.refused(data), statuses)

    def test_a_frame_beyond_the_limit(self):
        with connect(self.pool.meta_tcp) as s:
            try:
                s.sendall(b"\x94\x00\x01\xa3map\x91\xc6" + struct.pack(">I", 17 << 20))
                for _ in range(17):
                    s.sendall(b"\0" * (1 << 20))
            except OSError:
                return # closed in the middle: as good
            self.assertNotEqual(read_all(s), b"")

    def test_half_a_frame(self):
        with connect(self.pool.meta_tcp) as s:
            s.sendall(b"\x94\x00\x01\xa3map\x91\xc5\x10\x00half")

    def test_unknown_methods_and_wrong_parameters(self):
        client = Client(self.pool.meta_endpoint)
        self.assertEqual(self.failure(client.call, "surprise", []), NO_METHOD)
        wrong = ([], [None], [{}], [[]], ["x"] * 4, [-1, -1, -1], [1 << 63] * 3, [[None]],
                 [0, 0, [[b"", 0]]], [1, 0, [[b"k" * 1025, 0]]], [1, 0, [[b"k", -1]]],
                 [1, [[1]]], [1, [[1, 2, 3, 4]]], [[b""]], [b"x" * 70000])
        methods = ("session_open", "session_resume", "put_start", "put_commit", "put_abort",
                   "lookup", "exists", "stat", "remove", "list", "map", "slots", "status",
                   "node_join", "node_heartbeat", "node_leave", "fence", "void")
        for method in methods:
            for params in wrong:
                try:
                    client.call(method, params)
                except Failure:
                    pass
                except ConnectionError:
                    client = Client(self.pool.meta_endpoint)
        client.close()

    def stranger(self):
        """A connection without a session."""
        return Client(self.pool.meta_tcp, opens=False)

    def test_calls_without_a_session(self):
        for method, params in (("put_start", [1, 0, [[b"k", 1]]]), ("lookup", [[b"k"]]),
                               ("remove", [1, [b"k"]]), ("put_commit", [1, [[1, 1, [0], [0]]]])):
            client = self.stranger()
            with self.subTest(method):
                self.assertEqual(self.failure(client.call, method, params), NO_SESSION)
            client.close()
        for method, params in (("node_heartbeat", [[0]]), ("node_leave", [])):
            client = self.stranger()
            with self.subTest(method):
                self.failure(client.call, method, params)
            client.close()

    def test_another_protocol_version(self):
        client = self.stranger()
        self.assertEqual(self.failure(client.call, "session_open", [2, "default", "x"]), VERSION)
        for name in ("", "x" * 65, "sl/ash", "sp ace"):
            status = self.failure(client.call, "session_open", [1, name, "x"])
            self.assertIn(status, (INVALID, MALFORMED))
        join = [2, "new", 1, "elsewhere", "", "", "", "127.0.0.1:9", bytes(16), 0,
                [[1 << 30, 0, 0, 0]], 0]
        self.assertEqual(self.failure(client.call, "node_join", join), VERSION)
        client.close()

    def test_a_service_of_another_version(self):
        """It refuses the tool and a node, and both say so; the node goes on asking, quietly."""
        asked = []
        with socket.create_server(("127.0.0.1", 0)) as newer:
            threading.Thread(target=refuse_versions, args=(newer, asked), daemon=True).start()
            endpoint = f"127.0.0.1:{newer.getsockname()[1]}"
            done = self.pool.cenote("--meta", endpoint, "status", code=1)
            self.assertIn(b"version", done.stderr)
            node = Daemon("stray", self.pool.dir, ["--roles=node", "--meta", endpoint, "--dram",
                                                   "16MiB", "--shm-dir", self.pool.dir / "stray"])
            node.start(wait=False)
            wait_until(lambda: asked.count("node_join") > 2, 20, "the node asking again")
            self.assertEqual(node.log().count("version"), 1, node.log())
            node.stop()

    def test_keys_of_wrong_lengths(self):
        client = self.pool.client()
        for key in (b"", b"k" * 1025, b"k" * 70000):
            with self.subTest(len(key)):
                self.assertEqual(self.failure(client.put_start, key, 1), KEY_SIZE)
                for method in ("lookup", "exists", "stat"):
                    self.assertEqual(self.failure(client.call, method, [[b"k", key]]), KEY_SIZE)
                self.assertEqual(self.failure(client.remove, key), KEY_SIZE)
        client.put(b"k" * 1024, b"longest")
        self.assertEqual(client.get(b"k" * 1024), b"longest")
        client.remove(b"k" * 1024)
        client.close()

    def test_values_larger_than_the_pool(self):
        client = self.pool.client()
        for length in (DRAM + 1, DRAM, 1 << 40, 1 << 60, (1 << 63) - 1, (1 << 64) - 1):
            with self.subTest(length):
                self.assertIn(self.failure(client.put_start, b"large", length),
                              (VALUE_SIZE, NO_SPACE) if length == DRAM else (VALUE_SIZE,))
        with open(self.pool.dir / "in", "wb") as f:
            f.truncate(DRAM * 2)
        done = self.pool.cenote("put", "large", self.pool.dir / "in", code=1)
        self.assertIn(b"larger than the pool can hold", done.stderr)
        client.put_start(b"half", DRAM // 2)
        self.start_patiently(client, b"more", DRAM // 4 * 3) # waits: the other one's time ends
        client.close()

    def start_patiently(self, client, key, length):
        """A session whose last put is being taken back may not start another one so large."""
        end = time.monotonic() + 30
        while True:
            try:
                return client.put_start(key, length)
            except Failure as error:
                if error.status != LIMIT or time.monotonic() > end:
                    raise
            time.sleep(0.05)

    def test_batches_beyond_the_limit(self):
        client = self.pool.client()
        for method, params in (("lookup", [[b"k"] * 4097]), ("exists", [[b"k"] * 4097]),
                               ("stat", [[b"k"] * 4097]), ("remove", [1, [b"k"] * 4097]),
                               ("put_start", [1, 0, [[b"k", 0]] * 4097])):
            with self.subTest(method):
                self.assertEqual(self.failure(client.call, method, params), LIMIT)
        client.close()

    def end(self, client, method, put_id, state=VISIBLE):
        statuses, _ = client.call(method, [client.next_seq(), [[put_id, 1, [7], [state]]]])
        return statuses[0]

    def test_commits_of_wrong_put_ids(self):
        client, other = self.pool.client(), self.pool.client()
        put_id = client.put_start(b"wrong", 100)[0]
        for method in ("put_commit", "put_abort"):
            for unknown in (0, put_id + 1000, (1 << 64) - 1):
                self.assertEqual(self.end(client, method, unknown), NO_SUCH_PUT)
            self.assertEqual(self.end(other, method, put_id), DENIED)
        for states in ([], [0, 0], [3]):
            with self.subTest(states):
                item = [put_id, 1, [7], states]
                try:
                    statuses, _ = client.call("put_commit", [client.next_seq(), [item]])
                    self.assertEqual(statuses, [INVALID])
                except Failure as failure:
                    self.assertIn(failure.status, (INVALID, MALFORMED))
        self.assertEqual(self.end(client, "put_abort", put_id, DRAINED), 0)
        self.assertIn(self.end(client, "put_commit", put_id), (ABORTED, NO_SUCH_PUT))
        self.assertEqual(client.call("lookup", [[b"wrong"]])[1], [[NOT_FOUND]])
        late = client.put_start(b"late", 100)[0]
        wait_until(self.pool.settled, 10, "the put's time being over")
        self.assertIn(self.end(client, "put_commit", late), (ABORTED, NO_SUCH_PUT))
        client.close()
        other.close()

    def test_extents_of_others(self):
        """A client that writes where it was granted nothing, and reads what isn't there."""
        client = self.pool.client()
        put_id, _, ((_, length, ((gva, _boot, mac),)),) = client.put_start(b"mine", 4096)
        node, _ = client.locate(gva)
        end = (1 << 61) - 64
        attempts = ((BAD_GRANT, put_id, gva, length, 0, mac ^ 1),
                    (BAD_GRANT, put_id + 1, gva, length, 0, mac),
                    (BAD_GRANT, put_id, gva + 4096, length, 0, mac),
                    (BAD_GRANT, put_id, gva, length * 2, 0, mac),
                    (BAD_RANGE, put_id, gva, length, length * 2, mac),
                    (BAD_RANGE, put_id, gva, length, 1 << 63, mac),
                    (BAD_RANGE, put_id, gva, length, (1 << 64) - 1, mac),
                    (BAD_RANGE, put_id, gva, 1 << 62, 0, mac),
                    (BAD_RANGE, put_id, end, length, 0, mac), (BAD_RANGE, put_id, 0, 0, 0, mac))
        for status, put, at, payload, offset, grant in attempts:
            with self.subTest(put=put, at=at, payload=payload, offset=offset):
                self.assertEqual(self.failure(client.channel(node).write, put, at, payload, offset,
                                              b"x" * 64, grant), status)
        other = self.pool.client()
        self.assertEqual(self.failure(other.channel(other.locate(gva)[0]).write, put_id, gva,
                                      length, 0, b"x" * 64, mac), BAD_GRANT)
        self.failure(client.channel(node).read, put_id, gva, length, 0, length)
        self.assertEqual(self.failure(client.channel(node).read, put_id, end, 1, 0, 1), BAD_RANGE)
        client.call("put_abort", [client.next_seq(), [[put_id, 0, [], [DRAINED]]]])
        client.close()
        other.close()

    def hello(self, endpoint, change=None):
        """The node's answer to a hello: (status, connection)."""
        client = self.pool.client()
        client.call("map", [0])
        fields = [b"CNTD", 1, 0, client.session, client.namespace, 0, client.token, 0]
        if change:
            fields[change[0]] = change[1]
        s = connect(endpoint)
        s.sendall(struct.pack("<4sHHQII16sQ", *fields).ljust(64, b"\0"))
        answer = s.recv(32)
        client.close()
        return struct.unpack_from("<i", answer, 8)[0], s

    def test_hellos_that_lie(self):
        node = self.pool.status()["nodes"][0]
        for change, status in ((None, 0), ((0, b"HTTP"), PROTOCOL), ((1, 2), VERSION),
                               ((3, 12345678), DENIED), ((4, 9), DENIED), ((6, bytes(16)), DENIED),
                               ((7, 77), OLD_BOOT)):
            for endpoint in (node["tcp"], node["shm"]):
                with self.subTest(change=change, endpoint=endpoint):
                    found, s = self.hello(endpoint, change)
                    s.close()
                    self.assertEqual(found, status)

    def test_requests_that_are_none(self):
        endpoint = self.pool.status()["nodes"][0]["tcp"]
        for request in (b"CNXR\x03" + bytes(59), b"CNXR\x01\x01" + bytes(58),
                        b"GET / HTTP/1.1\r\n" * 4):
            _, s = self.hello(endpoint)
            s.sendall(request)
            answer = read_all(s)
            self.assertEqual(struct.unpack_from("<4si", answer), (b"CNXA", PROTOCOL))
            s.close()

    def test_half_a_hello_then_silence(self):
        node = self.pool.status()["nodes"][0]
        waiting = [connect(node["tcp"], 30), connect(node["shm"], 30)]
        for s in waiting:
            s.sendall(b"CNTD\x01\x00")
        begin = time.monotonic()
        for s in waiting:
            self.assertEqual(s.recv(1), b"")
            s.close()
        self.assertLess(time.monotonic() - begin, 20)

    def test_a_client_gone_in_the_middle_of_a_put(self):
        """Half of the bytes are there, and the connections break."""
        client = self.pool.client()
        put_id, _, ((_, length, ((gva, _boot, mac),)),) = client.put_start(b"unfinished", 8 * MIB)
        channel = client.channel(client.locate(gva)[0])
        head = channel.request_head(channel.WRITE, put_id, gva, length, 0, length, mac)
        channel.sock.sendall(head + bytes(4 * MIB))
        self.assertGreaterEqual(self.pool.used_bytes(), 8 * MIB)
        client.close() # as the kernel does it for a process that dies
        self.pool.wait_used(0)
        self.pool.cenote("exists", "unfinished", code=3)

    def test_a_client_killed_in_the_middle_of_a_put(self):
        for transport in ("shm", "tcp"):
            writer = self.pool.spawn("writer", self.pool.meta_endpoint, transport, "unfinished",
                                     16 * MIB, 1, 8 * MIB)
            self.addCleanup(writer.kill)
            wait_stopped(writer)
            self.assertGreaterEqual(self.pool.used_bytes(), 16 * MIB)
            writer.kill()
            writer.communicate()
            self.pool.wait_used(0)
            self.pool.cenote("exists", "unfinished", code=3)

    def test_the_tool_killed_while_it_reads(self):
        reader, writer = os.pipe()
        process = subprocess.Popen([BIN / "cenote", "put", "unfinished", "-"], stdin=reader,
                                   env=self.pool.environment(), stderr=subprocess.DEVNULL)
        os.write(writer, b"x" * 4096)
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)
        self.pool.cenote("exists", "unfinished", code=3)

    def join(self, client, name, boot):
        return client.call("node_join", [1, name, boot, "elsewhere", "", "", "", "127.0.0.1:9",
                                         bytes(16), 0, [[1 << 30, 0, 0, 0]], 0])

    def test_a_node_that_registers_twice(self):
        first, second = self.stranger(), self.stranger()
        self.assertEqual(self.failure(first.call, "node_join", [1]), MALFORMED)
        self.join(first, "fake", 1)
        self.assertEqual(self.failure(self.join, second, "fake", 2), NODE_KNOWN)
        self.assertEqual(self.failure(self.join, second, "node0", 2), NODE_KNOWN)
        first.call("node_leave", [])
        wait_until(lambda: len(self.pool.status()["nodes"]) == 1, 10, "the fake node's end")
        self.join(second, "fake", 2)
        second.call("node_leave", [])
        first.close()
        second.close()
        wait_until(lambda: self.pool.status()["capacity"]["total_bytes"] == DRAM, 10,
                   "the fake node's end")

    def test_a_node_process_of_the_same_name(self):
        twin = Daemon("twin", self.pool.dir, ["--roles=node", "--meta", self.pool.meta_endpoint,
                                              "--dram", "16MiB", "--node-name", "node0",
                                              "--shm-dir", self.pool.dir / "twin"])
        twin.start(wait=False)
        wait_until(lambda: "a live node has this name" in twin.log(), 10, "the twin's refusal")
        self.assertEqual(len(self.pool.status()["nodes"]), 1)
        twin.stop()


class Vanishing(unittest.TestCase):
    """Nodes that die while they are written."""

    def test_puts_fail_and_the_space_is_forgotten(self):
        with Pool(nodes=2, split=True, dram=64 * MIB,
                  meta_options=[*SHORT, "--put-timeout=60s", "--suspect=1s", "--dead=3s"]) as pool:
            puts = {}
            for transport in ("shm", "tcp"):
                puts[transport] = pool.spawn("writer", pool.meta_endpoint, transport, transport,
                                             24 * MIB, 1, 12 * MIB)
                self.addCleanup(puts[transport].kill)
                wait_stopped(puts[transport])
            for node in pool.nodes:
                node.kill()
            self.assert_fails(puts["tcp"])
            wait_until(lambda: pool.status()["capacity"]["total_bytes"] == 0, 30,
                       "the death of the nodes")
            self.assert_fails(puts["shm"])
            pool.wait_used(0)
            done = pool.cenote("put", "x", "-", input=b"x", code=1)
            self.assertIn(b"too few nodes offer memory", done.stderr)
            pool.add_node("fresh")
            wait_until(lambda: pool.status()["capacity"]["free_bytes"] == 64 * MIB, 30,
                       "a new node's memory")
            pool.cenote("put", "x", "-", input=b"x")
            self.assertEqual(pool.cenote("get", "x", "-").stdout, b"x")

    def assert_fails(self, writer):
        writer.send_signal(signal.SIGCONT)
        text = end_of(writer, 60, "the writer")
        self.assertNotEqual(writer.returncode, 0, text)


if __name__ == "__main__":
    print(f"seed {SEED}")
    unittest.main()
