#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""kill -9 of the service, again and again, under clients that know what they must find; and the
same for nodes and for clients. At the end the service's records agree with each other, and when all
is removed all space is free.

Usage: test_kill_service.py [--times N] [--seed N] [--only service|nodes|clients|stalls]
--times: kills of the service; of nodes a fifth, and of clients a quarter of that, unless they are
alone. The last line says how many there were, for tests/crash/campaign.py.
"""
import argparse
import random
import re
import signal
import time

import pool
from pool import MIB, NOISE, SANITIZED, SHORT, Pool, check, end_of, wait_until

HAMMER_S = 6 * 3600
# A life of the service is shorter than a lease: what is removed stays. So that the pool doesn't
# fill up and evict what the hammers wait for, one life in so many is long enough.
BREATHER, FEW_BYTES = 20, 64 * MIB


def hammer(p, transport, seed, *options, keys=24, size="96K"):
    meta = p.meta_tcp if transport == "tcp" else p.meta_endpoint
    return p.spawn("hammer", "--meta", meta, "--transport", transport, "--threads", 3,
                   "--keys", keys, "--seconds", HAMMER_S, "--size", size, "--seed", seed, *options)


def finish(process, name):
    """Ends a hammer in order; returns its counts."""
    process.send_signal(signal.SIGTERM)
    text = end_of(process, 90, f"hammer {name}")
    counts = dict(re.findall(r"(\w+) (\d+)", text.splitlines()[-1] if text else ""))
    print(f"  hammer {name}: {text.splitlines()[-1] if text else ''}", flush=True)
    check(counts.get("wrong") == "0" and process.returncode == 0,
          f"hammer {name} found something wrong (status {process.returncode}):\n{text[-3000:]}")
    check(int(counts["puts"]) > 0 and int(counts["gets"]) > 0, f"hammer {name} did nothing")
    return {name: int(value) for name, value in counts.items()}


def remove_all(p):
    """Every key of the hammers; then nothing may be left."""
    client = p.client()
    while True:
        page, _ = client.call("list", [b"", None, 1000])
        if not page:
            break
        client.call("remove", [client.next_seq(), [entry[0] for entry in page]])
    client.close()
    p.wait_used(0, "the space coming back after everything is removed", 60)


def progress(p, before):
    """Has anything been committed since?"""
    try:
        return p.status()["service"]["store_changes"] > before
    except OSError:
        return False


def kill_service(options, chance):
    durability = chance.choice(("process", "sync"))
    # A session must outlive the pauses of its client, or the answers are lost with it.
    with Pool(nodes=2, split=True, dram=192 * MIB, port=pool.steady_port(),
              options=[*SHORT, "--session-grace=10s"],
              meta_options=["--durability", durability]) as p:
        p.allow(*NOISE)
        hammers = [hammer(p, t, options.seed * 10 + i) for i, t in enumerate(("shm", "tcp"))]
        # Opening a pool isn't repeated, and its record is a change too.
        wait_until(lambda: p.status()["service"]["sessions"] == 3, 30, "the hammers' sessions")
        for i in range(options.times):
            changes = p.status()["service"]["store_changes"]
            wait_until(lambda before=changes: progress(p, before + 3), 30,
                       f"clients going on after kill {i}")
            time.sleep(chance.random() * 0.12)
            p.meta.kill()
            options.kills += 1
            time.sleep(chance.choice((0, 0, 0.05)))
            p.meta.start()
            for process in hammers:
                check(process.poll() is None, f"a hammer ended by itself after kill {i}")
            if i % BREATHER == BREATHER - 1:
                wait_until(lambda: p.used_bytes() < FEW_BYTES, 60, "space coming back")
        p.meta.killed = False
        for process, name in zip(hammers, ("shm", "tcp")):
            lost = finish(process, name)["lost_answers"]
            check(lost <= options.times // 4, f"hammer {name} lost {lost} answers")
        reign = p.status()["service"]["reign"]
        check(reign == options.times + 1, f"reign {reign} after {options.times} kills")
        remove_all(p)


def all_alive(p):
    nodes = p.status()["nodes"]
    return len(nodes) == len(p.nodes) and all(n["state"] == "alive" for n in nodes)


def stand_still(p, node):
    node.pause()
    wait_until(lambda: not all_alive(p), 30, "a silent node being noticed")
    time.sleep(2)
    node.resume()
    wait_until(lambda: all_alive(p), 30, "the return of the node that stood still")


def share(options, case, part):
    """How many kills of this kind: all, when nothing else is asked for."""
    return options.times if options.only == case else max(3, options.times // part)


def kill_nodes(options, chance):
    """Values may be gone, but none may be wrong. After each third kill a node stands still until it
    counts as dead, and comes back with memory that is nobody's any more."""
    with Pool(nodes=2, split=True, dram=192 * MIB,
              options=[*SHORT, "--suspect=500ms", "--dead=1500ms"]) as p:
        p.allow(*NOISE)
        hammers = [hammer(p, t, options.seed * 10 + i, "--lossy")
                   for i, t in enumerate(("shm", "tcp"))]
        for i in range(share(options, "nodes", 5)):
            time.sleep(chance.random() * 0.5)
            node = p.nodes[chance.randrange(2)]
            node.kill()
            options.kills += 1
            node.start()
            wait_until(lambda: all_alive(p), 30, f"the node's return after kill {i}")
            if i % 3 == 2:
                stand_still(p, p.nodes[chance.randrange(2)])
            for process in hammers:
                check(process.poll() is None, f"a hammer ended by itself after kill {i}")
        for process, name in zip(hammers, ("shm", "tcp")):
            finish(process, name)
        remove_all(p)


