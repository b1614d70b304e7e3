#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Under a load of everything that clients do, clients that come and go included, nothing grows: no
daemon's memory, descriptors or threads, and no client's.

Usage: test_soak.py [--seconds S] [shm|tcp ...]
"""
import argparse
import os
import pathlib
import re
import sys

from pool import SANITIZED, Pool, check, wait_until

WARM_MS = 200
GROWTH_KIB = 1024 # of a daemon, that keeps what it will need again


def anonymous_kib(daemon):
    """Without the pool's memory and the store's file."""
    text = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    return int(re.search(r"RssAnon:\s+(\d+)", text)[1])


def measure(daemon):
    return (daemon.open_descriptors(), len(os.listdir(f"/proc/{daemon.pid}/task")))


def load(pool, transport, milliseconds):
    return pool.run("soak", pool.meta_endpoint, transport, milliseconds).strip()


def soak(transports, milliseconds):
    with Pool(nodes=1, split=True, options=["--lease=200ms"]) as pool:
        daemons = [pool.meta, *pool.nodes]
        for transport in transports:
            load(pool, transport, WARM_MS)
        pool.wait_used(0)
        before = [measure(d) for d in daemons]
        memory = [anonymous_kib(d) for d in daemons]
        rounds = [load(pool, transport, milliseconds) for transport in transports]
        pool.wait_used(0)
        wait_until(lambda: [measure(d) for d in daemons] == before, 10,
                   "descriptors and threads being as many as before")
        grown = [anonymous_kib(d) - m for d, m in zip(daemons, memory)]
        text = f"{transports}, {rounds}: service and node have grown by {grown} KiB"
        check(SANITIZED or max(grown) < GROWTH_KIB, text)
        print(text, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=0.4)
    parser.add_argument("transports", nargs="*", default=["shm", "tcp"])
    arguments = parser.parse_args()
    try:
        soak(arguments.transports, int(arguments.seconds * 1000))
    except AssertionError as error:
        print(f"FAILED: {error}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
