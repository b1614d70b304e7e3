#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The database is lost, and made again from the nodes: cenoted --rebuild.

What was acknowledged and told to the nodes is there again byte by byte, over either transport; what
was removed or replaced isn't; and nobody of before does harm to what comes after.

Usage: test_rebuild.py [--times N] [--seed N] [--only CASE]
"""
import os
import random
import shutil
import signal
import subprocess
import time

import pool
import protocol
import rest
from pool import MIB, SHORT, UNSCRUBBED, check, end_of, wait_stopped, wait_until
from test_fence import OVERWRITTEN, PIECE, Others, spawn_writer
from test_kill_service import finish, hammer, remove_all
from test_memory import Named
from test_views import Viewer

WRITER_VALUE, WRITER_DRAM = 24 * MIB, 40 * MIB
SEAL_STATE = 112
NOT_FOUND, NO_SPACE, NO_NODES = -1, -7, -8
SIZES = (0, 1, 100, 4095, 65536, 65537, 300000)
CAME_BACK = "a value that was removed or replaced has come back"
GIVEN_AWAY = "space was used while somebody of before could still write to it or look at it"


class Rebuilt(Named):
    """A pool that loses its database. What a test does to memory isn't to be mended meanwhile."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.node_options.append(UNSCRUBBED)

    def rebuild_status(self):
        client = protocol.Client(self.meta_endpoint, opens=False)
        try:
            return client.call("status", [])["rebuild"]
        finally:
            client.close()

    def told(self):
        """Until the nodes know of all that was committed."""
        wait_until(lambda: all(n["directory_lag"] == 0 and
                               n["directory_entries"] == n["directory_extents"]
                               for n in self.status()["nodes"]), 20, "the nodes being told")

    def void(self, key):
        """Makes the seal of a value void, in the memory's file: a void that the directory hasn't
        heard of."""
        client = self.client()
        (item,) = client.call("stat", [[key]])
        client.close()
        (_, length, _, (gva,)), = item[5]
        node, segment = next((n, s) for n in self.status()["nodes"] for s in n["segments"]
                             if s["gva"] <= gva < s["gva"] + s["length_bytes"])
        path = self.directory(node["name"]) / self.segments(node["name"])[0]
        with open(path, "r+b") as memory:
            memory.seek(gva - segment["gva"] + protocol.seal_offset(length) + SEAL_STATE)
            check(memory.read(4) == b"LIVE", "the seal is live")
            memory.seek(-4, os.SEEK_CUR)
            memory.write(b"VOID")

    def lose(self):
        self.meta.kill()
        shutil.rmtree(self.data_dir)

    def start_rebuild(self, *options):
        before = self.meta.options
        self.meta.options = [*before, "--rebuild",
                             *(options or [f"--rebuild-nodes={self.node_count}"])]
        try:
            self.meta.start()
        finally:
            self.meta.options = before

    def wait_rebuilt(self):
        wait_until(lambda: self.rebuild_status()["phase"] == "done", 30, "the rebuild's end")
        return self.rebuild_status()

    def rebuild(self, *options):
        self.start_rebuild(*options)
        return self.wait_rebuilt()

    def wait_settled(self):
        wait_until(lambda: self.rebuild_status()["unsettled_nodes"] == 0, 20, "nodes settling")


