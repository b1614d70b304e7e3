#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote fsck: nothing while all is well, however much changes; and what is planted is found.

Each kind of difference is planted in tests/unit/meta/test_fsck.c; here are those that lie in the
memory of nodes.

Usage: test_fsck.py [--seed N] [--only CASE]
"""
import json
import threading

import pool
from pool import MIB, check
from test_kill_service import finish, hammer, remove_all
from test_rebuild import Rebuilt, Values

DIFFERENCES = 4
MANY = 1300  # entries; a call tells of 512


def fsck(p, *options, code=0):
    """{kind: (count, mended)} of what differs."""
    done = p.cenote("--json", "fsck", *options, code=code)
    (service,) = json.loads(done.stdout)
    check(service["over"], "it waits until the end")
    return {d["kind"]: (d["count"], d["mended"]) for d in service["differences"] if d["count"] > 0}


def under_load(_options, _chance):
    with Rebuilt(nodes=2, dram=48 * MIB, port=pool.steady_port()) as p:
        hammers = [hammer(p, t, i + 1, "--lossy") for i, t in enumerate(("shm", "tcp"))]
        for _ in range(2):
            found = fsck(p)
            check(not found, f"nothing differs: {found}")
        for process, name in zip(hammers, ("shm", "tcp")):
            finish(process, name)
        check("0 differences" in p.cenote("fsck").stdout.decode(), "and at rest")
        remove_all(p)


def seals(_options, chance):
    with Rebuilt(nodes=2, dram=48 * MIB) as p:
        p.allow("fsck", "last replica")
        values = Values(p, chance)
        values.fill("k", 12)
        p.told()
        p.void(b"k4")
        found = fsck(p, code=DIFFERENCES)
        check(found == {"seal": (1, 0)}, f"one seal is void: {found}")
        found = fsck(p, "--repair", code=DIFFERENCES)
        check(found == {"seal": (1, 1)}, f"and it is mended: {found}")
        p.cenote("exists", "k4", code=3)
        check(not fsck(p), "then nothing differs")
        del values.there["default", "k4"]
        values.check()


class Coming(threading.Thread):
    """Small values come and go, so that the first pages of the directory change all the time."""

    MOST, LEAST = 400, 100

    def __init__(self, p, chance):
        super().__init__()
        self.client, self.chance = p.client(), chance
        self.live, self.count, self.over = [], 0, threading.Event()
        self.failure = None
        while len(self.live) < self.MOST:
            self.put()

    def put(self):
        key = b"coming/%d" % self.count
        self.client.put(key, b"y" * 10)
        self.live.append(key)
        self.count += 1

    def remove_some(self):
        self.chance.shuffle(self.live)
        gone, self.live = self.live[self.LEAST:], self.live[:self.LEAST]
        self.client.call("remove", [self.client.next_seq(), gone])

    def step(self):
        """Slots are free again, then filled little by little."""
        if len(self.live) >= self.MOST:
            self.remove_some()
        for _ in range(10):
            self.put()

    def run(self):
        try:
            while not self.over.wait(0.005):
                self.step()
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure

    def end(self):
        self.over.set()
        self.join()
        self.client.close()
        check(self.failure is None, f"what came and went: {self.failure}")


def seals_under_change(_options, chance):
    """More entries than one call tells of, while others come and go: only the value whose seal is
    void goes. (Once an entry that came into a page pushed the last ones out of it before they were
    looked at, and values that nothing was wrong with were removed.)"""
    with Rebuilt(nodes=1, dram=48 * MIB) as p:
        p.allow("fsck", "last replica")
        coming = Coming(p, chance)
        client = p.client()
        keys = [b"k%d" % i for i in range(MANY)]
        for key in keys:
            client.put(key, key)
        p.told()
        p.void(b"k700")
        coming.start()
        try:
            found = fsck(p, "--repair", code=DIFFERENCES)
        finally:
            coming.end()
        gone = [key for key, item in zip(keys, client.call("stat", [keys])) if item[0] != 0]
        check(gone == [b"k700"], f"nothing else has gone: {gone}")
        check(found == {"seal": (1, 1)}, f"nothing else differs: {found}")
        client.close()


CASES = [under_load, seals, seals_under_change]


if __name__ == "__main__":
    pool.run_seeded(__doc__, CASES)
