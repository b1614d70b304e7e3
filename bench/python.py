#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Package cenote beside libcenote: what Python adds to a block, a lookup and a small get.

    bench/python.py [--rounds N] [--json FILE]

Starts a pool of its own (build/bin), and lets `cenote-bench copy` and Python take turns, some blocks
each, on the same block of DeepSeek-R1's KV cache (122 buffers, 8784 KiB) under new keys each time.
Needs target python, and python3-numpy.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

TREE = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.setdefault("CENOTE_BIN", str(TREE / "build/bin"))).resolve()
sys.path.insert(0, str(BIN.parent / "python"))
import cenote # noqa: E402 pylint: disable=wrong-import-position
import numpy # noqa: E402 pylint: disable=wrong-import-position

LAYERS, LARGE, SMALL = 61, 128 << 10, 16 << 10
SIZES = [LARGE, SMALL] * LAYERS
BLOCK_BYTES = sum(SIZES)
SET_BLOCKS = 48 # more than a cache holds, as in cenote-bench
KEYS = 1000
C_ROUNDS = 100 # of one turn


def microseconds(function, *arguments):
    begin = time.perf_counter_ns()
    function(*arguments)
    return (time.perf_counter_ns() - begin) / 1000


def c_rate(pool):
    """One turn of the C program: GB/s of gets with all checks, and of memcpy."""
    done = subprocess.run([BIN / "cenote-bench", "--json", "--rounds", str(C_ROUNDS), "copy"],
                          env={**os.environ, "CENOTE_META": pool.endpoint}, check=True,
                          capture_output=True)
    found = json.loads(done.stdout)
    return {name: found[name]["gbps"] for name in ("get_full", "put", "memcpy_out")}


class Blocks:
    """Blocks in numpy arrays, layer by layer, as an engine has them."""

    def __init__(self):
        self.arrays = [numpy.full((SET_BLOCKS, size), i, numpy.uint8)
                       for i, size in enumerate(SIZES)]

    def pieces(self, number):
        return [a[number] for a in self.arrays]

    def addresses(self, number):
        return [(a.ctypes.data + number * a.shape[1], a.shape[1]) for a in self.arrays]


def turn(client, source, target, times):
    """Puts all blocks, then gets each into numpy arrays, under keys that the client doesn't know."""
    for way in ("arrays", "addresses"):
        keys = [f"{way}/{i}" for i in range(SET_BLOCKS // 2)]
        into = target.pieces if way == "arrays" else target.addresses
        for i, key in enumerate(keys):
            value = source.pieces(i)
            times["put"].append(microseconds(client.put_batch, [key], [value]))
        for i, key in enumerate(keys):
            values = [into(i)]
            times["get " + way].append(microseconds(client.get_batch, [key], values))
        assert all((a[:len(keys)] == i % 256).all() for i, a in enumerate(target.arrays))
        for a in target.arrays:
            a[:] = 255
        assert client.remove_batch(keys) == [0] * len(keys)


def measure_blocks(pool, rounds):
    times = {"put": [], "get arrays": [], "get addresses": []}
    source, target = Blocks(), Blocks()
    rates = []
    with pool.client() as client:
        for a in target.arrays:
            client.register(a)
        turn(client, source, target, {name: [] for name in times}) # first touches don't count
        for _ in range(rounds):
            rates.append(c_rate(pool))
            turn(client, source, target, times)
    c = {name: statistics.median(r[name] for r in rates) for name in rates[0]}
    python = {name: BLOCK_BYTES / statistics.median(v) / 1000 for name, v in times.items()}
    return c, python


def measure_small(pool):
    """Medians in us: 1,000 keys' prefix, warm and cold gets of 4 KiB, exists."""
    keys = [f"model@{i:064x}" for i in range(KEYS)]
    with pool.client() as client:
        client.put_batch(keys, [bytes(64)] * KEYS)
        value, memory = bytes(4096), numpy.empty(4096, numpy.uint8)
        client.put("small", value)
        many = [f"small/{i}" for i in range(2000)]
        client.put_batch(many, [value] * len(many))
        assert client.prefix(keys) == KEYS
        found = {
            "prefix of 1,000 keys": [microseconds(client.prefix, keys) for _ in range(500)],
            "get_into of 4 KiB, lookup known": [microseconds(client.get_into, "small", memory)
                                                for _ in range(5000)],
            "get of 4 KiB, lookup known": [microseconds(client.get, "small") for _ in range(5000)],
            "get_into of 4 KiB, asked for": [microseconds(client.get_into, key, memory)
                                             for key in many],
            "exists": [microseconds(client.exists, "small") for _ in range(2000)],
        }
    return {name: (statistics.median(v), statistics.quantiles(v, n=100)[98])
            for name, v in found.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures there, too")
    options = parser.parse_args()
    with cenote.local("1200MiB", options=["--lease=300ms"]) as pool:
        c, python = measure_blocks(pool, options.rounds)
        small = measure_small(pool)
    load = os.getloadavg()[0]
    print(f"load {load:.1f}; block of {BLOCK_BYTES >> 10} KiB in {len(SIZES)} buffers, GB/s:")
    print(f"  C (cenote-bench copy)          get {c['get_full']:.2f}  put {c['put']:.2f}  "
          f"memcpy {c['memcpy_out']:.2f}")
    for way in ("arrays", "addresses"):
        rate = python["get " + way]
        print(f"  Python, numpy, {way:<15} get {rate:.2f}  of C: {rate / c['get_full']:.2f}")
    print(f"  Python, numpy                  put {python['put']:.2f}  "
          f"of C: {python['put'] / c['put']:.2f}")
    print("microseconds, p50 and p99:")
    for name, (p50, p99) in small.items():
        print(f"  {name:<32} {p50:8.1f} {p99:8.1f}")
    if options.json:
        options.json.write_text(json.dumps({"load": load, "c": c, "python": python,
                                            "small": small}, indent=1))


if __name__ == "__main__":
    main()
