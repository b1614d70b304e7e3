#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The memory of nodes: named memory over kill -9 and restart, several segments, wrong options.

Usage: test_memory.py [--times N] [--seed N] [--only CASE]
"""
import pathlib
import random
import re
import shutil
import subprocess
import tempfile
import time

import pool
import protocol
from pool import MIB, NOISE, SANITIZED, SHORT, Pool, check, end_of, wait_stopped, wait_until
from test_fence import Others, quarantined, spawn_writer, wake
from test_kill_service import finish, hammer, remove_all

SIZES = (0, 1, 4095, 65536, 65537, 300000, 3 * MIB + 17)
WRITER_VALUE = 24 * MIB
WRITER_DRAM = 40 * MIB
OLD_BOOT, BAD_GRANT = -64, -65
GIVEN_AWAY = "the space of a writer that is in its memcpy was given away"


class Named(Pool):
    """A split pool whose nodes have named memory, one directory each."""

    def __init__(self, nodes=1, dram=64 * MIB, options=SHORT, port=0, meta_options=()):
        super().__init__(nodes=nodes, split=True, dram=dram, options=options, port=port,
                         meta_options=meta_options)
        self.memory = pathlib.Path(tempfile.mkdtemp(prefix="cenote-test-", dir="/dev/shm"))
        self.allow(*NOISE)

    def directory(self, name):
        return self.memory / name

    def add_node(self, name, options=(), start=True):
        return super().add_node(name, ["--memory-dir", self.directory(name), *options], start)

    def __exit__(self, kind, error, trace):
        try:
            super().__exit__(kind, error, trace)
        finally:
            shutil.rmtree(self.memory)

    def describe(self, name="node0"):
        """(boot, [(incarnation, gva, length)]) of a live node; None: it isn't there."""
        for node in self.status()["nodes"]:
            if node["name"] == name and node["state"] == "alive" and node["connected"]:
                return node["boot"], [(s["incarnation"], s["gva"], s["length_bytes"])
                                      for s in node["segments"]]
        return None

    def wait_there(self, name="node0"):
        return wait_until(lambda: self.describe(name), 30, f"{name} being there")

    def wait_changed(self, before, name="node0"):
        """Until the node is there with another boot; what it is then."""
        def changed():
            now = self.describe(name)
            return now if now and now[0] != before[0] else None
        return wait_until(changed, 30, "the node being back with a new boot")

    def restart(self, node, name="node0"):
        before = self.wait_there(name)
        node.kill()
        node.start()
        return before, self.wait_changed(before, name)

    def segments(self, name="node0"):
        return sorted(p.name for p in self.directory(name).glob("segment-*"))

    def slots(self, name="node0"):
        return sorted(p.name for p in (self.directory(name) / "slots").iterdir())


def put_values(p, seed):
    """Values of many sizes, by the tool and over either transport."""
    chance = random.Random(seed)
    values = {}
    for number, size in enumerate(SIZES * 2):
        path = p.dir / f"value{number}"
        path.write_bytes(chance.randbytes(size))
        values[f"k{number}"] = path.read_bytes()
        p.cenote("put", "--transport", ("shm", "tcp")[number % 2], f"k{number}", path)
    return values


def check_values(p, values):
    for transport in ("shm", "tcp"):
        for key, value in values.items():
            got = p.cenote("get", "--transport", transport, key, "-").stdout
            check(got == value, f"{key} over {transport}: {len(got)} bytes that differ")


def survives(_options, chance):
    """All is there after kill -9: over both transports, at the same addresses, again and again."""
    with Named() as p:
        values = put_values(p, chance.random())
        used = p.used_bytes()
        for _ in range(3):
            before, after = p.restart(p.nodes[0])
            check(after[0] != before[0], "a new process has a new boot number")
            check(after[1] == before[1], f"the segments are others: {before[1]}, {after[1]}")
            check_values(p, values)
            p.wait_used(used, "what was used before")
        check("taken over" in p.nodes[0].log(), "the node says that it has taken its memory over")
        path = p.dir / "more"
        path.write_bytes(b"x" * MIB)
        p.cenote("put", "more", path) # and it goes on
        remove_all(p)


