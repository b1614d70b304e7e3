# SPDX-License-Identifier: Apache-2.0
"""The client that waits."""
from __future__ import annotations

import json
import typing

from . import _cenote, errors, policies
from .policies import Kept, Namespace, NamespaceSettings, Pin, Unchanged, policy_of
from .records import (TRANSPORTS, VERIFY, Buffer, Entry, Key, Place, Range, Stat, choice,
                      milliseconds, put_flags)


def open_handle(meta, namespace, transport, verify, timeout, replicas, cache_bytes, rdma):
    """What both clients are made of."""
    return _cenote.open(meta, namespace, choice("transport", transport, TRANSPORTS),
                        choice("verify", verify, VERIFY), milliseconds(timeout), replicas,
                        cache_bytes, rdma)


class Client:
    """One session with a pool. Any thread may use it, several at once; calls let other threads run.

    meta: "host:port" or "unix:PATH"; by default $CENOTE_META, then 127.0.0.1:7400.
    namespace: keys of different namespaces never meet.
    transport: "auto", "shm", "tcp" or "rdma". verify: "full", or "seal" (without checksums).
    timeout: seconds without progress until a call ends; by default 10.
    replicas: of puts that don't say. cache_bytes: of remembered lookups; 1: none.
    rdma: which devices, as ``cenoted --rdma`` takes them.

    Memory of values is given as a buffer: see `cenote.Buffer`. It must not be changed by others
    until the call returns; its objects are kept until then. Memory that is named by its address is
    checked for being mapped, unless it is registered; that it is still what it was only its owner
    knows.

    In a child after fork() every call raises ForkedError: open a client there.
    """

    def __init__(self, meta: str | None = None, *, namespace: str | None = None,
                 transport: str = "auto", verify: str = "full", timeout: float | None = None,
                 replicas: int = 0, cache_bytes: int = 0, rdma: str | None = None):
        self._handle = open_handle(meta, namespace, transport, verify, timeout, replicas,
                                   cache_bytes, rdma)

    def close(self) -> None:
        """Ends the session. Waits for calls of other threads; later ones raise ClosedError. Views
        and writers may stay: the session ends with the last of them."""
        self._handle.close()

    @property
    def closed(self) -> bool:
        """Was it closed, or does it belong to a parent of this process?"""
        return self._handle.closed()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *args) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<cenote.Client {'closed' if self.closed else 'open'} at {id(self):#x}>"

    def __reduce__(self):
        raise TypeError("a cenote.Client can't be sent to another process: open one there")

    # ---- one value

    def put(self, key: Key, value: Buffer, *, replace: bool = False, replicas: int = 0,
            ttl: float | None = None, pin: Pin | None = None, group: Key | None = None) -> bool:
        """Stores a value. True: stored, and visible to all; False: the key was there, and nothing
        has changed (only without `replace`).

        ttl: seconds until it is gone, used or not; by default as its namespace says.
        pin: when a full pool may give it up: see `cenote.Pin`.
        group: values of one group are evicted together, at most 1,024 of them."""
        return self._handle.put(key, value, put_flags(replace, replicas),
                                policy_of(ttl, pin, group))

    def get(self, key: Key) -> bytes:
        """The value. Raises NotFoundError, which is a KeyError."""
        return self._handle.get(key)

    def get_into(self, key: Key, buffer: Buffer) -> int:
        """Copies the value into memory of the caller's, and returns its length. Raises
        BufferSizeError if there is too little. After an error the memory's content is undefined."""
        return self._handle.get_into(key, buffer)

    def view(self, key: Key) -> _cenote.View:
        """The value where it lies, without a copy, read-only; of a pool on this machine.

            with client.view("block") as view:
                array = numpy.frombuffer(view, numpy.float16)

        Its bytes don't change, whatever happens to the key or to the pool, and their space isn't
        given to others. Release it: they stay until that, and until no array or memoryview shows
        them any more. In a child after fork() they aren't mapped: what was made of a view before
        must not be touched there. Raises NotSupportedError where the value can't be reached by
        shared memory."""
        return self._handle.view(key)

    def stat(self, key: Key) -> Stat:
        """What is known of a value."""
        return Stat(*self._handle.stat(key))

    def places(self, key: Key) -> list[Place]:
        """Where its replicas lie, stripe by stripe."""
        return [Place(*place) for place in self._handle.places(key)]

    def remove(self, key: Key) -> bool:
        """Removes a key: no get that begins later finds it. False: it wasn't there."""
        status = self._handle.remove([key])[0]
        if status != errors.Status.NOT_FOUND:
            errors.check(status, key)
        return status == 0

    def exists(self, key: Key) -> bool:
        """Is it there?"""
        return self._handle.exists([key])[0]

    __contains__ = exists

    # ---- many

    def put_batch(self, keys: typing.Sequence[Key], values: typing.Sequence[Buffer], *,
                  replace: bool = False, replicas: int = 0, ttl: float | None = None,
                  pin: Pin | None = None, group: Key | None = None) -> list[int]:
        """Stores many values, kept in the same way: see put(). A status for each: 0, Status.EXISTS
        (the key was there), or another negative Status."""
        return self._handle.put_batch(keys, values, put_flags(replace, replicas),
                                      policy_of(ttl, pin, group))

    def get_batch(self, keys: typing.Sequence[Key],
                  buffers: typing.Sequence[Buffer]) -> list[int]:
        """Fetches many values into memory of the caller's. For each the value's length, or a
        negative Status: NOT_FOUND, BUFFER_SIZE, ..."""
        return self._handle.get_batch(keys, buffers)

    def get_ranges(self, keys: typing.Sequence[Key], offsets: typing.Sequence[int],
                   buffers: typing.Sequence[Buffer]) -> list[Range]:
        """Fetches parts of values: from each offset as many bytes as the buffer beside it has."""
        return [Range(*r) for r in self._handle.get_ranges(keys, offsets, buffers)]

    def exists_batch(self, keys: typing.Sequence[Key]) -> list[bool]:
        """Which of them are there; one question to the service for each 512."""
        return self._handle.exists(keys)

    def prefix(self, keys: typing.Sequence[Key]) -> int:
        """How many leading keys are there without a gap."""
        return self._handle.prefix(keys)

    def remove_batch(self, keys: typing.Sequence[Key]) -> list[int]:
        """Removes many keys. A status for each: 0, Status.NOT_FOUND, or another."""
        return self._handle.remove(keys)

    def keys(self, prefix: Key = b"") -> typing.Iterator[Entry]:
        """Lists the keys that begin with a prefix, by pages, in the order of their bytes."""
        listing: typing.Any = None
        while True:
            entries, listing = self._handle.list(prefix, listing)
            for entry in entries:
                yield Entry(*entry)
            if listing is None:
                return

    def remove_prefix(self, prefix: Key) -> int:
        """Removes all keys that begin with a prefix, b"" being that of all; how many. It goes from
        the first to the last: what is put meanwhile may stay."""
        return policies.remove_prefix(self._handle, prefix)

    # ---- how values are kept

    def set_policy(self, key: Key, *, ttl: float | None | Unchanged = ...,
                   pin: Pin | None | Unchanged = ..., group: Key | None | Unchanged = ...) -> None:
        """Changes what is given of how a value is kept, see put(), and nothing else; None takes it
        away. Times count from now on. Raises NotFoundError, and LimitError: the namespace has
        pinned as much as it may, or the group is full."""
        policies.set_policy(self._handle, key, ttl, pin, group)

    def set_policy_batch(self, keys: typing.Sequence[Key], *, ttl: float | None | Unchanged = ...,
                         pin: Pin | None | Unchanged = ...,
                         group: Key | None | Unchanged = ...) -> list[int]:
        """The same of many. A status for each: 0, Status.NOT_FOUND, Status.LIMIT, or another."""
        return policies.set_policies(self._handle, keys, ttl, pin, group)

    def get_policy(self, key: Key) -> Kept:
        """How a value is kept at present."""
        return policies.get_policy(self._handle, key)

    # ---- namespaces, whatever namespace the client itself is in

    def namespaces(self) -> list[Namespace]:
        """All of the pool, in the order of their names."""
        return policies.namespaces(self._handle)

    def namespace_create(self, name: str,
                         settings: NamespaceSettings = NamespaceSettings()) -> bool:
        """Makes a namespace. False: there was one, and nothing has changed."""
        return policies.namespace_create(self._handle, name, settings)

    def namespace_set(self, name: str, settings: NamespaceSettings) -> None:
        """Sets all settings of a namespace; begin with those of namespaces() to change some. A
        quota below what is there evicts. Raises NotFoundError."""
        policies.namespace_set(self._handle, name, settings)

    def namespace_clear(self, name: str) -> int:
        """Removes all values of a namespace, as remove_prefix() does; how many."""
        return policies.namespace_clear(self._handle, name)

    def namespace_remove(self, name: str) -> bool:
        """Removes a namespace of which nothing is left. False: there is none. Raises InUseError
        while it has values, clients, or memory that was theirs a moment ago."""
        return policies.namespace_remove(self._handle, name)

    # ---- parts of a put, memory, the pool

    def writer(self, key: Key, length: int, *, replace: bool = False, replicas: int = 0,
               ttl: float | None = None, pin: Pin | None = None,
               group: Key | None = None) -> Writer:
        """Begins to put a value of known length part by part; options as put()'s. Raises
        ExistsError if it is there."""
        return Writer(self._handle.writer(key, length, put_flags(replace, replicas),
                                          policy_of(ttl, pin, group)))

    def register(self, buffer: Buffer) -> Region:
        """Tells the client of memory that values will travel to and from again and again: RDMA
        devices need that for speed, and memory that is named by its address isn't checked at each
        call any more. Its object is kept until Region.unregister(), or the client's end."""
        return Region(self._handle, *self._handle.register(buffer))

    def status(self) -> dict:
        """The state of the pool: service, nodes, segments, capacity."""
        return json.loads(self._handle.status())


class Region:
    """Registered memory. Ends with unregister(), at the end of a `with` block, or with the client;
    not by being forgotten."""

    def __init__(self, handle, number: int, address: int, length: int):
        self._handle = handle
        self._number = number
        self.address = address
        self.length = length

    def unregister(self) -> None:
        """Ends it; waits for transfers that use the memory at this moment."""
        self._handle.unregister(self._number)

    def __enter__(self) -> Region:
        return self

    def __exit__(self, *args) -> None:
        if not self._handle.closed():
            self.unregister()


class Writer:
    """A value that is put part by part, in any order and from any threads, each byte once; nobody
    sees it before commit(). At the end of a `with` block it is committed, or given up if the block
    raised."""

    def __init__(self, native: _cenote.Writer):
        self._native = native

    def write(self, offset: int, data: Buffer) -> None:
        """Writes some bytes of the value."""
        self._native.write(offset, data)

    def commit(self) -> bool:
        """Makes the value visible, all at once. False: somebody else's put of the key was faster.
        Raises InvalidError while bytes are missing."""
        return self._native.commit()

    def close(self) -> None:
        """Gives the value up, unless it was committed."""
        self._native.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind, error, trace) -> None:
        try:
            if kind is None:
                self.commit()
        finally:
            self.close()
