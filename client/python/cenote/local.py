# SPDX-License-Identifier: Apache-2.0
"""A pool of one's own, for tests and notebooks."""
from __future__ import annotations

import os
import pathlib
import select
import shutil
import subprocess
import sys
import tempfile
import time
import typing

from .aio import AsyncClient
from .client import Client

READY_SECONDS = 60
STOP_SECONDS = 20
_HERE = pathlib.Path(__file__).resolve().parent


def find_daemon() -> str:
    """cenoted: of $CENOTE_BIN, which names it or its folder; beside the package; or in $PATH."""
    named = os.environ.get("CENOTE_BIN")
    places = [pathlib.Path(named), pathlib.Path(named) / "cenoted"] if named else []
    for path in (*places, _HERE / "bin" / "cenoted"):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    found = shutil.which("cenoted")
    if found is None:
        raise FileNotFoundError("no cenoted beside the package, in $PATH or at $CENOTE_BIN")
    return found


class LocalPool:
    """A pool on this machine, which ends with close(), with its `with` block, or with this process,
    however that ends. Its values are gone then."""

    def __init__(self, dram: int | str, options: typing.Sequence[str]):
        # Not in $TMPDIR if that is long: a socket's path has 107 bytes.
        self._directory = tempfile.mkdtemp(prefix="cenote-")
        self.endpoint = f"unix:{self._directory}/control"  #: for Client(meta)
        command = [find_daemon(), "--data-dir", f"{self._directory}/meta", "--listen",
                   self.endpoint, "--shm-dir", f"{self._directory}/shm", "--dram", str(dram),
                   "--log-level", "warn", "--http", "none", *map(str, options)]
        try:
            self._keeper = subprocess.Popen(
                [sys.executable, "-I", str(_HERE / "keeper.py"), self._directory, *command],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        except BaseException:
            shutil.rmtree(self._directory, ignore_errors=True)
            raise
        try:
            self._wait_ready(time.monotonic() + READY_SECONDS)
        except BaseException:
            self.close()
            raise

    def _wait_ready(self, end: float) -> None:
        """For the daemon's line that says where it listens, and for all of its memory."""
        text = b""
        while not text.endswith(b"\n"):
            readable, _, _ = select.select([self._keeper.stdout], [], [],
                                           max(0, end - time.monotonic()))
            part = os.read(self._keeper.stdout.fileno(), 4096) if readable else b""
            if not part:
                raise RuntimeError(f"cenoted did not start: {self.log().strip()}")
            text += part
        with self.client() as client:
            while not _is_populated(client.status()):
                if time.monotonic() > end:
                    raise RuntimeError("the pool's memory was not there in time")
                time.sleep(0.002)

    def log(self) -> str:
        """What the daemon has logged: warnings and errors."""
        path = pathlib.Path(self._directory) / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def client(self, **options) -> Client:
        """A client of this pool; options are those of Client()."""
        return Client(self.endpoint, **options)

    def async_client(self, **options) -> AsyncClient:
        """A client for asyncio; options are those of AsyncClient()."""
        return AsyncClient(self.endpoint, **options)

    def close(self) -> None:
        """Stops the pool and removes its files."""
        for pipe in (self._keeper.stdin, self._keeper.stdout):
            pipe.close()
        try:
            self._keeper.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()  # and the daemon with it
            self._keeper.wait()
            shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, *args) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<cenote.LocalPool {self.endpoint}>"


def _is_populated(status: dict) -> bool:
    segments = [s for node in status["nodes"] for s in node["segments"]]
    return bool(segments) and all(s["populated_bytes"] == s["length_bytes"] for s in segments)


def local(dram: int | str = "256MiB", *, options: typing.Sequence[str] = ()) -> LocalPool:
    """Starts a pool of one's own: its service, and a node with so much memory, in one process.

        with cenote.local() as pool, pool.client() as client:
            client.put("greeting", b"hello, pool")

    options: further ones of cenoted. The daemon is the one of $CENOTE_BIN, beside the package, or
    in $PATH."""
    return LocalPool(dram, options)
