#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up ctest's JUnit files: names what failed or was skipped, and ends with one line."""
import pathlib
import sys
import xml.etree.ElementTree as etree


def main(paths):
    passed = failed = 0
    for path in paths:
        build = pathlib.Path(path).stem
        for case in etree.parse(path).getroot().iter("testcase"):
            status = case.get("status")
            if status == "run":
                passed += 1
            elif status == "notrun" and "SKIP_RETURN_CODE" in case.find("skipped").get("message"):
                print(f"skipped: {case.get('name')} ({build})")
            else:
                failed += 1
                print(f"failed: {case.get('name')} ({build})")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
