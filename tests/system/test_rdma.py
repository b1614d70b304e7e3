#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""RDMA on a machine that has no device for it: whoever doesn't insist notices nothing, whoever does
is told what is missing, and who doesn't want it never loads a library for it. What devices do is
tested in the guest (tests/vm)."""
import ctypes.util
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from pool import BIN, SLOWNESS, Pool, has_rdma
from talking import Talker

DEVICES = pathlib.Path("/sys/class/infiniband")
HAS_LIBRARY = ctypes.util.find_library("ibverbs") is not None


def libraries(pid):
    """The files that a process has mapped."""
    return pathlib.Path(f"/proc/{pid}/maps").read_text()


class Settings(unittest.TestCase):
    """What is said on the command line."""

    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="cenote-test-")
        self.addCleanup(shutil.rmtree, self.dir)

    def refuses(self, code, *options):
        """Runs a node that can't start; returns what it says."""
        done = subprocess.run(
            [BIN / "cenoted", "--roles=node", "--meta", f"unix:{self.dir}/none", "--dram=1MiB",
             "--shm-dir", self.dir, *options],
            capture_output=True, timeout=20 * SLOWNESS, check=False)
        text = done.stderr.decode()
        self.assertEqual(done.returncode, code, text)
        return text

    def test_a_device_that_is_not_there(self):
        """What is named must be there; the line says what isn't."""
        text = self.refuses(1, "--rdma", "nosuch0,rails=2")
        self.assertIn("nosuch0" if HAS_LIBRARY and DEVICES.is_dir() else "RDMA", text)

    def test_texts_without_sense(self):
        for text, said in (("tc=256", "tc"), ("nosuch0:x", "port"), ("none,nosuch0", "none"),
                           ("surprise=1", "surprise"), (",", "comma")):
            with self.subTest(text):
                line = self.refuses(2, "--rdma", text).splitlines()[0]
                self.assertTrue(line.startswith("cenoted: --rdma: ") and said in line, line)

    def test_endpoints_without_sense(self):
        for endpoint, said in ((f"unix:{self.dir}/x", "host and port"), ("0.0.0.0:0", "--insecure"),
                               ("here", "no endpoint")):
            with self.subTest(endpoint):
                text = self.refuses(2, "--rdma-listen", endpoint)
                self.assertIn("--rdma-listen", text)
                self.assertIn(said, text)

    def test_a_client_is_told_too(self):
        """By the line that the library logs; whatever it wanted to do."""
        done = subprocess.run([BIN / "cenote", "--rdma", "tc=256", "exists", "k"],
                              capture_output=True, timeout=20 * SLOWNESS, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("tc=256", done.stderr.decode())


@unittest.skipIf(has_rdma(), "this machine has RDMA devices")
class WithoutDevices(unittest.TestCase):
    """A pool where nobody has one."""

    def test_nothing_is_said(self):
        """On loopback nobody looks for devices; where other machines come, as auto."""
        for listen, loaded in (("127.0.0.1:0", False), ("0.0.0.0:0", HAS_LIBRARY)):
            with self.subTest(listen):
                options = ["--insecure", "--data-listen", listen, "--advertise=127.0.0.1"]
                with Pool(options=options) as pool:
                    lines = [line for line in pool.meta.log().splitlines() if "no RDMA: " in line]
                    self.assertEqual(len(lines), 1, pool.meta.log())
                    self.assertEqual("only this machine reaches 127.0.0.1:0" in lines[0],
                                     listen == "127.0.0.1:0")
                    self.assertEqual("libibverbs" in libraries(pool.meta.pid), loaded)

    def test_auto(self):
        """One line, and everything as without RDMA."""
        with Pool(options=["--rdma=auto"]) as pool:
            said = [line for line in pool.meta.log().splitlines() if "no RDMA" in line]
            self.assertEqual(len(said), 1, pool.meta.log())
            self.assertIn("level=info", said[0])
            self.assertIsNone(pool.status()["nodes"][0]["rdma"])
            pool.cenote("put", "k", "-", input=b"value")
            self.assertEqual(pool.cenote("get", "k").stdout, b"value")
            text = pool.cenote("get", "--transport", "rdma", "k", code=1).stderr.decode()
            self.assertIn("the node cannot be reached", text)
            self.assertNotIn("rdma", pool.cenote("status").stdout.decode())
            self.assertEqual("libibverbs" in libraries(pool.meta.pid), HAS_LIBRARY)

    def test_none_loads_nothing(self):
        with Pool(options=["--rdma=none"]) as pool:
            self.assertIsNone(pool.status()["nodes"][0]["rdma"])
            self.assertNotIn("libibverbs", libraries(pool.meta.pid))

    def test_a_client_looks_for_devices_when_a_node_has_some(self):
        """Here none has; so it doesn't even load the library."""
        with Pool(options=["--rdma=auto"]) as pool:
            for transport, status in (("auto", "OK"), ("rdma", "NODE_DOWN")):
                with Talker(pool, transport) as talker:
                    talker.expect(status, "put", "k" + transport, "value")
                    self.assertNotIn("libibverbs", libraries(talker.process.pid))


if __name__ == "__main__":
    os.environ.pop("CENOTE_RDMA", None)
    unittest.main()
