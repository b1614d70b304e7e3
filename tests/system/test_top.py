#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote top: on a terminal a screen that fits it and is taken away again, however it ends; else
text whose numbers are those of the status.

Usage: test_top.py [case ...]
"""
import errno
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios

from pool import BIN, MIB, Pool, check, end_of, named, run_cases, wait_stopped, wait_until

FAST = "--interval=200ms"
BEGIN, END = "\x1b[?1049h", "\x1b[?1049l"
STRANGE = "n\x1b[31m\xe4de" # a node with such a name doesn't get at the terminal


class Screen:
    """cenote top on a terminal of its own."""

    def __init__(self, pool, columns=100, rows=40):
        self.master, slave = pty.openpty()
        self.size(columns, rows)
        self.before = termios.tcgetattr(self.master)
        self.text = ""
        self.process = subprocess.Popen([BIN / "cenote", FAST, "top"], stdin=slave, stdout=slave,
                                        stderr=slave, env=pool.environment(), close_fds=True)
        os.close(slave)

    def size(self, columns, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def read(self, seconds=0.05):
        while select.select([self.master], [], [], seconds)[0]:
            try:
                part = os.read(self.master, 65536)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                part = b""
            if not part:
                return self.text
            self.text += part.decode("utf-8", "replace")
            seconds = 0
        return self.text

    def frames(self):
        """What was drawn: lists of lines, without colours; the last may be half of one."""
        text = re.sub(r"\x1b\[[\d;]*m", "", self.read())
        return [f.replace("\x1b[K", "").split("\r\n") for f in text.split("\x1b[H")[1:]]

    def wait(self, pattern, what, seconds=10):
        def found():
            frames = [f for f in self.frames() if f[-1].startswith("\x1b[J")]
            return frames and re.search(pattern, "\n".join(frames[-1])) and frames[-1][:-1]
        return wait_until(found, seconds, what)

    def end(self):
        """Its status; the terminal must be as it was."""
        wait_until(lambda: self.read(0.01) is not None and self.process.poll() is not None, 10,
                   "its end")
        self.read()
        check(self.text.count(BEGIN) == self.text.count(END) > 0, "the shell's screen isn't back")
        check(self.text.rstrip().endswith(END), repr(self.text[-200:]))
        check(termios.tcgetattr(self.master) == self.before, "the terminal isn't as it was")
        os.close(self.master)
        return self.process.returncode


def once(pool):
    """Text for scripts: as /v1/status, without a trace of a terminal."""
    pool.run("hammer", "--threads=1", "--seconds=1", "--size=100K", "--lossy")
    wait_until(pool.settled, 10, "the pool coming to rest")
    text = pool.cenote(FAST, "--once", "top").stdout.decode()
    check("\x1b" not in text and "\r" not in text, repr(text))
    status = pool.status()
    for method in status["live"]["methods"]:
        row = re.search(rf"^{method['name']} +(\d+) +\S+ +(\d+) ", text, re.M)
        check(bool(row) == (method["count"] > 0), f"{method['name']}: {row}")
        if method["name"] in ("put_start", "put_commit", "lookup", "remove"):
            check([int(n) for n in row.groups()] == [method["count"], method["errors"]], row)
    check(re.search(rf"^values +{status['service']['objects']},", text, re.M), text)
    check(f"of {status['capacity']['total_bytes'] / MIB:.1f} MiB" in text, text)
    names = [line.split()[0] for line in text.splitlines() if " alive " in line]
    check(names == ["node0", "n?[31mäde"], f"{names}")
    told = json.loads(pool.cenote("--once", "--json", "top").stdout)
    check(told["capacity"] == status["capacity"], f"{told['capacity']}")


def text_goes_on(pool):
    """Into a pipe it goes on, a text after another, until nobody reads any more."""
    top = pool.spawn("cenote", FAST, "top")
    seen = "".join(top.stdout.readline() for _ in range(80))
    check(seen.count("cenote 0") >= 2 and "\x1b" not in seen, seen)
    top.stdout.close()
    top.wait(10)


def screen(pool):
    """It moves, fits the window, and q gives the terminal back."""
    load = pool.spawn("hammer", "--threads=1", "--size=100K", "--lossy", stdout=subprocess.DEVNULL)
    try:
        s = Screen(pool)
        s.wait(r"a second +[1-9]\d* keys looked up, [1-9]", "rates that move")
        lines = s.wait(r"put_commit +\d+ +[1-9]", "a method's rate")
        check(len(lines) <= 40 and max(map(len, lines)) <= 100, f"{lines}")
        s.size(50, 12)
        wait_until(lambda: len(s.wait("cenote", "a screen")) <= 12, 10, "the smaller screen")
        lines = s.wait("cenote", "a screen")
        check(max(map(len, lines)) <= 50, f"{lines}")
        os.write(s.master, b"q")
        check(s.end() == 0, "its status")
    finally:
        load.terminate()
        end_of(load, 30, "the load")


def signals(pool):
    """A signal ends it as signals do, and gives the terminal back before; so does being stopped."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        s = Screen(pool)
        s.wait("method", "a screen")
        if number == signal.SIGINT:
            os.kill(s.process.pid, signal.SIGTSTP)
            wait_until(lambda: END in s.read(), 10, "the shell's screen")
            wait_stopped(s.process)
            os.kill(s.process.pid, signal.SIGCONT)
            wait_until(lambda: s.read().count(BEGIN) == 2, 10, "its screen again")
        os.kill(s.process.pid, number)
        check(s.end() == -number, f"its status after {number}: {s.process.returncode}")


def service_dies(pool):
    """The last screen stays and says why; it goes on with the service."""
    s = Screen(pool)
    s.wait("method", "a screen")
    pool._drop_watcher()
    pool.meta.kill()
    s.wait("no answer: ", "the service being missed", 30)
    pool.meta.start()
    lines = s.wait(r"^cenote [^\n]*\n(?!no answer)", "the service again", 30)
    check("no answer" not in "\n".join(lines), f"{lines}")
    os.write(s.master, b"q")
    check(s.end() == 0, "its status")


def nothing_there():
    """No service at all is an error like any other."""
    environment = {**os.environ, "CENOTE_META": "unix:/nonexistent/socket"}
    done = subprocess.run([BIN / "cenote", "--timeout=200ms", "top"], env=environment, timeout=20,
                          capture_output=True, check=False)
    check(done.returncode == 1 and b"cenote: top: " in done.stderr, f"{done}")


def main():
    with Pool(nodes=1, split=True, dram=16 * MIB, meta_options=["--lease=200ms"]) as pool:
        pool.add_node(STRANGE)
        pool.wait_capacity()
        pool.allow(".")
        run_cases([named(c.__name__, c, pool) for c in
                   (once, text_goes_on, screen, signals, service_dies)] + [nothing_there],
                  sys.argv[1:])


if __name__ == "__main__":
    main()
