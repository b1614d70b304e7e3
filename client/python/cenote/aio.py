# SPDX-License-Identifier: Apache-2.0
"""The client for asyncio."""
from __future__ import annotations

import asyncio
import functools
import typing

from . import errors, policies
from .client import Client, open_handle
from .policies import Kept, Namespace, NamespaceSettings, Pin, Unchanged, policy_of
from .records import Buffer, Key, Stat, milliseconds, put_flags

DRAIN = 256  # completions that are fetched at a time
GUESS_BYTES = 4096
GUESS_MAX_BYTES = 1 << 20
GET_TRIES = 8


def _end(future, status, results, lengths):
    """Tells who waits, if anybody still does."""
    if not future.done():
        future.set_result((status, results, lengths))


class AsyncClient:
    """Puts and gets of an event loop: thousands may be in flight, and none takes a thread.

        async with cenote.AsyncClient() as client:
            await client.put("greeting", b"hello, pool")
            values = await asyncio.gather(*(client.get(key) for key in keys))

    Its options and its memory are `Client`'s. It belongs to the loop in which it is used first.
    Cancelling a task that awaits an operation cancels that; its buffers are kept, and may be
    written to, until libcenote has let go of them. `deadline` is in seconds from now; then an
    operation ends with TimedOutError (of a batch: those of its values that hadn't ended).

    All but puts and gets are questions and changes that libcenote makes by calls that wait; they
    run in the loop's executor.
    """

    def __init__(self, meta: str | None = None, *, namespace: str | None = None,
                 transport: str = "auto", verify: str = "full", timeout: float | None = None,
                 replicas: int = 0, cache_bytes: int = 0, rdma: str | None = None):
        self._handle = open_handle(meta, namespace, transport, verify, timeout, replicas,
                                   cache_bytes, rdma)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._descriptor = -1
        self._in_flight: set[asyncio.Future] = set()
        self._guess_bytes = GUESS_BYTES

    async def close(self) -> None:
        """Cancels what is in flight, waits for its end, and ends the session."""
        for future in list(self._in_flight):
            future.cancel()
        self.detach()
        if not self._handle.closed():
            await asyncio.to_thread(self._handle.close)

    def detach(self) -> None:
        """Takes the client out of its loop: it may then be used in another."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._descriptor)
        self._loop = None

    @property
    def closed(self) -> bool:
        """Was it closed, or does it belong to a parent of this process?"""
        return self._handle.closed()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *args) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<cenote.AsyncClient {'closed' if self.closed else 'open'} at {id(self):#x}>"

    __reduce__ = Client.__reduce__

    # ---- operations in flight

    def _attach(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return loop
        if self._loop is not None and self._in_flight:
            raise RuntimeError("the client is in use by another event loop")
        self.detach()
        self._descriptor = self._handle.completion_fd()
        loop.add_reader(self._descriptor, self._drain)
        self._loop = loop
        return loop

    def _drain(self) -> None:
        """Runs when the descriptor is readable."""
        try:
            done = self._handle.drain(DRAIN, 0)
        except errors.ClosedError:
            return
        for _, future, status, results, lengths in done:
            _end(future, status, results, lengths)

    async def _flight(self, submit: typing.Callable, deadline: float | None):
        """Submits by submit(deadline in ms, future), and waits for (status, results, lengths)."""
        future = self._attach().create_future()
        number = submit(milliseconds(deadline), future)
        self._in_flight.add(future)
        try:
            return await future
        except asyncio.CancelledError:
            if not self._handle.closed():
                self._handle.cancel(number)
            raise
        finally:
            self._in_flight.discard(future)

    async def _get(self, keys, buffers, deadline):
        if not keys:
            return 0, [], []
        return await self._flight(
            lambda ms, future: self._handle.submit_get(keys, buffers, ms, future), deadline)

    # ---- puts and gets

    async def put(self, key: Key, value: Buffer, *, replace: bool = False, replicas: int = 0,
                  ttl: float | None = None, pin: Pin | None = None, group: Key | None = None,
                  deadline: float | None = None) -> bool:
        """As Client.put()."""
        status = (await self.put_batch([key], [value], replace=replace, replicas=replicas, ttl=ttl,
                                       pin=pin, group=group, deadline=deadline))[0]
        if status != errors.Status.EXISTS:
            errors.check(status, key)
        return status == 0

    async def get(self, key: Key, *, deadline: float | None = None) -> bytes:
        """As Client.get()."""
        room, result = self._guess_bytes, int(errors.Status.BUFFER_SIZE)
        for _ in range(GET_TRIES):
            buffer = bytearray(room)
            _, (result,), (room,) = await self._get([key], [buffer], deadline)
            if result != errors.Status.BUFFER_SIZE:
                break
        errors.check(result, key)
        self._guess_bytes = min(max(result, 1), GUESS_MAX_BYTES)
        return bytes(memoryview(buffer)[:result])

    async def get_into(self, key: Key, buffer: Buffer, *, deadline: float | None = None) -> int:
        """As Client.get_into()."""
        _, results, _ = await self._get([key], [buffer], deadline)
        errors.check(results[0], key)
        return results[0]

    async def put_batch(self, keys: typing.Sequence[Key], values: typing.Sequence[Buffer], *,
                        replace: bool = False, replicas: int = 0, ttl: float | None = None,
                        pin: Pin | None = None, group: Key | None = None,
                        deadline: float | None = None) -> list[int]:
        """As Client.put_batch(), of at most BATCH_MAX values."""
        flags, policy = put_flags(replace, replicas), policy_of(ttl, pin, group)
        if not keys:
            return []
        _, results, _ = await self._flight(
            lambda ms, future: self._handle.submit_put(keys, values, flags, ms, future, policy),
            deadline)
        return results

    async def get_batch(self, keys: typing.Sequence[Key], buffers: typing.Sequence[Buffer], *,
                        deadline: float | None = None) -> list[int]:
        """As Client.get_batch(), of at most BATCH_MAX values."""
        _, results, _ = await self._get(keys, buffers, deadline)
        return results

    # ---- questions and changes

    async def _ask(self, function: typing.Callable, *arguments):
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, functools.partial(function, *arguments))

    async def exists(self, key: Key) -> bool:
        """As Client.exists()."""
        return (await self._ask(self._handle.exists, [key]))[0]

    async def exists_batch(self, keys: typing.Sequence[Key]) -> list[bool]:
        """As Client.exists_batch()."""
        return await self._ask(self._handle.exists, keys)

    async def prefix(self, keys: typing.Sequence[Key]) -> int:
        """As Client.prefix()."""
        return await self._ask(self._handle.prefix, keys)

    async def stat(self, key: Key) -> Stat:
        """As Client.stat()."""
        return Stat(*await self._ask(self._handle.stat, key))

    async def remove(self, key: Key) -> bool:
        """As Client.remove()."""
        status = (await self.remove_batch([key]))[0]
        if status != errors.Status.NOT_FOUND:
            errors.check(status, key)
        return status == 0

    async def remove_batch(self, keys: typing.Sequence[Key]) -> list[int]:
        """As Client.remove_batch()."""
        return await self._ask(self._handle.remove, keys)

    async def remove_prefix(self, prefix: Key) -> int:
        """As Client.remove_prefix()."""
        return await self._ask(policies.remove_prefix, self._handle, prefix)

    async def set_policy(self, key: Key, *, ttl: float | None | Unchanged = ...,
                         pin: Pin | None | Unchanged = ...,
                         group: Key | None | Unchanged = ...) -> None:
        """As Client.set_policy()."""
        await self._ask(policies.set_policy, self._handle, key, ttl, pin, group)

    async def set_policy_batch(self, keys: typing.Sequence[Key], *,
                               ttl: float | None | Unchanged = ...,
                               pin: Pin | None | Unchanged = ...,
                               group: Key | None | Unchanged = ...) -> list[int]:
        """As Client.set_policy_batch()."""
        return await self._ask(policies.set_policies, self._handle, keys, ttl, pin, group)

    async def get_policy(self, key: Key) -> Kept:
        """As Client.get_policy()."""
        return await self._ask(policies.get_policy, self._handle, key)

    # ---- namespaces

    async def namespaces(self) -> list[Namespace]:
        """As Client.namespaces()."""
        return await self._ask(policies.namespaces, self._handle)

    async def namespace_create(self, name: str,
                               settings: NamespaceSettings = NamespaceSettings()) -> bool:
        """As Client.namespace_create()."""
        return await self._ask(policies.namespace_create, self._handle, name, settings)

    async def namespace_set(self, name: str, settings: NamespaceSettings) -> None:
        """As Client.namespace_set()."""
        await self._ask(policies.namespace_set, self._handle, name, settings)

    async def namespace_clear(self, name: str) -> int:
        """As Client.namespace_clear()."""
        return await self._ask(policies.namespace_clear, self._handle, name)

    async def namespace_remove(self, name: str) -> bool:
        """As Client.namespace_remove()."""
        return await self._ask(policies.namespace_remove, self._handle, name)
