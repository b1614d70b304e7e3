#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""No file descriptors are left: in a client, in a node, in the service. Who has what he needs goes
on, whoever comes new is told so in his time, and all is well when the limit is raised again. Nobody
keeps a descriptor that isn't used.

Usage: test_descriptors.py [CASE...]
"""
import contextlib
import os
import re
import resource
import sys
import time

from pool import SLOWNESS, Pool, check, run_cases, wait_until
from talking import Talker

TIMEOUT = 0.2 # of clients that come in vain
MARGIN = 3.0 # for all that isn't waiting
ERRORS_MAX = 30 # lines of a daemon about it: it may not spin
LEFT = 4 # descriptors that are left, at most; a client of shared memory needs three


def first_free(pid):
    """The number of the next descriptor that a process opens."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return next(n for n in range(len(used) + 1) if n not in used)


@contextlib.contextmanager
def short_of_descriptors(daemon, left):
    """It can open so many more, or some more where there are holes."""
    before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    limit = first_free(daemon.pid) + left
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)


def newcomer(pool, transport):
    """A client that perhaps finds no place; returns whether it did."""
    begun = time.monotonic()
    done = pool.cenote("--transport", transport, "--timeout", f"{int(TIMEOUT * 1000)}ms", "get",
                       "k", code=None)
    took = time.monotonic() - begun
    check(took < (4 * TIMEOUT + MARGIN) * SLOWNESS, f"a newcomer waited for {took:.1f} s")
    if done.returncode == 0:
        check(done.stdout == b"value", "the newcomer got the value")
        return True
    text = done.stderr.decode()
    check(done.returncode == 1 and re.search("in its time|cannot be reached", text),
          f"what a newcomer is told: {done.returncode} {text}")
    return False


def clients_come(pool, daemon, transport):
    """With 0 descriptors left, with 1, ..."""
    pool.allow("accept", "[Nn]o descriptor", "pidfd_open", "memfd_create", "file of slots")
    pool.cenote("put", "k", "-", input=b"value")
    with Talker(pool, transport) as old:
        old.expect("OK", "get", "k", value="value")
        old.expect("OK", "put", "warm", "0")
        before = daemon.open_descriptors()
        admitted = []
        for left in range(LEFT + 1):
            with short_of_descriptors(daemon, left):
                admitted.append(newcomer(pool, transport))
                old.expect("OK", "put", f"new{left}", "1")
                old.expect("OK", "get", f"new{left}", value="1")
                old.expect("OK", "remove", f"new{left}")
            wait_until(lambda: newcomer(pool, transport), 10, "a newcomer finding a place")
            wait_until(lambda: daemon.open_descriptors() <= before, 10,
                       "the descriptors of clients that are gone being closed")
        check(not admitted[0], "a client was admitted without a descriptor")
        check(admitted[-1], f"a client was not admitted with {LEFT} descriptors")
        errors = daemon.log().count("level=error")
        check(errors <= ERRORS_MAX, f"{daemon.name} logs {errors} errors")
        pool.watcher = None


def client():
    with Pool() as pool:
        for transport in ("shm", "tcp"):
            pool.run("descriptors", pool.meta_endpoint, transport)


def node_by_shm():
    with Pool(nodes=1, split=True) as pool:
        clients_come(pool, pool.nodes[0], "shm")


def node_by_tcp():
    with Pool(nodes=1, split=True) as pool:
        clients_come(pool, pool.nodes[0], "tcp")


def service():
    with Pool(nodes=1, split=True) as pool:
        clients_come(pool, pool.meta, "tcp")


if __name__ == "__main__":
    run_cases([client, node_by_shm, node_by_tcp, service], sys.argv[1:])
