#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote.local(), the wheel in an empty environment, and what the package's README promises."""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import unittest

from suite import BIN, PACKAGE, SOURCE, cenote, main, pools

PYTHON = "/usr/bin/python3"
HOLD = """
import cenote, sys
pool = cenote.local("16MiB")
print(pool.endpoint, pool._keeper.pid, flush=True)
sys.stdin.read()
"""


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def code_of(name, document="client/python/README.md"):
    """The program under a heading of a document."""
    text = (SOURCE / document).read_text()
    return re.search(rf"{name}.*?```python\n(.*?)```", text, re.S).group(1)


class Local(unittest.TestCase):
    def test_a_pool_of_ones_own(self):
        with cenote.local("16MiB", options=["--lease=1s"]) as pool:
            with pool.client() as client:
                client.put("k", b"1")
                self.assertEqual(client.get("k"), b"1")
            directory = pathlib.Path(pool.endpoint.removeprefix("unix:")).parent
            self.assertTrue(directory.is_dir())
        self.assertFalse(directory.exists())
        self.assertRaises(cenote.UnavailableError, pool.client, timeout=1)
        pool.close()

    def test_it_ends_with_its_process(self):
        """Even by SIGKILL: nothing is left."""
        environment = {**os.environ, "PYTHONPATH": str(PACKAGE)}
        holder = subprocess.Popen([PYTHON, "-c", HOLD], stdin=subprocess.PIPE, text=True,
                                  stdout=subprocess.PIPE, env=environment)
        endpoint, keeper = holder.stdout.readline().split()
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
        pools.wait_until(lambda: not is_alive(int(keeper)), 20, "the keeper's end")
        self.assertFalse(pathlib.Path(endpoint.removeprefix("unix:")).parent.exists())

    def test_a_daemon_that_does_not_start(self):
        self.assertRaisesRegex(RuntimeError, "did not start", cenote.local, "16MiB",
                               options=["--no-such-option"])

    def test_no_daemon(self):
        found, bin_ = os.environ["PATH"], os.environ.pop("CENOTE_BIN")
        os.environ["PATH"] = "/nonexistent"
        local = sys.modules["cenote.local"]
        here, local._HERE = local._HERE, pathlib.Path("/nonexistent")
        try:
            self.assertRaisesRegex(FileNotFoundError, "CENOTE_BIN", cenote.local)
        finally:
            os.environ.update(PATH=found, CENOTE_BIN=bin_)
            local._HERE = here


@unittest.skipIf(pools.SANITIZED, "SKIPPED: an instrumented module isn't packed")
class Wheel(unittest.TestCase):
    """`pip install` of the wheel in an empty environment, with nothing else of the tree."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="cenote-wheel-")
        cls.addClassCleanup(temporary.cleanup)
        cls.directory = pathlib.Path(temporary.name)
        environment = {**os.environ, "CENOTE_BUILD": str(BIN.parent), "PYTHONWARNINGS": "ignore"}
        for command in (
                [PYTHON, "setup.py", "-q", "egg_info", "--egg-base", temporary.name, "build",
                 "--build-base", f"{temporary.name}/b", "bdist_wheel", "-d", temporary.name],
                [PYTHON, "-m", "venv", "--without-pip", f"{temporary.name}/venv"]):
            subprocess.run(command, cwd=SOURCE / "client/python", env=environment, check=True,
                           capture_output=True)
        wheel, = cls.directory.glob("cenote-*-cp311-abi3-linux_*.whl")
        subprocess.run([PYTHON, "-m", "pip", "--python", f"{temporary.name}/venv/bin/python",
                        "--disable-pip-version-check", "-q", "install", "--no-index", wheel],
                       check=True)

    def run_program(self, text, **environment):
        done = subprocess.run([self.directory / "venv/bin/python", "-I", "-W", "error", "-c", text],
                              env={"PATH": "/usr/bin:/bin", **environment}, cwd=self.directory,
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_ten_lines_against_a_pool(self):
        with pools.Pool() as pool:
            self.assertEqual(self.run_program(code_of("Ten lines"), CENOTE_META=pool.meta_endpoint),
                             "hello, pool\nTrue 1\n")
            self.assertEqual(pool.cenote("get", "greeting", "-").stdout, b"hello, pool")

    def test_a_pool_of_its_own(self):
        self.assertEqual(self.run_program(code_of("A pool of one's own")), "hello, pool\n")
        self.assertEqual(self.run_program(code_of("asyncio")), "1000\n")


if __name__ == "__main__":
    main()
