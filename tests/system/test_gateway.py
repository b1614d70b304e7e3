#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The REST gateway: values over HTTP, beside a client that is none.

Usage: test_gateway.py [--big] [CASE...]. --big: a value of 5 GiB, there and back (needs 6 GiB of
shared memory), in place of the cases.
"""
import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse

from pool import MIB, SHORT, SLOWNESS, Pool, check, run_cases, wait_until
from rest import HTTP, Browser, ask, code_of, dial, is_closed, talk, wait_closed

SOURCE = pathlib.Path(os.environ.get("CENOTE_SOURCE", ".")).resolve()
ROOT = "/v1/objects/"
HOST = b"Host: localhost\r\n"
SIZES = (0, 1, 65535, 65536, 65537, 131072, 1000000, 5 * MIB + 3)
KEYS = (b"plain", b"a/b", b"../../etc/passwd", b"\x00\xff\r\n %", b"k" * 1024,
        "schl\u00fcssel".encode())
READERS = 120
BIG_BYTES = 5 << 30
# Memory that isn't the pool's: what a daemon needs anyway, and what the gateway may take.
MEMORY_MAX = 100 * MIB


def path_of(key, namespace="default"):
    return ROOT + namespace + "/" + urllib.parse.quote(key, safe="")


def expect(answer, code, status=None):
    check(answer.code == code, f"{answer.code} {answer.body[:200]}, not {code}")
    if status:
        check(answer.status == status, f"{answer.status}, not {status}")
    return answer


def private_bytes(daemon):
    """Memory that nobody shares."""
    text = pathlib.Path(f"/proc/{daemon.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"RssAnon:\s+(\d+) kB", text)[1]) << 10


def values():
    """What is put comes back, whatever its length and key; so does what others put."""
    rng = random.Random(1)
    with Pool(options=HTTP) as pool, Browser(pool.meta) as browser:
        for size in SIZES:
            value = rng.randbytes(size)
            path = path_of(f"s{size}")
            expect(browser.ask("GET", path), 404, "NOT_FOUND")
            expect(browser.ask("PUT", path, value), 201)
            check(browser.ask("GET", path).body == value, f"{size} bytes come back")
            head = expect(browser.ask("HEAD", path), 200)
            check(head.headers["Content-Length"] == str(size) and not head.body, f"HEAD of {size}")
            check(pool.cenote("get", f"s{size}").stdout == value, f"others see {size} bytes")
            expect(browser.ask("PUT", path, b"other"), 409, "EXISTS")
            expect(browser.ask("PUT", path, b"other", If_None_Match="*"), 412, "EXISTS")
            expect(browser.ask("PUT", path + "?replace=1", value + b"!"), 201)
            check(browser.ask("GET", path).body == value + b"!", f"{size} bytes are replaced")
            expect(browser.ask("DELETE", path), 204)
            expect(browser.ask("DELETE", path), 404, "NOT_FOUND")
            expect(browser.ask("GET", path), 404, "NOT_FOUND")
        for i, key in enumerate(KEYS):
            expect(browser.ask("PUT", path_of(key), b"%d" % i), 201)
        for i, key in enumerate(KEYS):
            check(browser.ask("GET", path_of(key)).body == b"%d" % i, f"key {key}")
        pool.cenote("put", "by the tool", "-", input=b"v" * 100000)
        check(browser.ask("GET", path_of("by the tool")).body == b"v" * 100000, "of the tool")


def ranges():
    """Parts, and versions."""
    value = random.Random(2).randbytes(3 * MIB + 17)
    end = len(value)
    with Pool(options=HTTP) as pool, Browser(pool.meta) as browser:
        path = path_of("v")
        expect(browser.ask("PUT", path, value), 201)
        for text, first, count in (("0-0", 0, 1), ("65535-65536", 65535, 2), ("5-", 5, end - 5),
                                   ("-7", end - 7, 7), (f"{end - 1}-{end + 5}", end - 1, 1),
                                   (f"-{end + 5}", 0, end), ("100000-2999999", 100000, 2900000)):
            answer = expect(browser.ask("GET", path, Range=f"bytes={text}"), 206)
            check(answer.body == value[first:first + count], f"range {text}")
            check(answer.headers["Content-Range"] == f"bytes {first}-{first + count - 1}/{end}",
                  f"range {text}: {answer.headers['Content-Range']}")
        for text in (f"{end}-", "7-6", "x", "-0", "", "1-2-3", "99999999999999999999999-"):
            answer = expect(browser.ask("GET", path, Range=f"bytes={text}"), 416, "BAD_RANGE")
            check(answer.headers["Content-Range"] == f"bytes */{end}", f"range {text}")
        for text in ("lines=1-2", "bytes=0-1,5-6"):
            expect(browser.ask("GET", path, Range=text), 200)
        etag = browser.ask("HEAD", path).headers["ETag"]
        answer = expect(browser.ask("GET", path, If_None_Match=f'"x", {etag}'), 304)
        check(answer.body == b"", "304 has no body")
        expect(browser.ask("GET", path, If_None_Match='"x"'), 200)
        expect(browser.ask("GET", path, If_Match='"x"'), 412)
        expect(browser.ask("GET", path, If_Match=etag, Range="bytes=0-1"), 206)
        expect(browser.ask("GET", path, If_Range=etag, Range="bytes=0-1"), 206)
        expect(browser.ask("PUT", path + "?replace=1", value), 201)
        expect(browser.ask("GET", path, If_Range=etag, Range="bytes=0-1"), 200)
        expect(browser.ask("GET", path, If_None_Match=etag), 200)


def conditions():
    """A write is done on the condition that its client sent, or it isn't done."""
    with Pool(options=HTTP) as pool, Browser(pool.meta) as browser:
        path = path_of("k")
        expect(browser.ask("PUT", path + "?replace=1", b"first", If_None_Match="*"), 201)
        expect(browser.ask("PUT", path + "?replace=1", b"second", If_None_Match="*"), 412, "EXISTS")
        long = b"second" * 100000
        expect(browser.ask("PUT", path + "?replace=1", long, If_None_Match="*"), 412, "EXISTS")
        etag = browser.ask("HEAD", path).headers["ETag"]
        for name, value in (("If_Match", '"x"'), ("If_Match", etag), ("If_Match", "*"),
                            ("If_None_Match", etag), ("If_None_Match", '"x"'),
                            ("If_Unmodified_Since", "Thu, 01 Jan 1970 00:00:00 GMT")):
            expect(browser.ask("PUT", path + "?replace=1", b"third", **{name: value}), 501,
                   "NOT_SUPPORTED")
            expect(browser.ask("DELETE", path, **{name: value}), 501, "NOT_SUPPORTED")
        expect(browser.ask("DELETE", path, If_None_Match="*"), 501, "NOT_SUPPORTED")
        expect(browser.ask("PUT", path + "?replace=1", b"part", Content_Range="bytes 0-3/9"), 400,
               "INVALID")
        check(browser.ask("GET", path).body == b"first", "nothing of that was done")


