#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tool against real daemons: values of many sizes over both transports, every command, and the
exit codes (0 success, 1 the operation failed, 2 wrong usage)."""
import json
import os
import unittest

from pool import SANITIZED, Pool

LARGE = (8 << 20) if SANITIZED else (100 << 20)
SIZES = (0, 1, 4095, 4096, 65536, 65537, (1 << 20) + 7, LARGE)


def content(size):
    """Bytes that differ from place to place."""
    block = os.urandom(min(size, 1 << 20))
    return (block * (size // max(len(block), 1) + 1))[:size]


class Basic:
    """What holds in a pool of any shape."""

    nodes, split, dram = 1, False, "384MiB"

    @classmethod
    def setUpClass(cls):
        cls.pool = Pool(nodes=cls.nodes, split=cls.split, dram=cls.dram).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.pool.close()

    def cenote(self, *args, **keywords):
        return self.pool.cenote(*args, **keywords)

    def put_file(self, key, data, *options, **keywords):
        path = self.pool.dir / "in"
        path.write_bytes(data)
        return self.cenote(*options, "put", key, path, **keywords)

    def get_file(self, key, *options):
        path = self.pool.dir / "out"
        path.unlink(missing_ok=True)
        self.cenote(*options, "get", key, path)
        return path.read_bytes()

    def round_trips(self, put_over, get_over):
        for size in SIZES:
            with self.subTest(size=size):
                key, data = f"{put_over}-{get_over}-{size}", content(size)
                self.put_file(key, data, "--transport", put_over)
                self.assertTrue(self.get_file(key, "--transport", get_over) == data)
                self.cenote("remove", key)
                self.cenote("get", key, "-", code=1)

    def test_over_shm(self):
        self.round_trips("shm", "shm")

    def test_over_tcp(self):
        self.round_trips("tcp", "tcp")

    def test_put_over_shm_get_over_tcp(self):
        self.round_trips("shm", "tcp")

    def test_put_is_put_if_absent(self):
        self.put_file("absent", b"first")
        self.put_file("absent", b"second", code=None)
        self.assertEqual(self.get_file("absent"), b"first")
        self.cenote("remove", "absent")
        self.put_file("absent", b"third")
        self.assertEqual(self.get_file("absent"), b"third")
        self.cenote("remove", "absent")

    def test_replace(self):
        self.put_file("replaced", b"first")
        path = self.pool.dir / "in"
        path.write_bytes(b"second one")
        self.cenote("put", "--replace", "replaced", path)
        self.assertEqual(self.get_file("replaced"), b"second one")
        self.cenote("remove", "replaced")

    def test_standard_streams(self):
        self.cenote("put", "stream", "-", input=b"from stdin")
        self.assertEqual(self.cenote("get", "stream", "-").stdout, b"from stdin")
        self.cenote("remove", "stream")

    def test_exists_and_stat(self):
        self.put_file("there", b"x" * 1000)
        self.cenote("exists", "there")
        self.cenote("exists", "not-there", code=1)
        stat = json.loads(self.cenote("stat", "there", "--json").stdout)
        self.assertEqual(stat["length_bytes"], 1000)
        self.cenote("stat", "not-there", code=1)
        self.cenote("remove", "not-there", code=1)
        self.cenote("remove", "there")

    def test_list(self):
        keys = [f"list/{i:03}" for i in range(20)]
        for key in keys:
            self.put_file(key, key.encode())
        listed = self.cenote("ls", "list/").stdout.decode()
        self.assertEqual([line.split()[-1] for line in listed.splitlines()], keys)
        entries = json.loads(self.cenote("ls", "list/", "--json").stdout)
        self.assertEqual([e["key"] for e in entries], keys)
        self.cenote("remove", *keys)
        self.assertEqual(self.cenote("ls", "list/").stdout, b"")

    def test_namespaces_do_not_meet(self):
        self.put_file("key", b"one", "--namespace", "one")
        self.put_file("key", b"two", "--namespace", "two")
        self.assertEqual(self.get_file("key", "--namespace", "one"), b"one")
        self.assertEqual(self.get_file("key", "--namespace", "two"), b"two")
        self.cenote("exists", "key", code=1)
        for name in ("one", "two"):
            self.cenote("--namespace", name, "remove", "key")

    def test_removed_space_comes_back(self):
        before = self.pool.status()["capacity"]
        self.put_file("space", content(4 << 20))
        during = self.pool.status()["capacity"]
        self.assertGreaterEqual(during["used_bytes"] - before["used_bytes"], 4 << 20)
        self.cenote("remove", "space")
        after = self.pool.status()["capacity"]
        self.assertEqual(after["used_bytes"], before["used_bytes"])

    def test_wrong_usage(self):
        self.cenote("--no-such-option", code=2)
        self.cenote("no-such-command", code=2)
        self.cenote("put", code=2)

    def test_status(self):
        status = self.pool.status()
        self.assertEqual(len(status["nodes"]), max(self.nodes, 1))
        self.assertEqual(status["service"]["protocol"], 1)
        text = self.cenote("status").stdout.decode()
        self.assertIn("node0", text)


class Joined(Basic, unittest.TestCase):
    """One process is the pool."""


class Split(Basic, unittest.TestCase):
    """A service and two node processes."""
    nodes, split = 2, True


if __name__ == "__main__":
    unittest.main()
