#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What is seldom counted is made to happen, and /metrics says how often. Damage and rebuilds are
counted where they are tested (test_scrub.py, test_rebuild.py).

Usage: test_counters.py [case ...]
"""
import os
import sys

import protocol
from pool import MIB, SHORT, UNSCRUBBED, Pool, check, run_cases, wait_until
from rest import HTTP, ask, expect_metric, metric
from test_memory import Named
from test_metrics import samples
from test_views import Viewer

TIMES = [o for o in SHORT if "lease" not in o]
VALUE = b"v" * 200000


def expect(pool, seconds=10, **wanted):
    """These and no other numbers, at the latest after some seconds; of names without cenote_."""
    for name, number in wanted.items():
        wait_until(lambda: metric(pool.meta, f"cenote_{name}") == number, seconds,
                   f"cenote_{name} being {number}, and not {metric(pool.meta, f'cenote_{name}')}")


def put_unfinished(client, key):
    """(id, address, length, grant) of a put that has begun."""
    put_id, _hash, ((_offset, length, ((gva, _boot, mac),)),) = client.put_start(key, len(VALUE))
    return put_id, gva, length, mac


def fences():
    """A put that runs out of time is fenced, once; what its writer sends then is refused."""
    with Pool(dram=16 * MIB, meta_options=HTTP, options=["--put-timeout=300ms", *SHORT[2:]]) as p:
        expect(p, fences_total=0, pending_puts=0)
        client = p.client()
        put_id, gva, length, mac = put_unfinished(client, b"k")
        channel = client.channel(client.locate(gva)[0])
        expect(p, fences_total=1, pending_puts=0)
        try:
            channel.write(put_id, gva, length, 0, VALUE, mac)
            raise AssertionError("a write of a put that was fenced is taken")
        except (protocol.Failure, OSError):
            pass
        client.close()


def refused():
    """Reads of what isn't there, and writes without a grant."""
    reads = 'cenote_node_refused_reads_total{transport="tcp"}'
    writes = 'cenote_node_refused_writes_total{transport="tcp"}'
    with Pool(dram=16 * MIB, meta_options=HTTP) as p:
        client = p.client()
        put_id, gva, length, mac = put_unfinished(client, b"k")
        channel = client.channel(client.locate(gva)[0])
        for number, (series, send) in enumerate((
                (reads, lambda: channel.read(put_id + 1, gva, length, 0, length)),
                (reads, lambda: channel.read(put_id + 1, gva, length, 0, length)),
                (writes, lambda: channel.write(put_id, gva, length, 0, b"x", mac ^ 1)))):
            before = metric(p.meta, series)
            try:
                send()
                raise AssertionError(f"request {number} is not refused")
            except protocol.Failure:
                wait_until(lambda: metric(p.meta, series) == before + 1, what=series)
        client.close()
        expect_metric(p.meta, reads, 2)
        expect_metric(p.meta, writes, 1)


def views():
    """What is looked at, and what waits for nobody else."""
    size = 3 * MIB
    with Pool(dram=16 * MIB, meta_options=HTTP, options=[*TIMES, "--lease=150ms"]) as p:
        viewer = Viewer(p)
        viewer.put("k", size, 1)
        used = metric(p.meta, "cenote_used_bytes")
        check(used > size, f"{used} bytes are used")
        expect(p, held_bytes=0, quarantined_bytes=0, quarantined_extents=0)
        view = viewer.open("k")
        wait_until(lambda: metric(p.meta, 'cenote_node_views{node="node0"}') == 1, what="the view")
        p.cenote("rm", "k")
        expect(p, held_bytes=used, quarantined_bytes=used, quarantined_extents=1)
        expect_metric(p.meta, 'cenote_segment_quarantined_bytes{node="node0",segment="0"}', used)
        viewer.release(view)
        expect(p, held_bytes=0, quarantined_bytes=0, quarantined_extents=0)
        expect(p, **{'node_views{node="node0"}': 0})
        viewer.end()


def store():
    """Each change is in a group, and takes room in the map."""
    with Pool(dram=16 * MIB, meta_options=HTTP) as p:
        before = samples_of(p)
        client = p.client()
        for i in range(300):
            client.put(b"%d" % i * 300, b"")
        client.close()
        after = samples_of(p)
        for page in before, after:
            check(page["cenote_commit_group_size_sum"] == page["cenote_store_changes_total"] and
                  page["cenote_commit_group_size_count"] == page["cenote_store_commits_total"],
                  f"groups: {page}")
        changes = (after["cenote_store_changes_total"] - before["cenote_store_changes_total"])
        check(600 <= changes <= 700, f"300 puts are {changes} changes")
        used = [page["cenote_store_used_bytes"] for page in (before, after)]
        check(0 < used[0] and used[0] + 300 * 900 < used[1] < after["cenote_store_map_bytes"],
              f"the map: {used}")


