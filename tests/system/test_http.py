#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The HTTP server of cenoted: health and readiness, and what nobody well-meaning sends. Everything
is answered or dropped in its time, and nobody else is slowed.

Usage: test_http.py [CASE...]
"""
import os
import random
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from pool import BIN, SANITIZED, Daemon, Pool, check, run_cases, wait_until
from protocol import Client
from rest import HTTP, Browser, ask, code_of, dial, faults, is_closed, metric, talk, wait_closed

SEED = int(os.environ.get("CENOTE_SEED", random.randrange(1 << 32)))
IDLE_MS = 400
QUICK = (*HTTP, f"--http-idle={IDLE_MS}ms")
HOST = b"Host: localhost\r\n"
IDLE_CONNECTIONS = 1000
CONNECTIONS_MAX = 1024
GETS = 400


def health():
    """A process is healthy from the beginning, and ready when its node has joined."""
    with Pool(meta_options=HTTP) as pool:
        for path in ("/healthz", "/readyz"):
            answer = ask(pool.meta, "GET", path)
            check((answer.code, answer.body) == (200, b"ok\n"), f"{path}: {answer.code}")
            check(ask(pool.meta, "HEAD", path).code == 200, "HEAD is answered like GET")
        node = pool.add_node("late", ["--meta", f"unix:{pool.dir}/nobody.sock",
                                      f"--http=unix:{pool.dir}/late.http"], start=False)
        node.start(wait=False)
        late = pool.dir / "late.http"
        wait_until(late.exists, 10, "the node listening")
        check(over_unix(late, b"GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200 "),
              "it is healthy")
        answer = over_unix(late, b"GET /readyz HTTP/1.0\r\n\r\n")
        check(answer.startswith(b"HTTP/1.1 503 ") and b"has not joined" in answer, f"{answer}")
        node.stop()
        check(not late.exists(), "the socket's file goes with the daemon")


def over_unix(path, data):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        sock.sendall(data)
        heard = b""
        while part := sock.recv(4096):
            heard += part
        return heard


def run_to_end(*options):
    """A daemon that doesn't start: status and what it says."""
    with tempfile.TemporaryDirectory(prefix="cenote-test-") as folder:
        done = subprocess.run(
            [BIN / "cenoted", "--data-dir", f"{folder}/m", "--listen", f"unix:{folder}/c",
             "--shm-dir", folder, "--dram=1MiB", *options], capture_output=True, text=True,
            timeout=30, check=False)
        return done.returncode, done.stderr


