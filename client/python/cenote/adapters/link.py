# SPDX-License-Identifier: Apache-2.0
"""An engine's connection to the pool: made in the background, given up for a while in an outage."""
from __future__ import annotations

import collections
import logging
import os
import threading
import time
import typing
import weakref

from .. import errors
from ..client import open_handle
from ..policies import configured_pin, policy_of

LOGGER = logging.getLogger("cenote")
RETRY_SECONDS = 1.0
COMPLAIN_SECONDS = 10.0
# What says that the pool can't be had, rather than one value.
OUTAGE = frozenset({errors.Status.UNAVAILABLE, errors.Status.TIMED_OUT, errors.Status.NODE_DOWN,
                    errors.Status.NO_SESSION, errors.Status.PROTOCOL, errors.Status.CLOSED})
OPTIONS: dict[str, typing.Any] = {"meta": None, "namespace": None, "transport": "auto",
                                  "verify": "full", "timeout": None, "replicas": 0,
                                  "cache_bytes": 0, "rdma": None, "ttl": None, "pin": None}


class Link:
    """Gives the handle of a client, or None: never waits, never raises for an outage.

    After an operation that ended with a status of OUTAGE there is no handle for RETRY_SECONDS, so
    that an engine doesn't queue work that can only time out; nor after close(), nor in a forked
    child. `counters` counts what adapters want counted; names that were never counted are 0.
    Options are those of `cenote.Client`, and `ttl` and `pin` of all puts: adapters give `policy`
    to each, as the extension takes it."""

    def __init__(self, **options):
        unknown = options.keys() - OPTIONS.keys()
        if unknown:
            raise TypeError(f"unknown options: {', '.join(sorted(unknown))}")
        self.counters: collections.Counter[str] = collections.Counter()
        self._options = {**OPTIONS, **options}
        self.policy = policy_of(self._options.pop("ttl"),
                                configured_pin(self._options.pop("pin")), None)
        self._handle = None
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._out_until = 0.0
        self._waiting: list[typing.Callable] = []
        self._complained: dict[str, float] = {}
        self._forked = False
        _LINKS.add(self)
        try:
            self._handle = open_handle(**self._options)
        except (errors.UnavailableError, errors.TimedOutError) as error:
            LOGGER.warning("%s; trying again in the background", error)
            threading.Thread(target=self._connect, name="cenote-connect", daemon=True).start()

    def _connect(self) -> None:
        while not self._closed.wait(RETRY_SECONDS):
            try:
                handle = open_handle(**self._options)
            except errors.CenoteError:
                continue
            with self._lock:
                self._handle = handle
                waiting, self._waiting = self._waiting, []
            if self._closed.is_set():
                handle.close()
            for function in waiting:
                function(handle)
            LOGGER.info("the pool was reached")
            return

    def when_reached(self, function: typing.Callable) -> None:
        """Calls function(handle) now, or when the pool is reached for the first time."""
        with self._lock:
            if self._handle is None:
                self._waiting.append(function)
                return
        function(self._handle)

    def count(self, name: str, amount: int = 1) -> None:
        """Adds to a counter."""
        if amount:
            with self._lock:
                self.counters[name] += amount

    def handle(self):
        """The client's handle, if the pool can be had."""
        if self._handle is None or self._closed.is_set() or self._forked or \
                time.monotonic() < self._out_until:
            self.count("refused_in_outage")
            return None
        return self._handle

    def raw_handle(self):
        """The handle, if there is one, in an outage too."""
        return self._handle

    def note(self, statuses: typing.Iterable[int]) -> None:
        """Looks at how operations ended."""
        if any(status in OUTAGE for status in statuses):
            if time.monotonic() >= self._out_until:
                LOGGER.warning("the pool can't be had: gets miss and puts are dropped")
            self.count("outages")
            self._out_until = time.monotonic() + RETRY_SECONDS

    def note_error(self, error: errors.CenoteError) -> None:
        """Looks at what an operation raised."""
        self.note([error.code])

    def fail(self, what: str, error: Exception) -> None:
        """Counts what an operation raised, and tells of it once in a while: an outage, or arguments
        that make no sense."""
        if isinstance(error, errors.CenoteError) and error.code in OUTAGE:
            self.note_error(error)
            return
        self.count("failed_calls")
        now = time.monotonic()
        if now >= self._complained.get(what, now):
            self._complained[what] = now + COMPLAIN_SECONDS
            LOGGER.warning("%s: %s", what, str(error) or repr(error))

    def _in_child(self) -> None:
        """After a fork: the session is the parent's, and a lock may have been held."""
        self._forked = True
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ends the session."""
        self._closed.set()
        if self._handle is not None:
            self._handle.close()


_LINKS: weakref.WeakSet[Link] = weakref.WeakSet()


def _in_child() -> None:
    for link in list(_LINKS):
        link._in_child()


os.register_at_fork(after_in_child=_in_child)
