#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients of all kinds share a few keys while services, nodes and clients are killed, stopped and
woken; what they did and saw is judged key by key (tests/linear/README.md).

    kept   nodes keep their memory over kill -9: nothing may be missed
    lost   one node forgets, by kill -9 or by standing still until it counts as dead: what lay there
           alone may be missed, what has a replica at the other may not
    cached readers that keep what they looked up until their lease ends, and replaces: short, for
           the negative control

Usage: test_linear.py [--times N] [--seconds S] [--seed N] [--only CASE] [--dump DIR]
       --dump: where all histories go, also those that are sound
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import msgpack

import pool
import protocol
from pool import BIN, MIB, NOISE, SANITIZED, SHORT, Pool, check, end_of, wait_until
from test_memory import Named

LEASE_DRIFT_PART = 128 # of a lease that a reader doesn't rely on
GROUPS = {"one/": 1, "two/": 2} # keys, and the replicas of their values
SHORT_REST_S = (0.01, 0.12)
NOT_FOUND = -3
LIVE_LONG = ("--session-grace=10s", "--put-timeout=1500ms")


class Reader(threading.Thread):
    """A client from doc/PROTOCOL.md that caches: it reads again and again where a lookup said,
    until the lease ends or the seal says that the value isn't that any more."""

    def __init__(self, p, prefix, keys, rest_s, seed):
        super().__init__(daemon=True)
        self.pool, self.prefix, self.keys, self.rest_s = p, prefix, keys, rest_s
        self.chance = random.Random(seed)
        self.over = False
        self.operations = []
        self.cached = {}
        self.client = None
        self.cached_reads = 0

    def run(self):
        while not self.over:
            try:
                if self.client is None:
                    self.client = self.pool.client()
                self.read(f"{self.prefix}{self.chance.randrange(self.keys)}")
            except (OSError, EOFError, ValueError, msgpack.exceptions.UnpackException):
                self.drop()
            except protocol.Failure:
                self.cached.clear()
            time.sleep(self.chance.random() * self.rest_s)
        self.drop()

    def drop(self):
        """Whoever is elsewhere now is found again."""
        self.cached.clear()
        if self.client is not None:
            self.client.close()
        self.client = None
        time.sleep(0.01)

    def read(self, key):
        """One get: from the cache, or after a lookup."""
        begin = time.monotonic_ns()
        value = self.read_cached(key)
        if value is None:
            begun = time.monotonic_ns()
            _, (item,) = self.client.call("lookup", [[key.encode()]])
            if item[0] == NOT_FOUND:
                self.note(key, 0, "missing", begin)
                return
            if item[0] != protocol.OK:
                raise protocol.Failure(item[0])
            lease_ms = item[4]
            margin = lease_ms // LEASE_DRIFT_PART + 1
            self.cached[key] = (begun + (lease_ms - margin) * 1000000, item)
            if self.chance.random() < 0.2:
                time.sleep(self.chance.random() * lease_ms / 700)
            value = self.read_cached(key)
        if value is not None:
            self.note(key, int.from_bytes(value[:8], "little"), "ok", begin)

    def read_cached(self, key):
        """None: not there, or not good any more."""
        until, item = self.cached.get(key, (0, None))
        if time.monotonic_ns() >= until:
            return None
        try:
            value = b"".join(self.client.read_stripe(item[1], s, i) for i, s in enumerate(item[5]))
        except protocol.Failure:
            value = None
        if value is None or time.monotonic_ns() >= until:
            del self.cached[key]
            return None
        self.cached_reads += 1
        return value

    def note(self, key, value, outcome, begin):
        self.operations.append([0, "get", key, value, outcome, "", begin, time.monotonic_ns()])