def ports():
    """An address that was asked for must be had; the default one need not."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, text = run_to_end(f"--http=127.0.0.1:{port}")
        check(code == 1 and f"cannot listen at 127.0.0.1:{port}: Address already in use" in text,
              f"{code}: {text}")
    code, text = run_to_end("--http=0.0.0.0:0")
    check(code == 2 and "--insecure" in text, f"{code}: {text}")
    code, text = run_to_end("--http=nonsense")
    check(code == 2 and "is no endpoint" in text, f"{code}: {text}")
    with Pool(options=["--http="]) as first, Pool(options=["--http="]) as second:
        logs = first.meta.log() + second.meta.log()
        check(logs.count("no HTTP is served") >= 1, "of two, one has the default address at most")
    with Pool() as pool:
        check("http" not in pool.meta.endpoints, "none is none")


def garbage():
    """Random bytes and requests with something wrong."""
    rng = random.Random(SEED)
    whole = b"GET /healthz HTTP/1.1\r\n" + HOST + b"X-A: b\r\nConnection: close\r\n\r\n"
    with Pool(options=QUICK) as pool:
        for i in range(150):
            if i % 3 == 0:
                data = rng.randbytes(rng.randrange(1, 3000))
            else:
                data = bytearray(whole)
                for _ in range(rng.randrange(1, 4)):
                    data[rng.randrange(len(data))] = rng.randrange(256)
                data = bytes(data[:rng.randrange(1, len(data) + 1)])
            heard = talk(pool.meta, data)
            check(code_of(heard) in (200, 400, 403, 404, 405, 431, 501, 505),
                  f"seed {SEED}: {data!r} is answered with {heard[:60]!r}")
        head = b"GET /healthz HTTP/1.1\r\n" + HOST
        cases = ((b"X: " + b"a" * (17 << 10) + b"\r\n\r\n", 431), (b"a: b\r\n" * 64 + b"\r\n", 431),
                 (b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
                 (b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
                 (b"Content-Length: 5\r\n\r\nhello", 413), (b" folded: x\r\n\r\n", 400),
                 (b"Host: twice\r\n\r\n", 400), (b"Transfer-Encoding: gzip\r\n\r\n", 501))
        for rest, code in cases:
            before = faults(pool.meta)["malformed"]
            heard = talk(pool.meta, head + rest, half_close=False)
            counted = faults(pool.meta)["malformed"] - before
            check(counted == (code != 413), f"{rest[:60]!r} is counted {counted} times")
            check(code_of(heard) == code, f"{rest[:60]!r}: {heard[:60]!r}, not {code}")
        for path, code in (("/nowhere", 404), ("/healthz/", 404), ("/../etc/passwd", 404),
                           ("/%2e%2e/healthz", 404), ("/v1/objects/../../etc/passwd", 404),
                           ("/v1/objects/%2e%2e%2f/x", 400)):
            check(ask(pool.meta, "GET", path).code == code, f"{path} is no {code}")
        check(ask(pool.meta, "POST", "/healthz", b"x").code == 405, "POST is not allowed")
        check(ask(pool.meta, "GET", "/healthz").code == 200, "it still answers")


def pages():
    """What pages from elsewhere in a local browser send is refused."""
    with Pool(options=HTTP) as pool:
        check(ask(pool.meta, "GET", "/healthz", Host="evil.example").code == 403,
              "a name that was pointed here")
        path = "/v1/objects/default/k"
        check(ask(pool.meta, "PUT", path, b"v", Origin="http://evil.example").code == 403,
              "another site's page")
        with Browser(pool.meta) as browser:
            own = f"http://{browser.connection.host}:{browser.connection.port}"
            check(browser.ask("PUT", path, b"v", Origin=own).code == 201, "its own page")


def slow_ones():
    """Who doesn't go on is dropped; who only has nothing to ask, later than others."""
    with Pool(options=QUICK) as pool:
        browser = Browser(pool.meta)
        check(browser.ask("PUT", "/v1/objects/default/large", b"x" * (24 << 20)).code == 201, "put")
        begun = time.monotonic()
        head, body, reader = (dial(pool.meta, 4096) for _ in range(3))
        head.sendall(b"GET /heal")
        body.sendall(b"PUT /v1/objects/default/b HTTP/1.1\r\n" + HOST
                     + b"Content-Length: 1000000\r\n\r\nabc")
        reader.sendall(b"GET /v1/objects/default/large HTTP/1.1\r\n" + HOST + b"\r\n")
        count = 0
        while time.monotonic() - begun < 2 * IDLE_MS / 1000:
            check(browser.ask("GET", "/healthz").code == 200, "others are served meanwhile")
            count += 1
        check(count > 20, f"only {count} others were served meanwhile")
        for sock in (head, body):
            check(code_of(sock.recv(4096)) == 408, "a slow writer is told")
            wait_closed(sock)
        wait_until(lambda: has_ended(pool, reader), 10, "the slow reader being dropped")
        check(faults(pool.meta)["slow"] == 3, f"{faults(pool.meta)}")
        reader.close()
        idle = dial(pool.meta)
        wait_closed(idle)


