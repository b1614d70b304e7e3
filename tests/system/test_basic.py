#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tool and the library against real daemons: values of many sizes over all transports, byte
for byte, every command, its exit statuses and its JSON."""
import json
import os
import random
import subprocess
import unittest

from pool import BIN, MIB, SANITIZED, SHORT, Pool, has_rdma
from test_views import Viewer

LARGE = (8 if SANITIZED else 100) * MIB
SIZES = (0, 1, 4095, 4096, 65535, 65536, 65537, MIB + 7, LARGE)
FAILED, USAGE, MISSING = 1, 2, 3
NOBODY = "127.0.0.1:1"


def content(size):
    """Bytes that differ from place to place."""
    return random.Random(size).randbytes(size)


class Basic:
    """What holds in a pool of any shape."""

    nodes, split = 1, False

    @classmethod
    def setUpClass(cls):
        cls.pool = Pool(nodes=cls.nodes, split=cls.split, dram="384MiB", options=SHORT).__enter__()
        cls.empty = cls.pool.used_bytes()

    @classmethod
    def tearDownClass(cls):
        cls.pool.wait_used(cls.empty)
        cls.pool.close()

    def cenote(self, *args, **keywords):
        return self.pool.cenote(*args, **keywords)

    def json(self, *args, **keywords):
        return json.loads(self.cenote(*args, "--json", **keywords).stdout)

    def put(self, key, data, *options, **keywords):
        path = self.pool.dir / "in"
        path.write_bytes(data)
        return self.cenote("put", *options, key, path, **keywords)

    def get(self, key, *options):
        path = self.pool.dir / "out"
        path.unlink(missing_ok=True)
        self.cenote("get", *options, key, path)
        return path.read_bytes()

    def round_trips(self, put_over, get_over):
        for size in SIZES:
            with self.subTest(size=size):
                key, data = f"{put_over}-{get_over}-{size}", content(size)
                self.put(key, data, "--transport", put_over)
                self.assertTrue(self.get(key, "--transport", get_over) == data)
                self.assertEqual(self.json("stat", key)["len_bytes"], size)
                self.cenote("rm", key)
                self.cenote("get", key, "-", code=MISSING)

    def test_over_shm(self):
        self.round_trips("shm", "shm")

    def test_over_tcp(self):
        self.round_trips("tcp", "tcp")

    def test_put_over_shm_get_over_tcp(self):
        self.round_trips("shm", "tcp")

    def test_put_over_tcp_get_over_shm(self):
        self.round_trips("tcp", "shm")

    def test_the_library_over_shm(self):
        self.pool.run("roundtrip", self.pool.meta_endpoint, "shm")

    def test_the_library_over_tcp(self):
        self.pool.run("roundtrip", self.pool.meta_tcp, "tcp")

    def test_put_is_put_if_absent(self):
        self.put("absent", b"first")
        done = self.put("absent", b"second")
        self.assertIn(b"already there", done.stderr)
        self.assertEqual(self.get("absent"), b"first")
        self.assertEqual(json.loads(self.put("absent", b"x", "--json").stdout)["status"], "EXISTS")
        self.cenote("rm", "absent")
        self.assertEqual(json.loads(self.put("absent", b"x", "--json").stdout)["status"], "OK")
        self.assertEqual(self.get("absent"), b"x")
        self.cenote("rm", "absent")

    def test_replace(self):
        self.put("replaced", b"first")
        before = self.json("stat", "replaced")
        self.put("replaced", b"second one", "--replace")
        self.assertEqual(self.get("replaced"), b"second one")
        self.assertGreater(self.json("stat", "replaced")["put_id"], before["put_id"])
        self.cenote("rm", "replaced")

    def test_standard_streams(self):
        for size in (0, 9, 300000):
            data = content(size)
            self.cenote("put", "stream", "-", input=data)
            self.assertEqual(self.cenote("get", "stream", "-").stdout, data)
            self.assertEqual(self.cenote("get", "stream").stdout, data)
            self.cenote("rm", "stream")

    def test_exists_and_stat(self):
        self.put("there", b"x" * 1000)
        self.cenote("exists", "there")
        self.cenote("exists", "there", "not-there", code=MISSING)
        found = self.json("exists", "there", "not-there", code=MISSING)
        self.assertEqual([e["exists"] for e in found], [True, False])
        stat = self.json("stat", "there")
        self.assertEqual((stat["key"], stat["len_bytes"], stat["has_sums"]), ("there", 1000, True))
        self.assertEqual([(p["offset"], p["len_bytes"], p["node"]) for p in stat["places"]],
                         [(0, 1000, stat["places"][0]["node"])])
        self.assertIn(stat["places"][0]["node"],
                      [n["name"] for n in self.pool.status()["nodes"]])
        text = self.cenote("stat", "there").stdout
        self.assertIn(b"1000", text)
        self.assertIn(b" on " + stat["places"][0]["node"].encode(), text)
        self.cenote("stat", "not-there", code=MISSING)
        self.cenote("rm", "not-there", code=MISSING)
        removed = self.json("rm", "there", "not-there", code=MISSING)
        self.assertEqual([r["status"] for r in removed], ["OK", "NOT_FOUND"])

    def test_list(self):
        keys = [f"list/{i:03}" for i in range(20)]
        for key in [*keys, "lisa"]:
            self.cenote("put", key, "-", input=key.encode())
        listed = self.cenote("ls", "list/").stdout.decode()
        self.assertEqual([line.split()[-1] for line in listed.splitlines()], keys)
        entries = [json.loads(line)
                   for line in self.cenote("ls", "--json", "list/").stdout.splitlines()]
        self.assertEqual([e["key"] for e in entries], keys)
        self.assertEqual({e["len_bytes"] for e in entries}, {8})
        self.assertEqual(len(self.cenote("ls").stdout.splitlines()), 21)
        self.cenote("rm", *keys, "lisa")
        self.assertEqual(self.cenote("ls").stdout, b"")

    def test_namespaces_do_not_meet(self):
        for name in ("one", "two"):
            self.put("key", name.encode(), "--namespace", name)
        for name in ("one", "two"):
            self.assertEqual(self.get("key", "--namespace", name), name.encode())
        self.cenote("exists", "key", code=MISSING)
        self.cenote("--namespace", "one", "rm", "key")
        self.assertEqual(self.cenote("ls", "--namespace", "one").stdout, b"")
        self.assertEqual(self.get("key", "--namespace", "two"), b"two")
        self.cenote("--namespace", "two", "rm", "key")
        self.cenote("--namespace", "no/slash", "ls", code=FAILED)

    def test_removed_space_comes_back(self):
        self.pool.wait_used(self.empty)
        self.put("space", content(4 * MIB))
        self.assertGreaterEqual(self.pool.used_bytes() - self.empty, 4 * MIB)
        self.cenote("rm", "space")
        self.pool.wait_used(self.empty)

    def test_wrong_usage(self):
        for args in ([], ["--no-such-option"], ["no-such-command"], ["put"], ["get"], ["stat"],
                     ["put", "a", "b", "c"], ["ls", "--transport", "pigeon"], ["status", "x"],
                     ["get", "key", "-", "--json"]):
            with self.subTest(args):
                done = self.cenote(*args, code=USAGE)
                self.assertEqual(done.stdout, b"")
                self.assertNotEqual(done.stderr, b"")

    def test_errors_are_told(self):
        for args, code in ((["get", "absent", "-"], MISSING),
                           (["get", "--meta", NOBODY, "key", "-"], FAILED),
                           (["status", "--meta", "unix:/nonexistent"], FAILED),
                           (["put", "k" * 1025, "/dev/null"], FAILED),
                           (["put", "", "/dev/null"], FAILED),
                           (["put", "key", self.pool.dir / "no-such-file"], FAILED),
                           (["put", "key", self.pool.dir], FAILED),
                           (["get", "absent", self.pool.dir / "no" / "such" / "dir"], FAILED)):
            with self.subTest(args):
                done = self.cenote(*args, code=code)
                self.assertEqual(done.stdout, b"")
                self.assertTrue(done.stderr.startswith(b"cenote: "), done.stderr)

    def test_a_failed_get_leaves_no_file(self):
        folder = self.pool.dir / "partial"
        folder.mkdir()
        target = folder / "target"
        self.cenote("get", "absent", target, code=MISSING)
        self.assertEqual(os.listdir(folder), [])
        target.write_bytes(b"precious")
        self.cenote("get", "absent", target, code=MISSING)
        self.assertEqual(target.read_bytes(), b"precious")
        self.put("partial", content(3 * MIB))
        for shell in ("ulimit -f 1024", f"mount -t tmpfs -o size=1m none {folder}"):
            command = f'{shell} && "$@"; code=$?; ls -A {folder}; exit $code'
            done = subprocess.run(["unshare", "-m", "bash", "-c", command, "-", BIN / "cenote",
                                   "get", "partial", folder / "other"], capture_output=True,
                                  env=self.pool.environment(), check=False)
            self.assertEqual(done.returncode, FAILED, done.stderr)
            self.assertNotIn(b"other", done.stdout)
        self.assertEqual(os.listdir(folder), ["target"])
        self.cenote("get", "partial", target)
        self.assertEqual(target.read_bytes(), content(3 * MIB))
        target.unlink()
        folder.rmdir()
        self.cenote("rm", "partial")

    def test_status(self):
        status = self.json("status")
        self.assertEqual(len(status["nodes"]), self.nodes)
        self.assertEqual(len(status["transports"]), self.nodes)
        client = status["client"]
        self.assertEqual((client["views"], client["views_limit"]), (0, 4096))
        self.assertEqual(client["rdma"]["rails"], [])  # none was needed
        self.assertEqual(status["service"]["protocol"], 1)
        self.assertEqual(status["capacity"]["total_bytes"], self.nodes * 384 * MIB)
        text = self.cenote("status").stdout.decode()
        self.assertIn("node0", text)


class Joined(Basic, unittest.TestCase):
    """One process is the pool."""


class Split(Basic, unittest.TestCase):
    """A service and two node processes."""
    nodes, split = 2, True


@unittest.skipUnless(has_rdma(), "this machine has no RDMA devices")
class Rdma(unittest.TestCase):
    """What is particular with devices. It runs in a guest, where a process takes long to start."""

    @classmethod
    def setUpClass(cls):
        cls.pool = Pool(nodes=2, split=True, options=SHORT).__enter__()

    @classmethod
    def tearDownClass(cls):
        cls.pool.wait_used(0)
        cls.pool.close()

    def round_trip(self, size, put_over, get_over):
        data = content(size)
        self.pool.cenote("put", "--transport", put_over, "key", "-", input=data)
        got = self.pool.cenote("get", "--transport", get_over, "key").stdout
        self.pool.cenote("rm", "key")
        self.assertTrue(got == data, f"{size} bytes, {put_over} to {get_over}")

    def test_the_tool(self):
        for size in (0, 1, 4097, 8 * MIB + 7): # more than a message of the device
            self.round_trip(size, "rdma", "rdma")

    def test_transports_meet(self):
        for other in ("shm", "tcp"):
            self.round_trip(70000, "rdma", other)
            self.round_trip(70000, other, "rdma")

    def test_the_library(self):
        parts = ("singles", "small_buffer", "replace", "scattered", "batches", "two_clients",
                 "threads", "forks") # without those that are the service's alone
        self.pool.run("roundtrip", self.pool.meta_endpoint, "rdma", *parts)

    def test_ranges_and_registered_buffers(self):
        self.pool.run("ranges", self.pool.meta_endpoint, "rdma", "around")

    def test_no_views(self):
        """A view is memory that both sides have."""
        viewer = Viewer(self.pool, "rdma")
        viewer.put("viewed", 5000, 1)
        self.assertEqual(viewer.ask("open", "viewed"), "NOT_SUPPORTED")
        viewer.end()
        self.pool.cenote("rm", "viewed")

    def test_status(self):
        for node in self.pool.status()["nodes"]:
            self.assertTrue(node["rdma"]["rails"], node)
        text = self.pool.cenote("status", "--transport", "rdma").stdout.decode()
        self.assertIn("rxe0", text)


class Start(unittest.TestCase):
    """The pool answers while its memory is still being touched."""

    def test_capacity_grows(self):
        dram = (256 << 20) if SANITIZED else (2 << 30)
        pool = Pool(dram=str(dram))
        pool.meta.start()
        try:
            totals = [pool.status()["capacity"]["total_bytes"]]
            while totals[-1] < dram:
                totals.append(pool.status()["capacity"]["total_bytes"])
            self.assertEqual(totals, sorted(totals))
        finally:
            pool.close()


if __name__ == "__main__":
    unittest.main()
