#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Peers that are stopped, not dead: their sockets stay open and say nothing. Every call ends in its
time with a status that is true, and all goes on when they wake up.

Usage: test_stall.py [CASE...]
"""
import re
import sys
import time

from pool import SLOWNESS, Pool, check, run_cases, wait_stopped, wait_until

TIMEOUT = 0.5 # of the tool, where a case doesn't say otherwise
MARGIN = 3.0 # for all that isn't waiting


def tool(pool, *args, timeout="500ms", seconds=TIMEOUT, **keywords):
    """Runs the tool, which must end in time; returns what it complains of."""
    begun = time.monotonic()
    done = pool.cenote("--timeout", timeout, *args, code=None, **keywords)
    took = time.monotonic() - begun
    check(took < (seconds + MARGIN) * SLOWNESS, f"cenote {args} took {took:.1f} s")
    return done.returncode, done.stderr.decode()


def expect_complaint(result, pattern):
    code, text = result
    check(code == 1 and re.search(pattern, text), f"wanted a complaint of {pattern}: {code} {text}")


def stopped(daemon):
    daemon.pause()
    wait_stopped(daemon.process)
    return daemon


def node_over(transport):
    """A put's bytes go nowhere; a get waits for its time-out; both work again afterwards. Shared
    memory needs no node but to begin with."""
    options = ["--suspect=60s", "--dead=120s", "--lease=300ms"]
    with Pool(nodes=1, split=True, options=options) as pool:
        pool.cenote("put", "k", "-", input=b"v" * 100000)
        node = stopped(pool.nodes[0])
        expect_complaint(tool(pool, "--transport", transport, "get", "k", seconds=2 * TIMEOUT),
                         "did not finish in its time")
        expect_complaint(tool(pool, "--transport", transport, "put", "new", "-",
                              input=b"n" * 100000, seconds=3 * TIMEOUT),
                         "did not finish in its time")
        code, text = tool(pool, "status", seconds=2 * TIMEOUT)
        check(code == 0, f"status of a pool with a stopped node: {text}")
        node.resume()
        wait_until(lambda: pool.cenote("get", "k", code=None).stdout == b"v" * 100000, 10,
                   "the value coming back")
        pool.cenote("put", "new", "-", input=b"n" * 100000)
        check(pool.cenote("get", "new").stdout == b"n" * 100000, "the new value is there")


def node_over_tcp():
    node_over("tcp")


def node_over_shm():
    node_over("shm")


def node_while_removing():
    """Default times on both sides: the lease ends before the remover's patience."""
    with Pool(nodes=1, split=True) as pool:
        pool.cenote("put", "k", "-", input=b"v")
        pool.cenote("get", "k")
        stopped(pool.nodes[0])
        code, text = tool(pool, "rm", "k", timeout="10s", seconds=6)
        check(code == 0, f"a remove whose node is away: {code} {text}")
        pool.cenote("get", "k", code=3)
        pool.nodes[0].resume()
        pool.wait_used(0)


def service():
    """Nothing can be known without it, and nobody waits for longer than he said."""
    with Pool(nodes=1, split=True) as pool:
        pool.cenote("put", "k", "-", input=b"v")
        stopped(pool.meta)
        for command in (["get", "k"], ["exists", "k"], ["rm", "k"], ["status"]):
            expect_complaint(tool(pool, *command, seconds=2 * TIMEOUT), "cannot be reached")
        pool.meta.resume()
        check(pool.cenote("get", "k").stdout == b"v", "the value is there afterwards")


if __name__ == "__main__":
    run_cases([node_over_tcp, node_over_shm, node_while_removing, service], sys.argv[1:])
