#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The eviction storm: readers with leases of milliseconds in a pool that turns over many times a
second. Everything they get is checked byte by byte (storm.c); nothing may be wrong, stale or torn,
and the pool is never full.

    shm, tcp   gets, by batches and one by one
    small      of values so short that most of the time is for the gets
    views      ... and views that are held while the pool turns over

Usage: test_storm.py [--seconds S | --gets N] [--only CASE] [--results FILE]
       --gets N   until so many gets have been verified, in all cases together
       --results  a line for each case of the campaign: tests/results/storm.tsv
"""
import argparse
import datetime
import os
import pathlib
import re
import subprocess
import sys

from pool import MIB, NOISE, SLOWNESS, Pool, check, end_of

TOP = pathlib.Path(os.environ.get("CENOTE_SOURCE", "."))
DRAM = 2 * MIB
LEASE = "--lease=10ms"
KEYS = ("--keys=20000", "--window=5000") # about as many as have room
TURNS_MIN = 3 # times that the pool was filled, at least
LONGEST_S = 24 * 3600
CASES = {
    "shm": ("--transport=shm",),
    "tcp": ("--transport=tcp",),
    "small": ("--transport=shm", "--max=256"),
    "views": ("--transport=shm", "--viewers=2", "--readers=1"),
}
COLUMNS = ("date", "commit", "case", "verified", "missed", "late", "views", "puts", "turns",
           "wrong", "seconds", "command")


def storm(case, seconds, gets):
    """Its counts."""
    with Pool(nodes=1, dram=DRAM, options=[LEASE]) as p:
        p.allow(*NOISE)
        amount = [f"--gets={gets}", f"--seconds={LONGEST_S}"] if gets else [f"--seconds={seconds}"]
        process = p.spawn("storm", "--meta", p.meta_endpoint, *KEYS, *CASES[case],
                          *amount)
        text = end_of(process, LONGEST_S if gets else seconds + 60, "the storm")
        last = text.strip().splitlines()[-1]
        counts = {name: int(value) for name, value in re.findall(r"(\w+) (\d+)", last)}
        check(process.returncode == 0, f"{case}: a get brought something wrong:\n{text[-3000:]}")
    return counts


def judge(case, counts):
    print(f"{case}: {counts}", flush=True)
    check(counts["verified"] > 0 and counts["missed"] > 0, f"{case}: nothing was read, or missed")
    check(counts["full"] == 0, f"{case}: the pool was full {counts['full']} times")
    check(counts["failed"] == 0, f"{case}: {counts['failed']} puts failed")
    turns = counts["bytes"] // DRAM
    check(turns >= TURNS_MIN // SLOWNESS, f"{case}: the pool turned over {turns} times only")
    if case == "views":
        check(counts["views"] > 0, "nothing was viewed")


def record(path, case, counts):
    new = not path.exists()
    commit = subprocess.run(["git", "-C", TOP, "rev-parse", "--short=12", "HEAD"],
                            capture_output=True, text=True, check=False).stdout.strip()
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ")
    line = (now, commit, case, counts["verified"], counts["missed"], counts["late"],
            counts["views"], counts["puts"], counts["bytes"] // DRAM, counts["wrong"],
            counts["ms"] // 1000, " ".join(["tests/system/test_storm.py", *sys.argv[1:]]))
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as out:
        if new:
            out.write("\t".join(COLUMNS) + "\n")
        out.write("\t".join(map(str, line)) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--gets", type=int, default=0)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    cases = [options.only] if options.only else list(CASES)
    try:
        for case in cases:
            counts = storm(case, options.seconds, -(-options.gets // len(cases)))
            if options.results is not None:
                record(options.results, case, counts)
            judge(case, counts)
    except AssertionError as error:
        print(f"FAILED: {error}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
