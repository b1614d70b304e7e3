#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Views: what is looked at keeps its bytes and its space until it is released, whatever becomes of
key, service, node and holder.

Usage: test_views.py [--times N] [--only CASE]
"""
import argparse
import signal
import subprocess
import time

from pool import BIN, MIB, SHORT, SLOWNESS, Pool, check, run_cases, wait_until, _die_with_parent
from test_memory import Named

VALUE = 8 * MIB - 4096
FILLER = 1 * MIB
LEASE_OVER = 0.4 # seconds, of that in joined(): nothing but a hold keeps the space then
CHANGED = "the bytes of a view changed"
KEY = "key"


class Viewer:
    """A process that looks at values."""

    def __init__(self, pool, transport="shm", verify="full"):
        self.process = subprocess.Popen(
            [BIN / "viewer", pool.meta_endpoint, transport, verify], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, preexec_fn=_die_with_parent)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        check(answer, f"the viewer died of {words}")
        return answer

    def put(self, key, length, payload):
        answer = self.ask("put", key, length, payload)
        check(answer == "OK", f"{key} is stored: {answer}")

    def open(self, key):
        answer = self.ask("open", key).split()
        check(len(answer) == 3, f"a view of {key}: {answer}")
        return int(answer[0])

    def check(self, view, payload):
        check(self.ask("check", view, payload) == "same", CHANGED)

    def release(self, view):
        check(self.ask("release", view) == "released", "a view is released")

    def end(self):
        self.process.stdin.close()
        check(self.process.wait(20 * SLOWNESS) == 0, "the viewer ends well")
        self.process.stdout.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


def held(pool):
    return pool.status()["quarantine"]["held_extents"]


def holds(pool):
    return sum(n["holds"] for n in pool.status()["nodes"])


def remove(pool, key=KEY, seconds=2):
    """Whoever removes doesn't wait for those who look."""
    begin = time.monotonic()
    pool.cenote("rm", key)
    took = time.monotonic() - begin
    check(took < seconds * SLOWNESS, f"a remove took {took:.1f} s: it waited for the view")


def refill(pool, viewer, payload):
    """Fills all space with other bytes; removes them again."""
    stored = viewer.ask("fill", FILLER, payload).split()
    check(int(stored[0]) > 0 and stored[2] == "NO_SPACE", f"the pool is filled: {stored}")
    return int(stored[0])


def empty(pool, stored):
    pool.cenote("rm", *[f"fill{i}" for i in range(stored)])


def wait_back(pool):
    """Until the space of the value is free."""
    pool.wait_used(0, "the space of a view coming back")
    check(held(pool) == 0, "nothing is held any more")


def joined():
    return Pool(dram=32 * MIB, options=[o for o in SHORT if "lease" not in o] + ["--lease=150ms"])


def outlives_removal():
    """Removed at once, all other space filled with other bytes: the view stays as it is."""
    with joined() as p:
        v, other = Viewer(p), Viewer(p, verify="seal")
        v.put(KEY, VALUE, 1)
        view, second = v.open(KEY), other.open(KEY)
        remove(p)
        check(v.ask("open", KEY) == "NOT_FOUND", "no new view of what was removed")
        time.sleep(LEASE_OVER)
        v.put(KEY, 1000, 2)
        stored = refill(p, v, 1000)
        v.check(view, 1)
        other.check(second, 1)
        status = p.status()
        check(status["quarantine"]["held_extents"] == 1
              and status["quarantine"]["held_bytes"] >= VALUE
              and status["nodes"][0]["held_extents"] == 1, f"status tells of the view: {status}")
        empty(p, stored)
        v.release(view)
        time.sleep(0.1)
        other.check(second, 1)
        check(held(p) == 1, "another one looks at it still")
        other.release(second)
        p.cenote("rm", KEY, code=3) # its newer value had to go for the fillers
        wait_back(p)
        v.end()
        other.end()


