# SPDX-License-Identifier: Apache-2.0
"""Starts real daemons for a system test, in a temporary directory and on free ports.

    with Pool(nodes=2, split=True) as pool:
        pool.cenote("put", "key", path)
        pool.nodes[0].kill()
        pool.status()["capacity"]["used_bytes"]

A pool is joined (one process with both roles) or split (one service, and node processes). At the
end everything that was started is stopped in order; a daemon that doesn't stop, stops with an
error, logs one that the test didn't announce (Pool.allow), or leaves a sanitizer's report fails the
test, and so does a service that finds its records inconsistent. Processes are only ever signalled
by their own id.
"""
import argparse
import ctypes
import os
import pathlib
import random
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

import protocol

BIN = pathlib.Path(os.environ.get("CENOTE_BIN", "build/bin")).resolve()
READY_SECONDS = 30
STOP_SECONDS = 20
PR_SET_PDEATHSIG = 1
SKIPPED = 77
MIB = 1 << 20
SANITIZED = os.environ.get("CENOTE_SANITIZE", "")
IN_GUEST = "CENOTE_VM_OUT" in os.environ # of tests/vm, where a processor is interpreted
SLOWNESS = (3 if SANITIZED else 1) * (3 if IN_GUEST else 1) # of what is waited for
# What a test goes over that can go over each: what every machine has, unless told otherwise.
TRANSPORTS = tuple(os.environ.get("CENOTE_TEST_TRANSPORTS", "shm tcp").split())
# Modules that log errors, in clients and in nodes, while nodes go.
NOISE = (r"module=(rpc|session|drive|client|put|get|tcp|shm|rdma|node|fabric|member)\b",)
REPORTS = ("Sanitizer", "runtime error:", "Assertion `")
# Times so short that a test sees leases, puts and sessions end. Nodes are given longer: the machine
# may be busy.
# For tests that damage memory and want to find it so: the node would find it, and drop the value.
UNSCRUBBED = "--scrub-rate=0"
SHORT = ("--lease=400ms", "--put-timeout=1500ms", "--session-grace=600ms", "--heartbeat=100ms",
         "--suspect=3s", "--dead=20s")
if IN_GUEST: # where a put of some megabytes takes seconds when the host is busy
    SHORT = ("--lease=1s", "--put-timeout=20s", "--session-grace=2s", "--heartbeat=250ms",
             "--suspect=10s", "--dead=60s")

_libc = ctypes.CDLL(None, use_errno=True)


def _die_with_parent():
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_until(condition, seconds=10, what="the condition"):
    """Polls until condition() is true, and returns what it returned."""
    end = time.monotonic() + seconds * SLOWNESS
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not come true in {seconds * SLOWNESS} s")
        time.sleep(pause)
        pause = min(0.05, pause * 1.3)


def check(condition, text):
    if not condition:
        raise AssertionError(text)


def has_rdma():
    """Has this machine, or guest, an RDMA device?"""
    devices = pathlib.Path("/sys/class/infiniband")
    return devices.is_dir() and any(devices.iterdir())


def skip(reason):
    print(f"SKIPPED: {reason}", flush=True)
    sys.exit(SKIPPED)


def named(name, function, *arguments):
    """A case for run_cases(), of a function that takes something."""
    def run():
        function(*arguments)
    run.__name__ = name
    return run


def run_cases(cases, wanted=()):
    """Runs functions that take nothing, each with a line of its own; status 1 at the first failure.
    wanted: names of those to run; empty: all."""
    for case in cases:
        if wanted and case.__name__ not in wanted:
            continue
        begin = time.monotonic()
        try:
            case()
        except AssertionError as error:
            print(f"FAILED {case.__name__}: {error}", flush=True)
            sys.exit(1)
        print(f"passed {case.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)


def run_seeded(text, cases, times=None):
    """Runs cases that take a test's options and what chance is drawn from: --seed repeats it,
    --only names one, --times says how often, if the test has such a number."""
    parser = argparse.ArgumentParser(description=text)
    if times is not None:
        parser.add_argument("--times", type=int, default=times)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 20))
    parser.add_argument("--only")
    options = parser.parse_args()
    print(" ".join(f"--{k} {v}" for k, v in vars(options).items() if v is not None), flush=True)
    chance = random.Random(options.seed)

    def runner(case):
        def run():
            case(options, chance)
        run.__name__ = case.__name__
        return run

    run_cases([runner(case) for case in cases], [options.only] if options.only else [])


def ends_stopped(process):
    """Waits until a process has stopped itself, or else ended; which was it?"""
    wanted = os.WSTOPPED | os.WEXITED | os.WNOWAIT | os.WNOHANG
    found = wait_until(lambda: os.waitid(os.P_PID, process.pid, wanted), 30, "a process stopping")
    return found.si_code == os.CLD_STOPPED


def wait_stopped(process):
    """Until a process has stopped itself."""
    check(ends_stopped(process), "the process ended instead of stopping")


