#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The nodes' directories of extents: what is in the files, against what the service knows.

Usage: test_directory.py [--times N] [--seed N] [--only CASE]
"""
import struct
import time

import pool
from pool import MIB, check, wait_until
from test_kill_service import finish, hammer, remove_all
from test_memory import Named

HEAD, CHUNK, CHUNK_HEAD = 4096, 65536, 64
SLOT_SIZES = (128, 192, 256, 320, 448, 640, 960, 1216)
# check, round, next free, lengths, sum kind, replicas, flags, gva ... root
SLOT = struct.Struct("<QII HBBBBH QQQ IHH 16s QQQQ")
TOO_MANY = "a directory has entries of extents that are gone"


def read_entries(path):
    """{gva: (key, namespace, put id, length, stripe, stripes, offset, payload length, root)}"""
    data = path.read_bytes()
    entries = {}
    for chunk in range(HEAD, len(data), CHUNK):
        check_sum, size_class = struct.unpack_from("<QI", data, chunk)
        if check_sum == 0 or size_class >= len(SLOT_SIZES):
            continue
        size = SLOT_SIZES[size_class]
        for at in range(chunk + CHUNK_HEAD, chunk + CHUNK - size + 1, size):
            (live, _, _, key_len, name_len, _kind, _replicas, _flags, _, gva, payload, put_id,
             _space, stripe, stripes, _hash, length, _created, offset,
             root) = SLOT.unpack_from(data, at)
            if live == 0:
                continue
            name = data[at + SLOT.size:at + SLOT.size + name_len]
            key = data[at + SLOT.size + name_len:at + SLOT.size + name_len + key_len]
            check(gva not in entries, f"two entries of {gva:#x}")
            entries[gva] = (key, name, put_id, length, stripe, stripes, offset, payload, root)
    return entries


def wanted_entries(p, namespace="default"):
    """The same of all objects, as the service tells."""
    client = p.client(namespace)
    wanted, cursor = {}, None
    while True:
        page, cursor = client.call("list", [b"", cursor, 1000])
        keys = [entry[0] for entry in page]
        for key, item in zip(keys, client.call("stat", [keys]) if keys else []):
            check(item[0] == 0, f"{key} is listed, and its stat is {item}")
            _, put_id, length, _kind, _created, stripes, _keep = item
            for number, (offset, payload, root, gvas) in enumerate(stripes):
                for gva in gvas:
                    wanted[gva] = (key, namespace.encode(), put_id, length, number, len(stripes),
                                   offset, payload, root)
        if cursor is None:
            client.close()
            return wanted


def nodes_of(p):
    return p.status()["nodes"]


def compare(p):
    """Each node's directory has exactly the extents of the service's objects that lie on it."""
    wait_until(p.settled, 30, "puts and voids being over")
    wanted = wanted_entries(p)
    found = {name: read_entries(p.directory(name) / "directory") for name in ("node0", "node1")}
    for name, entries in found.items():
        check(not set(entries) - set(wanted), f"{TOO_MANY}: {len(entries)} in that of {name}")
    wait_until(lambda: all(n["directory_lag"] == 0 and
                           n["directory_entries"] == n["directory_extents"] for n in nodes_of(p)),
               30, "the directories being up to date")
    count = 0
    for node in nodes_of(p):
        entries = read_entries(p.directory(node["name"]) / "directory")
        here = {gva: e for gva, e in wanted.items() if any(
            s["gva"] <= gva < s["gva"] + s["length_bytes"] for s in node["segments"])}
        check(entries == here, f"{node['name']} has {len(entries)} entries, not these {len(here)}")
        check(node["directory_extents"] == len(here), f"status doesn't tell {len(here)}: {node}")
        count += len(here)
    check(count == len(wanted), f"{len(wanted)} extents, and {count} of them on the nodes")
    return count


def kept(options, chance):
    """Puts, removes, replaces; then the same objects after each kill of a node or the service."""
    with Named(nodes=2, dram=24 * MIB, port=pool.steady_port()) as p:
        client = p.client()
        for number in range(60):
            key = b"k%d" % number * (1 + number * 3)
            client.put(key[:1024], chance.randbytes(chance.randrange(20000)))
        for number in range(0, 60, 3):
            client.remove((b"k%d" % number * (1 + number * 3))[:1024])
        for number in range(1, 60, 4):
            key = (b"k%d" % number * (1 + number * 3))[:1024]
            client.put(key, chance.randbytes(5000), flags=1)
        client.put(b"striped", bytes(30 * MIB))
        compare(p)
        for i in range(options.times):
            client.put(b"more%d" % i, b"value")
            if i % 2 == 0:
                p.meta.kill()
                p.meta.start()
                p.meta.killed = False
                client = p.client()
            else:
                p.restart(p.nodes[i % 2], f"node{i % 2}")
            compare(p)
        remove_all(p)
        check(compare(p) == 0, "everything was removed")


def hammered(options, chance):
    """The same under load."""
    with Named(nodes=2, dram=192 * MIB, port=pool.steady_port()) as p:
        hammers = [hammer(p, t, options.seed * 10 + i) for i, t in enumerate(("shm", "tcp"))]
        for i in range(options.times):
            time.sleep(0.1 + chance.random() * 0.3)
            before = p.wait_there(f"node{i % 2}")
            p.nodes[i % 2].kill()
            if i % 3 > 0:
                p.meta.kill()
                p.meta.start()
                p.meta.killed = False
            p.nodes[i % 2].start()
            p.wait_changed(before, f"node{i % 2}")
        for process, name in zip(hammers, ("shm", "tcp")):
            finish(process, name)
        compare(p)
        remove_all(p)
        check(compare(p) == 0, "everything was removed")


CASES = [kept, hammered]


if __name__ == "__main__":
    pool.run_seeded(__doc__, CASES, 2)
