#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Real daemons and clients, each in a network of its own, while the networks part and meet again:
both ways or one way only, between client and service, client and node, service and node. Processes
stop, go on and are killed meanwhile, and begin new lives under other clocks. What the clients did
and saw is judged key by key (tests/linear/README.md): a stale or torn value, or one that is missed
for no reason, fails.

    kept   nodes keep their memory, and no partition is long enough for anybody to count as dead:
           nothing may be missed
    dead   partitions outlast the time after which a node counts as dead, and it comes back: what
           lay there alone may be missed, what has a replica at the other may not
    held   clients with shared memory lose sight of the service for longer than a lease

Skipped where networks can't be made (that needs root).

Usage: test_partitions.py [--histories N] [--seconds S] [--seed N] [--only CASE] [--dump DIR]
       [--results FILE]   a line for the campaign: tests/results/linear.tsv
"""
import argparse
import atexit
import collections
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

import netns
import pool
from pool import MIB, NOISE, SHORT, skip, wait_until
from results import Results
from test_clocks import shifted, shifts
from test_linear import Round
from test_memory import Named

PORT = 7400
LIVE_LONG = ("--session-grace=10s", "--put-timeout=1500ms")
DYING = ("--suspect=400ms", "--dead=1s")
REPORT_EVERY = 20 # histories
CLOCKS_S = (0, 3600, 40 * 86400)
COLUMNS = ("histories", "operations", "cuts", "kills", "stops", "violations")


class Apart(Named):
    """A pool whose service and nodes live in networks of their own."""

    def __init__(self, net, hosts, options):
        self.net, self.hosts = net, hosts
        super().__init__(nodes=2, dram=48 * MIB, options=[*options, "--insecure"], port=PORT)
        self.meta.options += ["--listen", f"{hosts['service'].address}:{PORT}"]
        self.meta.launcher = hosts["service"].enter

    @property
    def meta_tcp(self):
        return f"{self.hosts['service'].address}:{PORT}"

    def add_node(self, name, options=(), start=True):
        host = self.hosts[name]
        node = super().add_node(name, ["--data-listen", f"{host.address}:0", *options], False)
        node.options[node.options.index("--meta") + 1] = self.meta_tcp
        node.launcher = host.enter
        return node.start() if start else node


class Parting(Round):
    """A round in which networks part."""

    def __init__(self, p, chance, counts, directory):
        super().__init__(p, chance, counts, directory)
        self.net, self.hosts = p.net, p.hosts
        self.clocks = shifts()

    def spawn_client(self, *arguments):
        number = len(self.records)
        host = self.hosts[f"client{1 + number % 2}"]
        return subprocess.Popen(
            [*host.enter, pool.BIN / "history", *map(str, arguments)], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=self.pool.environment(), preexec_fn=pool._die_with_parent)

    def endpoint_for(self, transport):
        """They reach the service through their network, whatever way their bytes take."""
        return self.pool.meta_tcp

    # ---- what can happen

    def part(self, first, second, longest_s):
        """One way, the other, or both, for a while."""
        a, b = self.hosts[first], self.hosts[second]
        ways = self.chance.choice((((a, b),), ((b, a),), ((a, b), (b, a))))
        for source, target in ways:
            self.net.cut(source, target)
        time.sleep(self.chance.uniform(0.05, longest_s))
        self.net.heal()
        self.count("cuts")

    def client(self):
        return self.chance.choice(("client1", "client2"))

    def node(self):
        return self.chance.choice(("node0", "node1"))

    def part_client_service(self):
        self.part(self.client(), "service", 1.2)

    def part_client_node(self):
        self.part(self.client(), self.node(), 1.2)

    def part_service_node(self):
        self.part("service", self.node(), 1.2)

    def part_everybody(self):
        """The service alone on one side."""
        for name in ("client1", "client2", "node0", "node1"):
            self.net.cut(self.hosts[name], self.hosts["service"])
        time.sleep(self.chance.uniform(0.05, 0.8))
        self.net.heal()
        self.count("cuts")

    def jump(self, daemon):
        """kill -9; the next life has another clock."""
        daemon.kill()
        if self.clocks:
            plain = [w for w in daemon.launcher if w not in shifted(0) and not w.isdigit()]
            daemon.launcher = [*plain, *shifted(self.chance.choice(CLOCKS_S))]
        daemon.start()

    def jump_service(self):
        self.jump(self.pool.meta)
        self.count("kills of the service")

    def jump_node(self):
        node = self.chance.choice(self.pool.nodes)
        self.jump(node)
        self.wait_alive(node.name)
        self.count("kills of nodes")

    def lose_by_partition(self):
        """The last node counts as dead, while clients may go on reaching it; then it is back."""
        node, begin = self.pool.nodes[-1], time.monotonic_ns()
        host, service = self.hosts[node.name], self.hosts["service"]
        for source, target in self.chance.choice((((host, service),),
                                                  ((host, service), (service, host)))):
            self.net.cut(source, target)
        wait_until(lambda: self.state(node.name) in (None, "dead"), 20, "the node being dead")
        time.sleep(self.chance.uniform(0, 0.5))
        self.net.heal()
        self.wait_alive(node.name)
        self.losses.append(["one/", begin, time.monotonic_ns()])
        self.count("cuts")
        self.count("deaths")

    def finish(self):
        self.net.heal()
        super().finish()


class Cases:
    def __init__(self, options, net):
        self.options = options
        self.chance = random.Random(options.seed)
        self.counts = collections.Counter()
        self.net = net
        self.hosts = {name: net.add(name)
                      for name in ("service", "node0", "node1", "client1", "client2")}

    def play(self, options, transports, events):
        """One history. It stays if it fails, or as --dump says."""
        directory = pathlib.Path(tempfile.mkdtemp(prefix="cenote-history-", dir=self.options.dump))
        stay = "CENOTE_TEST_OFF" not in os.environ # there it is to fail
        try:
            with Apart(self.net, self.hosts, options) as p:
                p.allow(*NOISE, r"module=meta\b")
                one = Parting(p, self.chance, self.counts, directory)
                for prefix in ("one/", "two/"):
                    for transport in transports:
                        one.add_client(prefix, transport, timeout="700ms")
                    one.add_reader(prefix)
                one.run(self.options.seconds, events(one))
                one.finish()
                one.judge()
            stay = False
        finally:
            self.net.heal()
            if not stay and self.options.dump is None:
                shutil.rmtree(directory)
        self.counts["histories"] += 1

    def kept(self):
        self.play([*SHORT, *LIVE_LONG], ("tcp", "tcp"),
                  lambda one: (one.part_client_service, one.part_client_node, one.part_client_node,
                               one.part_service_node, one.part_everybody, one.jump_service,
                               one.jump_node, one.stop_service, one.stop_node, one.stop_client,
                               one.kill_client))

    def dead(self):
        self.play([*SHORT, *LIVE_LONG, *DYING], ("tcp", "shm"),
                  lambda one: (one.lose_by_partition, one.lose_by_partition,
                               one.part_client_service, one.part_client_node, one.kill_client))

    def held(self):
        self.play([*SHORT, *LIVE_LONG], ("shm", "shm"),
                  lambda one: (one.part_client_service, one.part_client_service,
                               one.part_everybody, one.part_service_node, one.stop_client,
                               one.jump_service))


def report(results, cases, violations):
    """What there was since the last one: a line for people, and one of the campaign's results."""
    counts = cases.counts
    print(", ".join(f"{name} {value}" for name, value in sorted(counts.items())), flush=True)
    kills = sum(n for name, n in counts.items() if name.startswith("kills"))
    stops = sum(n for name, n in counts.items() if name.startswith("stops"))
    results.add(counts["histories"], counts["operations"], counts["cuts"], kills, stops, violations)
    counts.clear()


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--histories", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20))
    parser.add_argument("--only", choices=("kept", "dead", "held"))
    parser.add_argument("--dump", type=pathlib.Path)
    parser.add_argument("--results", type=pathlib.Path)
    options = parser.parse_args()
    print(f"--histories {options.histories} --seconds {options.seconds} --seed {options.seed}",
          flush=True)
    results = Results(options.results, COLUMNS)
    try:
        net = netns.Network()
        atexit.register(net.close)
        cases = Cases(options, net)
    except (netns.Unsupported, OSError) as error:
        skip(f"may not make networks: {error}")
    todo = [getattr(cases, options.only)] if options.only else [cases.kept, cases.dead, cases.held]
    for i in range(options.histories):
        try:
            pool.run_cases([todo[i % len(todo)]])
        except SystemExit:
            report(results, cases, 1)
            raise
        if i % REPORT_EVERY == REPORT_EVERY - 1:
            report(results, cases, 0)
    if options.histories % REPORT_EVERY != 0:
        report(results, cases, 0)


if __name__ == "__main__":
    sys.exit(main())
