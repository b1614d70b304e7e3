# SPDX-License-Identifier: Apache-2.0
"""What the tests of package cenote share: a pool of real daemons for each class of cases.

    CENOTE_BIN=build/bin /usr/bin/python3 tests/python/test_client.py [Class[.case]]...
"""
import contextlib
import os
import pathlib
import sys
import traceback
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.setdefault("CENOTE_BIN", str(SOURCE / "build/bin"))).resolve()
PACKAGE = BIN.parent / "python"
SKIPPED = 77
sys.path[:0] = [str(PACKAGE), str(SOURCE / "tests/system")]

import pool as pools  # noqa: E402 pylint: disable=wrong-import-position

try:
    import cenote  # noqa: E402 pylint: disable=wrong-import-position
except ImportError as error:
    pools.skip(f"{error}; build target python, which needs deploy/packages.sh python")
try:
    import numpy
except ImportError:
    numpy = None

BLOCK = bytes(range(256)) * 64  # 16 KiB


class PoolCase(unittest.TestCase):
    """Cases with a pool of their class, and a client of their own in a namespace of their own."""

    pool_options = {}
    client_options = {}

    @classmethod
    def setUpClass(cls):
        cls.pool = pools.Pool(**cls.pool_options)
        cls.pool.__enter__()
        cls.addClassCleanup(cls.pool.close)

    def setUp(self):
        self.client = self.open()
        self.addCleanup(self.client.close)

    def open(self, kind=None, **options):
        """Another client, of the case's namespace unless it says another."""
        return (kind or cenote.Client)(self.pool.meta_endpoint,
                                       **{"namespace": self._testMethodName[:64],
                                          **self.client_options, **options})

    def check_kept(self, count, ttl, *pin):
        """All that lies in the case's namespace: so many values, kept so."""
        kept = [self.client.get_policy(entry.key) for entry in self.client.keys()]
        self.assertEqual(len(kept), count)
        for value in kept:
            self.assertTrue(ttl - 100 < value.ttl_left <= ttl, value)
            self.assertEqual(value.pin, pin[0])
            if pin[1:]:
                self.assertTrue(0 < value.pin_left <= pin[1], value)


@contextlib.contextmanager
def stopped(daemon):
    """A `with` block beneath a daemon that stands still."""
    daemon.pause()
    pools.wait_stopped(daemon.process)
    try:
        yield
    finally:
        daemon.resume()


def in_child(function):
    """Runs function() in a forked child; True if it returned True there."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if function() is True else 1
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def main():
    """Runs the cases of the program's module."""
    unittest.main(verbosity=2)
