#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The eviction storm: readers with leases of milliseconds in a pool that turns over many times a
second. Everything they get is checked byte by byte (storm.c); nothing may be wrong, stale or torn,
and the pool is never full.

    shm, tcp   gets of up to 32 KiB, by batches and one by one
    small      of values so short that most of the time is for the gets
    views      ... and views that are held while the pool turns over

Usage: test_storm.py [--seconds S | --gets N] [--only CASE] [--results FILE]
       --gets N   until so many gets have been verified, in all cases together
       --results  a line for each case of the campaign: tests/results/storm.tsv
"""
import argparse
import pathlib
import re
import sys

from pool import MIB, NOISE, Pool, check, end_of
from results import Results

DRAM = 2 * MIB
LEASE = "--lease=10ms"
# Of what has room about half is read: what is read is leased, and where that is all, none may go.
SHORT = ("--keys=20000", "--window=2000", "--readers=8")
LONG = ("--keys=500", "--window=60", "--max=32K", "--batch=16", "--readers=8")
LONGEST_S = 24 * 3600
PATIENCE_S = 18
# Of 100 gets of a campaign.
SHARES = {"shm": 30, "tcp": 20, "small": 45, "views": 5}
CASES = {
    "shm": ("--transport=shm", *LONG),
    "tcp": ("--transport=tcp", *LONG),
    "small": ("--transport=shm", *SHORT, "--max=256"),
    "views": ("--transport=shm", *SHORT, "--viewers=4", "--readers=2"),
}
COLUMNS = ("case", "verified", "missed", "late", "views", "puts", "turns", "wrong", "seconds")


def storm(case, seconds, gets):
    """Its counts."""
    with Pool(nodes=1, dram=DRAM, options=[LEASE]) as p:
        p.allow(*NOISE)
        amount = [f"--gets={gets}", f"--seconds={LONGEST_S}"] if gets else [f"--seconds={seconds}"]
        process = p.spawn("storm", "--meta", p.meta_endpoint, *CASES[case], *amount)
        text = end_of(process, LONGEST_S if gets else seconds + 60, "the storm")
        last = text.strip().splitlines()[-1]
        counts = {name: int(value) for name, value in re.findall(r"(\w+) (\d+)", last)}
        check(process.returncode == 0, f"{case}: a get brought something wrong:\n{text[-3000:]}")
    return counts


def storm_that_turns(case, seconds, gets):
    """Again for longer, where a busy machine's was over before the pool had turned."""
    counts = storm(case, seconds, gets)
    while not gets and turns_of(counts) < 1 and case != "small" and seconds < PATIENCE_S:
        seconds *= 3
        counts = storm(case, seconds, gets)
    return counts


def turns_of(counts):
    return counts["bytes"] // DRAM


def judge(case, counts):
    print(f"{case}: {counts}", flush=True)
    check(counts["verified"] > 0 and counts["missed"] > 0, f"{case}: nothing was read, or missed")
    check(counts["full"] == 0, f"{case}: the pool was full {counts['full']} times")
    check(counts["failed"] == 0, f"{case}: {counts['failed']} puts failed")
    turns = turns_of(counts)
    check(turns >= 1 or case == "small", f"{case}: the pool turned over {turns} times only")
    if case == "views":
        check(counts["views"] > 0, "nothing was viewed")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--gets", type=int, default=0)
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    cases = [options.only] if options.only else list(CASES)
    results = Results(options.results, COLUMNS)
    whole = sum(SHARES[case] for case in cases)
    try:
        for case in cases:
            counts = storm_that_turns(case, options.seconds,
                                      options.gets * SHARES[case] // whole)
            results.add(case, counts["verified"], counts["missed"], counts["late"],
                        counts["views"], counts["puts"], turns_of(counts),
                        counts["wrong"], counts["ms"] // 1000)
            judge(case, counts)
    except AssertionError as error:
        print(f"FAILED: {error}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
