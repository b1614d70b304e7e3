#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clocks that differ by days, and clocks that jump between two lives of a process: whoever compares
a time of his own with another's expires what is healthy, or waits for ever. Each process gets a
time namespace of its own. Skipped where none may be made (that needs root).

Usage: test_clocks.py [CASE...]
"""
import subprocess
import sys
import tempfile
import time

from pool import BIN, SHORT, SLOWNESS, Pool, check, run_cases, skip

DAY_S = 86400
# Of a remove or a replace, which wait for a lease at most.
PROMPT_S = 5
VALUE = b"v" * 100000


def shifted(seconds):
    """The words that put a command into a namespace whose clocks show so much more."""
    return ["unshare", "--time", "--monotonic", str(seconds), "--boottime", str(seconds)]


def shifts():
    """Does it work here?"""
    done = subprocess.run([*shifted(DAY_S), "cat", "/proc/uptime"], capture_output=True,
                          check=False)
    return done.returncode == 0 and float(done.stdout.split()[0]) > time.monotonic() + DAY_S / 2


def tool(pool, clock_s, *args, **keywords):
    done = subprocess.run([*shifted(clock_s), BIN / "cenote", *args], env=pool.environment(),
                          capture_output=True, timeout=60, check=False, **keywords)
    check(done.returncode == 0, f"cenote {args} at {clock_s} s: {done.stderr.decode()}")
    return done.stdout


def prompt(function, what):
    begun = time.monotonic()
    function()
    took = time.monotonic() - begun
    check(took < PROMPT_S * SLOWNESS, f"{what} took {took:.1f} s")


def all_there(pool, clock_s, key, value):
    for transport in ("shm", "tcp"):
        got = tool(pool, clock_s, "get", "--transport", transport, key, "-")
        check(got == value, f"the bytes of {key} by {transport}")


def live_on(pool, clock_s, number):
    """What was there is there, and can be replaced and removed, by a client of any time."""
    states = [n["state"] for n in pool.status()["nodes"]]
    check(states == ["alive"], f"the node is {states}")
    key = f"key{number}"
    all_there(pool, clock_s, "old", VALUE)
    tool(pool, clock_s, "put", key, "-", input=b"1" + VALUE)
    all_there(pool, clock_s, key, b"1" + VALUE)
    prompt(lambda: tool(pool, clock_s, "put", "--replace", key, "-", input=b"2" + VALUE),
           "a replace")
    all_there(pool, clock_s, key, b"2" + VALUE)
    prompt(lambda: tool(pool, clock_s, "rm", key), "a remove")
    pool.cenote("exists", key, code=3)


def days_apart():
    """Service, node and client of three times."""
    with Pool(nodes=0, split=True, meta_options=SHORT) as pool:
        node = pool.add_node("node0", start=False)
        node.launcher = shifted(3 * DAY_S)
        node.start()
        pool.wait_capacity()
        pool.cenote("put", "old", "-", input=VALUE)
        for number, clock_s in enumerate((0, DAY_S, 5 * DAY_S)):
            live_on(pool, clock_s, number)


def restarted_at(lives):
    """The service's clock jumps from one life to the next. SIGKILL: nothing is tidied up before."""
    with Pool(nodes=1, split=True, meta_options=SHORT) as pool:
        pool.cenote("put", "old", "-", input=VALUE)
        for number, clock_s in enumerate(lives):
            pool.meta.kill()
            pool.meta.launcher = shifted(clock_s)
            pool.meta.start()
            pool.wait_capacity()
            live_on(pool, 0, number)


def service_jumps_forward():
    restarted_at([DAY_S, 30 * DAY_S])


def service_jumps_back():
    restarted_at([30 * DAY_S, 0])


def node_jumps():
    """A node of another time takes its memory over."""
    with (tempfile.TemporaryDirectory(prefix="cenote-test-", dir="/dev/shm") as memory,
          Pool(nodes=0, split=True, meta_options=SHORT) as pool):
        node = pool.add_node("node0", ["--memory-dir", memory])
        pool.wait_capacity()
        pool.cenote("put", "old", "-", input=VALUE)
        for number, clock_s in enumerate((10 * DAY_S, 0)):
            node.kill()
            node.launcher = shifted(clock_s)
            node.start()
            pool.wait_capacity()
            live_on(pool, 0, number)


def main():
    if not shifts():
        skip("may not make time namespaces")
    run_cases([days_apart, service_jumps_forward, service_jumps_back, node_jumps], sys.argv[1:])


if __name__ == "__main__":
    main()