def samples_of(pool):
    """Of series without labels."""
    page = samples(ask(pool.meta, "GET", "/metrics").body.decode())
    return {name: value for (name, labels), value in page.items() if not labels}


def lag():
    """Commits of which a node hasn't heard."""
    series = 'cenote_node_directory_lag{node="node0"}'
    with Pool(nodes=1, split=True, dram=16 * MIB, meta_options=HTTP, options=SHORT) as p:
        client = p.client()
        started = []
        for key in (b"a", b"b"):
            put_id, key_hash, (stripe,) = client.put_start(key, len(VALUE))
            root = client.write_stripe(VALUE, put_id, key_hash, stripe, 0, 1)
            started.append([put_id, 1, [root], [protocol.VISIBLE]])
        expect_metric(p.meta, series, 0)
        p.nodes[0].pause()
        client.call("put_commit", [client.next_seq(), started])
        expect_metric(p.meta, series, 2)
        p.nodes[0].resume()
        wait_until(lambda: metric(p.meta, series) == 0, what="the node being told")
        client.close()


def full():
    """Puts that wait for space, and whose values go."""
    with Pool(dram=8 * MIB, meta_options=HTTP, options=[*TIMES, "--lease=600ms"]) as p:
        p.cenote("ns", "create", "other")
        value = p.dir / "value"
        value.write_bytes(os.urandom(MIB))
        keys = [f"k{i}" for i in range(6)]
        for key in keys:
            p.cenote("--namespace=other", "put", key, value)
        expect(p, waited_puts_total=0)
        client = p.client("other")
        client.call("lookup", [[k.encode() for k in keys]])  # leased, all of them
        client.close()
        p.cenote("ns", "set", "default", "--pin-limit=8MiB")
        for i in range(4):
            p.cenote("put", "--pin=hard", f"w{i}", value)
        check(metric(p.meta, "cenote_waited_puts_total") >= 1, "nobody waited")
        left = metric(p.meta, 'cenote_namespace_objects{namespace="other"}')
        expect_metric(p.meta, 'cenote_namespace_evictions_total{namespace="other"}', 6 - left)
        check(left < 6, "nothing was evicted")


def http():
    """What came and went by HTTP, and how long it took."""
    size = 3 * MIB
    with Pool(dram=16 * MIB, meta_options=HTTP) as p:
        before = {w: metric(p.meta, f"cenote_http_{w}_bytes_total") for w in ("received", "sent")}
        check(ask(p.meta, "PUT", "/v1/objects/default/k", b"v" * size).code == 201, "put")
        for _ in range(2):
            check(len(ask(p.meta, "GET", "/v1/objects/default/k").body) == size, "got")
        for what, times in (("received", 1), ("sent", 2)):
            moved = metric(p.meta, f"cenote_http_{what}_bytes_total") - before[what]
            check(times * size < moved < times * size + 200000, f"{moved} bytes {what}")
        duration = 'cenote_http_duration_seconds_%s{method="%s"}'
        expect_metric(p.meta, duration % ("count", "PUT"), 1)
        check(0.0001 < metric(p.meta, duration % ("sum", "PUT")) < 10, "how long the put took")
        gets = metric(p.meta, duration % ("count", "GET"))
        expect_metric(p.meta, duration % ("count", "GET"), gets + 1)


def damaged():
    """A client that reads what was changed in memory says so."""
    series = "cenote_client_checksum_failures_total"
    with Named(options=[*SHORT, UNSCRUBBED]) as p:
        value = p.dir / "value"
        value.write_bytes(VALUE)
        p.cenote("put", "k", value)
        memory = next(f for f in p.directory("node0").iterdir() if f.stat().st_size >= 64 * MIB)
        whole = memory.read_bytes()
        at = whole.index(VALUE)
        with open(memory, "r+b") as f:
            f.seek(at + 12345)
            f.write(b"x")
        done = p.cenote("--transport=tcp", "get", "k", p.dir / "got", "--metrics", "-", code=None)
        check(done.returncode != 0, "damaged bytes were returned")
        line = next(l for l in done.stderr.decode().splitlines() if l.startswith(series + " "))
        check(int(line.split()[1]) >= 1, line)
        p.allow("damaged", "CORRUPT")


if __name__ == "__main__":
    run_cases([fences, refused, views, store, lag, full, http, damaged], sys.argv[1:])
