#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Surroundings that don't play along: data directories that are taken, read-only, full, of another
version or garbage; addresses in use; options that make no sense. cenoted says what is wrong."""
import os
import shutil
import subprocess
import tempfile
import unittest

from pool import BIN, SHORT, SLOWNESS, Pool
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
                              capture_output=True, timeout=20 * SLOWNESS, check=False)
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

    def closed_pool(self):
        """The data directory of a pool that has been stopped in order."""
        with Pool(split=True) as pool:
            pool.cenote("put", "k", "-", input=b"v")
            pool.stop()
            shutil.copytree(pool.data_dir, f"{self.dir}/meta")
        return f"{self.dir}/meta"

    def test_what_the_other_tests_change_is_fine_without_the_change(self):
        folder = self.closed_pool()
        daemon = subprocess.Popen([BIN / "cenoted", "--roles=meta", "--listen",
                                   f"unix:{self.dir}/c", "--data-dir", folder], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.assertIn("ready", daemon.stdout.readline())
        daemon.terminate()
        _, text = daemon.communicate(timeout=20 * SLOWNESS)
        self.assertEqual(daemon.returncode, 0, text)

    def test_another_format(self):
        folder = self.closed_pool()
        with open(f"{folder}/state", "r+", encoding="ascii") as state:
            text = state.read()
            self.assertIn("format=2 ", text)
            state.seek(0)
            state.write(text.replace("format=2 ", "format=7 "))
        text = self.meta()
        self.assertIn("has format version 7, this program reads version 2", text)

    def test_garbage_in_the_data_directory(self):
        folder = self.closed_pool()
        for name, content, says in (("state", b"\0garbage\xff" * 20, "not a state file"),
                                    ("data.mdb", os.urandom(65536), "data.mdb"),
                                    ("data.mdb", b"", "data.mdb is missing"),
                                    ("data.mdb", None, "data.mdb is missing")):
            with self.subTest(name=name, says=says):
                shutil.rmtree(f"{self.dir}/spoiled", ignore_errors=True)
                shutil.copytree(folder, f"{self.dir}/spoiled")
                if content is None:
                    os.unlink(f"{self.dir}/spoiled/{name}")
                else:
                    with open(f"{self.dir}/spoiled/{name}", "wb") as f:
                        f.write(content)
                self.assertIn(says, self.meta("--data-dir", f"{self.dir}/spoiled"))

    def test_a_file_in_the_place_of_the_data_directory(self):
        with open(f"{self.dir}/meta", "wb"):
            pass
        self.assertIn(f"{self.dir}/meta", self.meta())

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
    def test_read_only(self):
        folder = self.closed_pool()
        for mount in (f"mount -t tmpfs -o ro none {folder} &&",
                      f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder} &&"):
            with self.subTest(mount):
                text = self.meta(before=mount)
                self.assertIn(folder, text)
                self.assertIn("Read-only file system", text)

    @unittest.skipIf(os.geteuid() != 0, "needs root to mount")
    def test_full_disk(self):
        os.mkdir(f"{self.dir}/meta")
        for size, says in (("4k", "No space left on device"), ("16k", "No space left on device"),
                           ("64k", "the disk is full")):
            with self.subTest(size):
                text = self.meta(before=f"mount -t tmpfs -o size={size} none {self.dir}/meta &&")
                self.assertIn(f"{self.dir}/meta", text)
                self.assertIn(says, text)

    def test_full_metadata(self):
        with Pool(meta_options=[*SHORT, "--meta-map-size", "1MiB"]) as pool:
            pool.allow("the map is full")
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
            pool.wait_used(0)


if __name__ == "__main__":
    unittest.main()
