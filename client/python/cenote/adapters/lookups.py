# SPDX-License-Identifier: Apache-2.0
"""What is there, for a scheduler that must not wait: asked in a thread, one question a step."""
from __future__ import annotations

import time
import typing

from .calls import Calls
from .link import Link
from .questions import Questions


class _Answer:
    """What is known of a key, as long as a request wants to know it."""

    __slots__ = ("found", "requests", "late_at")

    def __init__(self):
        self.found: bool | None = None
        self.requests: set[str] = set()
        self.late_at = float("inf")


class Lookups:
    """All methods are called by one thread at a time. The thread of its own writes `found` of
    answers, and nothing else. A request waits no longer than the deadline for an answer."""

    def __init__(self, link: Link, calls: Calls, name: typing.Callable[[bytes], str],
                 deadline_seconds: float):
        self._link = link
        self._calls = calls
        self._name = name
        self._deadline_seconds = deadline_seconds
        self._answers: dict[bytes, _Answer] = {}
        self._keys: dict[str, set[bytes]] = {}  # of each request
        self._step: list[tuple[str, _Answer]] = []
        self._questions = Questions("cenote-lookup")

    def lookup(self, key: bytes, request: str) -> bool | None:
        """Is a key there? None: that isn't known yet."""
        answer = self._answers.get(key)
        if answer is None:
            if self._link.handle() is None:
                return False
            answer = _Answer()
            self._step.append((self._name(key), answer))
            self._answers[key] = answer
        answer.requests.add(request)
        self._keys.setdefault(request, set()).add(key)
        if answer.found is None and time.monotonic() > answer.late_at:
            answer.found = False
            self._link.count("late_lookups")
        return answer.found

    def flush(self) -> None:
        """Asks for what was looked up since."""
        step, self._step = self._step, []
        if not step:
            return
        late_at = time.monotonic() + self._deadline_seconds
        for _, answer in step:
            answer.late_at = late_at

        def ask():
            found = self._calls.exists([name for name, _ in step])
            for (_, answer), there in zip(step, found, strict=True):
                if answer.found is None:
                    answer.found = there

        if not self._questions.ask(ask):
            for _, answer in step:
                answer.found = False

    def miss(self, keys: typing.Iterable[bytes]) -> None:
        """What was said to be there could not be had: it isn't there, for those who have asked."""
        for key in keys:
            if (answer := self._answers.get(key)) is not None:
                answer.found = False

    def forget(self, request: str) -> None:
        """A request has ended."""
        for key in self._keys.pop(request, ()):
            answer = self._answers[key]
            answer.requests.discard(request)
            if not answer.requests:
                del self._answers[key]

    def close(self) -> None:
        """After what was asked has been answered."""
        self._questions.stop()
        self._questions.join()
