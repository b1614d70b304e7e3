#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Values with replicas: nodes are killed, stopped and damaged under them, and every get brings the
right bytes all the same.

Usage: test_replicas.py [--times N] [--seed N] [--only CASE...]
"""
import argparse
import json
import mmap
import os
import random
import re
import signal
import time

from pool import (IN_GUEST, MIB, NOISE, SANITIZED, SHORT, TRANSPORTS, UNSCRUBBED, Pool, check,
                  end_of, named, run_cases, wait_until)

SIZES = (70000, 300000, 2 * MIB + 5) if IN_GUEST else (1, 4096, 70000, 300000, 2 * MIB + 5)
ROUNDS = 1 if IN_GUEST else 3 # of values of these sizes
# A node that is killed, not one that a busy host keeps waiting.
SOON = ("--suspect=2s", "--dead=5s") if IN_GUEST else ("--suspect=500ms", "--dead=1500ms")
QUICK = [*SHORT, *SOON, "--stripe=512KiB"]
HAMMER_S = 3600


def content(number, size):
    return random.Random(number).randbytes(size)


class Values:
    """Values that the tool has put, on two nodes each."""

    def __init__(self, pool, transport, count):
        self.pool = pool
        self.transport = transport
        self.path = pool.dir / "value"
        self.values = {}
        for number in range(count):
            self.put(f"{transport}/{number}", content(number, SIZES[number % len(SIZES)]))

    def put(self, key, data):
        self.path.write_bytes(data)
        self.pool.cenote("put", "--replicas", 2, "--transport", self.transport, key, self.path)
        self.values[key] = data

    def check(self, *options):
        for key, data in self.values.items():
            self.path.unlink(missing_ok=True)
            self.pool.cenote("get", "--transport", self.transport, *options, key, self.path)
            check(self.path.read_bytes() == data, f"the bytes of {key} are wrong")

    def places(self, key):
        stat = json.loads(self.pool.cenote("stat", "--json", key).stdout)
        nodes = {}
        for place in stat["places"]:
            nodes.setdefault(place["offset"], []).append(place["node"])
        check(stat["replicas"] == min(map(len, nodes.values())), f"stat of {key}: {stat}")
        return list(nodes.values())

    def remove(self):
        self.pool.cenote("rm", *self.values)
        self.values = {}


def node_states(pool):
    return {n["name"]: n["state"] for n in pool.status()["nodes"]}


def all_alive(pool):
    return list(node_states(pool).values()) == ["alive"] * len(pool.nodes)


def kill(options, transport):
    """kill -9 of a node: all values stay, before and after it counts as dead."""
    with Pool(nodes=3, split=True, options=QUICK) as pool:
        pool.allow(*NOISE)
        values = Values(pool, transport, ROUNDS * len(SIZES))
        for key in values.values:
            for nodes in values.places(key):
                check(len(set(nodes)) == 2, f"{key} lies on {nodes}")
            if len(values.values[key]) > 2 * MIB: # read from all nodes at once
                places = values.places(key)
                check(len(places) == 5 and len({n for p in places for n in p}) == 3,
                      f"{key} lies on {places}")
        pool.nodes[options.seed % 3].kill()
        dead = pool.nodes[options.seed % 3].name
        values.check()
        wait_until(lambda: dead not in node_states(pool), 20, "the node being dead")
        values.check()
        pool.nodes.pop(options.seed % 3)
        lost = 0
        for key in values.values:
            for nodes in values.places(key):
                check(dead not in nodes and nodes, f"{key} lies on {nodes}")
                lost += len(nodes) == 1
        check(lost > 0, "no value had a replica on the node that was killed")
        values.put("after", content(99, MIB))
        values.check()
        failed = pool.cenote("put", "--replicas", 3, "many", values.path, code=1)
        check(b"too few nodes" in failed.stderr, failed.stderr.decode())
        values.remove()
        pool.wait_used(0)


def full(options, transport):
    """A pool full of replicas gives up values with all of them, and gives all back at the end."""
    with Pool(nodes=3, split=True, dram=8 * MIB, options=QUICK) as pool:
        values = Values(pool, transport, 0)
        for number in range(40):
            data = content(number, 300000 + number)
            values.path.write_bytes(data)
            pool.cenote("put", "--replicas", 3, "--transport", transport, f"full/{number}",
                        values.path)
            values.values[f"full/{number}"] = data
        there = set(pool.cenote("ls").stdout.decode().split())
        values.values = {key: data for key, data in values.values.items() if key in there}
        check(20 < len(values.values) < 30, f"{len(values.values)} values are there")
        check("full/39" in values.values, "the newest value is gone")
        values.check()
        values.remove()
        pool.wait_used(0)


def stop(options, transport):
    """SIGSTOP of a node: a get waits once for it, then takes the other replica."""
    with Pool(nodes=3, split=True, options=SHORT) as pool:
        pool.allow(*NOISE)
        values = Values(pool, transport, ROUNDS * len(SIZES))
        node = pool.nodes[options.seed % 3]
        node.pause()
        values.check(f"--timeout={'2s' if IN_GUEST else '300ms'}")
        node.resume()
        values.remove()
        pool.wait_used(0)


def scribble(node, data):
    """Flips a bit of a value in a node's memory. False: it isn't there."""
    directory = f"/proc/{node.pid}/fd"
    for fd in os.listdir(directory):
        if "memfd:cenote-segment" not in os.readlink(f"{directory}/{fd}"):
            continue
        with open(f"{directory}/{fd}", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            at = memory.find(data)
            if at >= 0:
                memory[at + len(data) // 2] ^= 1
            return at >= 0
    raise AssertionError(f"{node.name} has no segment")


def damage(_options, transport):
    """A replica whose bytes are wrong is passed over; with both wrong there are no bytes at all."""
    with Pool(nodes=3, split=True, options=[*SHORT, UNSCRUBBED]) as pool:
        pool.allow(*NOISE)
        values = Values(pool, transport, 10)
        for data in values.values.values():
            if len(data) > 1:
                hit = next(n for n in pool.nodes if scribble(n, data))
                check(hit, "no node has the value")
        values.check()
        victim = next(k for k, data in values.values.items() if len(data) > 100000)
        check(any(scribble(n, values.values[victim]) for n in pool.nodes), "no second replica")
        failed = pool.cenote("get", "--transport", transport, victim, values.path, code=1)
        check(b"failed verification" in failed.stderr, failed.stderr.decode())
        values.remove()
        pool.wait_used(0)


def hammer(pool, transport, seed, *options):
    return pool.spawn("hammer", "--meta", pool.meta_endpoint, "--transport", transport, "--threads",
                      3, "--keys", 16, "--seconds", HAMMER_S, "--size", "256K", "--seed", seed,
                      *options)


def finish(process, name):
    process.send_signal(signal.SIGTERM)
    text = end_of(process, 90, f"hammer {name}")
    last = text.splitlines()[-1] if text else ""
    print(f"  hammer {name}: {last}", flush=True)
    counts = dict(re.findall(r"(\w+) (\d+)", last))
    check(process.returncode == 0 and counts.get("wrong") == "0",
          f"hammer {name} found something wrong (status {process.returncode}):\n{text[-3000:]}")
    check(int(counts["puts"]) > 0 and int(counts["gets"]) > 0, f"hammer {name} did nothing")


def remove_all(pool):
    client = pool.client()
    while True:
        page, _ = client.call("list", [b"", None, 1000])
        if not page:
            break
        client.call("remove", [client.next_seq(), [entry[0] for entry in page]])
    client.close()
    pool.wait_used(0, "the space coming back after everything is removed", 60)


def kill_under_load(pool, hammers, nodes, chance):
    for node in nodes:
        time.sleep(chance.random() * 0.6)
        node.kill()
        time.sleep(chance.choice((0, 0.2)))
        node.start()
        wait_until(lambda: all_alive(pool), 30, f"the return of {node.name}")
        for process in hammers:
            check(process.poll() is None, f"a hammer ended by itself after {node.name} was killed")


def hammer_kills(options, replicas, node_count, victims):
    """Not a value may be missing: of each one replica at least is on a node that lives."""
    chance = random.Random(options.seed)
    with Pool(nodes=node_count, split=True, dram=160 * MIB, options=QUICK) as pool:
        pool.allow(*NOISE)
        hammers = [hammer(pool, t, options.seed * 10 + i, "--replicas", replicas)
                   for i, t in enumerate(TRANSPORTS)]
        kill_under_load(pool, hammers, [pool.nodes[v] for v in victims], chance)
        for process, name in zip(hammers, TRANSPORTS):
            finish(process, name)
        remove_all(pool)


def hammer_stops(options):
    """A node that hangs and comes back, again and again, under puts and gets."""
    with Pool(nodes=3, split=True, dram=160 * MIB, options=[*SHORT, "--suspect=400ms"]) as pool:
        pool.allow(*NOISE)
        hammers = [hammer(pool, t, options.seed * 10 + i, "--replicas", 2, "--timeout", "300ms")
                   for i, t in enumerate(TRANSPORTS)]
        for turn in range(max(2, options.times // 2)):
            node = pool.nodes[turn % 3]
            time.sleep(0.3)
            node.pause()
            time.sleep(1)
            node.resume()
            wait_until(lambda: all_alive(pool), 30, f"the return of {node.name}")
        for process, name in zip(hammers, TRANSPORTS):
            finish(process, name)
        remove_all(pool)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1 if SANITIZED else 3)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20))
    parser.add_argument("--only", nargs="+")
    options = parser.parse_args()
    print(f"--times {options.times} --seed {options.seed}", flush=True)

    def hammer_one_victim():
        hammer_kills(options, 2, 3, [0] * options.times)

    def hammer_two_victims():
        hammer_kills(options, 3, 4, [0, 1])

    def hammer_stopped():
        hammer_stops(options)

    run_cases([*(named(f"{case.__name__}_{transport}", case, options, transport)
                 for case in (kill, full, stop, damage) for transport in TRANSPORTS),
               hammer_one_victim, hammer_two_victims, hammer_stopped], options.only or ())


if __name__ == "__main__":
    main()
