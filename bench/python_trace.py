#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A request trace through LMCache's adapter, beside `cenote-bench trace` on the same pool.

    bench/python_trace.py FILE [--requests N] [--rounds N] [--block BYTES] [--transport NAME]

Starts a pool of its own. In each round both replay the same requests, each in a process of its own
and into a pool that is empty again: how many leading blocks are there, get them, put the others;
every byte that was got is checked. Compared is the time within the calls: of the adapter, from a
submission until its completion was drained, as its caller's three threads would see it.
Needs targets python and cenote-bench, and python3-numpy.
"""
import argparse
import contextlib
import itertools
import json
import os
import pathlib
import select
import statistics
import subprocess
import sys
import time

TREE = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.setdefault("CENOTE_BIN", str(TREE / "build/bin"))).resolve()
sys.path.insert(0, str(BIN.parent / "python"))
import cenote  # noqa: E402 pylint: disable=wrong-import-position
import numpy  # noqa: E402 pylint: disable=wrong-import-position
from cenote.adapters import lmcache_native  # noqa: E402 pylint: disable=wrong-import-position

ROOM = 1.25  # pool beside unique blocks
CALLS = ("lookup", "get", "put")


class Replay:
    """A serving engine with one request at a time."""

    def __init__(self, connector, blocks_max, block_bytes):
        self._connector = connector
        self._poll = select.poll()
        self._poll.register(connector.event_fd(), select.POLLIN)
        self._memory = numpy.zeros((blocks_max, block_bytes // 8), numpy.uint64)
        self._words = numpy.arange(block_bytes // 8, dtype=numpy.uint64)
        self._views = [memoryview(row).cast("B") for row in self._memory]
        self.counts = dict.fromkeys(("blocks", "hits", "puts", "failed_puts", "wrong"), 0)
        self.seconds = dict.fromkeys(CALLS, 0.0)
        self.samples = {call: [] for call in CALLS}

    def _call(self, what, submit, *arguments):
        """(results of each key, did all go well?) of a submission, waited for and timed."""
        begin = time.perf_counter()
        number = submit(*arguments)
        done = []
        while not done:
            self._poll.poll()
            done = self._connector.drain_completions()
        took = time.perf_counter() - begin
        (found, ok, _, results), = done
        assert found == number
        self.seconds[what] += took
        self.samples[what].append(took * 1e6)
        return results, ok

    def _bytes_of(self, number):
        """A block's words: all words of all blocks are different."""
        return self._words + numpy.uint64(number << 32)

    def serve(self, numbers):
        """One request."""
        keys = [f"block/{number}" for number in numbers]
        connector, views = self._connector, self._views
        there, _ = self._call("lookup", connector.submit_batch_exists, keys)
        prefix = there.index(False) if False in there else len(there)
        self.counts["blocks"] += len(keys)
        if prefix:
            self._memory[:prefix] = 0
            results, _ = self._call("get", connector.submit_batch_get, keys[:prefix],
                                    views[:prefix])
            for i, good in enumerate(results):
                self.counts["hits"] += good
                if good and not (self._memory[i] == self._bytes_of(numbers[i])).all():
                    self.counts["wrong"] += 1
        if prefix < len(keys):
            for i in range(prefix, len(keys)):
                self._memory[i] = self._bytes_of(numbers[i])
            _, ok = self._call("put", connector.submit_batch_set, keys[prefix:],
                               views[prefix:len(keys)])
            self.counts["puts" if ok else "failed_puts"] += len(keys) - prefix


def requests_of(path, most):
    """The blocks' numbers of each request."""
    with open(path, encoding="ascii") as lines:
        return [json.loads(line)["hash_ids"] for line in itertools.islice(lines, most)]


def replay(options):
    """One replay through the adapter, in this process; prints what came of it as JSON."""
    requests = [r for r in requests_of(options.file, options.requests) if r]
    connector = lmcache_native.CenoteConnector(meta=options.once, transport=options.transport)
    engine = Replay(connector, max(map(len, requests)), options.block)
    for request in requests:
        engine.serve(request)
    connector.close()
    print(json.dumps({**engine.counts, "call_seconds": sum(engine.seconds.values()),
                      **{f"{c}_seconds": s for c, s in engine.seconds.items()},
                      "p50_us": {c: statistics.median(s) for c, s in engine.samples.items() if s}}))


def run(command):
    """What a program prints as JSON."""
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def empty(pool):
    """Removes all, and waits for its memory."""
    with pool.client() as client:
        for space in client.namespaces():
            client.namespace_clear(space.name)
        while client.status()["capacity"]["quarantined_bytes"]:
            time.sleep(0.01)


def compare(options):
    """Rounds in turns: seconds within calls of each."""
    ids = {n for request in requests_of(options.file, options.requests) for n in request}
    room = int(len(ids) * options.block * ROOM) + (64 << 20)
    common = ["--requests", str(options.requests), "--transport", options.transport]
    rounds = []
    with cenote.local(room, options=["--lease=300ms"]) as pool:
        ways = {"C": [BIN / "cenote-bench", "--json", "--meta", pool.endpoint, "--block",
                      str(options.block), *common, "trace", options.file],
                "LMCache's adapter": [sys.executable, __file__, options.file, *common, "--block",
                                      str(options.block), "--once", pool.endpoint]}
        for i in range(options.rounds):
            for way in sorted(ways, reverse=bool(i % 2)):
                found = run(ways[way])
                assert found.get("wrong", 0) == found.get("wrong_bytes", 0) == 0, found
                assert found.get("failed_puts", 0) == found.get("put_no_space", 0) == 0, found
                rounds.append((way, found))
                empty(pool)
    return rounds


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=pathlib.Path, help="a trace, see bench/README.md")
    parser.add_argument("--requests", type=int, default=1000, help="only the first N")
    parser.add_argument("--rounds", type=int, default=3, help="how often each replays")
    parser.add_argument("--block", type=int, default=65536, help="bytes of a block")
    parser.add_argument("--transport", default="auto", help="how bytes travel")
    parser.add_argument("--json", type=pathlib.Path, help="write all results there, too")
    parser.add_argument("--once", metavar="ENDPOINT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        replay(options)
        return
    rounds = compare(options)
    seconds = {}
    for way, found in rounds:
        seconds.setdefault(way, []).append(found["call_seconds"])
        print(f"{way:<18} {found['blocks']} blocks, {found['hits']} hits, in calls "
              f"{found['call_seconds']:.3f} s: "
              + ", ".join(f"{c} {found[f'{c}_seconds']:.3f}" for c in CALLS))
    ratios = [c / p for c, p in zip(seconds["C"], seconds["LMCache's adapter"])]
    fastest = min(seconds["C"]) / min(seconds["LMCache's adapter"])
    print(f"load {os.getloadavg()[0]:.1f}; rate of the adapter, of C's: by the fastest of each "
          f"{fastest:.2f}; by rounds, median {statistics.median(ratios):.2f} "
          f"({min(ratios):.2f} to {max(ratios):.2f})")
    if options.json:
        options.json.write_text(json.dumps(rounds, indent=1))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
