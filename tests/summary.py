#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up ctest's JUnit files: names what failed or was skipped, and ends with one line.

BUILD-alone.xml is of tests that failed in BUILD.xml and were run once more, alone. Those that pass
then are named as unsteady; more than UNSTEADY_MAX of them are a failure.
"""
import pathlib
import sys
import xml.etree.ElementTree as etree

ALONE = "-alone"
UNSTEADY_MAX = 3


def verdict(case):
    status = case.get("status")
    if status == "run":
        return "passed"
    if status == "notrun" and "SKIP_RETURN_CODE" in case.find("skipped").get("message"):
        return "skipped"
    return "failed"


def read(paths):
    """{(test, build): verdict}, and those that have passed alone only"""
    verdicts, unsteady = {}, []
    for path in sorted(paths, key=lambda path: path.stem.endswith(ALONE)):
        build = path.stem.removesuffix(ALONE)
        for case in etree.parse(path).getroot().iter("testcase"):
            key = case.get("name"), build
            if path.stem.endswith(ALONE) and verdict(case) == "passed":
                unsteady.append(key)
            verdicts[key] = verdict(case)
    return verdicts, unsteady


def main(paths):
    verdicts, unsteady = read([pathlib.Path(path) for path in paths])
    for word in ("skipped", "failed"):
        for (test, build), what in verdicts.items():
            if what == word:
                print(f"{word}: {test} ({build})")
    for test, build in unsteady:
        print(f"UNSTEADY: {test} ({build}) failed beside others, and passed alone")
    counts = list(verdicts.values())
    print(f"{counts.count('passed')} passed, {counts.count('failed')} failed")
    return 1 if "failed" in counts or "passed" not in counts or len(unsteady) > UNSTEADY_MAX else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
