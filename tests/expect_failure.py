#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Succeeds when a command fails in the way that is expected of it.

With --switch the command must first pass as it is, and then fail with that mechanism switched off
(CENOTE_TEST_OFF, see transport/base/testswitch.h). A time-out or an unexpected report is no proof.
"""
import argparse
import os
import re
import subprocess
import sys

LIMIT_S = 120
SKIPPED = 77  # this machine lacks what the command needs


def run(command, switched_off):
    environment = dict(os.environ)
    environment.pop("CENOTE_TEST_OFF", None)
    if switched_off:
        environment["CENOTE_TEST_OFF"] = switched_off
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace",
                          timeout=LIMIT_S, check=False)
    print(done.stdout, end="", flush=True)
    return done


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--switch", default="", help="the mechanism to switch off")
    parser.add_argument("--report", required=True, help="pattern that the output must contain")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    try:
        if options.switch:
            code = run(options.command, "").returncode
            if code == SKIPPED:
                return SKIPPED
            if code != 0:
                return f"fails (status {code}) although {options.switch} is on"
        done = run(options.command, options.switch)
    except subprocess.TimeoutExpired:
        return f"no end after {LIMIT_S} s"
    if done.returncode == 0:
        return "passed, but should have failed: the check that guards this is hollow"
    if not re.search(options.report, done.stdout):
        return f"failed (status {done.returncode}), but without '{options.report}' in its output"
    return 0


if __name__ == "__main__":
    sys.exit(main())
