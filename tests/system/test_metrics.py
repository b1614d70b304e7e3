#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a pool says of itself: /metrics moves by what was done and nothing else, /v1/status agrees
with the control protocol, a trace can be read and its spans nest, an idle daemon is idle.

Usage: test_metrics.py [case ...]
"""
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

import protocol
from pool import BIN, MIB, SANITIZED, Pool, check, run_cases

HTTP = "--http=127.0.0.1:0"
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
SEAL_BYTES = 128
IDLE_SECONDS = 2
PATIENCE_S = 10
IDLE_WAKES = 20 # a second, of all threads: ticks of 125 and 250 ms, a heartbeat and its answer
SCRAPES = 30
SCRAPE_CPU_MS = 10


def fetch(pool, path, method="GET", daemon=None):
    endpoint = (daemon or pool.meta).endpoints["http"][0]
    request = urllib.request.Request(f"http://{endpoint}{path}", method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()


def samples(text):
    """{(name, labels): value}; labels: a frozenset of pairs"""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = SAMPLE.match(line).groups()
        key = name, frozenset(LABEL.findall(labels or ""))
        check(key not in found, f"{line} is there twice")
        found[key] = float(value)
    return found


def moved(before, after):
    """Counters that have moved, as {name{labels}: by how much}."""
    names = {}
    for (name, labels), value in after.items():
        by = value - before.get((name, labels), 0)
        if by and name.endswith(("_total", "_count")):
            text = ",".join(f"{k}={v}" for k, v in sorted(labels))
            names[f"{name}{{{text}}}" if text else name] = by
    return names


class Watch:
    """What a block moves, heartbeats and looks at the page aside."""
    QUIET = re.compile("heartbeat|cenote_http_|store_|commit_|method=(status|map|session_\\w+)}")

    def __init__(self, pool, **labels):
        self.pool, self.labels = pool, labels

    def __enter__(self):
        self.before = samples(fetch(self.pool, "/metrics"))
        return self

    def __exit__(self, *_):
        self.look()

    def look(self):
        after = samples(fetch(self.pool, "/metrics"))
        self.all = moved(self.before, after)
        self.moved = {k: v for k, v in self.all.items() if not self.QUIET.search(k)}

    def expect(self, wanted):
        """A node counts a copy when it has ended, which may be after its client heard of it."""
        end = time.monotonic() + PATIENCE_S
        while self.moved != wanted and time.monotonic() < end:
            time.sleep(0.02)
            self.look()
        check(self.moved == wanted, f"moved {self.moved}\nwanted {wanted}")


def rpc(method, times):
    return {f"cenote_rpc_requests_total{{method={method}}}": times,
            f"cenote_rpc_duration_seconds_count{{method={method}}}": times}


def tcp(direction, times, size):
    what = "read" if direction == "read" else "written"
    return {f"cenote_node_{what}_bytes_total{{transport=tcp}}": size,
            f"cenote_node_duration_seconds_count{{direction={direction},transport=tcp}}": times}


def counted():
    """Puts, gets, misses and removes move the right counters by the right amounts."""
    with Pool(dram=16 * MIB, meta_options=[HTTP]) as pool:
        value = pool.dir / "value"
        value.write_bytes(os.urandom(300000))
        with Watch(pool) as put:
            pool.cenote("--transport=tcp", "put", "a", value)
        sums = 5 * 8  # of 64 KiB each
        put.expect({"cenote_stored_bytes_total": 300000,
                    **rpc("put_start", 1), **rpc("put_commit", 1),
                    **tcp("write", 2, 300000 + sums + SEAL_BYTES)})
        with Watch(pool) as get:
            pool.cenote("--transport=tcp", "get", "a", pool.dir / "got")
        found = {"cenote_lookup_hits_total": 1, "cenote_lookup_bytes_total": 300000}
        get.expect({**rpc("lookup", 1), **rpc("stat", 1), **found,
                    **tcp("read", 2, 300000 + SEAL_BYTES)})
        with Watch(pool) as shm:
            pool.cenote("--transport=shm", "get", "a", pool.dir / "got")
        shm.expect({**rpc("lookup", 1), **rpc("stat", 1), **found})
        with Watch(pool) as miss:
            client = pool.client()
            client.call("lookup", [[b"nothing"]])
            client.close()
        miss.expect({**rpc("lookup", 1), "cenote_lookup_misses_total": 1})
        with Watch(pool) as gone:
            pool.cenote("rm", "a")
        gone.expect(rpc("remove", 1))
        with Watch(pool) as wrong:
            client = pool.client()
            try:
                client.call("lookup", [1, 2])
            except protocol.Failure:
                pass
            client.close()
        wrong.expect({**rpc("lookup", 1), "cenote_rpc_errors_total{method=lookup}": 1})


def evicted():
    """A pool that is full evicts, and says how many and why."""
    with Pool(dram=8 * MIB, meta_options=[HTTP, "--lease=50ms"]) as pool:
        value = pool.dir / "value"
        value.write_bytes(os.urandom(MIB))
        with Watch(pool) as w:
            for i in range(12):
                pool.cenote("put", f"k{i}", value)
        status = pool.status()
        left = status["service"]["objects"]
        total = {r: w.all.get(f"cenote_evictions_total{{reason={r}}}", 0)
                 for r in ("space", "background")}
        check(sum(total.values()) == 12 - left > 0, f"{total} evicted, {left} left")
        size = sum(w.all.get(f"cenote_evicted_bytes_total{{reason={r}}}", 0) for r in total)
        check(size >= (12 - left) * MIB, f"{size} bytes evicted")
        page = samples(fetch(pool, "/metrics"))
        none = frozenset()
        check(page["cenote_objects", none] == left, "objects")
        check(page["cenote_capacity_bytes", none] == 8 * MIB, "capacity")
        used = page["cenote_segment_used_bytes",
                    frozenset({("node", "node0"), ("segment", "0")})]
        check(left * MIB <= used <= 8 * MIB, f"{used} bytes of the segment are used")


def page_is_well_formed():
    """promtool finds no fault with the page, and doc/METRICS.md has all that is on it."""
    with Pool(dram=8 * MIB, meta_options=[HTTP]) as pool:
        fetch(pool, "/v1/trace?on=1", "POST")
        pool.cenote("put", "a", "/bin/true")
        page = fetch(pool, "/metrics")
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=page, text=True,
                                  capture_output=True, check=False)
            check(done.returncode == 0, done.stdout + done.stderr)
        else:
            print("  promtool isn't here: SKIPPED (deploy/packages.sh test)", flush=True)
        families = set(re.findall(r"^# TYPE (\w+) ", page, re.M))
        for name, _ in samples(page):
            check(re.sub("_(bucket|sum|count)$", "", name) in families or name in families,
                  f"{name} has no family")
        source = os.environ.get("CENOTE_SOURCE", ".")
        done = subprocess.run([sys.executable, f"{source}/doc/metrics.py", "--check", BIN],
                              text=True, capture_output=True, check=False)
        check(done.returncode == 0, done.stdout + done.stderr)


def status():
    """The same as by the control protocol, and what goes on."""
    with Pool(dram=8 * MIB, meta_options=[HTTP]) as pool:
        pool.cenote("put", "a", "/bin/true")
        by_http, by_rpc = json.loads(fetch(pool, "/v1/status")), pool.status()
        check(set(by_http) == set(by_rpc), f"{sorted(by_http)} {sorted(by_rpc)}")
        check(set(by_http["live"]) - set(by_rpc["live"]) == {"bytes_in", "bytes_out"}, "live")
        for part in ("capacity", "quarantine", "eviction"):
            check(by_http[part] == by_rpc[part], f"{by_http[part]} {by_rpc[part]}")
        methods = {m["name"]: m for m in by_http["live"]["methods"]}
        check(methods["put_commit"]["count"] == 1, f"{methods['put_commit']}")
        check(methods["put_commit"]["max_us"] > 0, f"{methods['put_commit']}")
        slowest = by_http["live"]["slowest"]
        check(slowest and slowest == sorted(slowest, key=lambda s: -s["us"]), f"{slowest}")
        check(any(s["method"] == "put_commit" and s["key_count"] == 1 for s in slowest),
              f"{slowest}")


def nested(events):
    """Do complete events of each thread nest, and pairs of each group? Every pair has its end,
    which follows it."""
    threads, begun = {}, {}
    for e in events:
        if e["ph"] == "X":
            threads.setdefault(e["tid"], []).append((e["ts"], e["ts"] + e["dur"], e["name"]))
        elif e["ph"] == "b":
            check(begun.setdefault((e["cat"], e["id"], e["name"]), e) is e, f"{e}")
        elif e["ph"] == "e":
            first = begun.pop((e["cat"], e["id"], e["name"]))
            threads.setdefault((e["cat"], e["id"]), []).append((first["ts"], e["ts"], e["name"]))
    check(not begun, f"{begun}")
    for spans in threads.values():
        open_spans = []
        for begin, end, name in sorted(spans, key=lambda s: (s[0], -s[1])):
            while open_spans and open_spans[-1] <= begin:
                open_spans.pop()
            check(not open_spans or end <= open_spans[-1] + 0.001, f"{name} doesn't nest")
            open_spans.append(end)


def traced():
    """Off, nothing is kept; on, there is a trace of what was done."""
    with Pool(dram=8 * MIB, meta_options=[HTTP]) as pool:
        pool.cenote("put", "a", "/bin/true")
        events = json.loads(fetch(pool, "/v1/trace"))["traceEvents"]
        check(all(e["ph"] == "M" for e in events), f"{events}")
        tool(pool, "trace", "on")
        for i in range(5):
            pool.cenote("--transport=tcp", "put", f"k{i}", "/bin/true")
        pool.cenote("--transport=tcp", "get", "k1", pool.dir / "got")
        tool(pool, "trace", "off")
        pool.cenote("put", "later", "/bin/true")
        text = tool(pool, "trace", "dump").stdout.decode()
        check(text == fetch(pool, "/v1/trace"), "the tool's dump")
        events = json.loads(text)["traceEvents"]
        nested(events)
        count = {}
        for e in events:
            if e["ph"] in "Xb":
                name = e["cat"], e["name"]
                count[name] = count.get(name, 0) + 1
        for name, times in ((("put_start", "put_start"), 5), (("put_commit", "put_commit"), 5),
                            (("lookup", "lookup"), 1), (("tcp", "write"), 10),
                            (("tcp", "read"), 2)):
            check(count.get(name) == times, f"{name}: not {times} spans: {count}")
        check(count.get(("store", "commit"), 0) >= 5, f"{count}")
        try:
            fetch(pool, "/v1/trace?on=2", "POST")
            raise AssertionError("on=2 was taken")
        except urllib.error.HTTPError as error:
            check(error.code == 400, f"{error}")


def traced_at_nodes():
    """What a node does that isn't on anybody's way: voids, fences, scrubbing, clients that come."""
    with Pool(dram=8 * MIB, meta_options=[HTTP, "--lease=50ms", "--session-grace=100ms"],
              node_options=["--scrub-rate=64MiB"]) as pool:
        fetch(pool, "/v1/trace?on=1", "POST")
        for transport in "shm", "tcp":
            pool.cenote(f"--transport={transport}", "put", transport, "/bin/true")
        pool.cenote("rm", "shm")
        client = pool.client()
        client.put_start(b"never written", 4096)
        client.sock.close() # its session ends, and with it the put
        wanted = {("shm", "greet"), ("shm", "fence"), ("tcp", "write"), ("tcp", "fence"),
                  ("node", "fence"), ("node", "void"), ("node", "directory"), ("node", "heartbeat"),
                  ("node", "notes"), ("node", "scrub")}
        end, found = time.monotonic() + PATIENCE_S, set()
        while wanted - found and time.monotonic() < end:
            time.sleep(0.05)
            events = json.loads(fetch(pool, "/v1/trace"))["traceEvents"]
            found = {(e["cat"], e["name"]) for e in events if e["ph"] in "Xb"}
        check(wanted <= found, f"no {wanted - found}: {found}")
        nested(events)
        voids = [e["args"]["n"] for e in events if (e.get("cat"), e["name"]) == ("node", "void")]
        check(sum(voids) >= 1, f"{voids} extents were made void")


def spent(pid):
    """(time on a processor in ns, how often it was given up) of all threads."""
    cpu_ns = given_up = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        cpu_ns += int((task / "schedstat").read_text(encoding="ascii").split()[0])
        switches = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(
            encoding="ascii"), re.M)
        given_up += int(switches[1])
    return cpu_ns, given_up


def idle():
    """A daemon, of both roles, that does nothing wakes up seldom. What that costs depends on the
    machine's caches, and on who else uses them: it is told, not judged."""
    with Pool(dram=8 * MIB, meta_options=[HTTP]) as pool:
        pool.cenote("put", "a", "/bin/true")
        time.sleep(1.2)  # until it is quiet
        (before_ns, before), begin_ns = spent(pool.meta.pid), time.monotonic_ns()
        time.sleep(IDLE_SECONDS)
        (after_ns, after), end_ns = spent(pool.meta.pid), time.monotonic_ns()
        print(f"  idle: {100 * (after_ns - before_ns) / (end_ns - begin_ns):.3f} % of a core, "
              f"{after - before} times awake in {IDLE_SECONDS} s", flush=True)
        check(after - before <= IDLE_WAKES * IDLE_SECONDS, f"{after - before} times awake")


