#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Two services, each with half of the keys' slots and a node of its own, are one pool.

Usage: test_shards.py [--times N] [--seed N] [--only CASE]
"""
import argparse
import json
import os
import random
import re
import signal
import subprocess
import time

import protocol
from pool import BIN, SHORT, Daemon, Pool, check, end_of, run_cases, wait_until

SLOTS = protocol.SLOTS
HALF = SLOTS // 2
OK, NOT_FOUND, EXISTS, WRONG_SHARD, UNAVAILABLE = 0, -1, -2, -20, -40
TIMED_OUT, NOT_SUPPORTED, CANCELLED = -10, -16, -25
COUNT = 300
TIMEOUT_MS = 3000
NOISE = [r"module=(rpc|session|drive|client|shards|put|get|member|fabric)\b"]


def owners(prefix, count, first_half=HALF):
    """0 or 1 for each key."""
    return [int(protocol.slot_of("default", f"{prefix}{i}".encode()) >= first_half)
            for i in range(count)]


class Pair:
    """Two services with half of the slots each; wait: nodes and all."""

    def __init__(self, epoch=1, half=HALF, split=True):
        self.pools = [Pool(nodes=1, split=split, dram="128MiB", options=SHORT) for _ in range(2)]
        for number, pool in enumerate(self.pools):
            pool.allow(*NOISE)
            self.plain = getattr(self, "plain", [])
            self.plain.append(list(pool.meta.options))
            self.tell(number, epoch, half)

    def tell(self, number, epoch, half):
        """The service is started with this map the next time."""
        a, b = (p.meta_endpoint for p in self.pools)
        own = (f"0-{half - 1}", f"{half}-{SLOTS - 1}")[number]
        self.pools[number].meta.options = [
            *self.plain[number], f"--slots={own}", f"--shard-epoch={epoch}",
            f"--shards=0-{half - 1}={a},{half}-{SLOTS - 1}={b}"]

    def restart(self, number, epoch, half):
        self.pools[number].meta.stop()
        self.tell(number, epoch, half)
        self.pools[number].meta.start()

    def __getitem__(self, number):
        return self.pools[number]

    def __enter__(self):
        for number, pool in enumerate(self.pools):
            try:
                pool.__enter__()
            except BaseException:
                for started in self.pools[:number]:
                    started.__exit__(*[AssertionError] * 3)
                raise
        return self

    def __exit__(self, kind, error, trace):
        for pool in self.pools:
            pool.__exit__(kind, error, trace)


class Keyed:
    """The program keyed: one client that is kept."""

    def __init__(self, pool, transport="shm", timeout_ms=TIMEOUT_MS):
        self.process = subprocess.Popen(
            [BIN / "keyed", pool.meta_endpoint, transport, str(timeout_ms)], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        check(self.process.stdout.readline().strip() == "0", "the client doesn't open")

    def say(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline()

    def ask(self, *words):
        """[whole, ...]"""
        return [int(n) for n in self.say(*words).split()]

    def all(self, want, *words):
        answer = self.ask(*words)
        check(answer[1:] and set(answer) == {want}, f"{words}: {answer}")

    def status(self, *words):
        whole, text = self.say(*(words or ("status",))).split(" ", 1)
        check(whole == "0", f"status: {whole}")
        return json.loads(text)

    def close(self):
        self.process.stdin.close()
        check(self.process.wait(20) == 0, "the client ends badly")
        self.process.stdout.close()


def objects(pool):
    return pool.status()["service"]["objects"]


def in_and_out(pair, home, transport):
    prefix = f"{transport}{home}/"
    mine = owners(prefix, COUNT)
    check(0 < sum(mine) < COUNT, "one service has all keys")
    keyed = Keyed(pair[home], transport)
    keyed.all(NOT_FOUND, "get", prefix, COUNT, 7)
    keyed.all(OK, "put", prefix, COUNT, 7)
    check(objects(pair[0]) == COUNT - sum(mine) and objects(pair[1]) == sum(mine),
          "the values aren't where their slots are")
    keyed.all(OK, "get", prefix, COUNT, 7)
    keyed.all(OK, "stat", prefix, COUNT)
    other_ways(keyed, Keyed(pair[1 - home], transport), prefix, transport)
    keyed.all(OK, "replace", prefix, COUNT, 7)
    other = Keyed(pair[1 - home], transport)
    answer = other.ask("put", prefix, COUNT, 9)
    check(answer[0] == OK and set(answer[1:]) == {EXISTS}, f"put again: {answer}")
    other.all(OK, "replace", prefix, COUNT, 9)
    keyed.all(OK, "get", prefix, COUNT, 9)
    check(other.ask("list", prefix) == [OK, COUNT, 1, 1], "the listing isn't whole and in order")
    check(keyed.ask("list", "no" + prefix) == [OK, 0, 1, 1], "a listing of nothing")
    check(other.ask("exists", prefix, COUNT)[:2] == [OK, COUNT], "not all are there")
    other.all(OK, "remove", f"{prefix}7", 1)  # removes key 70
    present = keyed.ask("exists", prefix, COUNT)
    check(present[1] == 70 and sum(present[2:]) == COUNT - 1, f"exists: {present}")
    answer = keyed.ask("remove", prefix, COUNT)
    check(answer[0] == NOT_FOUND and answer[1:].count(OK) == COUNT - 1, f"remove: {answer}")
    check(objects(pair[0]) == 0 and objects(pair[1]) == 0, "values are left")
    keyed.close()
    other.close()


def other_ways(keyed, fresh, prefix, transport):
    """In the background, by ranges, writers and views: each finds the services by itself."""
    fresh.all(OK, "fetch", prefix, COUNT, 7)  # its first call: it learns of the other service
    fresh.all(OK, "store", prefix, COUNT, 11)
    for one in (keyed, fresh):
        one.all(OK, "range", prefix, COUNT, 11)
        one.all(OK, "fetch", prefix, COUNT, 11, 5000)
        one.all(OK if transport == "shm" else NOT_SUPPORTED, "view", prefix, COUNT, 11)
    fresh.all(OK, "write", prefix, COUNT // 6, 12)
    keyed.all(OK, "fetch", prefix, COUNT // 6, 12)
    fresh.all(NOT_FOUND, "fetch", "no" + prefix, COUNT, 7)
    fresh.close()


def views_in_status(pair):
    keyed = Keyed(pair[0])
    keyed.all(OK, "put", "v/", 50, 5)
    client = keyed.status("viewed", "v/", 50)["client"]
    check((client["views"], client["views_limit"]) == (50, 4096),
          "views of both services aren't counted")
    check(keyed.status()["client"]["views"] == 0, "released views are counted")
    keyed.all(OK, "remove", "v/", 50)
    keyed.close()


def first_calls(pair):
    """A client that has heard of one service only meets the other by any of its functions."""
    with_values = Keyed(pair[0])
    with_values.all(OK, "put", "f/", 40, 5)
    for command in ("view", "range", "write", "store", "fetch"):
        keyed = Keyed(pair[1])
        keyed.all(OK, command, "f/", 40, 5)
        keyed.close()
    with_values.all(OK, "get", "f/", 40, 5)
    with_values.all(OK, "remove", "f/", 40)
    with_values.close()


def two_halves(_options):
    """Clients of either service see one pool, on either transport."""
    with Pair() as pair:
        for transport in ("shm", "tcp"):
            for home in (0, 1):
                in_and_out(pair, home, transport)
        first_calls(pair)
        by_the_page(pair)
        views_in_status(pair)
        text = pair[0].cenote("status").stdout.decode()
        check("2 services, slots of epoch 1" in text and "shard 1 at" in text, text)
        bases = [p.status()["nodes"][0]["segments"][0]["gva"] for p in pair.pools]
        check(bases == [1 << 60, (1 << 60) + (1 << 54)], f"addresses {bases}")
        many_pages(pair)


def by_the_page(pair):
    """What doc/PROTOCOL.md says of a service with a part of the keys."""
    a, b = (p.meta_endpoint for p in pair.pools)
    client = pair[0].client()
    check(client.call("slots", []) == [1, SLOTS, [[0, HALF - 1, a, 0], [HALF, SLOTS - 1, b, 1]], 0],
          "slots")
    mine, other = (next(k for k in (b"%d" % i for i in range(100))
                        if (protocol.slot_of("default", k) >= HALF) == upper)
                   for upper in (False, True))
    client.put(mine, b"value")
    refused = [WRONG_SHARD, 1]
    (good, bad) = client.call("lookup", [[mine, other]])[1]
    check(good[0] == OK and bad == refused, f"lookup: {good} {bad}")
    check(client.call("stat", [[other]]) == [refused], "stat")
    check(client.call("put_start", [client.next_seq(), 0, [[other, 5]]]) == [refused], "put_start")
    check(client.call("exists", [[mine, other]]) == [1, b"\1", 1, b"\2"], "exists")
    check(client.call("list", [mine, None, 9])[1:] == [None, 1], "list")
    answer = client.call("remove", [client.next_seq(), [other, mine]])
    check(answer == [refused, OK], f"remove: {answer}")
    service = pair[1].status()["service"]
    check((service["epoch"], service["shard"], service["slots"]) == (1, 1, HALF), "status")
    client.close()


def many_pages(pair):
    """More keys than a page has, so that the services' pages end at different keys."""
    keyed = Keyed(pair[1])
    for part in range(3):
        keyed.all(OK, "put", f"p/{part}/", 1000, 1)
    count, pages, ordered = keyed.ask("list", "p/")[1:]
    check((count, ordered) == (3000, 1) and pages >= 3, f"a long listing: {count} {ordered}")
    keyed.close()


