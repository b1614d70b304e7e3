#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that remember where values lie: gets without the service, no get past the lease's end,
and never an older value than the last one whose replace was answered. Over shared memory and tcp.

Usage: test_cache.py [--times N] [CASE...]
"""
import argparse
import json
import time

from pool import Pool, check, run_cases, wait_stopped, wait_until
from talking import Talker

TRANSPORTS = ("shm", "tcp")
LEASE = 0.5
times = 1


def read_without_service(pool, clients):
    """Leaves the service stopped. False: that took too long to say anything, it goes on."""
    begun = time.monotonic()
    for client in clients:
        client.expect("OK", "get", "k", value="value")
    pool.meta.pause()
    wait_stopped(pool.meta.process)
    answers = [client.tell("many", "k", 200) for client in clients]
    if time.monotonic() - begun > 0.9 * LEASE:
        pool.meta.resume()
        return False
    check(answers == [("OK", "value")] * len(clients), f"gets without the service: {answers}")
    return True


def gets_need_no_service():
    """The service is stopped: what was read before can be read until its lease ends, not longer."""
    with Pool(nodes=1, split=True, options=[f"--lease={int(LEASE * 1000)}ms"]) as pool, \
            Talker(pool, "shm", 200) as shm, Talker(pool, "tcp", 200) as tcp:
        pool.cenote("put", "k", "-", input=b"value")
        wait_until(lambda: read_without_service(pool, (shm, tcp)), 20, "a fast round")
        for client in (shm, tcp):
            wait_until(lambda c=client: c.tell("get", "k")[0] != "OK", 2 * LEASE,
                       "the lookup being given up")
        pool.meta.resume()
        for client in (shm, tcp):
            wait_until(lambda c=client: c.tell("get", "k") == ("OK", "value"), 10,
                       "the service coming back")


def changes_are_seen_at_once():
    """Two clients in turn: one changes, the other knows the older value. Both change places."""
    with Pool(nodes=2) as pool:
        for transport in TRANSPORTS:
            with Talker(pool, transport) as one, Talker(pool, transport) as two:
                for i in range(40 * times):
                    key = f"{transport}/{i % 4}"
                    for client in (one, two, one):
                        client.expect("OK", "replace", key, f"v{i}")
                        for reader in (two, one, two):
                            reader.expect("OK", "many", key, 3, value=f"v{i}")
                        i += 1000
                    if i % 5 == 0:
                        one.expect("OK", "remove", key)
                        two.expect("NOT_FOUND", "get", key)
                        one.expect("NOT_FOUND", "get", key)


def bench():
    """Its figures are of gets that bring the right bytes; here only that there are some."""
    with Pool() as pool:
        for transport in TRANSPORTS:
            text = pool.run("cenote-bench", "--meta", pool.meta_endpoint, "--transport", transport,
                            "--rounds", 50, "--json", "get", "1", "4K")
            results = [json.loads(line) for line in text.splitlines()]
            check([r["bytes"] for r in results] == [1, 4096], text)
            check(all(r["get_warm"]["count"] == 50 and r["get_cold"]["p50_us"] > 0
                      for r in results), text)


def node_dies_and_comes_back_empty():
    """Its clients' lookups are worth nothing, whatever they still have mapped."""
    options = [f"--lease={int(LEASE * 1000)}ms", "--heartbeat=100ms", "--suspect=700ms",
               "--dead=1200ms"]
    with Pool(nodes=1, split=True, options=options) as pool:
        with Talker(pool, "shm", 1000) as shm, Talker(pool, "tcp", 1000) as tcp:
            pool.cenote("put", "k", "-", input=b"old")
            for client in (shm, tcp):
                client.expect("OK", "get", "k", value="old")
            pool.nodes[0].kill()
            for client in (shm, tcp):
                status, value = client.tell("get", "k")
                check(status != "OK" or value == "old", f"of a dead node: {status} {value}")
            pool.nodes[0].start()
            wait_until(lambda: pool.cenote("get", "k", code=None).returncode == 3, 10,
                       "the service knowing what was lost")
            pool.cenote("put", "k", "-", input=b"new")
            for client in (shm, tcp):
                client.expect("OK", "many", "k", 3, value="new")


CASES = [gets_need_no_service, changes_are_seen_at_once, bench, node_dies_and_comes_back_empty]

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1, help="rounds of changes, in forties")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    times = arguments.times
    run_cases(CASES, arguments.cases)
