#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Full load for hours: readers, writers and viewers in a pool that evicts all the time, clients
that come and go, a node that is killed and comes back with its memory. Every value that is read is
checked. Memory, descriptors and threads of the daemons, and what the store takes on disk, are
sampled, and have to be flat: after the first fifth of the time they grow no more than TOLERANCE.

Usage: test_soak_hours.py [--hours H | --seconds S] [--results FILE]
       --results: a line for the campaign (tests/results/soak.tsv); for an hour and for three days:
       test_soak_hours.py --hours 1 --results tests/results/soak.tsv
       tests/system/soak72.sh
"""
import argparse
import collections
import os
import pathlib
import re
import sys
import threading
import time

from pool import MIB, NOISE, SANITIZED, check, end_of
from results import Results
from test_memory import Named

DRAM = 16 * MIB
LIFE_S = 20 # of a client
WARM_PART = 5 # of the time: what comes before isn't judged
SAMPLES_MIN = 10
# Growth from the beginning to the end, by the line through all samples: a part of the mean, and
# what is nothing anyhow.
TOLERANCE = {"rss_kib": (0.02, 1024), "descriptors": (0.0, 3), "threads": (0.0, 1),
             "store_kib": (0.05, 4096)}
LOADS = (("--transport=shm", "--viewers=1"), ("--transport=tcp", "--batch=8"))
COLUMNS = ("seconds", "verified", "puts", "clients", "node_kills", "grown", "violations")


class Load(threading.Thread):
    """Clients, one life after the other."""

    def __init__(self, p, arguments, end):
        super().__init__(daemon=True)
        self.pool, self.arguments, self.end = p, arguments, end
        self.counts = collections.Counter()
        self.failure = None

    def run(self):
        try:
            while time.monotonic() < self.end and self.failure is None:
                self.live(max(1, min(LIFE_S, round(self.end - time.monotonic()))))
        except (AssertionError, OSError) as error:
            self.failure = error

    def live(self, seconds):
        process = self.pool.spawn("storm", "--meta", self.pool.meta_endpoint, "--readers=1",
                                  f"--seconds={seconds}", *self.arguments)
        text = end_of(process, seconds + 60, "a client")
        check(process.returncode == 0, f"a get brought something wrong:\n{text[-2000:]}")
        for name, value in re.findall(r"(\w+) (\d+)", text.strip().splitlines()[-1]):
            self.counts[name] += int(value)
        self.counts["clients"] += 1


def rss_kib(daemon):
    """Without the pool's memory and the store's file."""
    text = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", text)[1])


def sample(p):
    """What is measured, by its name."""
    found = {}
    for daemon in (p.meta, p.nodes[0]): # the other one dies again and again
        found[f"{daemon.name} rss_kib"] = rss_kib(daemon)
        found[f"{daemon.name} descriptors"] = daemon.open_descriptors()
        found[f"{daemon.name} threads"] = len(os.listdir(f"/proc/{daemon.pid}/task"))
    blocks = sum(f.stat().st_blocks for f in p.data_dir.iterdir() if f.is_file())
    found["store_kib"] = blocks // 2
    return found


def growth(points):
    """Of the line that lies nearest to (time, value), from its beginning to its end."""
    count = len(points)
    mean_t = sum(t for t, _ in points) / count
    mean_v = sum(v for _, v in points) / count
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    slope = sum((t - mean_t) * (v - mean_v) for t, v in points) / spread if spread else 0
    return slope * (points[-1][0] - points[0][0]), mean_v


def judge(samples):
    """(name, growth) of all, and what is wrong."""
    grown, wrong = [], []
    for name in samples[0][1]:
        points = [(t, values[name]) for t, values in samples]
        part, free = TOLERANCE[name.split()[-1]]
        more, mean = growth(points)
        grown.append(f"{name} {more:+.0f} of {mean:.0f}")
        if more > max(free, part * mean):
            wrong.append(grown[-1])
    return grown, wrong


def soak(seconds):
    """Counts, growth, and what is wrong."""
    with Named(nodes=2, dram=DRAM, options=["--lease=50ms", "--session-grace=2s"]) as p:
        p.allow(*NOISE)
        begin = time.monotonic()
        loads = [Load(p, arguments, begin + seconds) for arguments in LOADS]
        for load in loads:
            load.start()
        samples, kills = [], 0
        pause = max(0.1, min(10, seconds / 60))
        while time.monotonic() < begin + seconds:
            time.sleep(pause)
            if len(samples) % 20 == 10:
                p.nodes[1].kill()
                p.nodes[1].start()
                kills += 1
            samples.append((time.monotonic() - begin, sample(p)))
        counts = collections.Counter(node_kills=kills)
        for load in loads:
            load.join(120)
            if load.failure is not None:
                raise load.failure
            counts.update(load.counts)
    warm = [s for s in samples if s[0] >= seconds / WARM_PART]
    check(len(warm) >= SAMPLES_MIN, "too few samples")
    grown, wrong = judge(warm)
    return counts, grown, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    results = Results(options.results, COLUMNS)
    seconds = options.hours * 3600 or options.seconds
    try:
        counts, grown, wrong = soak(seconds)
        print(dict(counts), "; ".join(grown), sep="\n", flush=True)
        results.add(round(seconds), counts["verified"], counts["puts"], counts["clients"],
                    counts["node_kills"], "; ".join(grown), len(wrong))
        # In seconds everything is still growing to what it needs.
        check(not wrong or SANITIZED or seconds < 600, f"grown: {wrong}")
    except AssertionError as error:
        print(f"FAILED: {error}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
