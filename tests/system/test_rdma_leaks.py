#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the kernel counts of an RDMA device's objects: a storm of clients that come, go and are
killed leaves a node with none more than before, and the end of all daemons leaves none at all.

Usage: test_rdma_leaks.py [--connects N] [--kills N]
"""
import argparse
import random
import re
import subprocess
import time

from pool import NOISE, SHORT, Pool, check, end_of, has_rdma, skip, wait_until
from test_views import Viewer

KINDS = ("pd", "cq", "qp", "mr", "ctx")
KEY = "key"


def objects():
    """{device: {kind: count}}, those of the kernel's own included."""
    text = subprocess.run(["rdma", "resource", "show"], stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    return {device: {kind: int(re.search(rf"\b{kind} (\d+)", counts)[1]) for kind in KINDS}
            for device, counts in re.findall(r"^\d+: (\w+): (.*)$", text, re.M)}


def wait_for(wanted, what):
    """Until the counts are those of before; nodes notice the end of a client in their own time."""
    try:
        wait_until(lambda: objects() == wanted, 10, what)
    except AssertionError as error:
        raise AssertionError(f"{error}: {objects()}, not {wanted}") from None


def one_more(pool, before):
    """The test's own control: a client that stays is seen, in both processes' objects."""
    client = Viewer(pool, "rdma")
    client.put("other", 5000, 2)
    now = objects()
    for kind in KINDS:
        counts = [sum(device[kind] for device in counted.values()) for counted in (before, now)]
        check(counts[0] < counts[1], f"a client with a connection shows in no {kind}: {now}")
    client.end()
    wait_for(before, "the objects of a client that ended being gone")


def storm(pool, connects, kills):
    text = pool.run("churn", pool.meta_endpoint, "rdma", KEY, connects, seconds=240)
    check(text == "", text)
    for _ in range(kills):
        clients = [pool.spawn("hammer", "--meta", pool.meta_endpoint, "--transport", "rdma",
                              "--threads", 2, "--keys", 8, "--seconds", 60, "--size", "64K",
                              "--seed", seed) for seed in (1, 2)]
        wait_until(lambda: pool.used_bytes() > 65536, 20, "the hammers' first puts")
        time.sleep(random.random() * 0.2)
        for client in clients:
            client.kill()
            end_of(client, 10, "a killed client")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connects", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=2)
    options = parser.parse_args()
    if not has_rdma():
        skip("this machine has no RDMA devices")
    at_first = objects()
    with Pool(nodes=2, split=True, options=SHORT) as pool:
        pool.allow(*NOISE)
        before = objects()
        pool.cenote("put", "--transport", "rdma", KEY, "-", input=b"value")
        wait_for(before, "the objects of the first client being gone")
        one_more(pool, before)
        begin = time.monotonic()
        storm(pool, options.connects, options.kills)
        print(f"{options.connects} connects, {2 * options.kills} kills: "
              f"{time.monotonic() - begin:.1f} s", flush=True)
        wait_for(before, "the objects of a storm of clients being gone")
    wait_for(at_first, "the objects of the daemons being gone")
    print(f"as before: {before}")


if __name__ == "__main__":
    main()
