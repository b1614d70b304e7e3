#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""How long and how firmly values are kept: by the tool, by doc/PROTOCOL.md alone, through restarts
of the service, and with several services.

Usage: test_policy.py [CASE ...]
"""
import json
import sys
import time

import test_shards
from pool import MIB, SHORT, Pool, check, run_cases, wait_until
from protocol import Failure

NOT_FOUND, INVALID, LIMIT = -1, -3, -17
NONE, SOFT, HARD = 0, 1, 2
TTL, PIN, GROUP, ALL = 1, 2, 4, 7
TTL_MAX_MS = 315_576_000_000


def refused(status, function, *args):
    try:
        function(*args)
    except Failure as failure:
        check(failure.status == status, f"refused with {failure.status}, not {status}")
    else:
        check(False, f"not refused with {status}")


def told(pool, key, *options):
    return json.loads(pool.cenote("--json", *options, "ttl", key).stdout)


def put(pool, key, *options, value=b"value"):
    pool.cenote("put", *options, key, "-", input=value)


def gone(pool, key):
    return pool.cenote("exists", key, code=None).returncode == 3


def the_tool(pool):
    put(pool, "plain")
    kept = told(pool, "plain")
    check((kept["ttl_left_ms"], kept["pin"], kept["group"]) == (0, "none", ""), kept)
    put(pool, "all", "--ttl=36h", "--pin=soft:10m", "--group=prompt 7")
    kept = told(pool, "all")
    check(36 * 3600_000 - 60_000 < kept["ttl_left_ms"] <= 36 * 3600_000, kept)
    check(kept["pin"] == "soft" and 540_000 < kept["pin_left_ms"] <= 600_000, kept)
    check(kept["group"] == "prompt 7", kept)
    pool.cenote("pin", "all", "plain")
    check(told(pool, "plain")["pin"] == told(pool, "all")["pin"] == "hard", "pin pins hard")
    check(told(pool, "all")["group"] == "prompt 7", "pin leaves the group")
    pool.cenote("unpin", "all", "plain")
    check(told(pool, "all")["pin"] == "none", "unpin unpins")
    pool.cenote("ttl", "all", "none")
    check(told(pool, "all")["ttl_left_ms"] == 0, "no ttl any more")
    done = pool.cenote("pin", "plain", "missing", code=3)
    check(b"missing: no such key" in done.stderr, done.stderr)
    check(told(pool, "plain")["pin"] == "hard", "the others are pinned all the same")
    pool.cenote("ttl", "missing", code=3)
    pool.cenote("ttl", "missing", "10s", code=3)
    text = pool.cenote("ttl", "all").stdout.decode()
    check("ttl       none" in text and "group     prompt 7" in text, text)


def bad_options(pool):
    put(pool, "there")
    for options in (["--ttl=4000d"], ["--ttl=-1"], ["--ttl=1w"], ["--ttl=99999999999999999999"],
                    ["--pin=firm"], ["--pin=hard:1s"], ["--pin=soft:0"], ["--pin=soft:4000d"],
                    ["--pin=soft:x"], ["--group=" + 65 * "g"]):
        done = pool.cenote("put", *options, "k", "-", input=b"v", code=2)
        check(done.stderr.startswith(b"cenote: put: "), done.stderr)
    pool.cenote("ttl", "there", "4000d", code=2)
    pool.cenote("pin", "--pin=firm", "there", code=2)
    check(gone(pool, "k"), "nothing was put")


def ttls_run_out(pool):
    begin = time.monotonic()
    put(pool, "short", "--ttl=800ms")
    put(pool, "later")
    pool.cenote("ttl", "later", "800ms")
    pool.cenote("get", "short", "/dev/null")
    check(not gone(pool, "later"), "not gone before its time")
    wait_until(lambda: gone(pool, "short") and gone(pool, "later"), 10, "the ttl running out")
    check(time.monotonic() - begin >= 0.8, "it ran out before its time")
    pool.cenote("get", "short", "-", code=3)
    put(pool, "short", value=b"another")
    check(pool.cenote("get", "short", "-").stdout == b"another", "the key is free again")
    pool.cenote("rm", "short")


def one_pool():
    with Pool(dram="32MiB", options=SHORT) as pool:
        for case in (the_tool, bad_options, ttls_run_out, the_page, pins_have_a_limit):
            print(f"  {case.__name__}", flush=True)
            case(pool)


def restarts():
    """A ttl goes on while nobody is there."""
    with Pool(split=True, options=SHORT) as pool:
        put(pool, "over", "--ttl=500ms")
        put(pool, "all", "--ttl=1h", "--pin=soft:1h", "--group=g")
        put(pool, "hard", "--pin=hard")
        pool.meta.stop()
        time.sleep(0.5)
        pool.meta.start()
        pool.wait_capacity()
        wait_until(lambda: gone(pool, "over"), 10, "what ran out meanwhile being gone")
        kept = told(pool, "all")
        check(3500_000 < kept["ttl_left_ms"] <= 3600_000 and kept["group"] == "g", kept)
        check(kept["pin"] == "soft" and 3500_000 < kept["pin_left_ms"] <= 3600_000, kept)
        pool.meta.kill()
        pool.meta.start()
        pool.wait_capacity()
        check(told(pool, "hard")["pin"] == "hard", "the pin is there after kill -9")


def the_page(pool):
    """What PROTOCOL.md says, on plain sockets."""
    client = pool.client()
    client.put(b"k", b"value", keep=[60000, SOFT, 30000, b"\0group"])
    left = client.kept(b"k")
    check(59000 < left[0] <= 60000 and left[1] == SOFT and 29000 < left[2] <= 30000, left)
    check(left[3] == b"\0group", left)
    client.put(b"none", b"value", keep=None)
    check(client.kept(b"none") == [0, NONE, 0, b""], "nil asks for nothing")
    client.put(b"old", b"value")
    check(client.kept(b"old") == [0, NONE, 0, b""], "so does an older client")
    statuses = client.keep([b"k", b"missing", b"old"], [5000, HARD, 0, b""], PIN)
    check(statuses == [0, NOT_FOUND, 0], statuses)
    left = client.kept(b"k")
    check(left[0] > 50000 and left[1] == HARD and left[3] == b"\0group", left)
    check(client.kept(b"old") == [0, HARD, 0, b""], "only the pin")
    for bad in ([TTL_MAX_MS + 1, 0, 0, b""], [2 ** 64 - 1, 0, 0, b""], [0, 3, 0, b""],
                [0, SOFT, TTL_MAX_MS + 1, b""], [0, HARD, 5, b""], [0, NONE, 5, b""],
                [0, 0, 0, 65 * b"g"]):
        refused(INVALID, client.put_start, b"bad", 10, 0, bad)
        refused(INVALID, client.keep, [b"k"], bad, ALL)
    refused(INVALID, client.keep, [b"k"], [0, 0, 0, b""], 0)
    refused(INVALID, client.keep, [b"k"], [0, 0, 0, b""], 8)
    refused(-46, client.put_start, b"bad", 10, 0, [1, 2])
    refused(-4, client.keep, [b""], [0, 0, 0, b""], ALL)
    # The same number again changes nothing.
    seq = client.next_seq()
    call = [seq, [b"k"], [0, NONE, 0, b""], ALL]
    check(client.call("keep", call) == [0], "unpinned")
    client.keep([b"k"], [0, HARD, 0, b""], ALL)
    check(client.call("keep", call) == [0], "answered again")
    check(client.kept(b"k")[1] == HARD, "and nothing was changed")
    refused(INVALID, client.call, "remove", [seq, [b"k"]])
    client.close()


def pins_have_a_limit(pool):
    client = pool.client("pinned")
    pool.cenote("ns", "set", "pinned", "--pin-limit=4MiB")
    for i in range(3):
        client.put(b"k%d" % i, bytes(MIB), keep=[0, HARD, 0, b""])
    client.put(b"free", bytes(MIB))
    client.put(b"more", bytes(MIB))
    refused(LIMIT, client.put_start, b"large", 2 * MIB, 0, [0, HARD, 0, b""])
    statuses = client.keep([b"free", b"more"], [0, HARD, 0, b""], PIN)
    check(statuses == [LIMIT, LIMIT], statuses) # seals and sums count, too
    client.keep([b"k0"], [0, NONE, 0, b""], PIN)
    check(client.keep([b"free"], [0, HARD, 0, b""], PIN) == [0], "there is room again")
    client.close()


def several_services():
    with test_shards.Pair() as pair:
        pool = pair[0]
        keys = [f"key{i}" for i in range(20)]
        for key in keys:
            put(pool, key, "--ttl=1h", "--group=g")
        pool.cenote("pin", *keys)
        for key in keys:
            kept = told(pool, key)
            check(kept["pin"] == "hard" and kept["ttl_left_ms"] > 3500_000, f"{key}: {kept}")
        pool.cenote("unpin", *keys)
        check(told(pool, keys[3])["pin"] == "none", "unpinned")
        done = pool.cenote("pin", *keys, "missing", code=3)
        check(done.stderr.count(b"no such key") == 1, done.stderr)
        pool.cenote("rm", "--prefix", "key")
        check(pool.cenote("ls").stdout == b"", "all are removed")


if __name__ == "__main__":
    run_cases([one_pool, restarts, several_services], sys.argv[1:])