def old_grants(_options, _chance):
    """What was granted by an earlier boot is refused, whatever a client says its boot is."""
    with Named() as p:
        client = p.client()
        put_id, _, ((_, length, ((gva, boot, mac),)),) = client.put_start(b"old", 100000)
        node = client.locate(gva)[0]
        check(node[2] == boot, "the grant names the boot")
        p.restart(p.nodes[0])
        client.version = 0
        client.ranges = []
        node = client.locate(gva)[0]
        check(node[2] != boot, "the map tells the new boot")
        for said, wanted in ((boot, (OLD_BOOT,)), (0, (OLD_BOOT, BAD_GRANT)),
                             (node[2], (OLD_BOOT, BAD_GRANT))):
            try:
                channel = protocol.Data(node[7], client.session, client.namespace, client.token,
                                        said)
                channel.write(put_id, gva, length, 0, b"!" * 1000, mac)
                check(False, "a write with a grant of the old boot was served")
            except protocol.Failure as failure:
                check(failure.status in wanted, f"refused with {failure.status}, not {wanted}")
        client.close()
        p.wait_used(0)


def after_death(_options, chance):
    """Declared dead: the values are gone, the memory is new, nothing wrong comes out of it."""
    with Named(options=[*SHORT, "--suspect=300ms", "--dead=800ms"]) as p:
        values = put_values(p, chance.random())
        before, files = p.describe(), p.segments()
        p.nodes[0].kill()
        wait_until(lambda: not p.status()["nodes"], 30, "the node being declared dead")
        p.nodes[0].start()
        after = p.wait_changed(before)
        check(after[1][0][0] != before[1][0][0] and after[1][0][1] != before[1][0][1],
              "contents that had ended came back")
        check(not set(files) & set(p.segments()), "the old file is used again")
        for key in values:
            p.cenote("get", key, "-", code=3)
        p.wait_capacity()
        more = put_values(p, chance.random())
        check_values(p, more)
        remove_all(p)


def locked(_options, _chance):
    """One process to a directory, and one node."""
    with Named() as p:
        p.allow("another process has its memory", "holds the memory of node")
        node = p.nodes[0]
        second = p.add_node("second", ["--memory-dir", p.directory("node0")], start=False)
        p.nodes.pop()
        second.start(wait=False)
        check(second.process.wait(20) != 0, "a second process took the memory of another")
        check("another process has its memory" in second.log(), second.log())
        node.kill()
        second.start(wait=False)
        check(second.process.wait(20) != 0, "another node took the memory of one that may return")
        check("holds the memory of node node0" in second.log(), second.log())
        second.process = None
        node.start()


