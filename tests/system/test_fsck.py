#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote fsck: nothing while all is well, however much changes; and what is planted is found.

Each kind of difference is planted in tests/unit/meta/test_fsck.c; here are those that lie in the
memory of nodes.

Usage: test_fsck.py [--seed N] [--only CASE]
"""
import json

import pool
from pool import MIB, check
from test_kill_service import finish, hammer, remove_all
from test_rebuild import Rebuilt, Values

DIFFERENCES = 4


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


CASES = [under_load, seals]


if __name__ == "__main__":
    pool.run_seeded(__doc__, CASES)
