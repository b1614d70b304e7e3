#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote-bench trace: what it counts on a small trace is what an infinite cache would do, no byte
is wrong, and a full pool is a counted answer. A namespace of so many blocks finds more than LRU would.

The trace is the beginning of the published conversation trace where it is found ($CENOTE_TRACES,
../shared/traces), else one made here.

Usage: test_trace.py [CASE...]    default: all but conversation, which takes longer
"""
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile

from pool import BIN, IN_GUEST, SANITIZED, TRANSPORTS, UNSCRUBBED, Pool, named, run_cases

SHORT_FORM = ("service", "all_fits", "full_pool", "synthetic")
REQUESTS = 40 if SANITIZED else 200 if IN_GUEST else 150
BLOCK = 65536


# Of whole traces: blocks of a namespace, LRU's hit ratio, and Belady's bound (doc/EVICTION.md).
JUDGED = {"synthetic": (5000, 0.279, 0.5263), "conversation": (20000, 0.287, 0.3664)}


def find_trace(name="conversation"):
    source = pathlib.Path(os.environ.get("CENOTE_SOURCE", "."))
    for folder in (os.environ.get("CENOTE_TRACES"), source / ".." / "shared" / "traces"):
        path = pathlib.Path(folder or "/nonexistent") / f"{name}_trace.jsonl"
        if path.exists():
            return path
    return None


def make_trace(path):
    """Conversations that grow, some of which share their beginning."""
    chooser, fresh, conversations, lines = random.Random(1), 3, [], []
    for i in range(REQUESTS):
        if conversations and chooser.random() < 0.5:
            blocks = chooser.choice(conversations)
        else:
            blocks = [0, 1, 2]
            conversations.append(blocks)
        count = chooser.randint(1, 20)
        blocks.extend(range(fresh, fresh + count))
        fresh += count
        lines.append(json.dumps({"timestamp": i, "hash_ids": blocks}))
    path.write_text("\n".join(lines) + "\n")


def requests_of(path):
    with open(path, encoding="ascii") as lines:
        return [json.loads(line)["hash_ids"] for _, line in zip(range(REQUESTS), lines)]


def infinite_cache(requests):
    """(blocks, prefix hits, unique blocks)."""
    seen, hits = set(), 0
    for blocks in requests:
        for block in blocks:
            if block not in seen:
                break
            hits += 1
        seen.update(blocks)
    return sum(map(len, requests)), hits, len(seen)


def replay(pool, path, *options, requests=REQUESTS):
    done = subprocess.run([BIN / "cenote-bench", "--json", "--requests", str(requests), *options,
                           "trace", path], env=pool.environment(), capture_output=True,
                          timeout=120, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()
    return json.loads(done.stdout)


def check_all_fits(path, requests):
    blocks, hits, unique = infinite_cache(requests)
    with Pool(nodes=2, split=True, dram=f"{unique * BLOCK * 5 // 4}") as pool:
        for transport in TRANSPORTS:
            counts = replay(pool, path, "--transport", transport, "--namespace", transport)
            print(transport, counts)
            assert counts["wrong_bytes"] == 0 and counts["errors"] == 0
            assert counts["blocks"] == blocks and counts["hits"] == hits, (blocks, hits)
            assert counts["put_no_space"] == 0
        counts = replay(pool, path, "--workers", "4", "--transport", TRANSPORTS[-1],
                        "--namespace", TRANSPORTS[-1])
        assert counts["wrong_bytes"] == 0 and counts["hits"] == blocks, counts


def check_metrics(path):
    """--metrics writes what the library has counted; commands that don't use it say so."""
    with Pool() as pool:
        page = pool.dir / "page"
        replay(pool, path, "--metrics", page)
        text = page.read_text()
        assert text.startswith("# client: trace\n"), text[:100]
        assert re.search(r'^cenote_client_operations_total\{operation="put",status="ok"\} [1-9]',
                         text, re.M), text
        assert "\ncenote_client_bytes_total{direction=" in text, text
        for options, code in ((["--metrics", page, "lookup"], 2),
                              (["--metrics", pool.dir / "no/page", "trace", path], 1)):
            done = subprocess.run([BIN / "cenote-bench", *options], env=pool.environment(),
                                  capture_output=True, timeout=60, check=False)
            assert done.returncode == code and b"cenote-bench: " in done.stderr, done


def check_service():
    """The commands that ask the service alone, in small: what they count must add up. They commit
    values without writing a byte, which a node that scrubs calls damaged."""
    with Pool(options=[UNSCRUBBED]) as pool:
        ask_service(pool)


def ask_service(pool):
    for command in (["commit"], ["commit", "7"], ["lookup"]):
        done = subprocess.run([BIN / "cenote-bench", "--json", "--objects", "2000",
                               "--rounds", "20", *command], env=pool.environment(),
                              capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, (command, (done.stdout + done.stderr).decode())
        for line in done.stdout.splitlines():
            result = json.loads(line)
            assert result.get("puts_per_s", result.get("keys_per_s")) > 0, result


def check_full_pool(path, requests):
    with Pool(dram=f"{64 << 20}") as pool:
        counts = replay(pool, path, "--block", f"{1 << 20}")
        print("full", counts)
        assert counts["wrong_bytes"] == 0 and counts["put_no_space"] > 0
        assert counts["puts"] >= 55, "a pool of 64 MiB holds more blocks of 1 MiB than that"


def check_hit_ratio(name):
    """The trace goes by hundreds of times faster than it was taken: leases must be as short, or
    what is leased stands in the way of what is needed."""
    path = find_trace(name)
    if path is None:
        print(f"SKIPPED: no {name} trace: no hit ratio is judged", file=sys.stderr)
        return
    objects, lru, bound = JUDGED[name]
    with Pool(dram="1GiB", options=["--lease=10ms"]) as pool:
        pool.cenote("ns", "create", "judged", "--quota-objects", str(objects))
        counts = replay(pool, path, "--namespace", "judged", "--block", "4K", requests=10**7)
    print(f"{name}, {objects} blocks: {counts['hit_ratio']:.4f}, LRU {lru}, bound {bound}")
    assert counts["wrong_bytes"] == 0 and counts["errors"] == 0, counts
    assert lru < counts["hit_ratio"] < bound, counts


def main():
    with tempfile.TemporaryDirectory(prefix="cenote-test-") as folder:
        path = find_trace()
        if path is None:
            print("the published trace isn't here: a small one is made", file=sys.stderr)
            path = pathlib.Path(folder) / "trace.jsonl"
            make_trace(path)
        requests = requests_of(path)
        run_cases([named("service", check_service), named("metrics", check_metrics, path),
                   named("all_fits", check_all_fits, path, requests),
                   named("full_pool", check_full_pool, path, requests),
                   named("synthetic", check_hit_ratio, "synthetic"),
                   named("conversation", check_hit_ratio, "conversation")],
                  sys.argv[1:] or SHORT_FORM)


if __name__ == "__main__":
    main()
