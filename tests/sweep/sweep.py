#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Each fault point of the service, the node and the client is hit alone, once.

A scene of real processes: a pool on one machine, a client that does all that the library can, a
scrape of the metrics, a value put and fetched through the gateway; or then the pool killed and
started again, a second client that finds what was left. Of each process, the calls that may be
refused (memory, threads, descriptors, sockets, files, LMDB) are first counted, by function and
callers; then the scene is played once for each with that one failing.

Nothing may crash, hang, leak, return wrong bytes or lose what was stored; a step of a client that
fails must succeed soon afterwards, and so must a request of HTTP; a daemon that could not start
says why, and can be started again; one that runs says what happened in a few lines, and ends in
order with records and tables equal. One whose store takes no more changes says so, and is killed
and started again.

Of a point with many calls some are tried: the first FIRST of them, each that doubles the number,
one in the middle and the last. Where the store writes, two calls in a row fail as well: it does the
changes of a transaction that failed again one by one, and so one of them fails for good.

What is wrapped and called in no scene (calls.txt) is a fault too.

Usage: sweep.py [--all | --seconds N] [--seed S] [--shard I/N] [--only PATTERN] [--first FIRST]
                [--transport shm|tcp]
"""
import argparse
import concurrent.futures
import contextlib
import dataclasses
import http.client
import json
import os
import random
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import calls

BIN = os.environ["CENOTE_BIN"]
SLOWNESS = 6 if os.environ.get("CENOTE_SANITIZE") else 1
START_S = 20 * SLOWNESS
CLIENT_S = 60 * SLOWNESS
STOP_S = 20 * SLOWNESS
WORKERS = 2
HTTP_S = 10 * SLOWNESS # until a request succeeds
HTTP_PAUSE_S = 0.05
VALUE = b"through the gateway" * 5000
MESSAGE_MAX = 4096 # to who keeps the daemon
ERRORS_MAX = 40 # lines of a daemon's log that are errors
BROKEN = "takes no more changes, until the service is started again"
ROLES = ("cenoted", "client", "cenoted again", "client again")
FIRST = 2 # calls of a point, and the same with --all
FIRST_OF_ALL = 8
TWICE = ("mdb_cursor_put", "mdb_cursor_del", "mdb_cursor_get", "mdb_txn_begin", "mdb_txn_commit",
         "mdb_env_set_flags", "mdb_env_sync", "pwrite", "fsync") # the store's writer tries again
BAD = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error|Assertion|stack smashing|"
                 r"with [1-9]\d* differences")
UNCHECKED = re.compile(r"check: (the store can't be read|no memory)") # that was the fault


class Wrong(Exception):
    pass


@dataclasses.dataclass(frozen=True)
class Point:
    transport: str
    role: str
    name: str
    hash: str
    call: int
    count: int # calls in a row
    callers: tuple

    def __str__(self):
        what = f"call {self.call}" + (f" and {self.count - 1} more" if self.count > 1 else "")
        return (f"{self.transport}, {self.role}, {what} of {self.name} "
                f"({self.hash}: {' '.join(self.callers)})")


class Watch(threading.Thread):
    """Starts a daemon again, as whoever keeps it would, when its store takes no more changes."""

    def __init__(self, scene, role, daemon):
        super().__init__(daemon=True)
        self.scene, self.role, self.process = scene, role, daemon
        self.over = threading.Event()
        self.wrong = None
        self.start()

    def run(self):
        while not self.over.wait(0.1):
            if BROKEN in self.scene.text(self.role):
                self.process.kill()
                self.process.wait()
                self.process.stdout.close()
                try:
                    self.process = self.scene.start(self.role + ", after that")
                except Wrong as wrong:
                    self.wrong = wrong
                return

    def end(self):
        self.over.set()
        self.join()
        if self.wrong or self.process is None:
            raise self.wrong or Wrong(f"{self.role} does not start once more")
        return self.process


class Scene:
    """One play. sweep: for each role what CENOTE_SWEEP says."""

    def __init__(self, transport, sweep):
        self.transport = transport
        self.sweep = sweep
        self.again = any("again" in role for role in sweep)
        self.dir = tempfile.mkdtemp(prefix="cenote-sweep-", dir="/dev/shm")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) # of services
        self.manager.bind(self.path("manager"))
        self.logs = {}
        self.started = []
        self.http = None # where the daemon that was started last serves it

    def path(self, name):
        return os.path.join(self.dir, name)

    def environment(self, role):
        environment = dict(os.environ)
        environment.pop("CENOTE_SWEEP", None)
        environment["NOTIFY_SOCKET"] = self.path("manager")
        if role in self.sweep:
            environment["CENOTE_SWEEP"] = self.sweep[role]
        return environment

    def log(self, role):
        if role not in self.logs:
            self.logs[role] = self.path(role.replace(" ", "-") + ".log")
        return self.logs[role]

    def text(self, role):
        with open(self.log(role), encoding="utf-8", errors="replace") as log:
            return log.read()

    def fired(self):
        return any("sweep: the fault" in self.text(role) for role in self.logs)

    def start(self, role):
        """The daemon, or None: it has ended."""
        command = [os.path.join(BIN, "sweep_cenoted"), "--data-dir", self.path("m"),
                   "--listen", f"unix:{self.path('c')}", "--shm-dir", self.path("s"),
                   "--dram", "24MiB", "--lease", "100ms",
                   "--http", "127.0.0.1:0", "--gateway", "on",
                   "--heartbeat", "50ms", "--suspect", "1s", "--dead", "8s", "--stripe", "1MiB",
                   "--meta-map-size", "16MiB", "--session-grace", "1s", "--rdma", "none",
                   "--huge-pages", "none", "--node-name", "n"]
        if self.again or self.transport == "shm": # otherwise memory without a name
            command += ["--memory-dir", self.path("mem")]
        with contextlib.suppress(BlockingIOError): # of the daemons before
            while self.manager.recv(MESSAGE_MAX, socket.MSG_DONTWAIT):
                pass
        with open(self.log(role), "ab") as log:
            daemon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=log, env=self.environment(role), text=True)
        self.started.append(daemon)
        line = self.ready(role, daemon)
        if line:
            self.http = re.search(r"http 127\.0\.0\.1:(\d+)", line)
            if not self.http:
                raise Wrong(f"{role} says {line.strip()!r}, and not where HTTP is")
            return daemon
        self.ended(role, daemon, 1, 2, -signal.SIGKILL)
        if "level=error" not in self.text(role) and "cenoted:" not in self.text(role):
            raise Wrong(f"{role} did not start and doesn't say why")
        return None

    def ready(self, role, daemon):
        """Its line; nothing: it has ended, or was killed because it must be started again."""
        end = time.monotonic() + START_S
        while not select.select([daemon.stdout], [], [], 0.1)[0]:
            if time.monotonic() > end:
                raise Wrong(f"{role} is not ready after {START_S} s")
            if BROKEN in self.text(role):
                daemon.kill()
        return daemon.stdout.readline()

    def ended(self, role, process, *codes):
        try:
            found = process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{role} does not end") from None
        if found not in codes:
            raise Wrong(f"{role} ended with {found}")

    def up(self, role):
        daemon = self.start(role)
        if daemon is None: # the fault was then: all is well now
            if not self.fired():
                raise Wrong(f"{role} does not start")
            daemon = self.start(role + ", once more")
        if daemon is None:
            raise Wrong(f"{role} does not start again")
        return daemon

    def down(self, role, daemon):
        if daemon.poll() is not None:
            raise Wrong(f"{role} ended by itself with {daemon.returncode}")
        daemon.send_signal(signal.SIGTERM)
        self.ended(role, daemon, 0)

    def client(self, role, part, daemon_role, daemon):
        """Returns the daemon, which may have been started again meanwhile."""
        watch = Watch(self, daemon_role, daemon)
        try:
            self.run_client(role, part)
        finally:
            watch.over.set()
            watch.join()
        return watch.end()

    def request(self, method, path, body=None):
        """Status and body of an answer; the error, if there is none."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", int(self.http[1]), timeout=HTTP_S)
            try:
                connection.request(method, path, body)
                answer = connection.getresponse()
                return answer.status, answer.read()
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error).encode()

    def ask(self, method, path, statuses, body=None):
        """Until it succeeds. A refusal says why."""
        end = time.monotonic() + HTTP_S
        while True:
            status, found = self.request(method, path, body)
            if status in statuses:
                return found
            if status < 500 and status != 0:
                raise Wrong(f"{method} {path} is answered with {status}: {found[:200]}")
            if time.monotonic() > end:
                raise Wrong(f"{method} {path} goes on failing: {status} {found[:200]}")
            time.sleep(HTTP_PAUSE_S)

    def browse(self, role, daemon):
        """What HTTP serves. Returns the daemon, as client() does."""
        watch = Watch(self, role, daemon)
        try:
            if b"\ncenote_objects " not in self.ask("GET", "/metrics", (200,)):
                raise Wrong("the page of metrics is not complete")
            # 409: it was done, and the answer lost
            self.ask("PUT", "/v1/objects/default/web", (200, 201, 204, 409), VALUE)
            if self.ask("GET", "/v1/objects/default/web", (200,)) != VALUE:
                raise Wrong("the gateway gives other bytes")
        finally:
            watch.over.set()
            watch.join()
        return watch.end()

    def wait_told(self):
        """Until the node's directory knows all values: a later life has entries to look at."""
        end = time.monotonic() + HTTP_S
        lag = 1
        while lag > 0 and time.monotonic() < end:
            status = json.loads(self.ask("GET", "/v1/status", (200,)))
            lag = sum(node["directory_lag"] for node in status["nodes"])
            time.sleep(HTTP_PAUSE_S)

    def run_client(self, role, part):
        with open(self.log(role), "wb") as log:
            client = subprocess.Popen([os.path.join(BIN, "sweep_client"),
                                       f"unix:{self.path('c')}", self.transport, part],
                                      stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                      env=self.environment(role))
        self.started.append(client)
        try:
            code = client.wait(CLIENT_S)
        except subprocess.TimeoutExpired:
            raise Wrong(f"{role} hangs") from None
        if code != 0:
            raise Wrong(f"{role} ended with {code}")

    def play(self):
        """What is swept decides which part counts: the pool's first life, or a later one, with the
        memory and the records that a killed one has left."""
        daemon = self.up(ROLES[0])
        daemon = self.client(ROLES[1], "fill", ROLES[0], daemon)
        daemon = self.browse(ROLES[0], daemon)
        if self.again:
            self.wait_told()
            daemon.kill()
            daemon.wait()
            daemon = self.up(ROLES[2])
            daemon = self.client(ROLES[3], "read", ROLES[2], daemon)
        self.down(ROLES[2] if self.again else ROLES[0], daemon)
        for role in self.logs:
            text = self.text(role)
            found = BAD.search(text)
            if found and not UNCHECKED.search(text):
                raise Wrong(f"{role} says: {found.group()}")
            if text.count("level=error") > ERRORS_MAX:
                raise Wrong(f"{role} logs {text.count('level=error')} errors")

    def end(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdout:
                process.stdout.close()
        self.manager.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def calls_of(count, first):
    """Which of count calls, all in the same place, are tried."""
    chosen = {*range(1, first + 1), count // 2, count}
    if first > FIRST:
        chosen |= {1 << bit for bit in range(count.bit_length())}
    return sorted(call for call in chosen if 1 <= call <= count)


def counted(transport, roles, first):
    """The points of these roles in a play in which all goes well."""
    with tempfile.TemporaryDirectory(prefix="cenote-points-") as counts:
        files = {role: os.path.join(counts, role) for role in roles}
        scene = Scene(transport, {role: f"count:{path}" for role, path in files.items()})
        try:
            scene.play()
        except Wrong as wrong:
            for role in scene.logs:
                print(f"--- {role}\n{scene.text(role)}")
            sys.exit(f"the scene itself: {wrong}")
        finally:
            scene.end()
        points = []
        for role, path in files.items():
            with open(path, encoding="ascii") as lines:
                for name, number, count, *callers in map(str.split, lines):
                    rows = (1, 2) if name in TWICE and int(count) > 1 else (1,)
                    points += [Point(transport, role, name, number, call, row, tuple(callers))
                               for call in calls_of(int(count), first) for row in rows]
    return points


def count_points(transport, first):
    return sorted(counted(transport, ROLES[:2], first) + counted(transport, ROLES[2:], first),
                  key=str)


def never_called(points):
    """What is wrapped (under one of its names) and meets nobody in the scenes."""
    return sorted(calls.wrapped() - {calls.plain(point.name) for point in points})


def where(point):
    """The callers' names."""
    program = os.path.join(BIN, "sweep_cenoted" if "cenoted" in point.role else "sweep_client")
    addresses = [hex(int(caller, 16) - 1) for caller in point.callers]
    done = subprocess.run(["addr2line", "-sfpe", program, *addresses], text=True, check=False,
                          stdout=subprocess.PIPE)
    return done.stdout


def try_point(point):
    """None, or what was wrong; and whether the point was reached."""
    scene = Scene(point.transport, {point.role: f"fail:{point.hash}:{point.call}:{point.count}"})
    wrong = None
    try:
        scene.play()
    except Wrong as error:
        wrong = str(error)
    fired = scene.fired()
    if wrong:
        texts = "".join(f"--- {role}\n{scene.text(role)[-3000:]}" for role in scene.logs)
        wrong = f"{point}: {wrong}\n{where(point)}{texts}"
    scene.end()
    return wrong, fired


def choose(points, options):
    if options.only:
        points = [point for point in points if re.search(options.only, str(point))]
    index, shards = (int(number) for number in options.shard.split("/"))
    points = points[index::shards]
    if not options.all:
        random.Random(options.seed).shuffle(points)
    return points


def run_all(points, seconds):
    """How many were tried, reached, wrong."""
    tried = reached = wrong = 0
    end = time.monotonic() + seconds
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as workers:
        waiting = iter(points)
        running = set()
        while True:
            while len(running) < WORKERS and time.monotonic() < end:
                point = next(waiting, None)
                if point is None:
                    break
                running.add(workers.submit(try_point, point))
            if not running:
                return tried, reached, wrong
            done, running = concurrent.futures.wait(
                running, return_when=concurrent.futures.FIRST_COMPLETED)
            for one in done:
                report, fired = one.result()
                tried, reached = tried + 1, reached + int(fired)
                if report:
                    wrong += 1
                    print(report, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--all", action="store_true", help="every point")
    parser.add_argument("--seconds", type=float, default=15, help="otherwise: for so long")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--shard", default="0/1", help="which part of how many, from 0/N on")
    parser.add_argument("--only", default="", help="points whose text it matches")
    parser.add_argument("--first", type=int,
                        help="of a point's calls: so many, and some later ones")
    parser.add_argument("--transport", choices=("shm", "tcp"))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    points = []
    first = options.first or (FIRST_OF_ALL if options.all else FIRST)
    for transport in [options.transport] if options.transport else ["shm", "tcp"]:
        points += count_points(transport, first)
    missing = [] if options.transport else never_called(points)
    for name in missing:
        print(f"{name} is wrapped, and called in no scene", flush=True)
    chosen = choose(points, options)
    print(f"{len(points)} points, {len(chosen)} of them in question", flush=True)
    tried, reached, wrong = run_all(chosen, 1e9 if options.all else options.seconds)
    print(f"{reached} of {tried} were reached")
    print(f"count {tried} violations {wrong + len(missing)}")
    return 1 if wrong or missing else 0


if __name__ == "__main__":
    sys.exit(main())