def end_of(process, seconds, what):
    """Waits for a process's end; returns its output."""
    try:
        return process.communicate(timeout=seconds * SLOWNESS)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"{what} did not end in {seconds * SLOWNESS} s") from None


class Daemon:
    """One cenoted."""

    def __init__(self, name, directory, options):
        self.name = name
        self.log_path = directory / f"{name}.log"
        self.options = [str(o) for o in options]
        if not any(o.startswith("--http=") or o == "--http" for o in self.options):
            self.options.append("--http=none")  # many pools on one machine
        self.launcher = []  # words before the command
        self.endpoints = {}  # "control": [...], "data": [...]
        self.process = None
        self.killed = False

    def start(self, wait=True):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.launcher, BIN / "cenoted", *self.options], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log, preexec_fn=_die_with_parent)
        self.killed = False
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=READY_SECONDS):
        """Reads the line that says where it listens."""
        text, end = b"", time.monotonic() + seconds
        while not text.endswith(b"\n"):
            readable, _, _ = select.select([self.process.stdout], [], [], end - time.monotonic())
            part = os.read(self.process.stdout.fileno(), 4096) if readable else b""
            if not part:
                raise AssertionError(f"{self.name} did not become ready:\n{self.log()}")
            text += part
        prefix = "cenoted ready: "
        line = text.decode().strip()
        assert line.startswith(prefix), line
        self.endpoints = {}
        for item in line[len(prefix):].split(", "):
            kind, endpoint = item.split(" ", 1)
            self.endpoints.setdefault(kind, []).append(endpoint)

    @property
    def pid(self):
        return self.process.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def kill(self):
        """kill -9, waited for."""
        if self.alive():
            self.killed = True
            self.process.kill()
        self._reap(STOP_SECONDS)

    def stop(self):
        """SIGTERM; it must end well."""
        if self.alive():
            self.resume()
            self.signal(signal.SIGTERM)
        self.wait_ended()

    def wait_ended(self):
        """Until it has ended, which it must do well unless it was killed."""
        code = self._reap(STOP_SECONDS)
        if not self.killed:
            assert code == 0, f"{self.name} ended with {code}:\n{self.log()}"

    def _reap(self, seconds):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.killed = True
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.name} did not stop:\n{self.log()}") from None
        self.process.stdout.close()
        return code

    def check_log(self, allowed=(".",)):
        """allowed: patterns of the errors that were expected."""
        for line in self.log().splitlines():
            expected = any(re.search(pattern, line) for pattern in allowed)
            if any(r in line for r in REPORTS) or ("level=error" in line and not expected):
                raise AssertionError(f"{self.name} logs: {line}")

    def open_descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def run_tool(environment, args, code=0, timeout=60, **keywords):
    """Runs the tool; code is the exit status it must end with, None for any."""
    done = subprocess.run([BIN / "cenote", *map(str, args)], env=environment,
                          capture_output=True, timeout=timeout, check=False, **keywords)
    if code is not None and done.returncode != code:
        raise AssertionError(f"cenote {' '.join(map(str, args))}: ended with {done.returncode}, "
                             f"not {code}\n{done.stderr.decode()}")
    for report in REPORTS:
        assert report not in done.stderr.decode(errors="replace"), done.stderr.decode()
    return done