def many_nodes():
    """A page with the series of 64 nodes of four segments each costs little."""
    names = [f"n{i}" for i in range(62)] + ["n\u00f6", "n?"]
    segment = [1 << 30, 0, 0, 0]
    with Pool(dram=8 * MIB, meta_options=[HTTP], options=["--suspect=60s", "--dead=90s"]) as pool:
        nodes = [protocol.Client(pool.meta_endpoint, opens=False) for _ in names]
        for i, (node, name) in enumerate(zip(nodes, names)):
            node.call("node_join", [1, name, i + 1, "elsewhere", "", "", "", "127.0.0.1:9",
                                    bytes(16), 0, [segment] * 4, 0])
        times = []
        (before_ns, _) = spent(pool.meta.pid)
        for _ in range(SCRAPES):
            begin = time.perf_counter()
            page = fetch(pool, "/metrics")
            times.append(time.perf_counter() - begin)
        cpu_ms = (spent(pool.meta.pid)[0] - before_ns) / SCRAPES / 1e6
        found = samples(page)
        print(f"  a scrape of {len(found)} series, {len(page) >> 10} KiB, of 65 nodes: median "
              f"{statistics.median(times) * 1000:.2f} ms, {cpu_ms:.2f} ms of the daemon's CPU",
              flush=True)
        for name in names:
            check(("cenote_node_connected", frozenset({("node", name)})) in found, name)
            for i in range(4):
                check(found["cenote_segment_capacity_bytes",
                            frozenset({("node", name), ("segment", str(i))})] == 1 << 30, name)
        if not SANITIZED:
            check(cpu_ms < SCRAPE_CPU_MS, f"{cpu_ms} ms")
        for node in nodes:
            node.call("node_leave", [])
            node.close()


