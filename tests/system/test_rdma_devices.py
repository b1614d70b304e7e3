#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A pool on a machine with two RDMA devices, rxe0 and rxe1 (tests/vm, network "pair"): which are
used, what the status tells of them, and what becomes of a node whose limit of locked memory is too
low."""
import json
import pathlib
import sys

from pool import Pool, check, run_cases, skip, wait_until

VALUE = bytes(range(256)) * 1024
LIMIT_MIB = 1
# What root needs to be held by a limit of locked memory.
UNPRIVILEGED = ["prlimit", f"--memlock={LIMIT_MIB << 20}", "setpriv", "--bounding-set=-ipc_lock",
                "--inh-caps=-ipc_lock", "--"]


def node_of(pool):
    return pool.status()["nodes"][0]


def pool_json(pool, *options):
    """The status, once the node has been reached: a client tries for a second, which a guest on a
    busy host may not have."""
    def reached():
        told = json.loads(pool.cenote("--json", *options, "status").stdout)
        return told if told["transports"][0]["transport"] else None
    return wait_until(reached, 40, "the node being reached")


def round_trip(pool, transport, key):
    pool.cenote("put", "--transport", transport, key, "-", input=VALUE)
    got = pool.cenote("get", "--transport", transport, key).stdout
    check(got == VALUE, f"{transport} brings the value")


def check_report(report, rails, what):
    names = [rail.split(" ")[0] for rail in report["rails"]]
    check(names == rails, f"{what} uses {names}, not {rails}")
    check(all(" up" in rail for rail in report["rails"]), f"{what}: {report['rails']}")
    check(report["errors"] == report["rails_lost"] == 0, f"{what}: {report}")


def is_left(report):
    return report["queue_pairs"] == report["connections"] == 0


def both_devices_are_found():
    """And told: by the node with its heartbeats, by a client that has used them."""
    with Pool() as pool:
        round_trip(pool, "rdma", "k")
        # A segment, to read and to write, twice.
        wait_until(lambda: node_of(pool)["rdma"]["regions"] == 4, 10, "the node telling of regions")
        node = node_of(pool)["rdma"]
        check_report(node, ["rxe0:1", "rxe1:1"], "the node")
        check(node["endpoint"].startswith("127.0.0.1:"), f"at {node['endpoint']}")
        wait_until(lambda: is_left(node_of(pool)["rdma"]), 10, "queue pairs and connections ending")
        client = pool_json(pool, "--transport=rdma")["client"]["rdma"]
        check_report(client, ["rxe0:1", "rxe1:1"], "a client")
        check(client["connections"] == 1, f"a client: {client}")
        check(pool_json(pool)["client"]["rdma"]["rails"] == [], "a client that uses shm opens none")
        lines = pool.cenote("--transport", "rdma", "status").stdout.decode().splitlines()
        said = [line for line in lines if line.startswith(("  rdma 127.0.0.1:", "client rdma: "))]
        check(len(said) == 2 and all("rxe0:1 up" in s and " 0 errors" in s for s in said), lines)


def only_who_can_be_reached_serves():
    """On loopback nobody needs it, unless it is asked for; elsewhere it is there by default."""
    with Pool(options=["--insecure", "--rdma="]) as pool:
        check(node_of(pool)["rdma"] is None, "a node on loopback")
        check("no RDMA: only this machine reaches" in pool.meta.log(), pool.meta.log())
    with Pool(options=["--insecure", "--rdma=", "--rdma-listen=10.8.0.1:0"]) as pool:
        check_report(node_of(pool)["rdma"], ["rxe0:1", "rxe1:1"], "a node on 10.8.0.1")
        round_trip(pool, "rdma", "k")


def what_is_named_is_used():
    """And nothing else, on either side."""
    with Pool(options=["--rdma=rxe1:1", "--advertise=localhost"]) as pool:
        node = node_of(pool)["rdma"]
        check_report(node, ["rxe1:1"], "the node")
        check(node["endpoint"].startswith("localhost:"), f"at {node['endpoint']}")
        round_trip(pool, "rdma", "k")
        client = pool_json(pool, "--transport=rdma", "--rdma=rxe0")
        check(client["transports"][0]["transport"] == "rdma", client["transports"])
        check_report(client["client"]["rdma"], ["rxe0:1"], "a client")
        none = pool.cenote("get", "--transport=rdma", "--rdma=none", "k", code=1)
        check(b"cannot be reached" in none.stderr, none.stderr)
        check(pool.cenote("get", "--rdma=none", "k").stdout == VALUE, "there are other ways")


def what_is_named_must_be_there():
    for text, said in (("rxe7", "rxe7: there is no such device"), ("rxe0:2", "no port 2"),
                       ("rxe0:1/99", "rxe0:1")):
        pool = Pool(options=[f"--rdma={text}"])
        pool.meta.start(wait=False)
        code = pool.meta.process.wait(30)
        log = pool.meta.log()
        pool.temporary.cleanup()
        check(code == 1 and said in log, f"--rdma {text} ends with {code}:\n{log}")


def low_limit_of_locked_memory():
    """The node says which limit it is, and is reached by other transports."""
    pool = Pool(split=True, nodes=0)
    with pool:
        pool.allow("module=rdma")
        node = pool.add_node("low", start=False)
        node.launcher = UNPRIVILEGED
        node.start()
        pool.wait_capacity()
        log = node.log()
        check("ulimit -l" in log and f"{LIMIT_MIB}.0 MiB" in log, f"the limit isn't named:\n{log}")
        check(node.alive() and node_of(pool)["state"] == "alive", "the node lives")
        round_trip(pool, "tcp", "k")
        refused = pool.cenote("get", "--transport=rdma", "k", code=1)
        check(b"cannot be reached" in refused.stderr, refused.stderr)
        check(pool.cenote("get", "k").stdout == VALUE, "a client finds another way")


def main():
    if not pathlib.Path("/sys/class/infiniband/rxe1").exists():
        skip("there are no software RDMA devices (tests/vm/suite.py rdma)")
    run_cases((both_devices_are_found, only_who_can_be_reached_serves, what_is_named_is_used,
               what_is_named_must_be_there, low_limit_of_locked_memory), sys.argv[1:])


if __name__ == "__main__":
    main()