class Round:
    """A pool, its clients, and what is done to them."""

    def __init__(self, p, chance, counts, directory):
        self.pool, self.chance, self.counts, self.dir = p, chance, counts, directory
        self.clients = []  # (process, options, record)
        self.records = []
        self.readers = []
        self.losses = []

    def add_client(self, prefix, transport, threads=2, **options):
        number = len(self.records) + 1
        record = self.dir / f"client{number}.record"
        self.records.append(record)
        given = {"keys": 3, "size": "200K", "pause": 1500, **options}
        arguments = [f"--{name}={value}" for name, value in given.items()]
        process = self.spawn_client(
            "run", "--meta", self.endpoint_for(transport), "--transport", transport, "--record",
            record, "--number", number, "--threads", threads, "--prefix", prefix, "--replicas",
            GROUPS[prefix], "--seed", self.chance.randrange(1 << 20), *arguments)
        self.clients.append((process, (prefix, transport, threads, options)))
        wait_until(lambda: record.exists() and record.stat().st_size > 0, 20, "a client's record")

    def spawn_client(self, *arguments):
        return self.pool.spawn("history", *arguments)

    def endpoint_for(self, transport):
        """Where a client finds the service."""
        return self.pool.meta_tcp if transport == "tcp" else self.pool.meta_endpoint

    def add_reader(self, prefix, rest_s=0.004, keys=3):
        self.readers.append(Reader(self.pool, prefix, keys, rest_s, self.chance.random()))
        self.readers[-1].start()

    def count(self, what):
        self.counts[what] += 1

    def stop_a_while(self, target, longest_s, what):
        target.send_signal(signal.SIGSTOP)
        time.sleep(self.chance.uniform(0.02, longest_s))
        target.send_signal(signal.SIGCONT)
        self.count(f"stops of {what}")

    # ---- what can happen

    def kill_service(self):
        self.pool.meta.kill()
        time.sleep(self.chance.choice((0, 0.05)))
        self.pool.meta.start()
        self.count("kills of the service")

    def stop_service(self):
        self.stop_a_while(self.pool.meta.process, 0.7, "the service")

    def stop_node(self):
        self.stop_a_while(self.chance.choice(self.pool.nodes).process, 0.7, "nodes")

    def stop_client(self):
        self.stop_a_while(self.chance.choice(self.clients)[0], 1.0, "clients")

    def kill_client(self):
        at = self.chance.randrange(len(self.clients))
        process, (prefix, transport, threads, options) = self.clients.pop(at)
        process.kill()
        end_of(process, 20, "a killed client")
        self.add_client(prefix, transport, threads, **options)
        self.count("kills of clients")

    def kill_keeping_node(self):
        node = self.chance.choice(self.pool.nodes)
        node.kill()
        node.start()
        self.wait_alive(node.name)
        self.count("kills of nodes")

    def lose_node(self):
        """The last node dies, or counts as dead: nothing of what it held is sure any more."""
        node, begin = self.pool.nodes[-1], time.monotonic_ns()
        if self.chance.random() < 0.7:
            node.kill()
            time.sleep(self.chance.choice((0, 0.1, 1)))
            node.start()
            self.wait_alive(node.name)
            self.count("kills of nodes")
        else:
            node.pause()
            wait_until(lambda: self.state(node.name) in (None, "dead"), 20, "the node being dead")
            time.sleep(self.chance.random())
            node.resume()
            self.wait_alive(node.name)
            self.count("deaths of stopped nodes")
        self.losses.append(["one/", begin, time.monotonic_ns()])

    def state(self, name):
        """Of a node; None: it isn't in the pool."""
        for node in self.pool.status()["nodes"]:
            if node["name"] == name:
                return node["state"]
        return None

    def wait_alive(self, name):
        wait_until(lambda: self.state(name) == "alive", 30, f"{name} being there")

    # ---- the round

    def run(self, seconds, events):
        time.sleep(0.2)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.chance.choice(events)()
            for process, _ in self.clients:
                if process.poll() is not None:
                    raise AssertionError(f"a client ended by itself: {process.stdout.read()}")
            time.sleep(self.chance.uniform(*SHORT_REST_S))
        time.sleep(0.2)

    def finish(self):
        """Ends the clients."""
        for process, _ in self.clients:
            process.send_signal(signal.SIGTERM)
        for reader in self.readers:
            reader.over = True
        for process, _ in self.clients:
            text = end_of(process, 60, "a client")
            check(process.returncode == 0, f"a client saw what nobody wrote:\n{text[-3000:]}")
        for reader in self.readers:
            reader.join(60)
            check(not reader.is_alive(), "a reader did not end")
            self.counts["cached reads"] += reader.cached_reads

    def judge(self):
        files = []
        for record in self.records:
            files.append(record.with_suffix(".json"))
            with open(files[-1], "wb") as out:
                subprocess.run([BIN / "history", "json", record], stdout=out, check=True)
        for i, reader in enumerate(self.readers):
            files.append(self.write(f"reader{i + 1}.json", operations=reader.operations))
        files.append(self.write("losses.json", losses=self.losses))
        done = subprocess.run([BIN / "judge", "--failure", self.dir / "failure.json", *files],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=300, check=False)
        check(done.returncode == 0, f"the history of {self.dir}:\n{done.stdout[-6000:]}")
        for name, value in re.findall(r"(\w+) (\d+)", done.stdout.splitlines()[-1]):
            self.counts[name] += int(value)

    def write(self, name, **parts):
        path = self.dir / name
        path.write_text(json.dumps({"format": "cenote-history-1", **parts}))
        return path


