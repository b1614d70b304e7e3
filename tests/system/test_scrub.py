#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Bits that flip in the memory of nodes: found by the nodes, dropped by the service, counted; and
nobody ever gets a wrong byte.

Usage: test_scrub.py [--times N] [--seed N] [--only CASE]
"""

import pool
import protocol
import rest
from pool import MIB, SHORT, check, wait_until
from test_memory import Named

CORRUPT, NOT_FOUND, OK = 1, 3, 0
NOT_NOTICED = "damage was not noticed"


class Scrubbed(Named):
    """Nodes that look through all their memory many times a second."""

    def __init__(self, nodes=2, rate="512MiB"):
        super().__init__(nodes=nodes, dram=48 * MIB, options=SHORT, meta_options=rest.HTTP)
        self.node_options.append(f"--scrub-rate={rate}")
        self.allow("is damaged", "replica is damaged", "CORRUPT", "verification")

    def extents(self, key):
        """[(node name, offset in its file, payload length)], stripe by stripe."""
        client = self.client()
        (item,) = client.call("stat", [[key]])
        client.close()
        check(item[0] == 0, f"{key} is there")
        found = []
        for _, length, _, gvas in item[5]:
            for gva in gvas:
                name, base = next((n["name"], s["gva"]) for n in self.status()["nodes"]
                                  for s in n["segments"]
                                  if s["gva"] <= gva < s["gva"] + s["length_bytes"])
                found.append((name, gva - base, length))
        return found

    def flip(self, name, at, bit):
        path = self.directory(name) / self.segments(name)[0]
        with open(path, "r+b") as memory:
            memory.seek(at)
            byte = memory.read(1)[0]
            memory.seek(at)
            memory.write(bytes([byte ^ 1 << bit]))

    def damage(self):
        return self.status()["damage"]

    def wait_damage(self, **counts):
        wait_until(lambda: all(self.damage()[name] == count for name, count in counts.items()), 15,
                   f"{NOT_NOTICED}: {counts}")
        for name, count in counts.items():
            rest.expect_metric(self.meta, f'cenote_damage_total{{what="{name}"}}', count)

    def get(self, key, transport):
        """The bytes; None: there are none that could be believed."""
        done = self.cenote("get", "--transport", transport, key, "-", code=None)
        return done.stdout if done.returncode == 0 else None


def tell(p):
    wait_until(lambda: all(n["directory_lag"] == 0 for n in p.status()["nodes"]), 20,
               "the nodes being told")


def store(p, key, value, *options):
    path = p.dir / "value"
    path.write_bytes(value)
    p.cenote("put", *options, key, path)


def places(chance, length):
    """Offsets in an extent: payload, list of sums, seal."""
    seal = protocol.seal_offset(length)
    chunks = -(-length // 65536)
    found = [chance.randrange(length), seal + chance.randrange(112)]
    return found + ([seal - 1 - chance.randrange(8 * chunks)] if chunks > 1 else [])


def last_replica(options, chance):
    """The value is gone, and its space is free."""
    with Scrubbed() as p:
        store(p, "whole", chance.randbytes(MIB))
        used = p.used_bytes()
        lost = 0
        for _ in range(options.times):
            for length in (1, 5000, 200000):
                for k in range(3 if length > 65536 else 2):
                    value = chance.randbytes(length)
                    store(p, "k", value)
                    tell(p)
                    ((name, offset, _),) = p.extents(b"k")
                    p.flip(name, offset + places(chance, length)[k], chance.randrange(8))
                    got = p.get("k", ("shm", "tcp")[k % 2])
                    check(got in (None, value), "wrong bytes")
                    lost += 1
                    p.wait_damage(lost_objects=lost, extents=lost)
                    p.cenote("exists", "k", code=NOT_FOUND)
                    p.wait_used(used)
        check(p.get("whole", "shm") == (p.dir / "value").read_bytes() or
              p.get("whole", "tcp") is not None, "what isn't damaged stays")
        check(p.damage()["dropped_replicas"] == 0, "there were none")


def one_of_two(options, chance):
    """The value lives on, from its other replica; also over a restart of the service."""
    with Scrubbed() as p:
        for i in range(options.times):
            value = chance.randbytes(300000)
            store(p, f"k{i}", value, "--replicas", 2)
            tell(p)
            name, offset, length = chance.choice(p.extents(b"k%d" % i))
            p.flip(name, offset + chance.randrange(length), chance.randrange(8))
            for transport in ("shm", "tcp"):
                check(p.get(f"k{i}", transport) == value, "the other replica is read")
            p.wait_damage(dropped_replicas=i + 1, lost_objects=0)
            wait_until(p.settled, 20, "its space being free")
            ((kept, _, _),) = p.extents(b"k%d" % i)
            check(kept != name, "the good one stays")
        p.meta.kill()
        p.meta.start()
        p.meta.killed = False
        p.wait_there("node0")
        p.wait_there("node1")
        check(p.get(f"k{options.times - 1}", "shm") == value, "and after a restart")
        tell(p)


def segment_goes(_options, chance):
    """A node is killed in the midst of it, and comes back; nothing is taken for damage."""
    with Scrubbed(rate="1GiB") as p:
        for i in range(8):
            store(p, f"k{i}", chance.randbytes(2 * MIB))
        tell(p)
        for i in range(2):
            p.restart(p.nodes[i], f"node{i}")
        tell(p)
        check(p.damage()["extents"] == 0, "nothing is damaged")
        ((name, offset, length),) = p.extents(b"k3")
        p.flip(name, offset + chance.randrange(length), 0)
        p.wait_damage(lost_objects=1)


def never(_options, chance):
    """Without it readers find the damage themselves."""
    with Scrubbed(rate="0") as p:
        value = chance.randbytes(100000)
        store(p, "k", value)
        tell(p)
        ((name, offset, length),) = p.extents(b"k")
        p.flip(name, offset + chance.randrange(length), 3)
        for transport in ("shm", "tcp"):
            check(p.get("k", transport) is None, "wrong bytes")
        check(p.damage()["extents"] == 0, "nobody looked")


CASES = [last_replica, one_of_two, segment_goes, never]


if __name__ == "__main__":
    pool.run_seeded(__doc__, CASES, 1)