def client():
    """What the tool's client counts and traces."""
    with Pool(dram=8 * MIB) as pool:
        value, trace = pool.dir / "value", pool.dir / "trace"
        value.write_bytes(os.urandom(200000))
        page = samples(pool.cenote("--transport=tcp", "put", "a", value, "--metrics", "-",
                                   "--trace", trace).stderr.decode())

        def at(name, **labels):
            return page[name, frozenset(labels.items())]
        check(at("cenote_client_operations_total", operation="put", status="ok") == 1, f"{page}")
        check(at("cenote_client_duration_seconds_count", operation="put") == 1, f"{page}")
        check(at("cenote_client_bytes_total", direction="write", transport="tcp") == 200000,
              f"{page}")
        check(at("cenote_client_checksum_failures_total") == 0, f"{page}")
        events = json.loads(trace.read_text())["traceEvents"]
        nested(events)
        names = [e["name"] for e in events if e["ph"] == "X"]
        check(sorted(n for n in names if n != "wait") ==
              ["commit", "copy", "put", "start", "verify"], f"{names}")
        page = samples(pool.cenote("get", "b", pool.dir / "got", "--metrics", "-",
                                   code=3).stderr.decode().split("\n", 1)[1])
        check(at("cenote_client_operations_total", operation="stat", status="not_found") == 1,
              f"{page}")


