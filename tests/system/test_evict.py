#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A pool that is always full: everything that clients do goes on, nothing is wrong, nobody is told
that there is no room, and what is leased stays.

Usage: test_evict.py [--turns N] [case ...]     (N: how often the pool turns over)
"""
import argparse
import signal
import time

from pool import MIB, Pool, check, end_of, run_cases, wait_until

DRAM = 24 * MIB


def evicted(pool, *reasons):
    eviction = pool.status()["eviction"]
    return sum(eviction[reason]["bytes"] for reason in reasons or ("space", "background"))


def hammer(pool, transport, *options):
    return pool.spawn("hammer", "--meta", pool.meta_endpoint, "--transport", transport, "--lossy",
                      "--keys", 512, "--size", "200K", *options)


def turn_over(transport, turns, *options):
    with Pool(split=True, dram=DRAM, options=["--lease=50ms"], meta_options=options) as pool:
        process = hammer(pool, transport)
        wait_until(lambda: evicted(pool) >= turns * DRAM, 60 + turns, "the pool turning over")
        process.send_signal(signal.SIGTERM)
        text = end_of(process, 60, "the hammer")
        print(f"  {transport} {' '.join(options)}: {text.strip()}", flush=True)
        check(process.returncode == 0 and " wrong 0" in text and " errors 0 " in text,
              f"{transport}: {text}")
        status = pool.status()
        check(status["eviction"]["waiting_puts"] == 0, f"{status['eviction']}")


def shm(turns):
    turn_over("shm", turns)


def tcp(turns):
    turn_over("tcp", turns)


def without_background(turns):
    """Every put has to wait for what it evicts."""
    turn_over("shm", turns // 4, "--evict-high=100")


def leased(_turns):
    """What was looked up stays for as long as its lease."""
    with Pool(split=True, dram=DRAM, options=["--lease=2s"]) as pool:
        pool.run("cenote", "--meta", pool.meta_endpoint, "put", "kept", "/bin/true")
        client = pool.client()
        process = hammer(pool, "shm")
        end = time.monotonic() + 1.5
        while time.monotonic() < end and evicted(pool) < 10 * DRAM:
            item = client.call("lookup", [[b"kept"]])[1][0]
            check(item[0] == 0, "a leased value is gone")
            time.sleep(0.1)
        check(evicted(pool) > 0, "nothing was evicted")
        process.send_signal(signal.SIGTERM)
        text = end_of(process, 60, "the hammer")
        check(process.returncode == 0, text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()

    def runner(case):
        def run():
            case(arguments.turns)
        run.__name__ = case.__name__
        return run

    run_cases([runner(case) for case in (shm, tcp, without_background, leased)], arguments.cases)


if __name__ == "__main__":
    main()
