# SPDX-License-Identifier: Apache-2.0
"""LMCache's L2 adapter of type `native_plugin`. Checked against LMCache 0.5.6.

    lmcache server --l2-adapter '{"type": "native_plugin",
        "module_path": "cenote.adapters.lmcache_native", "class_name": "CenoteConnector",
        "adapter_params": {"meta": "unix:/run/cenote/control"}, "max_capacity_gb": 100}'

Its caller submits from two threads, and waits on one descriptor in a third; that is libcenote's own
way, so gets and puts go straight into the background. Questions and removals, which libcenote asks
by calls that wait, have a thread each.
"""
from __future__ import annotations

import itertools
import os
import select
import threading
import typing

from .. import errors
from ..records import BATCH_MAX, milliseconds
from .link import LOGGER, Link
from .questions import Questions

__all__ = ["CenoteConnector"]

DRAIN_MAX = 256
Completion = tuple[int, bool, str, typing.Optional[list[bool]]]


class _Task:
    """One submission of the caller's, as one or more of libcenote's."""

    def __init__(self, number: int, kind: str, sizes: list[int], parts: int):
        self.number = number
        self.kind = kind
        self.sizes = sizes
        self.results = [False] * len(sizes)
        self.error = ""
        self.parts_left = parts


class CenoteConnector:
    """The class that `native_plugin` loads. Parameters are those of `cenote.Client`, `ttl` and
    `pin` of its puts, `deadline` (seconds after which a get or put ends as a miss or dropped), and
    `prefix` of all keys.

    `counters` tells of: gets, hits, misses, puts, dropped_puts, outages, refused_in_outage."""

    def __init__(self, *, deadline: float = 10.0, prefix: str = "", **options):
        self._deadline_ms = milliseconds(deadline)
        self._prefix = prefix
        self._link = Link(**options)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._done: list[Completion] = []
        self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.epoll()
        self._poll.register(self._event, select.EPOLLIN)
        self._watched = None
        self._closed = False
        self._asking = Questions("cenote-exists")
        self._removing = Questions("cenote-remove")

    @property
    def counters(self) -> typing.Counter[str]:
        """What has happened so far."""
        return self._link.counters

    def event_fd(self) -> int:
        """Readable while drain_completions() has something to give; not to be read from."""
        return self._poll.fileno()

    def register(self, address: int, length: int) -> None:
        """Tells of memory that values come from and go to. It may take a while, and is done in the
        background, when the pool has been reached; without it everything works, too."""
        def tell(handle):
            try:
                handle.register((address, length))
            except errors.CenoteError as error:
                LOGGER.warning("memory of %d bytes isn't registered: %s", length, error)
        self._link.when_reached(lambda handle: self._asking.ask(lambda: tell(handle)))

    # ---- submitting

    def submit_batch_get(self, keys: list[str], bufs: list[memoryview]) -> int:
        """Fetches values; each must be as long as its buffer."""
        self._link.count("gets", len(keys))
        return self._submit("get", keys, bufs)

    def submit_batch_set(self, keys: list[str], bufs: list[memoryview]) -> int:
        """Stores values; one that is there counts as stored."""
        self._link.count("puts", len(keys))
        return self._submit("put", keys, bufs)

    def _submit(self, kind: str, keys: list[str], bufs: list[memoryview]) -> int:
        """Never waits, and raises for wrong arguments only."""
        if len(keys) != len(bufs):
            raise ValueError(f"{len(keys)} keys, but {len(bufs)} buffers")
        handle = self._begin()
        starts = range(0, len(keys), BATCH_MAX)
        task = _Task(next(self._numbers), kind, [memoryview(b).nbytes for b in bufs], len(starts))
        if handle is None or not keys:
            task.error = "" if not keys else "the pool can't be reached"
            self._finish(task)
            return task.number
        names = [self._prefix + key for key in keys] if self._prefix else keys
        for at in starts:
            part = slice(at, at + BATCH_MAX)
            try:
                if kind == "get":
                    handle.submit_get(names[part], bufs[part], self._deadline_ms, (task, at))
                else:
                    handle.submit_put(names[part], bufs[part], 0, self._deadline_ms, (task, at),
                                      self._link.policy)
            except errors.CenoteError as error:
                self._link.note_error(error)
                self._end_part(task, at, [int(error.code)] * len(names[part]))
        return task.number

    def _begin(self):
        """The handle, watched; None if there is none now."""
        handle = self._link.handle()
        if handle is not None and self._watched is None:
            with self._lock:
                if self._watched is None:
                    self._poll.register(handle.completion_fd(), select.EPOLLIN)
                    self._watched = handle
        return handle

    def submit_batch_exists(self, keys: list[str]) -> int:
        """Asks which keys are there."""
        return self._question("exists", self._asking, keys,
                              lambda handle, names: handle.exists(names))

    def submit_batch_delete(self, keys: list[str]) -> int:
        """Removes keys; one that isn't there counts as removed."""
        def remove(handle, names):
            found = handle.remove(names)
            self._link.note(found)
            return [status in (0, errors.Status.NOT_FOUND) for status in found]
        return self._question("delete", self._removing, keys, remove)

    def _question(self, kind: str, thread: Questions, keys: list[str],
                  ask: typing.Callable) -> int:
        names = [self._prefix + key for key in keys]
        task = _Task(next(self._numbers), kind, [0] * len(keys), 1)

        def work():
            handle = self._link.handle()
            try:
                if handle is None:
                    task.error = "the pool can't be reached"
                else:
                    task.results = ask(handle, names)
            except errors.CenoteError as error:
                self._link.note_error(error)
                task.error = str(error)
            except Exception as error:  # a key that is none, say: the caller must get its answer
                LOGGER.exception("%s of %d keys", kind, len(names))
                task.error = repr(error)
            self._finish(task)

        if not thread.ask(work):
            task.error = "too many questions wait"
            self._finish(task)
        return task.number

    # ---- completing

    def _end_part(self, task: _Task, at: int, results: list[int]) -> None:
        """Results of one of libcenote's submissions: lengths of gets, or statuses."""
        if task.kind == "get":
            good = [r == size for r, size in zip(results, task.sizes[at:])]
        else:
            good = [r in (0, errors.Status.EXISTS) for r in results]
        task.results[at:at + len(good)] = good
        if not all(good):
            bad = next((r for r, ok in zip(results, good) if not ok and r < 0), None)
            if bad is not None and bad != errors.Status.NOT_FOUND:
                task.error = str(errors.make(bad))
        with self._lock:
            task.parts_left -= 1
            last = task.parts_left == 0
        if last:
            self._finish(task)

    def _finish(self, task: _Task) -> None:
        """Makes a task's completion ready, and wakes who waits for it."""
        good = sum(task.results)
        if task.kind == "get":
            self._link.count("hits", good)
            self._link.count("misses", len(task.results) - good)
        elif task.kind == "put":
            self._link.count("dropped_puts", len(task.results) - good)
        ok = not task.error if task.kind != "put" else good == len(task.results)
        with self._lock:
            if self._closed:
                return
            self._done.append((task.number, ok, task.error,
                               None if task.kind == "put" else task.results))
            os.eventfd_write(self._event, 1)

    def drain_completions(self) -> list[Completion]:
        """What has ended since: (number, ok, error, results of each key). Buffers of these are the
        caller's again."""
        handle = self._link.raw_handle()
        if handle is not None and self._watched is not None:
            try:
                landed = handle.drain(DRAIN_MAX, 0)
            except errors.CenoteError:
                landed = []
            for _, (task, at), _, results, _ in landed:
                self._link.note([r for r in results if r < 0])
                self._end_part(task, at, results)
        with self._lock:
            done, self._done = self._done, []
            if done and not self._closed:
                os.eventfd_read(self._event)
        return done

    def close(self) -> None:
        """Ends everything; nothing touches the caller's buffers any more."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._link.close() # what still waits fails at once
        for thread in (self._asking, self._removing):
            thread.stop()
            thread.join()
        self._poll.close()
        os.close(self._event)
