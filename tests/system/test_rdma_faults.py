#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A pool and a client that is kept, on two RDMA devices (tests/vm, network "pair"), of which all
that there are fail: both go on by TCP; those that come later, by RDMA again."""
import os
import pathlib
import subprocess
import sys

from pool import BIN, IN_GUEST, Pool, check, run_cases, skip, wait_until
from test_shards import Keyed, OK

COUNT = 12
CARD = pathlib.Path("/sys/class/net/va")
DEVICES = pathlib.Path("/sys/class/infiniband")
# In a mount namespace where the kernel is another one: memory can't be shared with a node.
ELSEWHERE = ("echo elsewhere >/run/elsewhere; "
             "mount --bind /run/elsewhere /proc/sys/kernel/random/boot_id; exec \"$@\"")


class Elsewhere(Keyed):
    """A client on another machine, so to speak, that chooses by itself how to reach nodes."""

    def __init__(self, pool):
        self.process = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", ELSEWHERE, "sh", BIN / "keyed", pool.meta_endpoint,
             "auto", "20000"], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL)
        check(self.process.stdout.readline().strip() == "0", "the client doesn't open")

    def goes_by(self, transport):
        """After a get that succeeds."""
        self.all(OK, "get", "k", COUNT, 1)
        names = {t["transport"] for t in self.status()["transports"]}
        return names == {transport}


def vm_net(*words):
    subprocess.run(["vm-net", *words], check=True)


def fails_and_goes_on(client, fail):
    client.all(OK, "put", "k", COUNT, 1)
    check(client.goes_by("rdma"), "rdma is used where there is no shared memory")
    fail()
    client.all(OK, "get", "k", COUNT, 1)
    client.all(OK, "replace", "k", COUNT, 1)
    check(client.goes_by("tcp"), "tcp is used where no device works")


def links_down():
    with Pool() as pool:
        pool.allow("module=rdma")
        client = Elsewhere(pool)
        fails_and_goes_on(client, lambda: vm_net("link", "down", "va"))
        check(pool.meta.alive(), "the node lives")
        vm_net("link", "up", "va")
        client.all(OK, "get", "k", COUNT, 1)
        client.close()
        client = Elsewhere(pool) # one that is busy would try again after some minutes
        check(client.goes_by("rdma"), "rdma is used again")
        client.all(OK, "replace", "k", COUNT, 1)
        client.close()


def cards_pulled():
    """They go when nobody has them open any more; the node has them until it ends."""
    with Pool() as pool:
        pool.allow("module=rdma")
        client = Elsewhere(pool)
        pulled = []

        def pull():
            pulled.append(subprocess.Popen(["ip", "link", "delete", "va"]))
            wait_until(lambda: not CARD.exists(), 10, "the card being pulled")

        fails_and_goes_on(client, pull)
        client.close()
        check(pool.meta.alive(), "the node lives")
    check(pulled[0].wait(20) == 0, "the network devices go")
    wait_until(lambda: not os.listdir(DEVICES), 10, "their RDMA devices going")
    vm_net("pair")


def main():
    if not IN_GUEST or not (DEVICES / "rxe1").exists():
        skip("there are no software RDMA devices to take away (tests/vm/suite.py rdma_faults)")
    run_cases((links_down, cards_pulled), sys.argv[1:])


if __name__ == "__main__":
    main()
