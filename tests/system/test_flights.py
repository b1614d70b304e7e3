#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Operations in the background (flights.c), in a pool whose daemons are stopped and killed.

Usage: test_flights.py [--times N] [--few] [CASE...]
"""
import argparse
import subprocess
import time

from pool import BIN, TRANSPORTS, Pool, check, end_of, wait_stopped, wait_until

OPTIONS = ("--lease=400ms", "--put-timeout=30s", "--suspect=60s", "--dead=120s")
TIMES = 1
FEW = False


class Flights:
    """One run of flights.c; it waits for a line where it says what it wants."""

    def __init__(self, pool, case, transport, *args):
        self.name = f"flights {case} {transport}"
        self.process = subprocess.Popen(
            [BIN / "flights", case, transport, *map(str, args)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=pool.environment())
        self.said = ""

    def wait_for(self, what):
        for line in self.process.stdout:
            self.said += line
            if line.strip() == what:
                return
        self.end()
        raise AssertionError(f"{self.name} ended before it said '{what}'")

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self, seconds=60):
        self.said += end_of(self.process, seconds, self.name)
        check(self.process.returncode == 0,
              f"{self.name} ended with {self.process.returncode}:\n{self.said[-3000:]}")
        return self.said


def cancelled_puts(pool):
    """They are there as a whole or not at all, and nothing of them stays."""
    for transport in TRANSPORTS * TIMES:
        before = pool.used_bytes()
        flights = Flights(pool, "puts", transport, 20 if FEW else 40)
        flights.wait_for("look for what is left")
        wait_until(lambda: pool.used_bytes() == before, 10, "cancelled puts being given back")
        flights.go_on()
        flights.end()


def healthy(pool):
    """Ten thousand in flight; storms of cancelling; closing and forking in the middle."""
    for transport in TRANSPORTS:
        many = 10000 if transport == "shm" else 2000
        many, storm, close, fork = (200, 100, 20, 30) if FEW else (many, 300 * TIMES, 200, 100)
        for case, *args in (("arguments",), ("many", many), ("storm", storm), ("close", close),
                            ("fork", fork)):
            Flights(pool, case, transport, *args).end()


def stopped_node(pool):
    """Operations end in their time, others go on, and no byte arrives after the end."""
    for _ in range(TIMES):
        flights = Flights(pool, "stopped", TRANSPORTS[-1])
        flights.wait_for("stop node0")
        pool.nodes[0].pause()
        wait_stopped(pool.nodes[0].process)
        flights.go_on()
        flights.wait_for("let node0 go on")
        pool.nodes[0].resume()
        flights.go_on()
        flights.end()


def stopped_service(pool):
    for transport in TRANSPORTS:
        flights = Flights(pool, "service", transport, 100)
        flights.wait_for("stop service")
        pool.meta.pause()
        wait_stopped(pool.meta.process)
        flights.go_on()
        flights.wait_for("let service go on")
        pool.meta.resume()
        flights.go_on()
        flights.wait_for("look for puts that are pending")
        wait_until(lambda: pool.status()["service"]["pending_puts"] == 0, 10,
                   "nothing being left of puts that ran out of time")
        flights.go_on()
        flights.end()


def killed_service(pool):
    """The service is killed and comes back, under load."""
    flights = [Flights(pool, "load", transport, 100) for transport in TRANSPORTS]
    for f in flights:
        f.wait_for("loading")
    for _ in range(2 * TIMES):
        time.sleep(0.1)
        pool.meta.kill()
        pool.meta.start()
    time.sleep(0.1)
    for f in flights:
        f.process.terminate()
    for f in flights:
        said = f.end()
        check(int(said.split(" good")[0].split()[-1]) > 0, f"nothing worked: {said}")


CASES = (cancelled_puts, healthy, stopped_node, stopped_service, killed_service)


def main():
    global TIMES, FEW
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--few", action="store_true", help="for slow machines")
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    TIMES, FEW = arguments.times, arguments.few
    with Pool(nodes=2, split=True, dram="128MiB", options=OPTIONS) as pool:
        for case in CASES:
            if not arguments.cases or case.__name__ in arguments.cases:
                begun = time.monotonic()
                case(pool)
                print(f"passed {case.__name__} ({time.monotonic() - begun:.1f} s)", flush=True)


main()
