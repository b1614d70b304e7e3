#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Surroundings that don't play along: data directories that are taken, read-only, full, of another
version or garbage; addresses in use; options that make no sense. cenoted says what is wrong."""
import os
import shutil
import subprocess
import tempfile
import unittest

from pool import BIN, SLOWNESS, Pool
from protocol import Client, Failure

META_FULL = -84


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
        with Pool(meta_options=["--meta-map-size", "1MiB"]) as pool:
            client, count = Client(pool.meta_endpoint), 0
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
            wait_until(lambda: pool.used_bytes() == 0, 10)


if __name__ == "__main__":
    unittest.main()
