#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What readelf says of the programs and the library: hardened, and linked to what they need only.
And what the kernel says of their threads (doc/THREADS.md)."""
import os
import pathlib
import re
import subprocess
import unittest

from pool import BIN, SANITIZED, Pool, wait_until

LIB = pathlib.Path(os.environ.get("CENOTE_LIB", "build/lib")).resolve()
SHARED = LIB / "libcenote.so"
PROGRAMS = (BIN / "cenoted", BIN / "cenote", BIN / "cenote-bench")
# Of ours and of the system; libpthread is a library of its own in older C libraries.
SYSTEM = {"c", "pthread", "ld-linux-x86-64", "ld-linux-aarch64"}
LIBRARY_NEEDS = {"msgpackc", "msgpack-c", "sodium", "xxhash"} | SYSTEM
DAEMON_NEEDS = LIBRARY_NEEDS | {"lmdb", "event_core-2.1", "event_pthreads-2.1"}
TOOL_NEEDS = LIBRARY_NEEDS | {"jansson"}
BENCH_NEEDS = TOOL_NEEDS | {"lmdb"}


def readelf(path, *options):
    return subprocess.run(["readelf", "--wide", *options, path], check=True, capture_output=True,
                          text=True).stdout


def needed(path):
    """Names of libraries, without lib and .so."""
    return set(re.findall(r"\(NEEDED\).*\[(?:lib)?([^\]]+?)\.so", readelf(path, "--dynamic")))


def called(path):
    """Names that a file takes from libraries."""
    return set(re.findall(r" UND (\w+)", readelf(path, "--dyn-syms")))


class Hardened(unittest.TestCase):
    def check(self, path):
        dynamic, segments = readelf(path, "--dynamic"), readelf(path, "--segments")
        self.assertRegex(dynamic, r"\(FLAGS\).*BIND_NOW")
        self.assertRegex(dynamic, r"\(FLAGS_1\).*NOW")
        self.assertNotIn("TEXTREL", dynamic)
        self.assertIn("GNU_RELRO", segments)
        self.assertRegex(segments, r"GNU_STACK .* RW ")  # not executable
        self.assertNotRegex(segments, r"LOAD .* RWE ")
        self.assertIn("__stack_chk_fail", called(path))
        self.assertIn("__snprintf_chk", called(path), "_FORTIFY_SOURCE is off")

    def test_programs(self):
        for path in PROGRAMS:
            with self.subTest(path.name):
                self.check(path)
                self.assertRegex(readelf(path, "--dynamic"), r"\(FLAGS_1\).*PIE")
                self.assertRegex(readelf(path, "--file-header"), r"Type:\s+DYN")

    def test_library(self):
        self.check(SHARED)
        self.assertRegex(readelf(SHARED, "--dynamic"), r"\(SONAME\).*\[libcenote\.so\.1\]")


class Needs(unittest.TestCase):
    def test_library(self):
        self.assertLessEqual(needed(SHARED), LIBRARY_NEEDS)

    def test_programs(self):
        for path, allowed in zip(PROGRAMS, (DAEMON_NEEDS, TOOL_NEEDS, BENCH_NEEDS)):
            with self.subTest(path.name):
                self.assertLessEqual(needed(path), allowed)


class Threads(unittest.TestCase):
    def test_of_the_library(self):
        """The archive shows what of ours is inside."""
        text = subprocess.run(["nm", "--undefined-only", LIB / "libcenote.a"], check=True,
                              capture_output=True, text=True).stdout
        names = set(re.findall(r" U (\w+)", text))
        self.assertIn("pthread_mutex_lock", names)
        for name in ("thrd_create", "clone", "fork", "vfork", "pthread_atfork",
                     "signal", "sigaction", "exit", "_exit", "atexit", "printf"):
            self.assertNotIn(name, names)

    def check_count(self, process, count):
        wait_until(lambda: len(os.listdir(f"/proc/{process.pid}/task")) == count,
                   what=f"{process.name} having {count} threads")

    def test_of_a_whole_pool(self):
        with Pool() as pool:
            self.check_count(pool.meta, 8)

    def test_with_http(self):
        with Pool(options=["--http=127.0.0.1:0"]) as pool:
            self.check_count(pool.meta, 10)  # its loop, and a worker of the gateway

    def test_of_a_split_pool(self):
        with Pool(nodes=1, split=True, meta_options=["--durability=sync"]) as pool:
            self.check_count(pool.meta, 3)
            self.check_count(pool.nodes[0], 5)


if __name__ == "__main__":
    if SANITIZED:
        print("SKIPPED: sanitizers link and harden in their own way")
        raise SystemExit(77)
    unittest.main()
