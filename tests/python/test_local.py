#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""cenote.local(), the wheel in an empty environment, and what the READMEs promise."""
import contextlib
import os
import pathlib
import re
import shutil
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


@contextlib.contextmanager
def quickstart():
    """A pool of deploy/quickstart.sh, stopped in the end as it says; the endpoint."""
    done = subprocess.run([SOURCE / "deploy/quickstart.sh", "--keep", SOURCE / "LICENSE"],
                          env={**os.environ, "CENOTE_BIN": str(BIN)}, capture_output=True,
                          text=True, timeout=60 * pools.SLOWNESS, check=False)
    stop = re.search(r"Stop it: +(kill [\d ]+; rm -rf (\S+))\n", done.stdout)
    try:
        if done.returncode != 0:
            raise AssertionError(f"quickstart.sh: {done.stdout}{done.stderr}")
        yield re.search(r"export CENOTE_META=(\S+)", done.stdout).group(1)
    finally:
        if stop:
            subprocess.run(stop.group(1), shell=True, check=True)


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
    """`pip wheel` of a checkout, and `pip install` of that in an empty environment, with nothing
    else of the tree. What is compiled is there already."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="cenote-wheel-")
        cls.addClassCleanup(temporary.cleanup)
        cls.directory = pathlib.Path(temporary.name)
        checkout = cls.directory / "checkout"
        shutil.copytree(SOURCE / "client/python", checkout / "client/python",
                        ignore=shutil.ignore_patterns("build", "*.egg-info", "__pycache__"))
        shutil.copy(SOURCE / "CMakeLists.txt", checkout)
        pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "-q"]
        venv = cls.directory / "venv"
        cls.run_tool([*pip, "wheel", "--no-index", "--no-deps", "--no-build-isolation", "-w",
                      cls.directory, checkout / "client/python"])
        wheel, = cls.directory.glob("cenote-*-cp311-abi3-linux_*.whl")
        cls.run_tool([PYTHON, "-m", "venv", "--without-pip", venv])
        cls.run_tool([*pip, "--python", venv / "bin/python", "install", "--no-index", wheel])

    @staticmethod
    def run_tool(command):
        environment = {**os.environ, "CENOTE_BUILD": str(BIN.parent), "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(f"{command}: {done.stdout}{done.stderr}")

    def run_program(self, text, **environment):
        done = subprocess.run([self.directory / "venv/bin/python", "-I", "-W", "error", "-c", text],
                              env={"PATH": "/usr/bin:/bin", **environment}, cwd=self.directory,
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_ten_lines_against_a_quickstart_pool(self):
        """What both READMEs promise."""
        with quickstart() as endpoint:
            self.assertEqual(self.run_program(code_of("Ten lines"), CENOTE_META=endpoint),
                             "hello, pool\nTrue 1\n")
            self.assertEqual(self.run_program(code_of("From Python", "README.md"),
                                              CENOTE_META=endpoint), "b'hello, pool'\n")
            found = subprocess.run([BIN / "cenote", "get", "greeting", "-"], check=True,
                                   env={"CENOTE_META": endpoint}, capture_output=True).stdout
            self.assertEqual(found, b"hello, pool")

    def test_a_pool_of_its_own(self):
        self.assertEqual(self.run_program(code_of("A pool of one's own")), "hello, pool\n")
        self.assertEqual(self.run_program(code_of("asyncio")), "1000\n")


if __name__ == "__main__":
    main()