def damage(p, what):
    state = p.directory("node0") / "state"
    if what == "state":
        raw = bytearray(state.read_bytes())
        raw[len(raw) // 2] ^= 1
        state.write_bytes(raw)
    elif what == "short":
        state.write_bytes(state.read_bytes()[:100])
    elif what == "missing":
        (p.directory("node0") / p.segments()[0]).unlink()
    elif what == "length":
        with open(p.directory("node0") / p.segments()[0], "ab") as f:
            f.truncate(65 * MIB)
    else:
        (p.directory("node0") / "slots" / "surprise").write_bytes(b"who knows")


def damaged(_options, chance):
    """What can't be trusted is not taken over: a warning, and empty memory."""
    for what in ("state", "short", "missing", "length", "slots"):
        with Named(options=[*SHORT, "--suspect=400ms"]) as p:
            put_values(p, chance.random())
            before, files = p.describe(), p.segments()
            p.nodes[0].kill()
            damage(p, what)
            p.nodes[0].start()
            after = p.wait_changed(before)
            check(after[1][0][:2] != before[1][0][:2], f"{what}: taken over all the same")
            check("beginning with empty memory" in p.nodes[0].log(), f"{what}: no warning")
            check(not set(files) & set(p.segments()) and len(p.segments()) == 1,
                  f"{what}: files are left over")
            p.cenote("get", "k3", "-", code=3)
            check_values(p, put_values(p, chance.random()))


def stops(_options, chance):
    """Stopped in order: out of the pool, and no file is left. Without the service: all is left."""
    with Named() as p:
        values = put_values(p, chance.random())
        p.meta.kill()
        p.nodes[0].stop()
        check(p.segments() and (p.directory("node0") / "state").exists(),
              "a node that could not leave removed its memory")
        p.meta.start()
        p.meta.killed = False
        p.nodes[0].start()
        wait_until(p.describe, 30, "the node being back")
        check_values(p, values)
        p.nodes[0].stop()
        left = [f for f in p.directory("node0").rglob("*") if f.is_file()]
        check(not left, f"a node that left the pool leaves {left}")
        p.nodes[0].start()


def kept(_options, chance):
    """Stopped in order with --keep-memory: it doesn't leave, and the next one goes on with all."""
    with Named() as p:
        node = p.nodes[0]
        node.stop()
        node.options.append("--keep-memory")
        node.start()
        values = put_values(p, chance.random())
        for _ in range(2):
            before = p.wait_there()
            node.stop()
            check(p.segments() and p.status()["nodes"], "a node that keeps its memory left")
            node.start()
            after = p.wait_changed(before)
            check(after[1] == before[1], f"the segments are others: {before[1]}, {after[1]}")
            check_values(p, values)
        remove_all(p)


def writer(chance, kill, *how):
    """Stopped in its memcpy while its node is killed and takes its memory over."""
    with Named(dram=WRITER_DRAM,
               options=[*SHORT, "--put-timeout=400ms", "--lease=200ms"]) as p:
        process = spawn_writer(p, "shm", chance.randrange(4096, WRITER_VALUE - 4096), *how)
        wait_stopped(process)
        if chance.random() < 0.5: # its fence has begun, or not
            wait_until(lambda: quarantined(p)[0] >= WRITER_VALUE, 20, "the put being fenced")
        for _ in range(2):
            before, after = p.restart(p.nodes[0])
            check(after[1] == before[1], "the memory was taken over")
            wait_until(lambda: p.status()["service"]["pending_puts"] == 0, 20, "the put's end")
            time.sleep(0.3) # a fence that is wrongly done
            others = Others(p)
            others.fill()
            total, counted = quarantined(p)
            check(total >= WRITER_VALUE and counted >= WRITER_VALUE, GIVEN_AWAY)
            check(sum(size for _, size in others.extents) <= WRITER_DRAM - WRITER_VALUE, GIVEN_AWAY)
            check(len(p.slots()) >= 1, "the slots of a writer are forgotten")
            others.client.close()
            remove_others(p, others)
        if kill:
            process.kill()
            end_of(process, 60, "the killed writer")
        else:
            wake(process, "the writer in shared memory")
        wait_until(lambda: quarantined(p) == (0, 0), 20, "the space coming back")
        others = Others(p)
        others.fill()
        others.check_values()
        check(sum(size for _, size in others.extents) > WRITER_DRAM - 2 * MIB,
              "the space of the stopped put can be used again")
        others.remove()
        wait_until(lambda: not p.slots(), 20, "the files of slots being removed")


def remove_others(p, others):
    client = p.client("others")
    client.call("remove", [client.next_seq(), list(others.values)])
    client.close()
    wait_until(lambda: p.status()["capacity"]["used_bytes"] == 0, 20, "the others being removed")


def writer_woken(_options, chance):
    writer(chance, kill=False)


def writer_killed(_options, chance):
    """It has closed its descriptors, too: neither life of the node sees a socket of it."""
    writer(chance, True, "closed")


def hammered(options, chance):
    """Nothing may be lost while nodes are killed and come back with their memory. There is room for
    all of it on one of them: otherwise values have to go while the other is away."""
    with Named(nodes=2, dram=192 * MIB) as p:
        hammers = [hammer(p, t, options.seed * 10 + i) for i, t in enumerate(("shm", "tcp"))]
        for i in range(options.times):
            time.sleep(chance.random() * 0.5)
            name = f"node{i % 2}"
            before, after = p.restart(p.nodes[i % 2], name)
            check(after[1] == before[1], f"the memory was taken over after kill {i}")
            for process in hammers:
                check(process.poll() is None, f"a hammer ended by itself after kill {i}")
        for process, name in zip(hammers, ("shm", "tcp")):
            finish(process, name)
        spaces = p.status()["namespaces"]
        check(not any(s["evicted_objects"] for s in spaces), f"nothing had to go: {spaces}")
        remove_all(p)


def hammered_with_service(options, chance):
    """The same while the service is killed too. The puts that are cut off take their space along
    for a while: with less of it values would have to go."""
    with Named(nodes=2, dram=192 * MIB, port=pool.steady_port()) as p:
        hammers = [hammer(p, t, options.seed * 10 + 5 + i) for i, t in enumerate(("shm", "tcp"))]
        for i in range(max(2, options.times // 2)):
            time.sleep(chance.random() * 0.4)
            before = p.wait_there(f"node{i % 2}")
            p.nodes[i % 2].kill()
            p.meta.kill()
            p.meta.start()
            p.meta.killed = False
            p.nodes[i % 2].start()
            after = p.wait_changed(before, f"node{i % 2}")
            check(after[1] == before[1], f"the memory was taken over after kill {i}")
        for process, name in zip(hammers, ("shm", "tcp")):
            finish(process, name)
        remove_all(p)


def segments(_options, chance):
    """Several segments, named ones, one of them changed."""
    with Named(dram=12 * MIB, options=[*SHORT, "--suspect=400ms"]) as p:
        node = p.add_node("wide", ["--dram", 8 * MIB, "--dram", 20 * MIB])
        p.wait_capacity()
        check([s[2] for s in p.describe("wide")[1]] == [12 * MIB, 8 * MIB, 20 * MIB],
              f"the segments are {p.describe('wide')}")
        values = put_values(p, chance.random())
        before, after = p.restart(node, "wide")
        check(before[1] == after[1], "all segments are taken over")
        check_values(p, values)
        node.kill()
        before = after
        node.options[node.options.index(str(20 * MIB))] = str(21 * MIB)
        node.start()
        after = p.wait_changed(before, "wide")
        check(not {s[0] for s in before[1]} & {s[0] for s in after[1]}, "other lengths: all is new")
        check("other lengths" in node.log(), "no warning")


def refuse(options, reason):
    done = subprocess.run([pool.BIN / "cenoted", "--roles=node", "--meta=unix:/nowhere",
                           "--node-name=wrong", *map(str, options)], capture_output=True,
                          timeout=60, check=False)
    text = done.stderr.decode()
    check(done.returncode not in (0, None) and done.returncode > 0, f"{options} was taken")
    check(re.search(reason, text), f"{options}: not a clear error: {text}")


def bad_options(_options, _chance):
    """Clear errors, each before any memory is made."""
    total = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1])
    refuse(["--dram", "1K"], "out of range")
    refuse(["--dram", "much"], "no size")
    refuse(["--dram", f"{total // 1024 // 1024 + 2}GiB"], "this machine has")
    refuse(["--dram", "1MiB,2MiB"] * 33, "dram: at most 64 values")
    refuse(["--dram", "3MiB", "--huge-pages", "2M"], "no multiple")
    refuse(["--huge-pages", "5M"], "huge-pages")
    refuse(["--numa", "0x"], "no number of a NUMA node")
    refuse(["--numa", "1023", "--dram", "2MiB"], "cannot bind a segment to NUMA node 1023")
    refuse(["--memory-state-dir", "/dev/shm"], "goes with --memory-dir")
    refuse(["--keep-memory"], "goes with --memory-dir")
    refuse(["--node-name=", "--memory-dir", "/dev/shm/x"], "needs --node-name")
    refuse(["--memory-dir", "/dev/shm", "--dram", "2MiB"], "isn't a directory of this user alone")
    with tempfile.TemporaryDirectory(prefix="cenote-test-", dir="/var/tmp") as disk:
        refuse(["--memory-dir", disk, "--dram", "2MiB"], "isn't in memory")
    with tempfile.TemporaryDirectory(prefix="cenote-test-", dir="/dev/shm") as memory:
        refuse(["--memory-dir", memory, "--dram", "2MiB", "--huge-pages", "2M"], "hugetlbfs")
    refuse(["--dram", "1GiB", "--huge-pages", "1G"], "huge page|cannot make a file")


CASES = [survives, old_grants, after_death, locked, damaged, stops, kept, writer_woken,
         writer_killed, hammered, hammered_with_service, segments, bad_options]


def main(cases=CASES):
    pool.run_seeded(__doc__, cases, 3 if SANITIZED else 10)


if __name__ == "__main__":
    main()
