# SPDX-License-Identifier: Apache-2.0
"""A thread for what libcenote has only as calls that wait."""
from __future__ import annotations

import queue
import threading
import typing

QUESTIONS_MAX = 4096  # that wait for their thread


class Questions(threading.Thread):
    """Does what waits, one after the other."""

    def __init__(self, name: str):
        super().__init__(name=name, daemon=True)
        self._queue: queue.SimpleQueue = queue.SimpleQueue()  # half the time of a queue.Queue
        self.start()

    def run(self) -> None:
        while (work := self._queue.get()) is not None:
            work()

    def ask(self, work: typing.Callable[[], None]) -> bool:
        """False: too many wait already."""
        if self._queue.qsize() >= QUESTIONS_MAX:
            return False
        self._queue.put(work)
        return True

    def stop(self) -> None:
        """After what waits has been done."""
        self._queue.put(None)
