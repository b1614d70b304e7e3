#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs one of this tree's searches for long and adds a line to a results file.

A line is: date, commit, command, count, violations, separated by tabs. The program must say
"count N violations M". With --hours it is run again and again, each time with a seed of its own.

  tests/crash/campaign.py tests/results/crash.tsv --hours 1 -- build/bin/crash --times 4
"""
import argparse
import datetime
import os
import re
import subprocess
import sys
import time

LAST = re.compile(r"count (\d+) violations (\d+)")


def commit_of(source):
    def git(*words):
        return subprocess.run(["git", "-C", source, *words], text=True, check=True,
                              stdout=subprocess.PIPE).stdout.strip()
    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")


def run(command):
    """How many were tried, and how many were wrong."""
    done = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=False)
    found = LAST.findall(done.stdout)
    if not found:
        sys.exit(f"{command[0]} ended with {done.returncode} and without a count:\n{done.stdout}")
    count, violations = (int(number) for number in found[-1])
    return count, max(violations, int(done.returncode != 0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("results")
    parser.add_argument("--hours", type=float, default=0, help="0: once")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    end = time.monotonic() + options.hours * 3600
    count = violations = 0
    while True:
        one = run(options.command)
        count, violations = count + one[0], violations + one[1]
        print(f"{count} tried, {violations} wrong", flush=True)
        if time.monotonic() >= end or violations:
            break
    line = [datetime.date.today().isoformat(), commit_of(source), " ".join(options.command),
            str(count), str(violations)]
    os.makedirs(os.path.dirname(options.results) or ".", exist_ok=True)
    if not os.path.exists(options.results):
        line = ["date", "commit", "command", "count", "violations\n" + line[0], *line[1:]]
    with open(options.results, "a", encoding="utf-8") as out:
        out.write("\t".join(line) + "\n")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
