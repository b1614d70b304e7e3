# SPDX-License-Identifier: Apache-2.0
"""Clients of libcenote that do what a script tells them."""
import subprocess

from pool import BIN, SLOWNESS, check


class Talker:
    """A client in a process of its own (talker.c)."""

    def __init__(self, pool, transport, timeout_ms=10000):
        self.process = subprocess.Popen(
            [BIN / "talker", pool.meta_endpoint, transport, str(timeout_ms)], text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        check(self.answer() == ("OK", ""), "a client opens")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        code = self.process.wait(20 * SLOWNESS)
        self.process.stdout.close()
        check(code == 0, f"a client ended with {code}")

    def answer(self):
        words = self.process.stdout.readline().split()
        check(words, "a client died")
        return words[0], words[1] if len(words) > 1 else ""

    def tell(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        return self.answer()

    def expect(self, status, *words, value=""):
        got = self.tell(*words)
        check(got == (status, value), f"{words}: {got}, wanted {status} {value}")
