# SPDX-License-Identifier: Apache-2.0
"""Batches in flight for an engine's event loop, over a Link: results, never exceptions."""
from __future__ import annotations

import asyncio
import typing

from .. import errors
from ..records import BATCH_MAX
from .link import Link

DRAIN_MAX = 256
NO_POOL = int(errors.Status.UNAVAILABLE)


class LoopFlights:
    """Gets and puts that a loop awaits. All methods are called on its thread."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop, deadline_ms: int):
        self._link = link
        self._loop = loop
        self._deadline_ms = deadline_ms
        self._watched = -1

    def _begin(self):
        handle = self._link.handle()
        if handle is not None and self._watched < 0:
            self._watched = handle.completion_fd()
            self._loop.add_reader(self._watched, self._drain)
        return handle

    def _drain(self) -> None:
        try:
            done = self._link.raw_handle().drain(DRAIN_MAX, 0)
        except errors.CenoteError:
            return
        for _, future, _, results, _ in done:
            if not future.done():
                future.set_result(results)

    async def _run(self, count: int, submit: typing.Callable) -> list[int]:
        """submit(handle, part, future) of parts that libcenote takes; a number for each value."""
        waiting: list = []
        for at in range(0, count, BATCH_MAX):
            part = slice(at, min(count, at + BATCH_MAX))
            lost = [NO_POOL] * (part.stop - part.start)
            try:
                handle = self._begin()
                future = self._loop.create_future()
                if handle is None:
                    future.set_result(lost)
                else:
                    submit(handle, part, future)
            except errors.CenoteError as error:
                self._link.note_error(error)
                future = self._loop.create_future()
                future.set_result([int(error.code)] * len(lost))
            waiting.append(future)
        results = [r for future in waiting for r in await future]
        self._link.note(r for r in results if r < 0)
        return results

    async def get(self, keys: list[str], buffers: list) -> list[int]:
        """Lengths, or negative statuses."""
        return await self._run(len(keys), lambda handle, part, future: handle.submit_get(
            keys[part], buffers[part], self._deadline_ms, future))

    async def put(self, keys: list[str], values: list) -> list[int]:
        """Statuses; what is there already is EXISTS."""
        return await self._run(len(keys), lambda handle, part, future: handle.submit_put(
            keys[part], values[part], 0, self._deadline_ms, future, self._link.policy))

    async def ask(self, function: typing.Callable, otherwise):
        """function(handle), a call that waits, in the loop's executor; `otherwise` in an outage."""
        return await self._loop.run_in_executor(None, self.ask_now, function, otherwise)

    def ask_now(self, function: typing.Callable, otherwise):
        """function(handle) on this thread, whichever it is; `otherwise` in an outage."""
        handle = self._link.handle()
        if handle is None:
            return otherwise
        try:
            return function(handle)
        except errors.CenoteError as error:
            self._link.note_error(error)
            return otherwise

    def close(self) -> None:
        """Takes the client out of the loop."""
        if self._watched >= 0 and not self._loop.is_closed():
            self._loop.remove_reader(self._watched)
        self._watched = -1
