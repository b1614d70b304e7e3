# SPDX-License-Identifier: Apache-2.0
"""Calls that threads of an engine wait for, over a Link: results, never exceptions."""
from __future__ import annotations

import typing

from .. import errors
from .link import OUTAGE, Link

TIMEOUT_SECONDS = 5.0  # without progress: an engine waits no longer than this for an outage
STORED = frozenset({0, int(errors.Status.EXISTS)})
NO_POOL = int(errors.Status.UNAVAILABLE)
REMOVE_AT_ONCE = 4096


class Calls:
    """Any thread may call. A pool that can't be had, and arguments that make no sense, are misses
    and dropped puts; the link counts and tells of them."""

    def __init__(self, link: Link):
        self._link = link

    def guarded(self, what: str, function: typing.Callable, otherwise):
        """What function() returns; `otherwise` for anything that it raises."""
        try:
            return function()
        except Exception as error: # it is an engine's thread that would end
            self._link.fail(what, error)
            return otherwise

    def ask(self, what: str, function: typing.Callable, otherwise):
        """function(handle), or `otherwise`."""
        handle = self._link.handle()
        if handle is None:
            return otherwise
        return self.guarded(what, lambda: function(handle), otherwise)

    def _batch(self, what: str, function: typing.Callable, count: int) -> list[int]:
        results = self.ask(what, function, None)
        if results is None:
            return [NO_POOL] * count
        lost = [r for r in results if r in OUTAGE]
        self._link.note(lost)
        return results

    def get(self, names: list, buffers: list, sizes: list[int]) -> list[bool]:
        """Which values are in their buffers now: those that are there, and as long as that."""
        self._link.count("gets", len(names))
        results = self._batch("a get", lambda h: h.get_batch(names, buffers), len(names))
        found = [result == size for result, size in zip(results, sizes, strict=True)]
        self._link.count("hits", sum(found))
        self._link.count("misses", len(found) - sum(found))
        return found

    def put(self, names: list, values: list) -> list[bool]:
        """Which values are stored now; one that was there already is."""
        self._link.count("puts", len(names))
        results = self._batch("a put", lambda h: h.put_batch(names, values, 0, self._link.policy),
                              len(names))
        stored = [result in STORED for result in results]
        self._link.count("dropped_puts", len(stored) - sum(stored))
        return stored

    def exists(self, names: list) -> list[bool]:
        """Which are there."""
        return self.ask("a question", lambda h: h.exists(names), [False] * len(names))

    def prefix(self, names: list) -> int:
        """How many leading ones are there."""
        return self.ask("a question", lambda h: h.prefix(names), 0)

    def remove_beneath(self, start: str) -> int:
        """Removes all keys with this beginning; how many there were."""
        return self.ask("clearing", lambda h: _remove_beneath(h, start), 0)


def _remove_beneath(handle, start: str) -> int:
    removed, names, listing, more = 0, [], None, True
    while more:
        entries, listing = handle.list(start, listing)
        names += [key for key, _, _ in entries]
        more = listing is not None
        if len(names) >= REMOVE_AT_ONCE or not more:
            removed += sum(status == 0 for status in handle.remove(names))
            names = []
    return removed