def one_away(_options):
    """A service that is killed takes its own keys with it, and brings them back."""
    with Pair() as pair:
        mine = owners("k", COUNT)
        keyed = Keyed(pair[0])
        keyed.all(OK, "put", "k", COUNT, 3)
        for victim in (1, 0):
            pair[victim].meta.kill()
            want = [UNAVAILABLE if owner == victim else OK for owner in mine]
            check(keyed.ask("stat", "k", COUNT)[1:] == want, "stat with a service away")
            wait_until(lambda want=want: keyed.ask("get", "k", COUNT, 3)[1:] == want, 10,
                       "lookups that are remembered running out")
            for command in ("fetch", "range", "view"):
                check(keyed.ask(command, "k", COUNT, 3)[1:] == want, f"{command}, a service away")
            fresh = Keyed(pair[1 - victim])
            for command in ("fetch", "store", "fetch"):
                check(fresh.ask(command, "k", COUNT, 3)[1:] == want, f"{command}, never met")
            check(fresh.ask("write", "k", 12, 3)[1:] == want[:12], "writers, never met")
            fresh.close()
            check(keyed.ask("list", "k")[0] == UNAVAILABLE, "an incomplete listing")
            check(keyed.ask("exists", "k", COUNT)[0] == UNAVAILABLE, "exists knows less")
            shards = keyed.status()["shards"]
            check(["error" in s for s in shards] == [s["shard"] == victim for s in shards],
                  f"status: {shards}")
            pair[victim].meta.start()
            pair[victim].wait_capacity()
            wait_until(lambda: keyed.ask("get", "k", COUNT, 3)[0] == OK, 10, "the keys coming back")
        keyed.all(OK, "remove", "k", COUNT)
        keyed.close()


