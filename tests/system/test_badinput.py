#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Input that nobody well-meaning sends, and surroundings that don't play along. After each case the
pool serves, and as many bytes are in use as before."""
import os
import random
import shutil
import struct
import subprocess
import tempfile
import unittest

import msgpack

from pool import BIN, Daemon, Pool, connect, wait_until
from protocol import Client, Failure

MALFORMED, FRAME_SIZE, NO_METHOD, PROTOCOL, META_FULL = -46, -45, -44, -41, -84
# Nobody waits long for the lost.
HASTE = ["--session-grace", "300ms", "--lease", "300ms", "--heartbeat", "200ms", "--suspect", "1s",
         "--dead", "2s"]
SEED = int(os.environ.get("CENOTE_SEED", random.randrange(1 << 32)))


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
        cls.pool = Pool(split=True, meta_options=HASTE).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.pool.close()

    def setUp(self):
        self.used = self.pool.used_bytes()
        self.random = random.Random(SEED)

    def tearDown(self):
        for daemon in self.pool.daemons:
            self.assertTrue(daemon.alive() or daemon.killed, daemon.name)
        self.pool.cenote("put", "still-works", "-", input=b"yes")
        for transport in ("shm", "tcp"):
            got = self.pool.cenote("--transport", transport, "get", "still-works", "-")
            self.assertEqual(got.stdout, b"yes")
        self.pool.cenote("rm", "still-works")
        self.pool.wait_used(self.used, f"used bytes (seed {SEED})")

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
        with self.assertRaises(Failure) as raised:
            client.call("surprise", [])
        self.assertEqual(raised.exception.status, NO_METHOD)
        wrong = ([], [None], [{}], [[]], ["x"] * 4, [-1, -1, -1], [1 << 63] * 3, [[None]],
                 [0, 0, [[b"", 0]]], [1, 0, [[b"k" * 1025, 0]]], [1, 0, [[b"k", -1]]],
                 [1, [[1]]], [1, [[1, 2, 3, 4]]], [[b""]], [b"x" * 70000])
        methods = ("session_open", "session_resume", "put_start", "put_commit", "put_abort",
                   "lookup", "exists", "stat", "remove", "list", "map", "status", "node_join",
                   "node_heartbeat", "node_leave", "fence", "void")
        for method in methods:
            for params in wrong:
                try:
                    client.call(method, params)
                except Failure:
                    pass
                except ConnectionError:
                    client = Client(self.pool.meta_endpoint)
        client.close()

    def test_calls_without_a_session(self):
        for method, params in (("put_start", [1, 0, [[b"k", 1]]]), ("lookup", [[b"k"]]),
                               ("remove", [1, [b"k"]]), ("node_heartbeat", [[0]]),
                               ("node_leave", [])):
            client = Client.__new__(Client)
            client.sock, client.msgid = connect(self.pool.meta_tcp), 0
            client.unpacker = msgpack.Unpacker(raw=False)
            with self.subTest(method), self.assertRaises(Failure):
                client.call(method, params)
            client.sock.close()

    def test_extents_of_others(self):
        """A client that writes where it was granted nothing, and reads what isn't there."""
        client = Client(self.pool.meta_endpoint)
        put_id, _, ((_, length, ((gva, _boot, mac),)),) = client.put_start(b"mine", 4096)
        node, _ = client.locate(gva)
        attempts = ((put_id, gva, length, 0, mac ^ 1), (put_id + 1, gva, length, 0, mac),
                    (put_id, gva + 4096, length, 0, mac), (put_id, gva, length * 2, 0, mac),
                    (put_id, gva, length, length * 2, mac), (put_id, gva, length, 1 << 63, mac),
                    (put_id, gva, 1 << 62, 0, mac), (put_id, (1 << 61) - 64, length, 0, mac))
        for put, at, payload, offset, grant in attempts:
            with self.subTest(put=put, at=at, offset=offset):
                with self.assertRaises((Failure, ConnectionError)):
                    client.channel(node).write(put, at, payload, offset, b"x" * 64, grant)
                client.data.clear()
        with self.assertRaises((Failure, ConnectionError)):
            client.channel(node).read(put_id, gva, length, 0, length)
        client.call("put_abort", [client.next_seq(), [[put_id, 0, [], [1]]]])
        client.close()

    def test_a_client_killed_in_the_middle_of_a_put(self):
        client = Client(self.pool.meta_endpoint)
        client.put_start(b"unfinished", 8 << 20)
        self.assertGreater(self.pool.used_bytes(), self.used)
        client.sock.close() # as the kernel does it for a process that dies
        self.pool.wait_used(self.used, "the put's end")
        reader, writer = os.pipe()
        process = subprocess.Popen([BIN / "cenote", "put", "unfinished", "-"], stdin=reader,
                                   env=self.pool.environment(), stderr=subprocess.DEVNULL)
        os.write(writer, b"x" * 4096)
        process.kill()
        process.wait()
        os.close(reader)
        os.close(writer)
        self.pool.cenote("exists", "unfinished", code=3)

    def test_a_node_that_registers_twice(self):
        twin = Daemon("twin", self.pool.dir, ["--roles=node", "--meta", self.pool.meta_endpoint,
                                              "--dram", "16MiB", "--node-name", "node0",
                                              "--shm-dir", self.pool.dir / "twin"])
        twin.start(wait=False)
        wait_until(lambda: "a live node has this name" in twin.log(), 10)
        self.assertEqual(len(self.pool.status()["nodes"]), 1)
        twin.stop()

    def test_a_node_that_vanishes_while_it_is_written(self):
        node = self.pool.add_node("mortal", ["--dram", "256MiB"])
        self.pool.wait_capacity()
        source = self.pool.dir / "in"
        source.write_bytes(bytes(200 << 20))
        put = subprocess.Popen([BIN / "cenote", "--transport", "tcp", "put", "doomed", source],
                               env=self.pool.environment(), stderr=subprocess.PIPE)
        wait_until(lambda: self.pool.used_bytes() > self.used, 10, "the put's start")
        node.kill()
        _, error = put.communicate(timeout=60)
        if put.returncode != 0:
            self.assertNotEqual(error, b"")
        self.pool.cenote("rm", "doomed", code=None)
        self.pool.nodes.remove(node)


