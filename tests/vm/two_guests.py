#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A pool on two machines: two guests, with a kernel each, on a wire. One has the service and a
node, the other one a node and the clients. Values have two replicas; either node is killed, and
values are read from the other one, over the wire or not.

    tests/vm/two_guests.py [--times N]

Programs are found in $CENOTE_BIN; the exit status 77 skips.
"""
import argparse
import os
import pathlib
import random
import sys
import time

import host
import vm

PYTHON = "/usr/bin/python3"
BIN = pathlib.Path(os.environ.get("CENOTE_BIN", host.TREE / "build/bin")).resolve()
LIMIT_S = 300
PATIENCE_S = 120
ADDRESS_A, ADDRESS_B = "10.9.0.1", "10.9.0.2" # of network `card` (vm-net)
SERVICE = f"{ADDRESS_A}:7471"
OPTIONS = ("--insecure", "--suspect=5s", "--dead=60s")
SIZES = (100, 70000, 3 << 20)
STATISTICS = pathlib.Path("/sys/class/net/eth0/statistics")


def node_options(address):
    return ["--data-listen", f"{address}:0", "--rdma-listen", f"{address}:0"]


class Signs:
    """What one guest tells the other one: files in the folder that both write to."""

    def __init__(self, pool):
        self.pool = pool
        self.folder = pathlib.Path(os.environ["CENOTE_VM_OUT"])

    def give(self, name):
        (self.folder / name).touch()

    def wait(self, name):
        """The other guest's failure ends this one too."""
        def given():
            self.pool.check(not (self.folder / "failed").exists(), "the other guest failed")
            return (self.folder / name).exists()
        self.pool.wait_until(given, PATIENCE_S, f"the sign '{name}'")


def side_a(pool, signs):
    """The service, and a node that comes and goes when the other side wants it."""
    with pool.Pool(nodes=1, split=True, options=[*pool.SHORT, *OPTIONS],
                   meta_options=["--listen", SERVICE],
                   node_options=node_options(ADDRESS_A)) as p:
        p.allow(*pool.NOISE)
        signs.give("service is up")
        signs.wait("kill node of a")
        p.nodes[0].kill()
        signs.give("node of a is dead")
        signs.wait("over")


class SideB:
    """A node, and clients."""

    def __init__(self, pool, signs):
        self.pool = pool
        self.signs = signs
        self.folder = pathlib.Path("/tmp")
        options = ["--roles=node", "--meta", SERVICE, "--dram", "64MiB", "--node-name", "node-b",
                   "--shm-dir", self.folder / "shm", *node_options(ADDRESS_B), *pool.SHORT,
                   *OPTIONS]
        self.node = pool.Daemon("node-b", self.folder, options)
        self.values = {}

    def cenote(self, *words, **how):
        return self.pool.run_tool({**os.environ, "CENOTE_META": SERVICE}, words, **how)

    def status(self):
        client = self.pool.protocol.Client(SERVICE, "watcher")
        try:
            return client.call("status", [])
        finally:
            client.close()

    def wait_alive(self, count):
        def alive():
            nodes = [n for n in self.status()["nodes"] if n["state"] == "alive"]
            return len(nodes) == count and all(s["populated_bytes"] == s["length_bytes"]
                                               for n in nodes for s in n["segments"])
        self.pool.wait_until(alive, PATIENCE_S, f"{count} nodes being alive")

    def put(self, name):
        for number, size in enumerate(SIZES):
            key, data = f"{name}/{number}", random.Random(size).randbytes(size)
            self.cenote("put", "--replicas", 2, "--transport", "rdma", key, "-", input=data)
            self.values[key] = data

    def check(self, what):
        begin, before = time.monotonic(), received_bytes()
        for key, data in self.values.items():
            got = self.cenote("get", "--transport", "rdma", key).stdout
            self.pool.check(got == data, f"{key} {what}: wrong bytes")
        received = received_bytes() - before
        print(f"{len(self.values)} values {what}: {time.monotonic() - begin:.1f} s, "
              f"{received} bytes over the wire", flush=True)
        return received

    def run(self):
        self.signs.wait("service is up")
        self.node.start()
        self.wait_alive(2)
        before = sent_bytes()
        self.put("first")
        self.pool.check(sent_bytes() - before > sum(SIZES), "a replica of each went over the wire")
        self.check("with both nodes")
        self.node.kill()
        over_wire = self.check("without this side's node")
        self.pool.check(over_wire > sum(SIZES), "all came over the wire")
        self.node.start()
        self.wait_alive(2)
        self.values = {}
        self.put("second")
        self.signs.give("kill node of a")
        self.signs.wait("node of a is dead")
        self.check("without the other side's node")
        self.node.stop()
        self.node.check_log(self.pool.NOISE)
        self.signs.give("over")


def received_bytes():
    return int((STATISTICS / "rx_bytes").read_text())


def sent_bytes():
    return int((STATISTICS / "tx_bytes").read_text())


def inside(side):
    sys.path.insert(0, str(host.TREE / "tests/system"))
    import pool # not on the host, which may have none of what it needs
    signs = Signs(pool)
    try:
        if side == "a":
            side_a(pool, signs)
        else:
            SideB(pool, signs).run()
    except BaseException:
        signs.give("failed")
        raise
    return 0


def outside(times):
    for turn in range(times):
        begin = time.monotonic()
        command = [PYTHON, __file__, "--side"]
        status = vm.main(["pair", "--timeout", str(LIMIT_S), "--export", str(BIN.parent), "--",
                          *command, "a", "--", *command, "b"])
        print(f"{turn + 1} of {times}: status {status} ({time.monotonic() - begin:.1f} s)",
              flush=True)
        if status != 0:
            return status
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--side", choices=("a", "b"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    return inside(options.side) if options.side else outside(options.times)


if __name__ == "__main__":
    sys.exit(main())