def has_ended(pool, sock):
    """Has the server given a connection up? It can't say so before the client has read."""
    port = sock.getsockname()[1]
    lines = open(f"/proc/{pool.meta.pid}/net/tcp", encoding="ascii").read().splitlines()[1:]
    states = [line.split()[3] for line in lines if line.split()[2].endswith(f":{port:04X}")]
    return not states or states[0] != "01"


def latency_ms(client):
    """The median of a get by RPC: a lookup."""
    times = []
    for _ in range(GETS):
        begin = time.perf_counter()
        client.call("lookup", [[b"k"]])
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1000


def idle_connections():
    """A thousand of them slow nobody, and one too many takes the place of the idlest."""
    with Pool(options=HTTP) as pool:
        pool.cenote("put", "k", "-", input=b"v")
        client = Client(pool.meta_endpoint)
        before = min(latency_ms(client) for _ in range(3))
        many = [dial(pool.meta) for _ in range(IDLE_CONNECTIONS)]
        with Browser(pool.meta) as browser:
            check(browser.ask("GET", "/healthz").code == 200, "HTTP is served beside them")
            after = min(latency_ms(client) for _ in range(3))
            print(f"a lookup takes {before * 1000:.0f} us, {after * 1000:.0f} us with "
                  f"{IDLE_CONNECTIONS} idle HTTP connections", flush=True)
            if not SANITIZED:
                check(after < 2 * before + 0.2, "it is slowed")
            many += [dial(pool.meta) for _ in range(CONNECTIONS_MAX - IDLE_CONNECTIONS - 1)]
            check(browser.ask("GET", "/healthz").code == 200, "the last one that there may be")
        many.append(dial(pool.meta))
        time.sleep(1.05)  # who has just come isn't idle
        check(ask(pool.meta, "GET", "/healthz").code == 200, "one too many")
        wait_until(lambda: any(is_closed(s) for s in many[:3]), 5, "an idle one giving way")
        client.close()
        for sock in many:
            sock.close()


def too_many_at_once():
    """Nobody gives way who has just come: the others are told."""
    with Pool(options=HTTP) as pool:
        many = [dial(pool.meta) for _ in range(CONNECTIONS_MAX + 8)]
        wait_until(lambda: all(is_told(s) for s in many[-8:]), 5,
                   "those beyond the limit hearing it")
        told = [code_of(talked(s)) for s in many[-8:]]
        check(told == [503] * 8, f"those beyond the limit hear {told}")
        for sock in many:
            sock.close()
        wait_until(lambda: ask(pool.meta, "GET", "/healthz").code == 200, 10, "room again")
        check(faults(pool.meta)["turned_away"] == 8, f"{faults(pool.meta)}")


def slow_house():
    """A full house of clients who don't finish what they have begun doesn't keep the probes out."""
    body = b"PUT /v1/objects/default/b HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\n\r\nx"
    slow = 0
    with Pool(options=HTTP) as pool:
        for what in (b"GET /heal", body):
            many = [dial(pool.meta) for _ in range(CONNECTIONS_MAX)]
            for sock in many:
                sock.sendall(what)
            time.sleep(1.05)
            before = slow
            slow = faults(pool.meta)["slow"]
            check(slow == before + 1, f"one gave way, and is counted: {slow}")
            for path in ("/healthz", "/readyz", "/metrics"):
                check(ask(pool.meta, "GET", path).code == 200, f"{path} among {what}")
            # What it takes from others is one place for each who comes.
            check(sum(is_closed(s) for s in many) <= 8, "the others stay")
            for sock in many:
                sock.close()
            wait_until(lambda: metric(pool.meta, "cenote_http_connections") == 1, 10,
                       "all having gone")


def is_told(sock):
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    return bool(poller.poll(0))


def talked(sock):
    heard = b""
    try:
        while part := sock.recv(4096):
            heard += part
    except ConnectionError:
        pass
    return heard


CASES = (health, ports, garbage, pages, slow_ones, idle_connections, too_many_at_once,
         slow_house)


if __name__ == "__main__":
    run_cases(CASES, sys.argv[1:])
