#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A writer that is stopped half-way, whose put runs out of time, and that wakes up when its space
holds the values of others. Its bytes must not land among theirs.

    tcp    the node closes what the writer writes on; the space is free at once, and is reused
    rdma   the node ends the writer's queue pairs, whose device goes on without the writer; likewise
    shm    nobody can stop a memcpy: the space stays in quarantine until the writer goes on or dies

Usage: test_fence.py [--times N] [--seed N] [--only CASE...]
"""
import argparse
import random
import signal
import time

import protocol
from pool import (IN_GUEST, MIB, SANITIZED, SHORT, TRANSPORTS, Pool, check, end_of, ends_stopped,
                  named, run_cases, wait_stopped, wait_until)

UNIT = MIB // 8 if IN_GUEST else MIB
DRAM = 40 * UNIT
VALUE = 24 * UNIT # of the writer that is stopped; the values of others need its space
PIECE = UNIT - 4096
PUT_ID = 4711 # of its payload
NO_SPACE = -7
PINNED = [0, 2, 0, b""] # it isn't evicted for the next one
ATTEMPTS = 50 # to catch a put in its middle
OPTIONS = [*SHORT, f"--put-timeout={'3s' if IN_GUEST else '400ms'}", "--lease=200ms"]
OVERWRITTEN = "bytes of another value were overwritten by a writer that had been fenced"


class Others:
    """Values that fill the pool to the brim."""

    def __init__(self, pool):
        self.pool = pool
        self.client = pool.client("others")
        told = self.client.call("namespace_set", [self.client.next_seq(), "others",
                                                  [0, 0, 0, 2 * DRAM], 0])
        check(told == [0], f"pins without a limit: {told}")
        self.values = {}
        self.extents = []

    def fill(self):
        for number in range(len(self.values), 2 * DRAM // PIECE):
            key = b"other/%d" % number
            value = random.Random(number).randbytes(4096) * (PIECE // 4096)
            try:
                self.client.put(key, value, keep=PINNED)
            except protocol.Failure as failure:
                check(failure.status == NO_SPACE, f"filling the pool: {failure}")
                break
            self.values[key] = value
        items = self.client.call("stat", [list(self.values)])
        self.extents = [(gva, length) for item in items for _, length, _, gvas in item[5]
                        for gva in gvas]

    def check_reuse(self, extents):
        """The values of others lie where the stopped put was to lie, in all of it."""
        for gva, length in extents:
            covered = sum(max(0, min(gva + length, at + size) - max(gva, at))
                          for at, size in self.extents)
            check(covered > length * 8 // 10, f"the space of the stopped put is not reused: "
                  f"{covered} of {length} bytes")

    def check_values(self):
        for key, value in self.values.items():
            try:
                check(self.client.get(key) == value, OVERWRITTEN)
            except protocol.Failure as failure:
                check(False, f"{OVERWRITTEN}: {key}: {failure}")

    def remove(self):
        self.client.call("remove", [self.client.next_seq(), list(self.values)])
        self.client.close()
        self.pool.wait_used(0)


def wait_free(pool):
    """The put has ended, and its space with it."""
    pool.wait_used(0, "the space of a put that ran out of time being free")


def spawn_writer(pool, transport, stop_at, *how):
    return pool.spawn("writer", pool.meta_endpoint, transport, "stopped", VALUE, PUT_ID, stop_at,
                      *how)


def wake(process, name):
    process.send_signal(signal.SIGCONT)
    text = end_of(process, 60, name)
    check(process.returncode != 0, f"{name} was told that its put succeeded: {text}")
    return text.strip()


def finish(pool, others, key="stopped"):
    others.check_values()
    others.remove()
    pool.cenote("exists", key, code=3)


def raw_tcp(pool, chance):
    """By the protocol's page: half of a write, and its rest after the fence."""
    client = pool.client()
    put_id, _, stripes = client.put_start(b"stopped", VALUE)
    halves = []
    for _, length, ((gva, _boot, mac),) in stripes:
        node = client.locate(gva)[0]
        channel = protocol.Data(node[7], client.session, client.namespace, client.token, node[2])
        sent = chance.randrange(1, length)
        head = channel.request_head(channel.WRITE, put_id, gva, length, 0, length, mac)
        channel.sock.sendall(head + b"!" * sent)
        halves.append((channel, length - sent))
    wait_free(pool)
    others = Others(pool)
    others.fill()
    others.check_reuse([(gva, length) for _, length, ((gva, _, _),) in stripes])
    for channel, rest in halves:
        try:
            channel.sock.sendall(b"!" * rest)
            channel.answer()
        except (OSError, protocol.Failure):
            pass
        channel.close()
    client.close()
    finish(pool, others)


def stops(pool, transport):
    """How many places a writer can stop at: bytes, or the doorbells that a whole put rings."""
    if transport == "tcp":
        return VALUE - UNIT
    text = pool.run("writer", pool.meta_endpoint, transport, "stopped", VALUE, PUT_ID, 0)
    forget(pool)
    places = int(text.split()[-1])
    print(f"a put of {VALUE} bytes rings {places} doorbells", flush=True)
    return places