class Cases:
    def __init__(self, options):
        self.options = options
        self.chance = random.Random(options.seed)
        self.counts = collections.Counter()

    def play(self, make_pool, seconds, populate, events):
        """One round. Its histories stay if it fails, or as --dump says."""
        directory = pathlib.Path(tempfile.mkdtemp(prefix="cenote-history-", dir=self.options.dump))
        stay = "CENOTE_TEST_OFF" not in os.environ # there it is to fail
        try:
            with make_pool() as p:
                p.allow(*NOISE)
                one = Round(p, self.chance, self.counts, directory)
                populate(one)
                one.run(seconds, events(one))
                one.finish()
                one.judge()
            stay = False
        finally:
            if not stay and self.options.dump is None:
                shutil.rmtree(directory)
        self.counts["rounds"] += 1

    @staticmethod
    def everybody(one):
        for prefix in GROUPS:
            for transport in ("shm", "tcp"):
                one.add_client(prefix, transport)
            one.add_reader(prefix)

    def kept(self):
        def make():
            return Named(nodes=2, dram=48 * MIB, port=pool.steady_port(),
                         options=[*SHORT, *LIVE_LONG])

        def events(one):
            return (one.kill_service, one.stop_service, one.stop_node, one.stop_client,
                    one.stop_client, one.kill_client, one.kill_keeping_node)
        self.play(make, self.options.seconds, self.everybody, events)

    def lost(self):
        def make():
            return Pool(nodes=2, split=True, dram=48 * MIB, port=pool.steady_port(),
                        options=[*SHORT, *LIVE_LONG, "--suspect=500ms", "--dead=1200ms"])

        def events(one):
            return (one.lose_node, one.lose_node, one.kill_service, one.stop_client,
                    one.kill_client)
        self.play(make, self.options.seconds, self.everybody, events)

    def cached(self):
        def make():
            return Pool(nodes=1, split=True, dram=48 * MIB, options=SHORT)

        def populate(one):
            for transport in ("shm", "tcp"):
                one.add_client("one/", transport, keys=1, size="4K", pause=4000)
            one.add_reader("one/", rest_s=0, keys=1)
        self.play(make, 1, populate, lambda one: (lambda: None,))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20))
    parser.add_argument("--only", choices=("kept", "lost", "cached"))
    parser.add_argument("--dump", type=pathlib.Path)
    options = parser.parse_args()
    print(f"--times {options.times} --seconds {options.seconds} --seed {options.seed}", flush=True)
    cases = Cases(options)
    for i in range(options.times):
        pool.run_cases([cases.kept, cases.lost, cases.cached],
                       [options.only] if options.only else [])
        if options.times > 1:
            print(f"round {i + 1}: {dict(sorted(cases.counts.items()))}", flush=True)
    print(", ".join(f"{name} {value}" for name, value in sorted(cases.counts.items())), flush=True)


if __name__ == "__main__":
    sys.exit(main())