class Fillers(Others):
    """Values that take what is free, so that nothing is evicted. As long as a node hasn't settled,
    that is nothing."""

    def fill(self):
        free = self.pool.status()["capacity"]["free_bytes"] * 9 // 10 // (PIECE + 4096)
        for number in range(len(self.values), len(self.values) + free):
            key = b"other/%d" % number
            value = random.Random(number).randbytes(4096) * (PIECE // 4096)
            try:
                self.client.put(key, value)
            except protocol.Failure as failure:
                check(failure.status in (NO_SPACE, NO_NODES), f"filling the pool: {failure}")
                break
            self.values[key] = value
        items = self.client.call("stat", [list(self.values)]) if self.values else []
        self.extents = [(gva, length) for item in items if item[0] == 0
                        for _, length, _, gvas in item[5] for gva in gvas]

    def check_values(self):
        """Whoever puts more may take the place of some, in order."""
        for key, value in self.values.items():
            try:
                check(self.client.get(key) == value, OVERWRITTEN)
            except protocol.Failure as failure:
                check(failure.status == NOT_FOUND, f"{OVERWRITTEN}: {key}: {failure}")


class Values:
    """What must be there, and what mustn't, in two namespaces."""

    def __init__(self, p, chance):
        self.pool, self.chance = p, chance
        self.there, self.gone = {}, set()

    def put(self, namespace, key, value, *options):
        path = self.pool.dir / "value"
        path.write_bytes(value)
        transport = ("shm", "tcp")[len(self.there) % 2]
        self.pool.cenote("put", "--namespace", namespace, "--transport", transport, *options, key,
                         path)
        self.there[namespace, key] = value

    def fill(self, tag, count):
        for number in range(count):
            self.put(("default", "other")[number % 2], f"{tag}{number}",
                     self.chance.randbytes(SIZES[number % len(SIZES)]))

    def seals(self, name, count):
        """Values whose bytes are those of a node's memory, live seals and all."""
        for number in range(count):
            path = self.pool.directory(name) / self.pool.segments(name)[0]
            self.put("default", f"seals{number}", path.read_bytes()[:3 * MIB])

    def change(self):
        """Removes a third, replaces another one."""
        for number, (namespace, key) in enumerate(sorted(self.there)):
            if number % 3 == 0:
                self.pool.cenote("rm", "--namespace", namespace, key)
                del self.there[namespace, key]
                self.gone.add((namespace, key))
            elif number % 3 == 1:
                self.put(namespace, key, self.chance.randbytes(1 + number * 100), "--replace")

    def check(self):
        for transport in ("shm", "tcp"):
            for (namespace, key), value in self.there.items():
                done = self.pool.cenote("get", "--namespace", namespace, "--transport", transport,
                                        key, "-", code=None)
                check(done.returncode == 0, f"{key} is lost: {done.stderr.decode()}")
                check(done.stdout == value, f"{CAME_BACK}, or {key} differs")
        for namespace, key in self.gone:
            done = self.pool.cenote("exists", "--namespace", namespace, key, code=None)
            check(done.returncode == 3, f"{CAME_BACK}: {key}")


def back(options, chance):
    """Again and again, with nodes that are killed meanwhile, too; seals of one life never count in
    the next, and payloads that hold seals are payloads."""
    with Rebuilt(nodes=2, dram=48 * MIB) as p:
        values = Values(p, chance)
        values.fill("first", 14)
        values.seals("node0", 1)
        p.cenote("put", "--replicas", 2, "--replace", "both", p.dir / "value")
        values.there["default", "both"] = (p.dir / "value").read_bytes()
        for i in range(options.times + 1):
            values.change()
            values.fill(f"more{i}-", 4)
            values.put("default", "void", b"of no worth")
            p.told()
            p.void(b"void")
            values.gone.add(("default", "void"))
            del values.there["default", "void"]
            reign = p.status()["service"]["reign"]
            p.lose()
            if i % 2 == 1:
                p.nodes[0].kill()
                p.nodes[0].start(wait=False)
            done = p.rebuild()
            if i % 2 == 1:
                p.nodes[0].wait_ready()
            check(done["objects"] <= len(values.there), f"{CAME_BACK}: {done}")
            check(done["objects"] == len(values.there), f"not all {len(values.there)}: {done}")
            check(done["strange"] == 0 and done["missing_nodes"] == 0, f"{done}")
            check(done["left_out"] == 1, f"one seal was void: {done}")
            values.check()
            check(p.status()["service"]["reign"] > reign, "the reign is higher")
            p.wait_settled()
        p.meta.kill() # what was made is a database like any other
        p.meta.start()
        p.meta.killed = False
        values.check()
        for namespace in ("default", "other"):
            client = p.client(namespace)
            keys = [k.encode() for n, k in values.there if n == namespace]
            check(client.call("remove", [client.next_seq(), keys]) == [0] * len(keys), "removed")
            client.close()
        p.wait_used(0, "all space being free")


def hammered(options, chance):
    """Under load, with commits that the nodes haven't heard of: these may be lost, but nothing
    older comes back in their place."""
    with Rebuilt(nodes=2, dram=160 * MIB, port=pool.steady_port()) as p:
        hammers = [hammer(p, t, options.seed * 10 + i, "--lossy")
                   for i, t in enumerate(("shm", "tcp"))]
        for i in range(options.times * 2):
            time.sleep(0.3 + chance.random() * 0.5)
            p.lose()
            p.rebuild()
            p.wait_settled()
            for process in hammers:
                check(process.poll() is None, f"a hammer ended by itself after rebuild {i}")
        for process, name in zip(hammers, ("shm", "tcp")):
            finish(process, name)
        p.meta.killed = False
        remove_all(p)


def writer(chance, transport):
    """A writer that is stopped in the midst of its bytes, and goes on after the rebuild."""
    with Rebuilt(nodes=1, dram=WRITER_DRAM, options=(*SHORT, "--put-timeout=60s")) as p:
        values = Values(p, chance)
        values.fill("k", 5)
        p.told()
        process = spawn_writer(p, transport, chance.randrange(MIB, WRITER_VALUE - MIB))
        wait_stopped(process)
        p.lose()
        p.rebuild()
        values.check()
        if transport == "tcp":
            p.wait_settled()
        else:
            time.sleep(1.5) # in which a hasty service would use the space
        others = Fillers(p)
        others.fill()
        used = sum(size for _, size in others.extents)
        process.send_signal(signal.SIGCONT) # it has lost its session, and may begin anew
        end_of(process, 60, "the writer")
        others.check_values()
        values.check()
        if transport == "shm":
            check(used == 0, GIVEN_AWAY)
        p.wait_settled()
        others.fill()
        check(others.values, "the space can be used in the end")
        others.check_values()
        values.check()
        stored = p.cenote("exists", "stopped", code=None).returncode == 0
        check(process.returncode == 0 or not stored, "the writer was told that its put failed")


def writer_shm(_options, chance):
    writer(chance, "shm")


def writer_tcp(_options, chance):
    writer(chance, "tcp")


def view(_options, chance):
    """Somebody looks at a value that was removed before the database was lost."""
    with Rebuilt(nodes=1, dram=WRITER_DRAM) as p:
        viewer = Viewer(p)
        viewer.put("seen", 8 * MIB, 5)
        number = viewer.open("seen")
        Values(p, chance).fill("k", 3)
        p.cenote("rm", "seen")
        p.told()
        p.lose()
        p.rebuild()
        time.sleep(1.5)
        others = Fillers(p)
        others.fill()
        viewer.check(number, 5)
        check(p.rebuild_status()["unsettled_nodes"] == 1, GIVEN_AWAY)
        viewer.release(number)
        p.wait_settled()
        others.fill()
        check(len(others.values) > 0, "then the space can be used")
        others.check_values()
        viewer.end()


def missing(_options, chance):
    """It names the node that it waits for, and goes on without it."""
    with Rebuilt(nodes=2, dram=48 * MIB, meta_options=rest.HTTP) as p:
        values = Values(p, chance)
        values.fill("k", 16)
        p.told()
        here = next(n["segments"][0] for n in p.status()["nodes"] if n["name"] == "node0")
        client = {n: p.client(n) for n in ("default", "other")}
        for namespace, key in list(values.there):
            (item,) = client[namespace].call("stat", [[key.encode()]])
            gva = item[5][0][3][0]
            if not here["gva"] <= gva < here["gva"] + here["length_bytes"]:
                values.gone.add((namespace, key))
                del values.there[namespace, key]
        check(values.there and values.gone, "both nodes have values")
        p.lose()
        p.nodes[1].kill()
        p.start_rebuild("--rebuild-wait=2500ms")
        wait_until(lambda: p.rebuild_status()["missing"] == ["node1"], 10, "the missing one's name")
        check(p.rebuild_status()["phase"] == "gathering", "it is waited for")
        rest.expect_metric(p.meta, "cenote_rebuild_missing_nodes", 1)
        rest.expect_metric(p.meta, "cenote_ready", 0)
        failed = p.cenote("get", "k0", "-", code=None)
        check(failed.returncode not in (0, 3), "clients wait: nobody is told that nothing is there")
        done = p.wait_rebuilt()
        wait_until(lambda: rest.metric(p.meta, "cenote_ready") == 1, 5, "the service being ready")
        rest.expect_metric(p.meta, "cenote_rebuild_missing_nodes", 0)
        check("node node1 is missing" in p.meta.log(), "the log says what it went on without")
        check(done["nodes"] == 1 and done["objects"] == len(values.there), f"{done}")
        values.check()
        p.allow("the service has ended this node's contents", "cannot join")
        p.nodes[1].start() # too late: it begins with empty memory
        wait_until(lambda: len(p.status()["nodes"]) == 2, 20, "the late node")
        values.check()
        p.meta.killed = False


def refused(p, what):
    before = p.meta.log().count("knows reign")
    p.meta.start()
    wait_until(lambda: p.meta.log().count("knows reign") > before, 20, f"the refusal of {what}")
    check(not any(n["connected"] for n in p.status()["nodes"]), "the node doesn't join")
    p.meta.kill()


def backup(_options, chance):
    """A database of earlier is refused by the nodes, which remember more than it does, however
    often it is started: each start makes its reign a higher one."""
    with Rebuilt(nodes=1, dram=48 * MIB) as p:
        values = Values(p, chance)
        values.fill("k", 6)
        p.meta.stop()
        shutil.copytree(p.data_dir, p.dir / "backup")
        p.meta.start()
        p.wait_there()
        values.change()
        p.told()
        p.lose()
        p.allow("knows reign")
        shutil.copytree(p.dir / "backup", p.data_dir)
        for reign in ("the same reign as before", "a higher one", "a still higher one"):
            refused(p, reign)
        shutil.rmtree(p.data_dir)
        refused(p, "a lower one, of an empty database")
        shutil.rmtree(p.data_dir)
        p.rebuild()
        values.check()
        p.meta.killed = False


def distrusted(_options, chance):
    """The operating system was started anew, as far as the database knows."""
    with Rebuilt(nodes=1, dram=48 * MIB) as p:
        values = Values(p, chance)
        values.fill("k", 6)
        p.told()
        p.meta.kill()
        state = p.data_dir / "state"
        words = state.read_text().split()
        check("phase=open" in words, f"{words}")
        line = " ".join("boot=other" if w.startswith("boot=") else w for w in words)
        state.write_text(line.ljust(255) + "\n")
        done = subprocess.run([pool.BIN / "cenoted", *p.meta.options], capture_output=True,
                              timeout=30, check=False)
        check(done.returncode != 0 and b"--rebuild" in done.stderr,
              f"it is refused, and told what helps: {done.stderr.decode()}")
        p.start_rebuild()
        p.meta.kill() # in the midst of it
        p.start_rebuild()
        p.wait_rebuilt()
        values.check()
        check((p.data_dir / "data.mdb.before").exists(), "the old one is kept")
        p.meta.killed = False


CASES = [back, hammered, writer_shm, writer_tcp, view, missing, backup, distrusted]


if __name__ == "__main__":
    pool.run_seeded(__doc__, CASES, 1)
