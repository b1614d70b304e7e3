# SPDX-License-Identifier: Apache-2.0
"""What goes into and comes out of Mooncake's store: configurations, codes, buffers."""
from __future__ import annotations

import ctypes
import enum
import hashlib
import re

from .._cenote import GROUP_MAX, TTL_MAX_MS
from ..errors import Status

INVALID_PARAMS = -600

# What its callers look at: a full pool, a missing object, an object that is there, and others.
_CODES = {
    Status.OK: 0,
    Status.NOT_FOUND: -704,
    Status.EXISTS: -705,
    Status.NO_SPACE: -200,
    Status.NO_NODES: -200,
    Status.QUOTA: -200,
    Status.VALUE_SIZE: -200,
    Status.KEY_SIZE: -400,
    Status.ABORTED: -500,
    Status.INVALID: INVALID_PARAMS,
    Status.BUFFER_SIZE: INVALID_PARAMS,
    Status.BAD_RANGE: INVALID_PARAMS,
    Status.BAD_ADDRESS: INVALID_PARAMS,
    Status.CLOSED: INVALID_PARAMS,
    Status.NODE_DOWN: -800,
    Status.UNKNOWN: -800,
    Status.CORRUPT: -801,
    Status.UNAVAILABLE: -900,
    Status.TIMED_OUT: -901,
    Status.LIMIT: -1010,
}
INTERNAL_ERROR = -1

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def code_of(status: int) -> int:
    """Mooncake's number for one of ours; lengths stay."""
    return status if status >= 0 else _CODES.get(status, INTERNAL_ERROR)


def parse_size(text) -> int | None:
    """A number of bytes, as a number or like "16 MB"; None: neither."""
    found = re.fullmatch(r"\s*(\d+)\s*([KMGT]?)(?:I?B)?\s*", str(text).upper())
    return int(found.group(1)) * _UNITS[found.group(2)] if found else None


class SoftPinAction(enum.Enum):
    """What a put says about its object's soft pin."""

    PRESERVE = 0
    ENABLE = 1
    DISABLE = 2


ObjectDataType = enum.Enum("ObjectDataType", "UNKNOWN KVCACHE TENSOR WEIGHT SAMPLE ACTIVATION "
                           "GRADIENT OPTIMIZER_STATE METADATA GENERAL", module=__name__, start=0)


# For how long a soft pin lasts that doesn't say: Mooncake's default.
SOFT_PIN_SECONDS = 1800.0


class ReplicateConfig:
    """How an object is stored. Of all this Cenote looks at `replica_num`, pins and `group_ids`;
    preferences are taken, and have no effect."""

    def __init__(self):
        self.replica_num = 1
        self.nof_replica_num = 0
        self.dfs_replica_num = 0
        self.soft_pin_action = SoftPinAction.PRESERVE
        self._soft_pin_ttl_ms = None
        self.with_hard_pin = False
        self.with_soft_pin = False
        self.preferred_segments = []
        self.preferred_nof_segments = []
        self.preferred_segment = ""
        self.prefer_alloc_in_same_node = False
        self.data_type = ObjectDataType.UNKNOWN
        self.group_ids = None

    @property
    def soft_pin_ttl_ms(self):
        """For how long; None: the store's default."""
        return self._soft_pin_ttl_ms

    @soft_pin_ttl_ms.setter
    def soft_pin_ttl_ms(self, value):
        if value is not None and not (isinstance(value, int) and 0 <= value < 1 << 64):
            raise TypeError("soft_pin_ttl_ms: an unsigned number of 64 bits, or None")
        self._soft_pin_ttl_ms = value

    def is_valid(self) -> bool:
        """Does it make sense?"""
        return (isinstance(self.replica_num, int) and 1 <= self.replica_num <= 8
                and (self.soft_pin_ttl_ms is None
                     or self.soft_pin_action is SoftPinAction.ENABLE))

    def pin(self):
        """How firmly it is kept, as cenote.Client.put() takes it."""
        if self.with_hard_pin:
            return "hard"
        if self.soft_pin_action is SoftPinAction.DISABLE:
            return None
        if self.with_soft_pin or self.soft_pin_action is SoftPinAction.ENABLE:
            ms = self._soft_pin_ttl_ms
            seconds = SOFT_PIN_SECONDS if ms is None else min(ms, TTL_MAX_MS) / 1000
            return ("soft", seconds) if seconds else None
        return None

    def groups(self, count: int) -> list:
        """The group of each of so many objects; None: of none. Raises ValueError unless there is
        a name for each, or none at all."""
        names = [""] * count if self.group_ids is None else self.group_ids
        if not isinstance(names, (list, tuple)) or len(names) != count or not all(
                isinstance(name, str) for name in names):
            raise ValueError(f"group_ids: {count} of str, not {names!r}")
        return [_group_of(name) for name in names]

    def __str__(self):
        fields = ", ".join(f"{name.lstrip('_')}: {value}" for name, value in vars(self).items())
        return f"ReplicateConfig: {{ {fields} }}"


def _group_of(name: str) -> bytes | None:
    """A group as Cenote names it: its names are shorter."""
    text = name.encode()
    return (text if len(text) <= GROUP_MAX else hashlib.sha256(text).digest()) or None


class BufferHandle(bytearray):
    """An object's bytes, with an address."""

    def ptr(self) -> int:
        """Where the bytes are, while the handle lives."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self)) if self else 0

    def size(self) -> int:
        """How many there are."""
        return len(self)