def one_stands_still(_options):
    """Deadlines and cancelling reach the part of a service that doesn't answer."""
    with Pair() as pair:
        mine = owners("k", COUNT)
        keyed = Keyed(pair[0])
        keyed.all(OK, "put", "k", COUNT, 3)
        for victim in (1, 0):
            fresh = Keyed(pair[1 - victim])
            fresh.all(OK, "fetch", "k", COUNT, 3)
            other = Keyed(pair[1 - victim])  # it hasn't heard of the one that stands
            pair[victim].meta.process.send_signal(signal.SIGSTOP)
            late = [TIMED_OUT if owner == victim else OK for owner in mine]
            check(other.ask("fetch", "k", COUNT, 3, 150)[1:] == late, "a deadline, never met")
            check(fresh.ask("store", "k", COUNT, 3, 150)[1:] == late, "a deadline")
            started = time.monotonic()
            for client in (other, fresh):
                answer = client.ask("cancel", "m", COUNT, 3)
                check(all(status == CANCELLED or (status == NOT_FOUND and owner != victim)
                          for status, owner in zip(answer[1:], owners("m", COUNT))),
                      f"cancelled: {answer}")
            check(time.monotonic() - started < TIMEOUT_MS / 2000, "cancelling took long")
            pair[victim].meta.process.send_signal(signal.SIGCONT)
            other.all(OK, "fetch", "k", COUNT, 3)
            fresh.close()
            other.close()
        keyed.close()