def stall(_options, _chance):
    """A service that stood still doesn't take everybody else for dead; a node that stood still for
    a while keeps its memory."""
    with Pool(nodes=2, split=True, dram=192 * MIB,
              options=[*SHORT, "--suspect=1s", "--dead=4s"]) as p:
        p.allow(*NOISE)
        client = p.client()
        for i in range(40):
            client.put(b"%d" % i, b"%d" % i * 50000)
        before = [n["segments"][0]["incarnation"] for n in p.status()["nodes"]]
        p.meta.pause()
        time.sleep(6)
        p.meta.resume()
        check(all_alive(p), "a stall of the service made its nodes suspect")
        p.nodes[0].pause()
        wait_until(lambda: not all_alive(p), 3, "a silent node being suspected")
        p.nodes[0].resume()
        wait_until(lambda: all_alive(p), 10, "the node counting as alive again")
        after = [n["segments"][0]["incarnation"] for n in p.status()["nodes"]]
        check(before == after, "a node that stood still for a moment lost its memory")
        for i in range(40):
            check(p.cenote("get", str(i), "-").stdout == b"%d" % i * 50000, f"value {i} is there")
        client.close()
        remove_all(p)


def kill_clients(options, chance):
    """What a dead client was putting is fenced, and its space comes back."""
    with Pool(nodes=2, split=True, dram=192 * MIB, options=SHORT) as p:
        p.allow(*NOISE)
        for i in range(share(options, "clients", 4)):
            victims = [hammer(p, t, 1000 + 2 * i + j, keys=4, size="4M")
                       for j, t in enumerate(("shm", "tcp"))]
            time.sleep(0.1 + chance.random() * 0.3 * pool.SLOWNESS)
            for victim in victims:
                victim.kill()
                options.kills += 1
                victim.communicate()
            wait_until(p.settled, 20, f"the puts of the dead clients being over (kill {i})")
            remove_all(p)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5 if SANITIZED else 20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20))
    parser.add_argument("--only", choices=("service", "nodes", "clients", "stalls"))
    parser.set_defaults(kills=0)
    options = parser.parse_args()
    print(f"--times {options.times} --seed {options.seed}", flush=True)
    chance = random.Random(options.seed)

    def service():
        kill_service(options, chance)

    def nodes():
        kill_nodes(options, chance)

    def clients():
        kill_clients(options, chance)

    def stalls():
        stall(options, chance)

    wrong = 1
    try:
        pool.run_cases([service, nodes, clients, stalls], [options.only] if options.only else [])
        wrong = 0
    finally:
        print(f"count {options.kills} violations {wrong}", flush=True)


if __name__ == "__main__":
    main()