def forget(pool):
    """A put that succeeded after all."""
    pool.cenote("rm", "stopped", code=None)
    pool.wait_used(0)


def writer_alone(pool, chance, transport, places):
    """libcenote, stopped between two calls of the kernel."""
    for _ in range(ATTEMPTS):
        process = spawn_writer(pool, transport, chance.randrange(1, places))
        if ends_stopped(process):
            break
        end_of(process, 60, "a writer that rang fewer doorbells than another one")
        forget(pool)
    check(process.poll() is None, "no writer stopped")
    check(pool.used_bytes() >= VALUE, "the stopped put holds its space")
    wait_free(pool)
    others = Others(pool)
    others.fill()
    check(sum(size for _, size in others.extents) > DRAM - 2 * UNIT,
          "the values of others need the space of the stopped put")
    wake(process, "the writer")
    finish(pool, others)


def pending(pool):
    return pool.status()["service"]["pending_puts"]


def tool(pool, chance, transport):
    """The tool, stopped from outside at any moment of its put."""
    source = pool.dir / "value"
    if not source.exists():
        source.write_bytes(random.Random(1).randbytes(UNIT) * (VALUE // UNIT))
    for _ in range(ATTEMPTS):
        process = pool.spawn("cenote", "put", "--transport", transport, "stopped", source)
        wait_until(lambda p=process: p.poll() is not None or pool.used_bytes() > 0, 20,
                   "the tool's put")
        time.sleep(chance.random() * 0.01)
        process.send_signal(signal.SIGSTOP)
        if process.poll() is None and pending(pool) == 1:
            # Its commit may be on its way already.
            wait_until(lambda: pending(pool) == 0, 20, "the stopped put's end")
            if pool.cenote("exists", "stopped", code=None).returncode != 0:
                break
        process.send_signal(signal.SIGCONT)
        end_of(process, 60, "the tool")
        forget(pool)
    else:
        check(False, "the tool was never caught in the middle of its put")
    wait_free(pool)
    others = Others(pool)
    others.fill()
    wake(process, "the tool")
    finish(pool, others)


def quarantined(pool):
    """(bytes, bytes counted to sessions)."""
    quarantine = pool.status()["quarantine"]
    return quarantine["bytes"], sum(s["bytes"] for s in quarantine["sessions"])


def writer_shm(pool, chance, kill, *how):
    process = spawn_writer(pool, "shm", chance.randrange(4096, VALUE - 4096), *how)
    wait_stopped(process)
    wait_until(lambda: pending(pool) == 0, 20, "the stopped put's end")
    time.sleep(0.3) # in which a hasty service would give its space away
    others = Others(pool)
    others.fill()
    others_bytes = sum(size for _, size in others.extents)
    total, counted = quarantined(pool)
    if kill:
        process.kill()
        end_of(process, 60, "the killed writer")
    else:
        wake(process, "the writer in shared memory")
    others.check_values()
    check(total >= VALUE and others_bytes <= DRAM - VALUE,
          "the space of a writer that is in its memcpy was given away")
    check(counted >= VALUE, "quarantined space is counted to the session it waits for")
    wait_until(lambda: quarantined(pool) == (0, 0), 20, "the space coming back from quarantine")
    others.fill()
    check(sum(size for _, size in others.extents) > DRAM - 2 * UNIT,
          "the space of the stopped put can be used again")
    finish(pool, others)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3 if SANITIZED else 8)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20))
    parser.add_argument("--only", nargs="+")
    options = parser.parse_args()
    print(f"--times {options.times} --seed {options.seed}", flush=True)
    chance = random.Random(options.seed)
    slow = max(2, options.times // 4)

    with Pool(nodes=1, split=True, dram=DRAM, options=OPTIONS) as pool:
        def by_the_page(_transport):
            for _ in range(options.times):
                raw_tcp(pool, chance)

        def by_the_library(transport):
            places = stops(pool, transport)
            for _ in range(max(2, options.times // 2)):
                writer_alone(pool, chance, transport, places)

        def by_the_tool(transport):
            for _ in range(slow):
                tool(pool, chance, transport)

        def woken(_transport):
            for _ in range(slow):
                writer_shm(pool, chance, kill=False)

        def closed(_transport):
            """It has no descriptors any more, and goes on with its memcpy."""
            for _ in range(slow // 2):
                writer_shm(pool, chance, chance.random() < 0.5, "closed")

        def killed(_transport):
            for _ in range(slow):
                writer_shm(pool, chance, kill=True)

        cases = {"shm": (woken, closed, killed), "tcp": (by_the_page, by_the_library, by_the_tool),
                 "rdma": (by_the_library, by_the_tool)}
        run_cases([named(f"{transport}_{case.__name__}", case, transport)
                   for transport in TRANSPORTS for case in cases[transport]], options.only or ())


if __name__ == "__main__":
    main()