def chunked():
    """Bodies that don't tell their length, up to 8 MiB."""
    with Pool(options=HTTP) as pool, Browser(pool.meta) as browser:
        for size in (0, 1, 65536, 65537, 8 * MIB):
            value = random.Random(size).randbytes(size)
            pieces = (value[i:i + 50001] for i in range(0, size, 50001))
            path = path_of(f"c{size}")
            expect(browser.ask("PUT", path, pieces), 201)
            check(browser.ask("GET", path).body == value, f"{size} bytes in chunks")
        body = (b"%x\r\n" % MIB + b"c" * MIB + b"\r\n") * 9 + b"0\r\n\r\n"
        heard = talk(pool.meta, b"PUT " + path_of("more").encode() + b" HTTP/1.1\r\n" + HOST
                     + b"Transfer-Encoding: chunked\r\n\r\n" + body, half_close=False)
        check(code_of(heard) == 411, f"{heard[:200]}")
        heard = talk(pool.meta, b"PUT " + path_of("none").encode() + b" HTTP/1.1\r\n" + HOST
                     + b"\r\n")
        check(code_of(heard) == 411, f"{heard[:200]}")
        for key in ("more", "none"):
            expect(browser.ask("GET", path_of(key)), 404)


def keeping():
    """How values are kept; and parameters that there aren't."""
    with Pool(options=HTTP) as pool, Browser(pool.meta) as browser:
        expect(browser.ask("PUT", path_of("t") + "?ttl=1h&pin=soft%3A10m&group=g%201", b"v"), 201)
        kept = json.loads(pool.cenote("--json", "ttl", "t").stdout)
        check(3500000 < kept["ttl_left_ms"] <= 3600000 and kept["pin"] == "soft"
              and kept["group"] == "g 1", f"{kept}")
        expect(browser.ask("PUT", path_of("h") + "?pin=hard", b"v" * 200000), 201)
        check(json.loads(pool.cenote("--json", "ttl", "h").stdout)["pin"] == "hard", "pin")
        expect(browser.ask("PUT", path_of("s") + "?ttl=100ms", b"v"), 201)
        wait_until(lambda: browser.ask("GET", path_of("s")).code == 404, 10, "the end of its time")
        expect(browser.ask("PUT", path_of("r") + "?replicas=2", b"v"), 503, "NO_NODES")
        for query in ("ttl=x", "ttl=", "pin=firm", "pin=soft:", "replicas=0", "replicas=9",
                      "replace=2", "group=" + "g" * 65, "tll=1h", "ttl=%zz", "x"):
            expect(browser.ask("PUT", path_of("q") + "?" + query, b"v"), 400, "INVALID")
        for method in ("GET", "HEAD", "DELETE"):
            expect(browser.ask(method, path_of("t") + "?x=1"), 400)
        expect(browser.ask("GET", path_of("q")), 404)