def flights(options):
    """The cases of operations in the background (flights.c), with keys of both services."""
    scale = max(options.times // 3, 1)
    with Pair() as pair:
        for number, (case, count) in enumerate((("storm", 150), ("close", 60), ("fork", 60),
                                                ("puts", 16)) * 2):
            transport = ("shm", "tcp")[number // 4]
            command = [BIN / "flights", case, transport,
                       str(count * scale if case == "storm" else count)]
            done = subprocess.run(command, input="\n", text=True, timeout=60, check=False,
                                  env=pair[number % 2].environment(), capture_output=True)
            check(done.returncode == 0,
                  f"{case} {transport}: {done.returncode}\n{done.stdout}{done.stderr[-2000:]}")
            for pool in pair.pools:
                wait_until(lambda pool=pool: pool.status()["service"]["pending_puts"] == 0, 10,
                           "puts that were cancelled ending")


def maps(_options):
    """Which maps a service accepts, and what clients make of services that don't agree."""
    with Pair() as pair:
        keyed = Keyed(pair[0])
        keyed.all(OK, "put", "k", COUNT, 3)
        refused_maps(pair)
        quarter = HALF // 2
        keyed.all(OK, "remove", "k", COUNT)
        for pool in pair.pools:
            wait_until(pool.settled, 10, "readers letting go")
        pair.restart(0, 2, quarter)  # it has given slots up that the other doesn't know of yet
        want = [WRONG_SHARD if quarter <= protocol.slot_of("default", f"m{i}".encode()) < HALF
                else OK for i in range(COUNT)]
        check(WRONG_SHARD in want, "no key in the slots that move")
        wait_until(lambda: UNAVAILABLE not in keyed.ask("exists", "m", 1), 10, "the service")
        pair[0].wait_capacity()
        answer = keyed.ask("put", "m", COUNT, 4)[1:]
        check(answer == want, f"services with different maps: {answer}")
        pair.restart(1, 2, quarter)
        pair[1].wait_capacity()
        # A client that was there before, and one that comes now.
        late = Keyed(pair[1], "tcp")
        answer = late.ask("put", "m", COUNT, 4)[1:]
        check(answer == [OK if w == WRONG_SHARD else EXISTS for w in want], f"{answer}")
        keyed.all(OK, "get", "m", COUNT, 4)
        check(keyed.status()["epoch"] == 2, "the old client has the old map")
        keyed.close()
        late.close()


def refused_maps(pair):
    """Each is refused with a line that says why, and leaves the store as it was."""
    meta = pair[0].meta
    meta.stop()
    a, b = (p.meta_endpoint for p in pair.pools)
    halves = f"0-{HALF - 1}={a},{HALF}-{SLOTS - 1}={b}"
    for options, why in (
            ([], "of epoch 0"),
            (["--slots=0-9", f"--shards=0-9={a},10-16383={b}", "--shard-epoch=2"], "values lie in"),
            (["--slots=0-9", f"--shards=0-9={a},10-16383={b}"], "another map with epoch 1"),
            (["--slots=0-8190", f"--shards=0-8190={b},8191-16383={a}", "--shard-epoch=2"],
             "number 1 in the list|values lie in"),
            (["--slots=0-8191", f"--shards={halves},5-6={a}"], "has two owners"),
            (["--slots=0-8000", f"--shards={halves}"], "no service has exactly these"),
            (["--slots=0-8191", f"--shards=0-8191={a}"], "slot 8192 has no owner")):
        wrong = Daemon("wrong", pair[0].dir, [*pair.plain[0], *pair[0].options, *options])
        wrong.start(wait=False)
        code = wrong.process.wait(20)
        wrong.process.stdout.close()
        check(code != 0 and re.search(why, wrong.log()), f"{options}: {code}\n{wrong.log()}")
        wrong.log_path.unlink()
    meta.start()
    pair[0].wait_capacity()


def killed_under_load(options):
    """Services die in turn under clients that know what must be there."""
    chance = random.Random(options.seed)
    with Pair() as pair:
        hammers = [pair[n].spawn("hammer", "--meta", pair[n].meta_endpoint, "--threads", 2,
                                 "--keys", 20, "--size", "16K", "--seed", options.seed + n,
                                 "--transport", ("shm", "tcp")[n])
                   for n in range(2)]
        background = subprocess.Popen([BIN / "flights", "load", "shm", "20"], text=True,
                                      env=pair[0].environment(), stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        check(background.stdout.readline() == "loading\n", "flights don't begin")
        for pool in pair.pools:
            wait_until(lambda pool=pool: pool.status()["service"]["sessions"] >= 3, 10, "clients")
        for _ in range(options.times):
            victim = chance.randrange(2)
            pair[victim].meta.kill()
            pair[victim].meta.start()
            before = objects(pair[victim])
            wait_until(lambda: objects(pair[victim]) != before, 10, "the load going on")
        for program in (*hammers, background):
            program.send_signal(signal.SIGTERM)
        for program in (*hammers, background):
            text = end_of(program, 60, "hammer or flights")
            check(program.returncode == 0, text[-3000:])
        check(re.search(r"[1-9]\d* good", text), f"nothing worked in the background: {text}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=3, help="kills under load")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--only")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    cases = [two_halves, one_away, one_stands_still, flights, maps, killed_under_load]

    def named(case):
        def run():
            case(options)
        run.__name__ = case.__name__
        return run
    run_cases([named(c) for c in cases], [options.only] if options.only else [])


if __name__ == "__main__":
    os.environ.setdefault("PYTHONUNBUFFERED", "1")
    main()