class Pool:
    """A service and its nodes."""

    def __init__(self, nodes=1, split=False, dram="64MiB", options=(), meta_options=(),
                 node_options=(), port=0):
        self.temporary = tempfile.TemporaryDirectory(prefix="cenote-test-")
        self.dir = pathlib.Path(self.temporary.name)
        self.data_dir = self.dir / "meta"
        self.shm_dir = self.dir / "shm"
        self.control = self.dir / "control.sock"
        self.dram = dram
        self.options = list(options)
        self.node_options = list(node_options)
        # By default a node that listens on loopback doesn't serve RDMA.
        said = any(o.startswith("--rdma") for o in map(str, (*options, *node_options)))
        self.rdma = ["--rdma=auto"] if has_rdma() and not said else []
        self.allowed = []
        self.watcher = None
        self.daemons = []
        self.nodes = []
        meta = ["--data-dir", self.data_dir, "--listen", f"127.0.0.1:{port}", "--listen",
                f"unix:{self.control}", *meta_options]
        if split:
            self.meta = self._daemon("meta", ["--roles=meta", *meta])
            self.node_count = nodes
        else:
            self.meta = self._daemon("pool", [*meta, *self._node_part("node0")])
            self.nodes.append(self.meta)
            self.node_count = 0

    def _daemon(self, name, options):
        daemon = Daemon(name, self.dir, [*options, *self.options])
        self.daemons.append(daemon)
        return daemon

    def _node_part(self, name):
        return ["--dram", self.dram, "--node-name", name, "--shm-dir", self.shm_dir, *self.rdma,
                *self.node_options]

    def add_node(self, name, options=(), start=True):
        daemon = self._daemon(name, ["--roles=node", "--meta", f"unix:{self.control}",
                                     *self._node_part(name), *options])
        self.nodes.append(daemon)
        return daemon.start() if start else daemon

    def start(self):
        self.meta.start()
        for i in range(self.node_count):
            self.add_node(f"node{i}")
        self.wait_capacity()
        return self

    def wait_capacity(self):
        """Until all memory of the live nodes is populated, and served by RDMA if it ever is."""
        def full():
            if has_rdma() and not all(re.search("served|no RDMA", n.log()) for n in self.nodes
                                      if n.alive()):
                return False
            nodes = [n for n in self.status()["nodes"] if n["state"] == "alive"]
            segments = [s for n in nodes for s in n["segments"]]
            return len(nodes) >= len(self.nodes) and all(
                s["populated_bytes"] == s["length_bytes"] for s in segments)
        wait_until(full, 60, "all memory being populated")

    @property
    def meta_endpoint(self):
        return f"unix:{self.control}"

    @property
    def meta_tcp(self):
        return next(e for e in self.meta.endpoints["control"] if not e.startswith("unix:"))

    def environment(self, **extra):
        return {**os.environ, "CENOTE_META": self.meta_endpoint, **extra}

    def cenote(self, *args, code=0, timeout=60, **keywords):
        """Runs the tool; code is the exit status it must end with, None for any."""
        return run_tool(self.environment(), args, code, timeout, **keywords)

    def spawn(self, program, *args, stdout=subprocess.PIPE):
        """A helper program of the tests, or the tool; its output is text."""
        return subprocess.Popen([BIN / program, *map(str, args)], stdin=subprocess.DEVNULL,
                                stdout=stdout, stderr=subprocess.STDOUT, text=True,
                                env=self.environment(), preexec_fn=_die_with_parent)

    def run(self, program, *args, seconds=60, code=0):
        process = self.spawn(program, *args)
        text = end_of(process, seconds, f"{program} {' '.join(map(str, args))}")
        check(process.returncode == code,
              f"{program} {' '.join(map(str, args))} ended with {process.returncode}, not {code}:\n"
              f"{text[-3000:]}")
        return text

    def client(self, namespace="default"):
        """A client that isn't libcenote."""
        return protocol.Client(self.meta_endpoint, namespace)

    def status(self):
        """By the control protocol, on a connection that is kept."""
        for attempt in range(2):
            try:
                if self.watcher is None:
                    self.watcher = self.client("watcher")
                return self.watcher.call("status", [])
            except OSError:
                self._drop_watcher()
                if attempt == 1:
                    raise
        return None

    def _drop_watcher(self):
        if self.watcher:
            self.watcher.close()
        self.watcher = None

    def used_bytes(self):
        """Stored, pending and in quarantine."""
        capacity = self.status()["capacity"]
        return capacity["used_bytes"] + capacity["quarantined_bytes"]

    def settled(self):
        """Is nothing pending, and nothing in quarantine?"""
        status = self.status()
        return (status["service"]["pending_puts"] == 0
                and status["capacity"]["quarantined_bytes"] == 0)

    def wait_used(self, used, what="the space coming back", seconds=20):
        """Until exactly so much is used, and nothing is under way."""
        try:
            wait_until(lambda: self.settled() and self.used_bytes() == used, seconds, what)
        except AssertionError as error:
            status = self.status()
            raise AssertionError(f"{error}: {self.used_bytes()} bytes are used, not {used}; "
                                 f"pending {status['service']['pending_puts']}, "
                                 f"{status['quarantine']}") from None

    def allow(self, *patterns):
        """Log lines of level error that are expected."""
        self.allowed += patterns

    def stop(self):
        """Nodes last: the service looks at its records while they are those of a living pool."""
        self._drop_watcher()
        for daemon in self.daemons:
            if daemon.process is not None:
                daemon.stop()

    def close(self):
        try:
            self.stop()
            for daemon in self.daemons:
                if daemon.process is not None:
                    daemon.check_log(self.allowed)
            check(self.meta.killed or " 0 differences" in self.meta.log(),
                  "the service didn't say that its records are consistent")
        finally:
            for daemon in self.daemons:
                if daemon.alive():
                    daemon.kill()
            self.temporary.cleanup()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self._abandon()
            raise

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.close()
        else:
            self._abandon()

    def _abandon(self):
        """After a failure: shows the logs and takes everything down."""
        self._drop_watcher()
        for daemon in self.daemons:
            if daemon.process is None:
                continue
            daemon.kill()
            print(f"---- log of {daemon.name}\n{daemon.log()}", file=sys.stderr)
        self.temporary.cleanup()


def steady_port():
    """A free port that the kernel gives to nobody meanwhile: for a daemon that is restarted while
    clients try to reach it."""
    for port in range(20000 + os.getpid() * 7 % 10000, 32768):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise AssertionError("no free port below 32768")


def connect(endpoint, seconds=10):
    """A plain socket to "host:port" or "unix:PATH"."""
    if endpoint.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(seconds)
        s.connect(endpoint[len("unix:"):])
    else:
        host, port = endpoint.rsplit(":", 1)
        s = socket.create_connection((host.strip("[]"), int(port)), seconds)
    return s