def refusals():
    """Each with its status."""
    with Pool(options=HTTP, dram="8MiB") as pool, Browser(pool.meta) as browser:
        expect(browser.ask("GET", path_of("k" * 1025)), 414, "KEY_SIZE")
        expect(browser.ask("PUT", path_of(""), b"v"), 414, "KEY_SIZE")
        expect(browser.ask("PUT", ROOT + "default", b"v"), 405)
        expect(browser.ask("GET", ROOT + "default/%zz"), 400, "INVALID")
        expect(browser.ask("GET", ROOT + "default/%"), 400, "INVALID")
        expect(browser.ask("GET", ROOT + "na%20me/k"), 400, "INVALID")
        expect(browser.ask("GET", ROOT + "n" * 65 + "/k"), 400, "INVALID")
        for method in ("GET", "PUT", "DELETE", "HEAD"):
            body = b"v" if method == "PUT" else None
            answer = expect(browser.ask(method, path_of("k", "typo"), body), 404)
            check(method == "HEAD" or b"no such namespace" in answer.body, f"{answer.body}")
        names = json.loads(pool.cenote("--json", "ns", "ls").stdout)
        check("typo" not in json.dumps(names), "asking for a namespace doesn't make it")
        expect(browser.ask("PUT", path_of("large"), b"v" * (9 << 20)), 413, "VALUE_SIZE")
        expect(browser.ask("PUT", path_of("pinned") + "?pin=hard", b"v" * (7 << 19)), 201)
        answer = browser.ask("PUT", path_of("large"), b"v" * (6 << 20))
        check((answer.code, answer.status) == (507, "NO_SPACE"), f"{answer.code} {answer.body}")
        pool.cenote("--quota", "100000", "ns", "create", "small")
        expect(browser.ask("PUT", path_of("k", "small"), b"v" * 200000), 507, "QUOTA")
        expect(browser.ask("PUT", path_of("k", "small"), b"v" * 1000), 201)
        expect(browser.ask("DELETE", path_of("k", "small")), 204)
        wait_until(lambda: pool.cenote("ns", "rm", "small", code=None).returncode == 0, 20,
                   "the gateway's client leaving its namespace")


def switches():
    """On, off, and by itself only where nobody else can come."""
    public = ("--http=0.0.0.0:0", "--insecure")
    for options, code in (((*HTTP, "--gateway=off"), 403), (public, 403),
                          ((*public, "--gateway=on"), 404)):
        with Pool(options=options) as pool:
            host, port = pool.meta.endpoints["http"][0].rsplit(":", 1)
            pool.meta.endpoints["http"] = [f"127.0.0.1:{port}"]
            check(ask(pool.meta, "GET", path_of("k")).code == code, f"{options} {host}")
            check(ask(pool.meta, "GET", "/healthz").code == 200, "health is served anyway")


def pending_puts(pool):
    return pool.status()["service"]["pending_puts"]


