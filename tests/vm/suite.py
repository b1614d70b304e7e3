#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The tests of record that run in a guest: a group of them in one guest, one after the other.

    tests/vm/suite.py [-v] GROUP [NAME...]    -v: shows what tests say, and how busy they are

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
LIMIT_S = 300 # of a test that hangs; a busy machine isn't at fault
INSIDE = "--inside"
VERBOSE = "-v"


@dataclasses.dataclass
class Test:
    """A command in a network (vm-net), which is to succeed in limit_s seconds."""
    name: str
    net: str
    command: tuple
    limit_s: float = LIMIT_S


def program(name, net, *words, limit_s=LIMIT_S):
    return Test(name, net, (BIN / name, *words), limit_s)


def system(name, net, script, *words, limit_s=LIMIT_S):
    return Test(name, net, (PYTHON, SYSTEM / script, *words), limit_s)


GROUPS = {
    # One after the other: clients that wait poll for a while first, so that two tests side by side
    # take longer.
    "rdma": (
        # The thousand connects of "leaks" are enough.
        program("contract_rdma", "one", "rdma", "-thousand_connects"),
        system("flights", "one", "test_flights.py", "--few", "healthy", "cancelled_puts",
               "stopped_node"),
        program("fabric_rdma", "pair", "rdma"),
        program("rdma_queues", "pair", "rxe0", "rxe1"),
        system("basic", "pair", "test_basic.py", "Rdma"),
        system("replicas", "pair", "test_replicas.py", "--only", "kill_rdma", "stop_rdma"),
        system("trace", "pair", "test_trace.py", "all_fits"),
    ),
    "rdma_faults": (
        program("rdma_storm", "pair", "real"),
        program("rdma_intruder", "pair", "real"),
        system("devices", "pair", "test_rdma_devices.py"),
        system("fence", "pair", "test_fence.py", "--times", "4"),
        system("leaks", "pair", "test_rdma_leaks.py", "--kills", "1"),
        program("rdma_faults", "pair"),
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
                               "writes")),
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


def outside(group, names, verbose):
    """On the host: one guest for all of them."""
    limit_s = sum(test.limit_s for test in GROUPS[group]) + BOOT_S
    return vm.main(["run", "--timeout", str(limit_s), "--export", str(BIN.parent), "--",
                    PYTHON, __file__, INSIDE, *[VERBOSE][:verbose], group, *names])


def inside(group, names, verbose):
    """In the guest: the tests, in the networks that they want."""
    HUGE_PAGES.write_text("advise") # of what is shared: each page that is touched costs time here
    tests = [test for test in GROUPS[group] if not names or test.name in names]
    outcomes = []
    net = None
    for test in tests:
        if test.net != net:
            subprocess.run(["vm-net", test.net], check=True)
            net = test.net
        outcomes.append(run(test, verbose))
    for outcome in ("passed", "FAILED", "skipped"):
        print(f"{outcomes.count(outcome)} {outcome}", flush=True)
    if "FAILED" in outcomes or not outcomes:
        return 1
    return 0 if "passed" in outcomes else vm.SKIPPED


def run(test, verbose):
    """One test; its output is shown where it fails or is skipped."""
    begin, idle = time.monotonic(), idle_s()
    status, output = status_of(test)
    took = time.monotonic() - begin
    outcome = {0: "passed", vm.SKIPPED: "skipped"}.get(status, "FAILED")
    if verbose or outcome != "passed":
        print(output, end="" if output.endswith("\n") else "\n")
    told = f"{took:.1f} s"
    if verbose:
        told += f", processors busy for {os.cpu_count() * took - (idle_s() - idle):.1f} s"
    why = f": status {status}" if outcome == "FAILED" else ""
    print(f"{outcome} {test.name} ({told}){why}", flush=True)
    return outcome


def idle_s():
    """How long this kernel's processors have had nothing to do, together."""
    return float(pathlib.Path("/proc/uptime").read_text(encoding="ascii").split()[1])


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
    verbose = words[:1] == [VERBOSE]
    words = words[verbose:]
    if not words or words[0] not in GROUPS:
        print(f"usage: suite.py [-v] {' | '.join(GROUPS)} [NAME...]", file=sys.stderr)
        return 2
    return side(words[0], words[1:], verbose)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