def tool(pool, *words, code=0):
    """The commands that ask the daemon and not the pool."""
    return pool.cenote("--http", pool.meta.endpoints["http"][0], *words, code=code)


def log_levels():
    """A module's level can be changed while the daemon runs."""
    with Pool(dram=8 * MIB, meta_options=[HTTP]) as pool:
        fetch(pool, "/v1/log?module=http&level=debug", "POST")
        fetch(pool, "/v1/log?level=warn", "POST")
        try:
            fetch(pool, "/v1/log?level=loud", "POST")
            raise AssertionError("a level that there isn't was taken")
        except urllib.error.HTTPError as error:
            check(error.code == 400, f"{error}")
        fetch(pool, "/v1/log?level=info", "POST")
        check('module=log msg="the level of http is debug"' in pool.meta.log(), pool.meta.log())
        tool(pool, "log", "tcp=debug")
        tool(pool, "log", "info")
        for text in ("of tcp is debug", "of all modules is info"):
            check(f'msg="the level {text}"' in pool.meta.log(), pool.meta.log())
        for words, code, why in ((("log", "loud"), 1, b"is wanted"), (("log", "a=b=c"), 2, b""),
                                 (("log", "x y"), 2, b""), (("trace", "maybe"), 2, b"on, off or"),
                                 (("log", "m" * 30 + "=info"), 1, b"no such module")):
            done = tool(pool, *words, code=code)
            check(why in done.stderr, f"{words}: {done.stderr}")
        done = pool.cenote("--http", f"unix:{pool.control}", "trace", "on", code=1)
        check(b"no cenoted answers" in done.stderr, f"of another server: {done.stderr}")
        done = pool.cenote("--http=none", "trace", "on", code=1)
        check(b"no cenoted answers" in done.stderr, f"{done.stderr}")


def main():
    run_cases([counted, evicted, page_is_well_formed, status, traced, traced_at_nodes, client,
               log_levels, many_nodes, idle], sys.argv[1:])


if __name__ == "__main__":
    main()
