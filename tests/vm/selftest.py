#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tests the rig itself: exit statuses, what fails a run, and the networks in the guest.

    tests/vm/selftest.py [CASE...]
"""
import concurrent.futures
import pathlib
import subprocess
import sys
import tempfile
import time

import host
import image
from vm import SKIPPED

HERE = pathlib.Path(__file__).resolve().parent
AT_A_TIME = 2 # guests, each with one processor


def vm(*words):
    """Runs a command in a guest of one processor; the exit status, and all that was written."""
    done = subprocess.run([sys.executable, HERE / "vm.py", "run", "--cpus", "1", *words],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    return done.returncode, done.stdout


def expect(ended, status, *texts):
    """What the exit status must be, and what the output must tell."""
    code, output = ended
    missing = [text for text in texts if text not in output]
    if code != status or missing:
        raise AssertionError(f"status {code}, expected {status}; not told: {missing}\n{output}")


def networks():
    """GIDs, traffic, loss, faults; in the end the exit status is the command's."""
    expect(vm("--net", "pair", "--", HERE / "guest/selfcheck"), 7, "passed gid removed and added")


def killed():
    """A death by a signal is told as a shell tells it; words, output and results stay exact."""
    words = ("it's", "two words", "", "$HOME")
    script = 'printf "%s|" "$@"; head -c 300000 /dev/zero | tee "$CENOTE_VM_OUT/zeros"; kill -9 $$'
    with tempfile.TemporaryDirectory() as out:
        status, output = vm("--share", out, "--", "sh", "-c", script, "sh", *words)
        expect((status, output[:100]), 128 + 9, "".join(f"{word}|" for word in words))
        sizes = output.count("\0"), (pathlib.Path(out) / "zeros").stat().st_size
        if sizes != (300000, 300000):
            raise AssertionError(f"300000 bytes became {sizes}")


def complaint():
    """The kernel's complaint fails a command that succeeds."""
    expect(vm("--", "sh", "-c", "echo 'BUG: planted' >/dev/kmsg"), 125, "| ", "BUG: planted")


def panic():
    """A guest that dies is no success."""
    expect(vm("--", "sh", "-c", "echo c >/proc/sysrq-trigger; sleep 60"), 125,
           "the guest ended before its command did", "sysrq triggered crash")


def limit():
    """A command that doesn't end is ended."""
    expect(vm("--timeout", "0.5", "--", "sleep", "60"), 124, "time-out")


CASES = (networks, complaint, killed, limit, panic)


def run(case):
    begin = time.monotonic()
    try:
        case()
    except AssertionError as error:
        print(f"FAILED {case.__name__}: {error}", flush=True)
        return False
    print(f"passed {case.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
    return True


def main(wanted):
    try:
        image.ensure()
    except host.Skip as reason:
        print(f"SKIPPED: {reason}")
        return SKIPPED
    cases = [case for case in CASES if not wanted or case.__name__ in wanted]
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        passed = list(pool.map(run, cases))
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
