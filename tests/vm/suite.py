#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tests of record that run in a guest: a group of them in one guest, one after the other.

    tests/vm/suite.py GROUP [NAME...]

A guest takes seconds to boot, so that tests share one. To add a test, add it to GROUPS below: a
program, or a script of tests/system, which goes over rdma there. Programs are found in $CENOTE_BIN;
the exit status 77 skips.
"""
import dataclasses
import os
import pathlib
import signal
import subprocess
import sys
import time

import host
import vm

PYTHON = "/usr/bin/python3"
# Cases of the contract for builds that are slow.
CONTRACT_SHORT = ("sizes", "scattered", "ranges", "pipelined", "bad_requests", "wrong_grant",
                  "fence_half_way", "writer_killed", "node_killed", "cancel", "segment_added")
BIN = pathlib.Path(os.environ.get("CENOTE_BIN", host.TREE / "build/bin")).resolve()
SYSTEM = host.TREE / "tests/system"
ENVIRONMENT = {"CENOTE_BIN": str(BIN), "CENOTE_SOURCE": str(host.TREE),
               "CENOTE_TEST_TRANSPORTS": "rdma", "PYTHONDONTWRITEBYTECODE": "1"}
HUGE_PAGES = pathlib.Path("/sys/kernel/mm/transparent_hugepage/shmem_enabled")
BOOT_S = 60
INSIDE = "--inside"


@dataclasses.dataclass
class Test:
    """A command in a network (vm-net), which is to succeed in limit_s seconds."""
    name: str
    net: str
    command: tuple
    limit_s: float = 60


def program(name, net, *words, limit_s=150):
    return Test(name, net, (BIN / name, *words), limit_s)


def system(name, net, script, *words, limit_s=150):
    return Test(name, net, (PYTHON, SYSTEM / script, *words), limit_s)


GROUPS = {
    "rdma": (
        # The thousand connects of "leaks" are enough.
        program("contract_rdma", "one", "rdma", "-thousand_connects"),
        system("flights", "one", "test_flights.py", "--few", "healthy", "cancelled_puts",
               "stopped_node"),
        program("fabric_rdma", "pair", "rdma"),
        program("rdma_queues", "pair", "rxe0", "rxe1"),
        program("rdma_storm", "pair", "real"),
        program("rdma_intruder", "pair", "real"),
        system("devices", "pair", "test_rdma_devices.py"),
        system("basic", "pair", "test_basic.py", "Rdma"),
        system("replicas", "pair", "test_replicas.py", "--only", "kill_rdma", "stop_rdma"),
        system("trace", "pair", "test_trace.py", "all_fits"),
        system("fence", "pair", "test_fence.py", "--times", "4"),
        system("leaks", "pair", "test_rdma_leaks.py"),
    ),
    "rdma_faults": ( # by command: what waits for time-outs, of a device that is slow itself
        program("rdma_faults", "pair", limit_s=240),
        program("rdma_faults", "rails"),
    ),
    "rdma_fallback": ( # by command
        system("fallback", "pair", "test_rdma_faults.py"),
    ),
    "rdma_memory": ( # by command: they don't need devices, but this kernel
        program("test_rdma_cache", "one"),
        program("rdma_watch", "one"),
    ),
    "rdma_controls": ( # by command, of a build with -DCENOTE_TEST_SWITCHES=ON
        Test("fence", "pair", (PYTHON, host.TREE / "tests/expect_failure.py", "--switch", "fence",
                               "--report", "block.i. is", "--", BIN / "rdma_storm", "real",
                               "writes"), 60),
    ),
    "rdma_asan": (
        Test("leak_is_seen", "one", (PYTHON, host.TREE / "tests/expect_failure.py", "--report",
                                     "LeakSanitizer: detected memory leaks", "--",
                                     BIN / "planted", "leak")),
        program("contract_rdma", "one", "rdma", *CONTRACT_SHORT),
        system("basic", "one", "test_basic.py", "Rdma.test_the_library",
               "Rdma.test_ranges_and_registered_buffers", "Rdma.test_transports_meet"),
    ),
}


def outside(group, names):
    """On the host: one guest for all of them."""
    limit_s = sum(test.limit_s for test in GROUPS[group]) + BOOT_S
    return vm.main(["run", "--timeout", str(limit_s), "--export", str(BIN.parent), "--",
                    PYTHON, __file__, INSIDE, group, *names])


def inside(group, names):
    """In the guest: the tests, in the networks that they want."""
    HUGE_PAGES.write_text("advise") # of what is shared: each page that is touched costs time here
    tests = [test for test in GROUPS[group] if not names or test.name in names]
    outcomes = []
    net = None
    for test in tests:
        if test.net != net:
            subprocess.run(["vm-net", test.net], check=True)
            net = test.net
        outcomes.append(run(test))
    for outcome in ("passed", "FAILED", "skipped"):
        print(f"{outcomes.count(outcome)} {outcome}", flush=True)
    if "FAILED" in outcomes or not outcomes:
        return 1
    return 0 if "passed" in outcomes else vm.SKIPPED


def run(test):
    """One test; its output is shown where it fails or is skipped."""
    begin = time.monotonic()
    status, output = status_of(test)
    outcome = {0: "passed", vm.SKIPPED: "skipped"}.get(status, "FAILED")
    if outcome != "passed":
        print(output, end="" if output.endswith("\n") else "\n")
    told = f": status {status}" if outcome == "FAILED" else ""
    print(f"{outcome} {test.name} ({time.monotonic() - begin:.1f} s){told}", flush=True)
    return outcome


def status_of(test):
    """(exit status, output) of a test's command. What it leaves running ends with it."""
    with subprocess.Popen(test.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace",
                          env={**os.environ, **ENVIRONMENT}, start_new_session=True) as process:
        try:
            output = process.communicate(timeout=test.limit_s)[0]
            return process.returncode, output
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output = process.communicate()[0]
            return f"none in {test.limit_s:g} s", output


def main(words):
    side = inside if words[:1] == [INSIDE] else outside
    words = words[1:] if side is inside else words
    if not words or words[0] not in GROUPS:
        print(f"usage: suite.py {' | '.join(GROUPS)} [NAME...]", file=sys.stderr)
        return 2
    return side(words[0], words[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
