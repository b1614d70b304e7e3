#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Instructions of the service (and of the node in its process) for a put: in a pool that has room,
and in one that is full and gives up as much as comes. No noise of other programs reaches them.

    bench/evict.py [SIZE]... [--puts N] [--functions N]

Starts a pool of its own (build/bin) under callgrind, and counts user instructions of each thread;
what the ticks of an idle pool take is measured beside it and taken off. `cenote-bench evict` has
the times. --functions: which functions the difference lies in, calls included.
"""
import argparse
import collections
import ctypes
import os
import pathlib
import re
import subprocess
import sys
import time

TREE = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.setdefault("CENOTE_BIN", str(TREE / "build/bin"))).resolve()
sys.path.insert(0, str(TREE / "tests/system"))
from pool import MIB, Pool, wait_until # noqa: E402 pylint: disable=wrong-import-position

BATCH_BYTES = MIB
BATCH_MAX = 128
# Between the marks (1 % of the pool) lies twice what is evicted at a time, as in a pool of any use.
POOL_OBJECTS = 12800
POOL_MAX_BYTES = 1024 * MIB
IDLE_S = 3
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20}


class Key(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("len_bytes", ctypes.c_size_t)]


class Piece(ctypes.Structure):
    _fields_ = [("addr", ctypes.c_void_p), ("len_bytes", ctypes.c_size_t)]


class Item(ctypes.Structure):
    """struct cenote_put_item."""

    _fields_ = [("key", Key), ("buffers", ctypes.POINTER(Piece)), ("count", ctypes.c_size_t),
                ("status", ctypes.c_int)]


class Putter:
    """Puts batches of new keys by libcenote.so."""

    def __init__(self, endpoint, size):
        self.library = ctypes.CDLL(str(BIN.parent / "lib/libcenote.so"))
        os.environ["CENOTE_META"] = endpoint
        self.client = ctypes.c_void_p()
        assert self.library.cenote_open(None, ctypes.byref(self.client)) == 0
        self.put_batch = self.library.cenote_put_batch
        self.put_batch.argtypes = (ctypes.c_void_p, ctypes.POINTER(Item), ctypes.c_size_t,
                                   ctypes.c_uint)
        self.source = ctypes.create_string_buffer(size)
        self.piece = Piece(ctypes.addressof(self.source), size)
        self.batch = max(1, min(BATCH_MAX, BATCH_BYTES // size))
        self.number = 0

    def put(self):
        keys = [f"evict/{self.number + i}".encode() for i in range(self.batch)]
        items = (Item * self.batch)(*(Item(Key(k, len(k)), ctypes.pointer(self.piece), 1, 0)
                                      for k in keys))
        assert self.put_batch(self.client, items, self.batch, 0) == 0
        self.number += self.batch

    def close(self):
        self.library.cenote_close(ctypes.byref(self.client))


class Counter:
    """Counts what a process under callgrind does while something happens."""

    def __init__(self, pool, daemon, directory):
        self.pool, self.pid, self.dir = pool, str(daemon.pid), directory

    def control(self, *words):
        subprocess.run(["callgrind_control", *words, self.pid], check=True, capture_output=True)

    def count(self, what):
        """({thread: instructions}, {function: instructions, calls included}, seconds)"""
        self.control("--zero")
        begin = time.monotonic()
        what()
        seconds = time.monotonic() - begin
        before = set(self.dir.glob("cg.*"))
        self.control("--dump")
        threads, functions = {}, collections.Counter()
        for path in set(self.dir.glob("cg.*")) - before:
            text = path.read_text()
            total = re.search(r"^(?:totals|summary): (\d+)", text, re.M)
            thread = re.search(r"^thread: (\d+)", text, re.M)
            if total and thread and int(total[1]):
                threads[int(thread[1])] = int(total[1])
                functions.update(inclusive(path))
        return threads, functions, seconds


def inclusive(path):
    done = subprocess.run(["callgrind_annotate", "--inclusive=yes", "--threshold=100", path],
                          capture_output=True, text=True, check=True)
    found = {}
    for line in done.stdout.splitlines():
        m = re.match(r"\s*([\d,]+) \([^)]*\)\s+\S*:(\S+)", line)
        if m:
            found[m[2]] = max(found.get(m[2], 0), int(m[1].replace(",", "")))
    return found


def evicted(pool):
    counts = pool.status()["eviction"]
    return counts["space"]["objects"] + counts["background"]["objects"]


def measure(size, puts, functions):
    dram = min(POOL_OBJECTS * size, POOL_MAX_BYTES) // MIB * MIB
    pool = Pool(dram=dram, meta_options=["--lease=300ms", "--meta-map-size=256MiB",
                                         "--scrub-rate=0"])
    pool.meta.launcher = ["valgrind", "--tool=callgrind", "--separate-threads=yes",
                          f"--callgrind-out-file={pool.dir}/cg"]
    with pool:
        putter = Putter(pool.meta_endpoint, size)
        puts = min(puts, dram // 4 // size) // putter.batch * putter.batch
        counter = Counter(pool, pool.meta, pool.dir)

        def some():
            for _ in range(puts // putter.batch):
                putter.put()
            wait_until(pool.settled, 60)

        putter.put()
        idle, _, idle_s = counter.count(lambda: time.sleep(IDLE_S))
        a_second = sum(idle.values()) / idle_s
        roomy, roomy_functions, roomy_s = counter.count(some)
        while evicted(pool) == 0:
            putter.put()
        wait_until(pool.settled, 60)
        gone = evicted(pool)
        full, full_functions, full_s = counter.count(some)
        gone = evicted(pool) - gone
        putter.close()
    roomy_total = (sum(roomy.values()) - a_second * roomy_s) / puts
    full_total = (sum(full.values()) - a_second * full_s) / puts
    print(f"{size} bytes, batches of {putter.batch}, {puts} puts: {roomy_total:.0f} instructions a "
          f"put with room, {full_total:.0f} when full ({gone / puts:.2f} evicted a put): "
          f"{full_total - roomy_total:+.0f}", flush=True)
    print("  threads with room:", {t: n // puts for t, n in sorted(roomy.items()) if n > puts})
    print("  threads when full:", {t: n // puts for t, n in sorted(full.items()) if n > puts})
    more = {f: (full_functions[f] - roomy_functions[f]) / puts for f in full_functions}
    for name, count in sorted(more.items(), key=lambda x: -x[1])[:functions]:
        print(f"  {count:+8.0f}  {name}")


def size_of(text):
    m = re.fullmatch(r"(\d+)([KM]?)", text)
    if not m:
        raise argparse.ArgumentTypeError(f"'{text}' is no size")
    return int(m[1]) * UNITS[m[2]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=size_of, metavar="SIZE")
    parser.add_argument("--puts", type=int, default=2048, help="at most, in each state")
    parser.add_argument("--functions", type=int, default=0, metavar="N")
    options = parser.parse_args()
    for size in options.sizes or [4 << 10, 64 << 10, 8784 << 10]:
        measure(size, options.puts, options.functions)


if __name__ == "__main__":
    main()
