# SPDX-License-Identifier: Apache-2.0
"""Statuses, and an exception for each that a caller may want to tell from others.

Calls about one value raise; calls about many return a number for each, which is a Status when it is
negative.
"""
import enum

from ._cenote import STATUSES

__all__ = ["Status"] # and the exceptions, see below


Status = enum.IntEnum("Status", {name: number for name, (number, _) in STATUSES.items()},
                      module=__name__)
Status.__doc__ = "How an operation ended: 0 is success, errors are negative. Equal to its number."
_TEXTS = dict(STATUSES.values())


class CenoteError(Exception):
    """An operation failed. `code` is its Status."""

    code = Status.INTERNAL

    def __init__(self, code, about=""):
        super().__init__(code, about)
        self.code = as_status(code)
        self.about = about

    def __str__(self):
        text = _TEXTS.get(int(self.code), "unknown status")
        about = repr(self.about) if isinstance(self.about, bytes) else self.about
        return f"{about}: {text}" if about else text


class NotFoundError(CenoteError, KeyError):
    """No such key."""


class ExistsError(CenoteError):
    """The key is already there."""


class InvalidError(CenoteError, ValueError):
    """An argument makes no sense."""


class KeySizeError(CenoteError, ValueError):
    """A key has 1 to 1024 bytes."""


class ValueSizeError(CenoteError, ValueError):
    """The value is larger than the pool can hold."""


class BufferSizeError(CenoteError, ValueError):
    """The buffers given are smaller than the value."""


class BadAddressError(CenoteError, ValueError):
    """The memory given isn't mapped, or not for this use."""


class ClosedError(CenoteError, ValueError):
    """The client, or the writer, was closed."""


class ForkedError(CenoteError):
    """The client belongs to the parent process: open one in the child."""


class NoSpaceError(CenoteError):
    """The pool is full."""


class QuotaError(NoSpaceError):
    """The quota of the namespace is used up."""


class NoNodesError(CenoteError):
    """Too few nodes offer memory."""


class OutOfMemoryError(CenoteError, MemoryError):
    """This process, or the service, has no memory or file descriptors left."""


class TimedOutError(CenoteError, TimeoutError):
    """The operation did not finish in its time."""


class UnknownError(CenoteError):
    """The answer was lost: whether the operation took effect isn't known. Ask, or put again."""


class CorruptError(CenoteError):
    """The bytes failed verification on every replica."""


class AbortedError(CenoteError):
    """The put ran out of time, or was ended by the service."""


class DeniedError(CenoteError, PermissionError):
    """Not allowed for this client."""


class NotSupportedError(CenoteError, NotImplementedError):
    """Not supported: of this kind of memory, or of this value."""


class LimitError(CenoteError):
    """A limit of the service or of this client is reached."""


class CancelledError(CenoteError):
    """The operation was cancelled."""


class InUseError(CenoteError):
    """The namespace still has values, clients, or memory in quarantine."""


class UnavailableError(CenoteError, ConnectionError):
    """The metadata service can't be reached."""


class NodeDownError(CenoteError, ConnectionError):
    """No node that has the value can be reached."""


CLASSES = {
    Status.NOT_FOUND: NotFoundError,
    Status.EXISTS: ExistsError,
    Status.INVALID: InvalidError,
    Status.KEY_SIZE: KeySizeError,
    Status.VALUE_SIZE: ValueSizeError,
    Status.BUFFER_SIZE: BufferSizeError,
    Status.BAD_RANGE: InvalidError,
    Status.BAD_ADDRESS: BadAddressError,
    Status.CLOSED: ClosedError,
    Status.FORKED: ForkedError,
    Status.NO_SPACE: NoSpaceError,
    Status.QUOTA: QuotaError,
    Status.NO_NODES: NoNodesError,
    Status.NO_MEMORY: OutOfMemoryError,
    Status.TIMED_OUT: TimedOutError,
    Status.UNKNOWN: UnknownError,
    Status.CORRUPT: CorruptError,
    Status.ABORTED: AbortedError,
    Status.DENIED: DeniedError,
    Status.NOT_SUPPORTED: NotSupportedError,
    Status.LIMIT: LimitError,
    Status.CANCELLED: CancelledError,
    Status.IN_USE: InUseError,
    Status.UNAVAILABLE: UnavailableError,
    Status.NODE_DOWN: NodeDownError,
}
__all__ += ["CenoteError", *sorted({c.__name__ for c in CLASSES.values()})]


def as_status(code):
    """A number as a Status, where it is one."""
    try:
        return Status(code)
    except ValueError:
        return code


def make(code, about=""):
    """The exception for a status; `about` tells what it was about: a key, or words."""
    return CLASSES.get(code, CenoteError)(code, about)


def check(code, about=""):
    """Raises for an error's status."""
    if code < 0:
        raise make(code, about)
