# SPDX-License-Identifier: Apache-2.0
"""How values are kept, and namespaces: what both clients share of it."""
from __future__ import annotations

import types
import typing

from . import _cenote, errors
from .records import Key

#: How firmly a value is kept: "none": it is evicted when its turn comes; "soft": when nothing else
#: is left; ("soft", seconds): for so long; "hard": never.
Pin = typing.Union[typing.Literal["none", "soft", "hard"],
                   tuple[typing.Literal["soft"], float]]
#: A part of a policy that stays as it is.
Unchanged = types.EllipsisType

_PINS = {"none": 0, "soft": 1, "hard": 2}
_PIN_NAMES = {number: name for name, number in _PINS.items()}
_TTL, _PIN, _GROUP = 1, 2, 4
_TIME_MAX_SECONDS = _cenote.TTL_MAX_MS / 1000


class Kept(typing.NamedTuple):
    """How a value is kept at present. Times are in seconds."""

    ttl_left: float | None  #: None: it has no time to live
    pin: str  #: "none", "soft" or "hard"
    pin_left: float | None  #: of a soft pin; None: as long as the value is there
    group: bytes  #: b"": in none


class NamespaceSettings(typing.NamedTuple):
    """What an operator says of a namespace; of each service of the pool."""

    quota_bytes: int = 0  #: 0: as much as there is room for
    quota_objects: int = 0  #: likewise
    ttl: float | None = None  #: seconds, of values whose put doesn't say; None: none
    pin_limit_bytes: int = 0  #: of hard pins; 0: half of quota_bytes, or of the pool


class Namespace(typing.NamedTuple):
    """A namespace, and what it holds: in all replicas, with checksums."""

    name: str
    settings: NamespaceSettings
    used_bytes: int
    used_objects: int
    pinned_bytes: int  #: of these, pinned hard
    excess_bytes: int  #: above the quota: is going to be evicted
    excess_objects: int
    services: int  #: that have it


def _long_ms(what: str, seconds: float | None) -> int:
    """A time of up to ten years; None: 0."""
    if seconds is None:
        return 0
    if not 0 < seconds <= _TIME_MAX_SECONDS:
        raise ValueError(f"{what}: {seconds!r} seconds")
    return max(1, round(seconds * 1000))


def _pin_of(pin: Pin | None) -> tuple[int, int]:
    """(kind, time in ms)."""
    name, seconds = pin if isinstance(pin, tuple) and len(pin) == 2 else (pin, None)
    if name is None:
        return 0, 0
    if name not in _PINS or (seconds is not None and name != "soft"):
        raise ValueError(f'pin: "none", "soft", ("soft", seconds) or "hard"; not {pin!r}')
    return _PINS[name], _long_ms("pin", seconds)


def policy_of(ttl: float | None, pin: Pin | None, group: Key | None) -> tuple | None:
    """A policy as the extension takes it; None: nothing is said."""
    if ttl is None and pin is None and group is None:
        return None
    name = group.encode() if isinstance(group, str) else group
    if name is not None and not isinstance(name, bytes):
        raise TypeError(f"a group is bytes or str, not {type(group)!r}")
    if name is not None and len(name) > _cenote.GROUP_MAX:
        raise ValueError(f"a group's name has at most {_cenote.GROUP_MAX} bytes")
    return (_long_ms("ttl", ttl), *_pin_of(pin), name)


def configured_pin(pin: typing.Any) -> typing.Any:
    """A pin of an engine's configuration, which has lists for tuples."""
    return tuple(pin) if isinstance(pin, list) else pin


def set_policies(handle: _cenote.Handle, keys: typing.Sequence[Key],
                 ttl: float | None | Unchanged, pin: Pin | None | Unchanged,
                 group: Key | None | Unchanged) -> list[int]:
    """See Client.set_policy_batch()."""
    fields = sum(field for field, value in ((_TTL, ttl), (_PIN, pin), (_GROUP, group))
                 if value is not ...)
    if fields == 0:
        raise ValueError("what is to be changed: ttl, pin or group?")
    policy = policy_of(None if ttl is ... else ttl, None if pin is ... else pin,
                       None if group is ... else group)
    return handle.set_policy(keys, policy or (0, 0, 0, None), fields)


def set_policy(handle: _cenote.Handle, key: Key, *policy) -> None:
    """See Client.set_policy()."""
    errors.check(set_policies(handle, [key], *policy)[0], key)


def get_policy(handle: _cenote.Handle, key: Key) -> Kept:
    """See Client.get_policy()."""
    ttl_ms, pin, pin_ms, group = handle.get_policy(key)
    return Kept(ttl_ms / 1000 or None, _PIN_NAMES[pin], pin_ms / 1000 or None, group)


def _removed(result: tuple[int, int], about: str) -> int:
    status, count = result
    errors.check(status, f"{about}, after {count} keys")
    return count


def remove_prefix(handle: _cenote.Handle, prefix: Key) -> int:
    """See Client.remove_prefix()."""
    return _removed(handle.remove_prefix(prefix), "removing what begins with a prefix")


# ---- namespaces

def namespaces(handle: _cenote.Handle) -> list[Namespace]:
    """See Client.namespaces()."""
    return [Namespace(name, NamespaceSettings(size, objects, ttl_ms / 1000 or None, limit), *use)
            for name, (size, objects, ttl_ms, limit), *use in handle.namespaces()]


def _set(handle: _cenote.Handle, name: str, settings: NamespaceSettings, create: bool) -> int:
    size, objects, ttl, limit = settings
    for number in (size, objects, limit):
        if not 0 <= number < 1 << 64:
            raise ValueError(f"a quota or limit of {number!r}")
    return handle.namespace_set(name, (size, objects, _long_ms("ttl", ttl), limit), create)


def namespace_create(handle: _cenote.Handle, name: str, settings: NamespaceSettings) -> bool:
    """See Client.namespace_create()."""
    status = _set(handle, name, settings, True)
    if status != errors.Status.EXISTS:
        errors.check(status, name)
    return status == 0


def namespace_set(handle: _cenote.Handle, name: str, settings: NamespaceSettings) -> None:
    """See Client.namespace_set()."""
    errors.check(_set(handle, name, settings, False), name)


def namespace_clear(handle: _cenote.Handle, name: str) -> int:
    """See Client.namespace_clear()."""
    return _removed(handle.namespace_clear(name), f"clearing namespace {name}")


def namespace_remove(handle: _cenote.Handle, name: str) -> bool:
    """See Client.namespace_remove()."""
    status = handle.namespace_remove(name)
    if status != errors.Status.NOT_FOUND:
        errors.check(status, name)
    return status == 0
