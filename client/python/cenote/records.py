# SPDX-License-Identifier: Apache-2.0
"""What calls return about values, and what both clients share."""
from __future__ import annotations

import typing

from . import _cenote

#: A key: 1 to 1024 bytes of any kind, or text, which is stored as UTF-8.
Key = typing.Union[bytes, str]
#: Memory of a value: an object with the buffer protocol (bytes, bytearray, memoryview, numpy
#: array), C-contiguous; a tuple (address, length); an object with ``__dlpack__()`` (a tensor) in
#: memory of the host; or a list of such pieces, which together are the value.
Buffer = typing.Any

TRANSPORTS = {"auto": 0, "shm": 1, "tcp": 2, "rdma": 3}
VERIFY = {"full": 0, "seal": 1}
REPLACE = 1
#: Most keys of one submission of an AsyncClient; other calls take any number.
BATCH_MAX = _cenote.BATCH_MAX


class Stat(typing.NamedTuple):
    """What is known of a value."""

    length: int
    put_id: int  #: names this value of the key; never reused
    created_ms: int  #: the service's wall clock, since 1970; for people only
    stripes: int
    replicas: int  #: that live, of the stripe with the fewest
    has_sums: bool


class Place(typing.NamedTuple):
    """One replica of one stripe of a value."""

    offset: int
    length: int
    node: str
    zone: str


class Entry(typing.NamedTuple):
    """A key of a listing."""

    key: bytes
    length: int
    put_id: int


class Range(typing.NamedTuple):
    """What became of one range of a get."""

    status: int  #: 0, or a negative Status
    length: int  #: of the whole value
    put_id: int  #: of the value that was read


def put_flags(replace: bool, replicas: int) -> int:
    """Flags as libcenote takes them."""
    if not 0 <= replicas <= _cenote.REPLICAS_MAX:
        raise ValueError(f"replicas: 0 to {_cenote.REPLICAS_MAX}, not {replicas}")
    return (REPLACE if replace else 0) | replicas << 8


def choice(what: str, name: str, table: dict[str, int]) -> int:
    """The number of a named option."""
    if name not in table:
        raise ValueError(f"{what}: {', '.join(table)}; not {name!r}")
    return table[name]


def milliseconds(seconds: float | None) -> int:
    """A time-out as libcenote takes it; None: its default."""
    if seconds is None:
        return 0
    if not 0 < seconds < 2**32 / 1000:
        raise ValueError(f"a time-out of {seconds!r} seconds")
    return max(1, round(seconds * 1000))
