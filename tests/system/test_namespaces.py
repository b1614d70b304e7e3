#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Namespaces: made, set, listed, cleared and removed, by the tool and by doc/PROTOCOL.md alone,
through restarts, while others go on, and with several services.

Usage: test_namespaces.py [CASE ...]
"""
import json
import sys
import threading
import time

import test_shards
from pool import MIB, SHORT, UNSCRUBBED, Pool, check, run_cases, wait_until
from protocol import Failure

NOT_FOUND, EXISTS, INVALID, IN_USE = -1, -2, -3, -27
CREATE = 1


def listed(pool):
    return {s["name"]: s for s in json.loads(pool.cenote("--json", "ns", "ls").stdout)}


def put(pool, space, key, size=1000):
    pool.cenote("--namespace", space, "put", key, "-", input=bytes(size))


def keys_of(pool, space):
    return pool.cenote("--namespace", space, "--json", "ls").stdout.count(b"\n")


def removed(pool, space):
    """Waits until nothing of it is left."""
    wait_until(lambda: pool.cenote("ns", "rm", space, code=None).returncode == 0, 20,
               f"{space} being removed")


def the_tool(pool):
    pool.cenote("ns", "create", "a", "--quota=1GiB", "--ttl=7d")
    done = pool.cenote("ns", "create", "a", code=1)
    check(b"there is such a namespace already" in done.stderr, done.stderr)
    check(listed(pool)["a"]["quota_bytes"] == 1 << 30, "the second one changed nothing")
    pool.cenote("ns", "set", "a", "--quota-objects=5", "--pin-limit=64K")
    a = listed(pool)["a"]
    check((a["quota_bytes"], a["quota_objects"], a["ttl_ms"], a["pin_limit_bytes"])
          == (1 << 30, 5, 7 * 86400_000, 65536), a)
    pool.cenote("ns", "set", "a", "--ttl=0", "--quota=0")
    check((listed(pool)["a"]["quota_bytes"], listed(pool)["a"]["ttl_ms"]) == (0, 0), "zeros")
    pool.cenote("ns", "set", "missing", code=3)
    pool.cenote("ns", "clear", "missing", code=3)
    pool.cenote("ns", "rm", "missing", code=3)
    done = pool.cenote("ns", "rm", "default", code=1)
    check(b"can't be removed" in done.stderr, done.stderr)
    for bad in ("a b", "", "a/b", 65 * "x"):
        for part in ("create", "set", "clear", "rm"):
            check(pool.cenote("ns", part, bad, code=None).returncode != 0, f"{part} {bad!r}")
    for wrong in (["ns"], ["ns", "create"], ["ns", "ls", "a"], ["ns", "drop", "a"],
                  ["ns", "set", "a", "--quota=much"], ["ns", "set", "a", "--ttl=9999d"],
                  ["rm"], ["rm", "--prefix=a", "b"]):
        pool.cenote(*wrong, code=2)
    check("a" in pool.cenote("ns", "ls").stdout.decode().split(), "it is listed")
    check(set(listed(pool)) == {"default", "watcher", "a"}, f"no others: {set(listed(pool))}")
    removed(pool, "a")


def what_it_holds(pool):
    put(pool, "held", "k", 100_000)
    put(pool, "held", "l", 50_000)
    a = listed(pool)["held"]
    check(a["used_objects"] == 2 and 150_000 < a["used_bytes"] < 160_000, a)
    pool.cenote("--namespace", "held", "pin", "k")
    check(100_000 < listed(pool)["held"]["pinned_bytes"] < 105_000, "what is pinned")
    done = pool.cenote("ns", "rm", "held", code=1)
    check(b"still has" in done.stderr, done.stderr)
    cleared = json.loads(pool.cenote("--json", "ns", "clear", "held").stdout)
    check(cleared == {"removed": 2}, cleared)
    a = listed(pool)["held"]
    check((a["used_objects"], a["used_bytes"], a["pinned_bytes"]) == (0, 0, 0), a)
    removed(pool, "held")
    put(pool, "held", "k")
    check(pool.cenote("--namespace", "held", "get", "k", "-").stdout == bytes(1000), "a new one")


def quotas_below_what_is_there(pool):
    for i in range(8):
        put(pool, "full", f"k{i}", 100_000)
    done = pool.cenote("ns", "set", "full", "--quota=500K")
    check(b"they will be evicted" in done.stderr, done.stderr)
    wait_until(lambda: listed(pool)["full"]["excess_bytes"] == 0, 10, "being evicted down")
    check(1 <= keys_of(pool, "full") <= 5, "the others are there")
    put(pool, "full", "more", 100_000)
    check(listed(pool)["full"]["used_bytes"] <= 500 << 10, "it stays below")


def prefixes(pool):
    client = pool.client()
    for i in range(1500):
        client.put(b"p/%d" % i, b"x")
    client.put(b"q", b"x")
    client.close()
    done = json.loads(pool.cenote("--json", "rm", "--prefix=p/").stdout)
    check(done == {"removed": 1500}, done)
    check(keys_of(pool, "default") == 1, "the other one is there")
    check(json.loads(pool.cenote("--json", "rm", "--prefix=p/").stdout) == {"removed": 0}, "")
    pool.cenote("rm", "--prefix=")
    check(keys_of(pool, "default") == 0, "all that begin with nothing")


def others_go_on(pool):
    """While thousands are cleared nobody waits for it."""
    many, other = pool.client("many"), pool.client("other")
    for i in range(0, 6000, 500):
        items = [[b"k%d" % (i + k), 10] for k in range(500)]
        started = many.call("put_start", [many.next_seq(), 0, items])
        ends = [[s[1], 0, [0], [0]] for s in started]
        many.call("put_commit", [many.next_seq(), ends])
    other.put(b"there", b"value")
    many.close()
    done = []
    thread = threading.Thread(
        target=lambda: done.append(json.loads(pool.cenote("--json", "ns", "clear",
                                                          "many").stdout)))
    thread.start()
    longest, calls = 0.0, 0
    while thread.is_alive() or calls < 50:
        begin = time.monotonic()
        check(other.get(b"there") == b"value", "another namespace's value")
        longest = max(longest, time.monotonic() - begin)
        calls += 1
    thread.join()
    check(done == [{"removed": 6000}], done)
    check(longest < 1, f"somebody waited {longest:.2f} s, of {calls} calls")
    other.close()


def one_pool():
    with Pool(options=[*SHORT, UNSCRUBBED]) as pool: # others_go_on() commits without writing
        for case in (the_tool, what_it_holds, quotas_below_what_is_there, prefixes, others_go_on):
            print(f"  {case.__name__}", flush=True)
            case(pool)


def the_page():
    """What PROTOCOL.md says, on plain sockets."""
    with Pool(split=True, options=SHORT) as pool:
        client = pool.client()

        def spaces():
            return {s[0]: s[1:] for s in client.call("namespaces", [])}

        def set_(name, settings, flags):
            return client.call("namespace_set", [client.next_seq(), name, settings, flags])[0]

        def remove(name):
            return client.call("namespace_remove", [client.next_seq(), name])[0]

        check(set_("a", [1, 2, 3, 4], 0) == NOT_FOUND, "not there")
        check(set_("a", [1, 2, 3, 4], CREATE) == 0, "made")
        check(set_("a", [5, 6, 7, 8], CREATE) == EXISTS, "there")
        number, settings, use = spaces()["a"]
        check((settings, use) == ([1, 2, 3, 4], [0, 0, 0]), spaces())
        for name in ("", "a b", "ä"):
            for method, rest in (("namespace_set", [[0, 0, 0, 0], 1]), ("namespace_remove", [])):
                try:
                    client.call(method, [client.next_seq(), name, *rest])
                    check(False, f"{name!r} was taken")
                except Failure as failure:
                    check(failure.status == INVALID, f"{name!r}: {failure}")
        check(remove("default") == INVALID and remove("missing") == NOT_FOUND, "refused")
        # Again, in this life of the service and in the next.
        seq = client.next_seq()
        check(client.call("namespace_set", [seq, "a", [0, 0, 0, 0], 0]) == [0], "set")
        check(set_("a", [9, 9, 9, 9], 0) == 0, "set otherwise")
        for _ in range(2):
            check(client.call("namespace_set", [seq, "a", [0, 0, 0, 0], 0]) == [0], "again")
            check(spaces()["a"][1] == [9, 9, 9, 9], "it had no effect")
            pool.meta.kill()
            pool.meta.start()
            pool.wait_capacity()
            client = resumed(pool, client)
        check(spaces()["a"][:2] == [number, [9, 9, 9, 9]], "settings are durable")
        check(remove("a") == 0, "removed")
        pool.meta.kill()
        pool.meta.start()
        pool.wait_capacity()
        client = resumed(pool, client)
        check(set_("a", [0, 0, 0, 0], CREATE) == 0 and spaces()["a"][0] > number, "a new number")
        within = pool.client("a")
        check(remove("a") == IN_USE, "a session")
        within.put(b"k", b"value")
        within.call("session_close", [])
        within.close()
        check(remove("a") == IN_USE, "a value")
        client.close()


def resumed(pool, client):
    fresh = type(client)(pool.meta_endpoint, opens=False)
    fresh.call("session_resume", [1, client.session, client.token, client.namespace])
    fresh.session, fresh.token, fresh.namespace = client.session, client.token, client.namespace
    fresh.seq = client.seq
    client.close()
    return fresh


def several_services():
    """Each has them all, with settings for itself."""
    with test_shards.Pair() as pair:
        pool = pair[0]
        pool.cenote("ns", "create", "a", "--quota=1MiB")
        a = listed(pool)["a"]
        check((a["services"], a["quota_bytes"]) == (2, MIB), a)
        one = pair[1].client("watcher")
        check(one.call("namespace_remove", [one.next_seq(), "a"]) == [0], "at one of them")
        one.close()
        check(listed(pool)["a"]["services"] == 1, "the other one still has it")
        pool.cenote("ns", "create", "a", "--quota=2MiB")
        a = listed(pool)["a"]
        check((a["services"], a["quota_bytes"]) == (2, 2 * MIB), f"completed: {a}")
        pool.cenote("ns", "create", "a", code=1)
        for i in range(20):
            put(pool, "a", f"k{i}")
        check(listed(pool)["a"]["used_objects"] == 20, "of both")
        check(json.loads(pool.cenote("--json", "ns", "clear", "a").stdout) == {"removed": 20}, "")
        removed(pool, "a")
        check("a" not in listed(pair[1]), "at both")


if __name__ == "__main__":
    run_cases([one_pool, the_page, several_services], sys.argv[1:])