def left_behind():
    """Puts that aren't finished leave nothing: neither their time-out nor the end of the gateway's
    session, which another one keeps, has to clear up."""
    with Pool(options=(*HTTP, *SHORT, "--put-timeout=1m")) as pool, Browser(pool.meta) as browser:
        head = b" HTTP/1.1\r\n" + HOST + b"Content-Length: 3000000\r\n\r\n"
        keeper = dial(pool.meta)
        keeper.sendall(b"PUT " + path_of("keeper").encode() + head)
        wait_until(lambda: pending_puts(pool) == 1, 5, "the one that is kept")
        for i, sent in enumerate((0, 1, 65536, 2999999)):
            with dial(pool.meta) as sock:
                sock.sendall(b"PUT " + path_of(f"cut{i}").encode() + head + b"x" * sent)
                if i % 2:
                    wait_until(lambda: pending_puts(pool) > 1, 5, "the put")
        heard = talk(pool.meta, b"PUT " + path_of("short").encode() + head + b"x" * 100000)
        check(code_of(heard) == 400 and b"ended too early" in heard, f"{heard[:100]}")
        heard = talk(pool.meta, b"PUT " + path_of("expect").encode() + head[:-2]
                     + b"Expect: 100-continue\r\n\r\n" + b"y" * 3000000)
        check(heard.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 "), f"{heard[:100]}")
        expect(browser.ask("DELETE", path_of("expect")), 204)
        wait_until(lambda: pending_puts(pool) == 1, 10, "the puts being aborted")
        keeper.close()
        pool.wait_used(0)
        for key in ("cut0", "cut3", "short"):
            expect(browser.ask("GET", path_of(key)), 404)


def replaced_meanwhile():
    """A value that is replaced while it is being read is not finished with another's bytes."""
    size = 24 * MIB
    options = (*HTTP, "--lease=300ms")
    with Pool(options=options, dram="96MiB") as pool, Browser(pool.meta) as browser:
        expect(browser.ask("PUT", path_of("v"), b"a" * size), 201)
        with dial(pool.meta, 4096) as sock:
            sock.sendall(b"GET " + path_of("v").encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            begin = sock.recv(1000)
            check(code_of(begin) == 200, f"{begin[:50]}")
            expect(browser.ask("PUT", path_of("v") + "?replace=1", b"b" * size), 201)
            rest = begin.split(b"\r\n\r\n", 1)[1]
            total, wrong = len(rest), len(rest.strip(b"a"))
            try:
                while part := sock.recv(1 << 20):
                    total += len(part)
                    wrong += len(part.strip(b"a"))
            except ConnectionError:
                pass
        check(wrong == 0, f"{wrong} bytes are another's")
        check(total < size, "it can't have been finished")
        check(browser.ask("GET", path_of("v")).body == b"b" * size, "the new one")


def list_all(browser, namespace, **query):
    """Keys page by page."""
    keys, pages = [], 0
    while True:
        path = ROOT + namespace + "?" + urllib.parse.urlencode(query)
        page = json.loads(expect(browser.ask("GET", path), 200).body)
        keys += [urllib.parse.unquote_to_bytes(entry["key"]) for entry in page["objects"]]
        pages += 1
        if page["next"] is None:
            return keys, pages
        query["after"] = urllib.parse.unquote_to_bytes(page["next"])


def listing():
    """All keys, in order, each once."""
    keys = [b"n%04d" % i for i in range(300)] + list(KEYS) + [b"p" * n for n in (490, 491, 492)]
    alike = [b"q" * 495 + b"%d" % i for i in range(30)]
    with Pool(options=HTTP) as pool, Browser(pool.meta) as browser:
        for key in keys + alike:
            expect(browser.ask("PUT", path_of(key), b"v"), 201)
        wanted = sorted(keys + alike)
        for limit in (7, 200, 100000):
            found, pages = list_all(browser, "default", limit=limit)
            check(sorted(found) == wanted, f"limit {limit}: {len(found)} keys, not {len(wanted)}")
            plain = [key for key in found if len(key) <= 491]
            check(plain == sorted(plain), f"limit {limit}: out of order")
            check(pages > 1 or limit == 100000, f"{pages} pages")
        found, _ = list_all(browser, "default", prefix="n01", limit=13)
        check(found == [b"n01%02d" % i for i in range(100)], f"prefix: {found}")
        found, _ = list_all(browser, "default", prefix=b"q" * 493, limit=4)
        check(sorted(found) == sorted(alike), f"long prefix: {len(found)}")
        check(list_all(browser, "default", prefix="n", after="p")[0] == [], "behind all of them")
        check(len(list_all(browser, "default", prefix="n", after="a")[0]) == 300, "before them")
        check(list_all(browser, "default", prefix="n0000", after="n0000")[0] == [], "behind itself")
        entry = json.loads(browser.ask("GET", ROOT + "default?prefix=n0007").body)["objects"][0]
        head = browser.ask("HEAD", path_of("n0007"))
        check(entry["length"] == 1 and f'"{entry["etag"]}"' == head.headers["ETag"], f"{entry}")
        for query in ("limit=0", "limit=x", "limit=1000001", "prefix=%zz", "before=x"):
            expect(browser.ask("GET", ROOT + "default?" + query), 400)
        expect(browser.ask("GET", ROOT + "typo"), 404, "NOT_FOUND")


def slow_clients():
    """Many readers who don't read, and writers who don't write: little memory, and nobody waits."""
    size = 6 * MIB
    with Pool(options=HTTP, dram="256MiB") as pool, Browser(pool.meta) as browser:
        value = random.Random(3).randbytes(size)
        expect(browser.ask("PUT", path_of("v"), value), 201)
        socks = []
        for i in range(READERS):
            sock = dial(pool.meta, 4096)
            if i % 3:
                sock.sendall(b"GET " + path_of("v").encode() + b" HTTP/1.1\r\n" + HOST + b"\r\n")
            else:
                sock.sendall(b"PUT " + path_of(f"w{i}").encode() + b" HTTP/1.1\r\n" + HOST
                             + b"Content-Length: 200000\r\n\r\n" + b"x" * 100000)
            socks.append(sock)
        begun = time.monotonic()
        for _ in range(5):
            check(browser.ask("GET", path_of("v")).body == value, "others get all of it")
        took = time.monotonic() - begun
        used = private_bytes(pool.meta)
        print(f"{READERS} slow clients: {used >> 20} MiB of private memory; a get of "
              f"{size >> 20} MiB beside them takes {took * 200:.0f} ms", flush=True)
        check(took < 5 * SLOWNESS, "it is slowed")
        if SLOWNESS == 1:
            check(used < MEMORY_MAX, "too much memory")
        for sock in socks:
            sock.close()
        wait_until(pool.settled, 20, "the puts being aborted")


def service_away():
    """While there is no service nothing is made up, and it comes back by itself."""
    with Pool(nodes=1, split=True, meta_options=SHORT, node_options=HTTP) as pool:
        node = pool.nodes[0]
        expect(ask(node, "PUT", path_of("k"), b"v"), 201)
        port = pool.meta_tcp
        pool.meta.kill()
        answer = ask(node, "PUT", path_of("other"), b"v")
        check(answer.code in (503, 504), f"{answer.code} {answer.body}")
        check(ask(node, "GET", "/healthz").code == 200, "the node is well")
        wait_until(lambda: ask(node, "GET", "/readyz").code == 503, 10, "it not being ready")
        pool.meta.start()
        wait_until(lambda: ask(node, "GET", path_of("k")).body == b"v", 20, f"the value ({port})")
        wait_until(lambda: ask(node, "GET", "/readyz").code == 200, 10, "it being ready")
        pool.allow(".")


def big():
    """5 GiB in constant memory."""
    with tempfile.TemporaryDirectory(prefix="cenote-test-", dir="/dev/shm") as folder:
        with Pool(options=HTTP, dram="6GiB") as pool:
            target, tops = f"http://{pool.meta.endpoints['http'][0]}{path_of('big')}", []
            stop = threading.Event()

            def watch():
                while not stop.wait(0.05):
                    tops.append(private_bytes(pool.meta))

            before = private_bytes(pool.meta)
            watcher = threading.Thread(target=watch)
            watcher.start()
            times = []
            cipher = f"openssl enc -aes-128-ctr -K {0:032} -iv {0:032}"
            source = f"head -c {BIG_BYTES} /dev/zero | {cipher}"
            put = (f"{source} | curl -sS -f -X PUT -H 'Content-Length: {BIG_BYTES}' "
                   f"-H 'Transfer-Encoding:' -H 'Expect:' -T - -o {folder}/out {target}")
            get = f"curl -sS -f {target} | cmp - <({source})"
            for command in (put, get):
                begun = time.monotonic()
                subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], check=True)
                times.append(time.monotonic() - begun)
            stop.set()
            watcher.join()
            print(f"5 GiB: put {times[0]:.1f} s, get and compare {times[1]:.1f} s; private memory "
                  f"{before >> 20} MiB before, {max(tops) >> 20} MiB at most", flush=True)
            check(max(tops) < before + 32 * MIB, "memory isn't flat")


CASES = (values, ranges, conditions, chunked, keeping, refusals, switches, left_behind,
         replaced_meanwhile,
         listing, slow_clients, service_away)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--big", action="store_true")
    parser.add_argument("cases", nargs="*")
    options = parser.parse_args()
    run_cases((big,) if options.big else CASES, options.cases)