def holder_dies():
    """SIGSTOP keeps the space, SIGKILL gives it back."""
    with joined() as p:
        v = Viewer(p)
        v.put(KEY, VALUE, 1)
        v.check(v.open(KEY), 1)
        wait_until(lambda: holds(p) == 1, 10, "status telling of an open view")
        v.process.send_signal(signal.SIGSTOP)
        remove(p)
        other = Viewer(p)
        stored = refill(p, other, 1000)
        check(held(p) == 1, "nobody's space while the holder is stopped")
        v.process.send_signal(signal.SIGCONT)
        v.check(0, 1)
        empty(p, stored)
        v.kill()
        wait_back(p)
        other.end()


def limits():
    """So many views and no more; by tcp none; wrong use does no harm. At the end the node dies:
    memory without a name lives as long as somebody looks at it."""
    with Pool(nodes=1, split=True, dram=32 * MIB, options=SHORT) as p:
        p.allow(".")
        v, tcp = Viewer(p), Viewer(p, "tcp")
        v.put(KEY, 5000, 1)
        v.put("empty", 0, 1)
        check(tcp.ask("open", KEY) == "NOT_SUPPORTED", "no view by tcp")
        check(v.ask("every", KEY) == "4096 open LIMIT", "a limit of views")
        view, nothing = v.open(KEY), v.open("empty")
        v.check(view, 1)
        check(v.ask("fork", view) == "child 0", "a child has no views")
        v.check(view, 1)
        v.release(nothing)
        check(v.ask("close") == "OK", "a client with open views is closed")
        tcp.end()
        view = v.open(KEY)
        p.nodes[0].kill()
        v.check(view, 1)
        # For a few milliseconds nobody has looked at the node's socket.
        wait_until(lambda: v.ask("open", KEY) in ("NODE_DOWN", "NOT_FOUND"), 5,
                   "no view of the lost")
        v.release(view)
        v.end()


def service_away():
    """The service is away longer than the lease, then the key is removed; then it restarts again,
    and finds out anew what is held."""
    with Pool(split=True, dram=32 * MIB, options=SHORT) as p:
        p.allow(".")
        v = Viewer(p)
        v.put(KEY, VALUE, 1)
        view = v.open(KEY)
        p.meta.kill()
        time.sleep(0.5) # more than the lease
        v.check(view, 1)
        p.meta.start()
        wait_until(lambda: p.status()["nodes"][0]["connected"], 20, "the node being back")
        remove(p)
        wait_until(lambda: held(p) == 1, 10, "the extent being held")
        p.meta.kill()
        p.meta.start()
        wait_until(lambda: held(p) == 1, 20, "the extent being held after another restart")
        stored = refill(p, v, 1000)
        v.check(view, 1)
        empty(p, stored)
        v.release(view)
        wait_back(p)
        v.end()


def node_comes_back():
    """The node is killed; its next life goes on with the memory, and knows who looks at it."""
    with Named(dram=32 * MIB) as p:
        v, dying = Viewer(p), Viewer(p)
        v.put(KEY, VALUE, 1)
        v.put("other", VALUE, 2)
        view = v.open(KEY)
        dying.open("other")
        p.restart(p.nodes[0])
        remove(p)
        remove(p, "other")
        wait_until(lambda: held(p) == 2, 10, "both being held")
        stored = refill(p, v, 1000)
        v.check(view, 1)
        dying.check(0, 2)
        dying.kill()
        wait_until(lambda: held(p) == 1, 10, "the space of the dead being free")
        p.restart(p.nodes[0])
        v.check(view, 1)
        check(held(p) == 1, "held over another life")
        empty(p, stored)
        v.release(view)
        wait_back(p)
        v.end()


CASES = (outlives_removal, holder_dies, limits, service_away, node_comes_back)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--only", default="", choices=[c.__name__ for c in CASES])
    options = parser.parse_args()
    for _ in range(options.times):
        run_cases(CASES, [options.only] if options.only else [])


if __name__ == "__main__":
    main()