class Surroundings(unittest.TestCase):
    """A machine that doesn't give what cenoted asks for."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="cenote-test-")
        self.addCleanup(shutil.rmtree, self.dir)

    def refuses(self, *options, code=1, before=""):
        """Runs a cenoted that can't start; returns what it says."""
        command = " ".join(f"'{o}'" for o in (BIN / "cenoted", *options))
        done = subprocess.run(["unshare", "-m", "sh", "-c", f"{before} exec {command}"]
                              if before else ["sh", "-c", f"exec {command}"],
                              capture_output=True, timeout=20, check=False)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, code, text)
        self.assertEqual(done.stdout, b"")
        return text

    def meta(self, *options, **keywords):
        return self.refuses("--roles=meta", "--listen", f"unix:{self.dir}/c", "--data-dir",
                            f"{self.dir}/meta", *options, **keywords)

    def test_data_directory_in_use(self):
        with Pool() as pool:
            text = self.refuses("--roles=meta", "--listen", "127.0.0.1:0", "--data-dir",
                                pool.data_dir)
            self.assertIn(str(pool.data_dir), text)
            pool.cenote("put", "k", "-", input=b"v")

    def test_address_in_use(self):
        with Pool() as pool:
            text = self.refuses("--roles=meta", "--listen", pool.meta_tcp, "--data-dir",
                                f"{self.dir}/meta")
            self.assertIn(pool.meta_tcp, text)

    def test_another_format(self):
        with Pool() as pool:
            pool.stop()
            state = pool.data_dir / "state"
            text = state.read_text(encoding="ascii")
            self.assertRegex(text, r"\b1\b")
            state.write_text(text.replace("1", "9", 1), encoding="ascii")
            text = self.refuses("--roles=meta", "--listen", "127.0.0.1:0", "--data-dir",
                                pool.data_dir)
            self.assertIn(str(pool.data_dir), text)

    def test_wrong_options(self):
        for options in (["--dram", "many"],
                        ["--dram", "1TiB", "--roles=node", "--shm-dir", self.dir],
                        ["--listen", "0.0.0.0:0"], ["--data-listen", "0.0.0.0:0"],
                        ["--listen", "nowhere"], ["--roles=king"], ["--suspect", "1s"],
                        ["--config", "/nonexistent"], ["stray"], ["--heartbeat"]):
            with self.subTest(options):
                code = 1 if "1TiB" in options else 2
                text = self.refuses("--data-dir", f"{self.dir}/meta", *options, code=code)
                self.assertNotEqual(text, "")

    @unittest.skipIf(os.geteuid() != 0, "needs root to mount")
    def test_read_only_file_system(self):
        mount = f"mkdir -p {self.dir}/meta && mount -t tmpfs -o ro none {self.dir}/meta &&"
        self.assertIn(f"{self.dir}/meta", self.meta(before=mount))

    @unittest.skipIf(os.geteuid() != 0, "needs root to mount")
    def test_tiny_disk(self):
        mount = f"mkdir -p {self.dir}/meta && mount -t tmpfs -o size=4k none {self.dir}/meta &&"
        self.assertIn(f"{self.dir}/meta", self.meta(before=mount))

    def test_full_metadata(self):
        with Pool(meta_options=["--meta-map-size", "1MiB", "--lease", "300ms"]) as pool:
            client, count = Client(pool.meta_endpoint), 0
            pool.allow("the map is full")
            with self.assertRaises(Failure) as raised:
                for count in range(100000):
                    client.put(b"%d" % count + b"k" * 400, b"")
            self.assertEqual(raised.exception.status, META_FULL)
            self.assertGreater(count, 100)
            for i in range(count):
                client.remove(b"%d" % i + b"k" * 400)
            client.put(b"again", b"there is room")
            self.assertEqual(client.get(b"again"), b"there is room")
            client.remove(b"again")
            client.close()
            pool.wait_used(0)


if __name__ == "__main__":
    print(f"seed {SEED}")
    unittest.main()
