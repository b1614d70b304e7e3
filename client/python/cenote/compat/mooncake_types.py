# SPDX-License-Identifier: Apache-2.0
"""What goes into and comes out of Mooncake's store: configurations, codes, buffers."""
from __future__ import annotations

import ctypes
import enum
import re

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


class ReplicateConfig:
    """How an object is stored. Of all this Cenote looks at `replica_num`; pins and preferences are
    taken, and have no effect."""

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

    def __str__(self):
        fields = ", ".join(f"{name.lstrip('_')}: {value}" for name, value in vars(self).items())
        return f"ReplicateConfig: {{ {fields} }}"


class BufferHandle(bytearray):
    """An object's bytes, with an address."""

    def ptr(self) -> int:
        """Where the bytes are, while the handle lives."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self)) if self else 0

    def size(self) -> int:
        """How many there are."""
        return len(self)
