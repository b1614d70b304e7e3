#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Package cenote beside libcenote: what Python adds to a block, a lookup and a small get.

    bench/python.py [--rounds N] [--json FILE]

Starts a pool of its own (build/bin). On the block of DeepSeek-R1's KV cache (122 buffers, 8784 KiB)
three ways take turns, block by block: cenote_get_batch() of libcenote.so with everything prepared,
Client.get_batch() into numpy arrays, and into their addresses. Each key is fetched once, so that
each get asks the service. Needs targets python and cenote, and python3-numpy.
"""
import argparse
import ctypes
import json
import os
import pathlib
import statistics
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
SET_BLOCKS = 30 # more than a cache holds
WARM_TURNS = 6 # that touch all of the pool, and don't count
KEYS = 1000
WAYS = ("C", "numpy arrays", "addresses")


def microseconds(function, *arguments):
    begin = time.perf_counter_ns()
    function(*arguments)
    return (time.perf_counter_ns() - begin) / 1000


class Key(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("len_bytes", ctypes.c_size_t)]


class Piece(ctypes.Structure):
    _fields_ = [("addr", ctypes.c_void_p), ("len_bytes", ctypes.c_size_t)]


class Item(ctypes.Structure):
    """struct cenote_get_item."""

    _fields_ = [("key", Key), ("buffers", ctypes.POINTER(Piece)), ("count", ctypes.c_size_t),
                ("len_bytes", ctypes.c_uint64), ("status", ctypes.c_int)]


class Library:
    """A client by libcenote.so."""

    def __init__(self):
        library = ctypes.CDLL(str(BIN.parent / "lib/libcenote.so"))
        self.client = ctypes.c_void_p()
        assert library.cenote_open(None, ctypes.byref(self.client)) == 0
        self.get_batch = library.cenote_get_batch
        self.get_batch.argtypes = (ctypes.c_void_p, ctypes.POINTER(Item), ctypes.c_size_t)
        self.close = lambda: library.cenote_close(ctypes.byref(self.client))

    def get(self, key, pieces):
        """The time of a get, of which all was made before."""
        item = Item(Key(key.encode(), len(key)), (Piece * len(pieces))(*pieces), len(pieces))
        return microseconds(self.get_batch, self.client, item, 1)


class Blocks:
    """Blocks in numpy arrays, layer by layer, as an engine has them."""

    def __init__(self):
        self.arrays = [numpy.full((SET_BLOCKS, size), i, numpy.uint8)
                       for i, size in enumerate(SIZES)]

    def pieces(self, number):
        return [a[number] for a in self.arrays]

    def addresses(self, number):
        return [(a.ctypes.data + number * a.shape[1], a.shape[1]) for a in self.arrays]


def turn(client, reader, library, source, target, first, times):
    """Puts all blocks, then gets each, in one of the ways. Who gets has put nothing: it
    has mapped the pool's memory, and touched it, as the library's client has."""
    keys = [f"block/{i}" for i in range(SET_BLOCKS)]
    for i, key in enumerate(keys):
        value = source.pieces(i)
        times["put"].append(microseconds(client.put_batch, [key], [value]))
    for i, key in enumerate(keys):
        way = WAYS[(i + first) % len(WAYS)]
        pieces = target.pieces(i) if way == "numpy arrays" else target.addresses(i)
        if way == "C":
            took = library.get(key, pieces)
        else:
            took = microseconds(reader.get_batch, [key], [pieces])
        times[way].append(took)
    assert all((a == i % 256).all() for i, a in enumerate(target.arrays))
    for a in target.arrays:
        a[:] = 255
    assert client.remove_batch(keys) == [0] * len(keys)
    while client.status()["capacity"]["quarantined_bytes"]:
        time.sleep(0.01)


def measure_blocks(pool, rounds):
    """GB/s of each way, by the median of its times."""
    times = {name: [] for name in ("put", *WAYS)}
    source, target = Blocks(), Blocks()
    os.environ["CENOTE_META"] = pool.endpoint
    library = Library()
    with pool.client() as client, pool.client() as reader:
        for a in target.arrays:
            reader.register(a)
        for first in range(WARM_TURNS):
            turn(client, reader, library, source, target, first, {name: [] for name in times})
        for first in range(rounds):
            turn(client, reader, library, source, target, first, times)
    library.close()
    return {name: BLOCK_BYTES / statistics.median(t) / 1000 for name, t in times.items()}


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
    parser.add_argument("--rounds", type=int, default=9, help="how often each block is used")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures there, too")
    options = parser.parse_args()
    with cenote.local("560MiB", options=["--lease=300ms"]) as pool:
        rates = measure_blocks(pool, options.rounds)
        small = measure_small(pool)
    load = os.getloadavg()[0]
    print(f"load {load:.1f}; block of {BLOCK_BYTES >> 10} KiB in {len(SIZES)} buffers, GB/s:")
    for way in WAYS:
        print(f"  get, {way:<14} {rates[way]:6.2f}   of C: {rates[way] / rates['C']:.2f}")
    print(f"  put, numpy arrays   {rates['put']:6.2f}")
    print("microseconds, p50 and p99:")
    for name, (p50, p99) in small.items():
        print(f"  {name:<32} {p50:8.1f} {p99:8.1f}")
    if options.json:
        options.json.write_text(json.dumps({"load": load, "gbps": rates, "small_us": small},
                                           indent=1))


if __name__ == "__main__":
    main()
