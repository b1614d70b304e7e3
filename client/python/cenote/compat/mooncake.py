# SPDX-License-Identifier: Apache-2.0
"""Mooncake's store interface over a Cenote pool: code written for it runs unchanged.

    from cenote.compat.mooncake import MooncakeDistributedStore, ReplicateConfig

or, for code that says ``from mooncake.store import MooncakeDistributedStore``, call `install()`
before. Names, arguments and results are those of Mooncake 0.3.12 (its documentation and bindings
at commit 3b5a594), as far as this module has them; doc/KVCACHE.md lists what it hasn't, and what
differs:

  * `setup()` connects to the pool at $CENOTE_META, or at `master_server_addr` ("host:port" or
    "unix:PATH"). It donates no memory: nodes do. So objects outlive the client that put them.
  * An object is removed at once; readers that have looked it up are waited for. `force` is taken.
  * Calls return numbers and never raise for what happens in the pool; arguments of wrong types
    raise TypeError.
"""
from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import re
import sys
import threading
import types
import typing

from .. import errors
from ..client import Client
from ..policies import Pin, configured_pin, policy_of
from .mooncake_types import (INVALID_PARAMS, BufferHandle, ObjectDataType, ReplicateConfig,
                             SoftPinAction, code_of, parse_size)

__all__ = ["BufferHandle", "MooncakeDistributedStore", "ObjectDataType", "ReplicateConfig",
           "SoftPinAction", "install"]

REMOVE_AT_ONCE = 4096
HEALTHY, NOT_INITIALIZED, UNREACHABLE = 0, 1, 2
Keys = typing.Sequence[str]
Numbers = typing.Sequence[int]


def _pieces(pointers: Numbers, sizes: Numbers) -> list[tuple[int, int]]:
    return list(zip(pointers, sizes, strict=True))


def _refused(count: int) -> list[int]:
    return [INVALID_PARAMS] * count


def _guarded(function: typing.Callable, *arguments, **options):
    """(what a call returns, 0), or (None, code) for what it raises about pool or memory."""
    try:
        return function(*arguments, **options), 0
    except errors.CenoteError as error:
        return None, code_of(error.code)
    except (BufferError, ValueError, OverflowError):
        return None, INVALID_PARAMS


class MooncakeDistributedStore:
    """A store, after setup(). Any thread may use it."""

    def __init__(self):
        self._client: Client | None = None
        self._hostname = ""
        self._ttl: float | None = None
        self._pin: Pin | None = None
        self._lock = threading.Lock()
        self._regions: dict[int, typing.Any] = {}
        self._pools: list[mmap.mmap] = []
        self._writers: dict[str, typing.Any] = {}
        self._readers: set[str] = set()

    # ---- beginning and end

    def setup(self, local_hostname, metadata_server="", global_segment_size=16 << 20,
              local_buffer_size=16 << 20, protocol="tcp", rdma_devices="",
              master_server_addr="127.0.0.1:50051", engine=None, enable_ssd_offload=False,
              ssd_offload_path="", tenant_id="default", enable_client_http_server=False,
              client_http_port=9300) -> int:
        """Connects. Also setup(config), with a dictionary of these, in which `ttl` (seconds) and
        `pin` say how objects are kept, unless their ReplicateConfig asks for a pin."""
        if isinstance(local_hostname, dict):
            return self._setup_by(local_hostname)
        for size in (global_segment_size, local_buffer_size):
            if parse_size(size) is None:
                return INVALID_PARAMS
        host, _, port = local_hostname.partition(":")
        self._hostname = f"{host}:{port or 12300 + os.getpid() % 2001}"
        return self._open(master_server_addr, tenant_id, rdma_devices if protocol == "rdma" else "")

    def _setup_by(self, config: dict) -> int:
        allowed = {"local_hostname", "metadata_server", "global_segment_size", "local_buffer_size",
                   "protocol", "rdma_devices", "master_server_addr", "enable_ssd_offload",
                   "ssd_offload_path", "tenant_id", "enable_client_http_server",
                   "client_http_port"}
        if not {"local_hostname", "metadata_server"} <= config.keys():
            return INVALID_PARAMS
        ttl, pin = config.get("ttl"), configured_pin(config.get("pin"))
        try:
            policy_of(ttl, pin, None)
        except (TypeError, ValueError):
            return INVALID_PARAMS
        self._ttl, self._pin = ttl, pin
        return self.setup(**{name: value for name, value in config.items() if name in allowed})

    def setup_dummy(self, mem_pool_size: int, local_buffer_size: int, server_address: str) -> int:
        """Connects to a pool: here all clients are alike."""
        return self.setup("localhost", "", mem_pool_size, local_buffer_size,
                          master_server_addr=server_address)

    def _open(self, endpoint: str, namespace: str, devices: str) -> int:
        client, code = _guarded(Client, os.environ.get("CENOTE_META") or endpoint,
                                namespace=namespace, rdma=devices or None)
        if client is not None:
            self.close()
            self._client = client
        return code

    def close(self) -> int:
        """Ends the session. Objects stay in the pool."""
        with self._lock:
            client, self._client = self._client, None
            writers, self._writers = self._writers, {}
            self._regions, self._readers = {}, set()
        for writer in writers.values():
            writer.close()
        if client is not None:
            client.close()
        self._pools = []
        return 0

    def health_check(self) -> int:
        """0: healthy; 1: not set up; 2: the service can't be reached."""
        if self._client is None:
            return NOT_INITIALIZED
        return HEALTHY if _guarded(self._client.exists, "health")[1] == 0 else UNREACHABLE

    def get_hostname(self) -> str:
        """This client's name. Nobody listens there."""
        return self._hostname

    # ---- memory

    def register_buffer(self, buffer_ptr: int, size: int) -> int:
        """Tells of memory that get_into() and put_from() will use."""
        if self._client is None:
            return INVALID_PARAMS
        region, code = _guarded(self._client.register, (buffer_ptr, size))
        if region is not None:
            with self._lock:
                self._regions[buffer_ptr] = region
        return code

    def unregister_buffer(self, buffer_ptr: int) -> int:
        """Ends a registration."""
        with self._lock:
            region = self._regions.pop(buffer_ptr, None)
        return _guarded(region.unregister)[1] if region else INVALID_PARAMS

    def alloc_from_mem_pool(self, size: int) -> int:
        """Memory that lives until close(); its address, or 0."""
        try:
            memory = mmap.mmap(-1, size)
        except (ValueError, OverflowError, OSError):
            return 0
        self._pools.append(memory)
        return ctypes.addressof(ctypes.c_char.from_buffer(memory))

    # ---- putting

    def _how(self, config: ReplicateConfig | None) -> dict[str, typing.Any]:
        """Options of a put."""
        if config is None:
            return {"ttl": self._ttl, "pin": self._pin}
        pin = config.pin()
        if pin is None and config.soft_pin_action is SoftPinAction.PRESERVE:
            pin = self._pin
        return {"replicas": config.replica_num, "ttl": self._ttl, "pin": pin}

    def _put(self, keys: Keys, values: typing.Sequence, config: ReplicateConfig | None,
             replace: bool = False) -> list[int]:
        """Codes of puts; an object that is there counts as put."""
        if self._client is None or (config is not None and not config.is_valid()):
            return _refused(len(keys))
        if len(keys) != len(values):
            return _refused(len(keys))
        if config is None or config.group_ids is None:
            return self._put_group(keys, values, config, None, replace)
        return self._put_groups(keys, values, config, replace)

    def _put_groups(self, keys: Keys, values: typing.Sequence, config: ReplicateConfig,
                    replace: bool) -> list[int]:
        """The same of values that don't all belong to one group: a batch for each."""
        groups, code = _guarded(config.groups, len(keys))
        if groups is None:
            return [code] * len(keys)
        codes = [0] * len(keys)
        for group in dict.fromkeys(groups):
            those = [i for i, name in enumerate(groups) if name == group]
            found = self._put_group([keys[i] for i in those], [values[i] for i in those], config,
                                    group, replace)
            for i, code in zip(those, found, strict=True):
                codes[i] = code
        return codes

    def _put_group(self, keys: Keys, values: typing.Sequence, config: ReplicateConfig | None,
                   group: bytes | None, replace: bool) -> list[int]:
        results, code = _guarded(self._client.put_batch, keys, values, replace=replace,
                                 **self._how(config), group=group)
        if results is None:
            return [code] * len(keys)
        return [0 if r == errors.Status.EXISTS else code_of(r) for r in results]

    @staticmethod
    def _first(codes: list[int]) -> int:
        return next((code for code in codes if code < 0), 0)

    def put(self, key: str, value, config: ReplicateConfig | None = None) -> int:
        """Stores an object; 0 also if it is there."""
        return self._put([key], [value], config)[0]

    def put_parts(self, key: str, *parts, config: ReplicateConfig | None = None) -> int:
        """Stores an object of several parts."""
        return self._put([key], [list(parts)], config)[0]

    def put_batch(self, keys: Keys, values: typing.Sequence,
                  config: ReplicateConfig | None = None) -> int:
        """Stores objects; the first error, or 0."""
        if len(keys) != len(values):
            return INVALID_PARAMS
        return self._first(self._put(keys, values, config))

    def put_from(self, key: str, buffer_ptr: int, size: int,
                 config: ReplicateConfig | None = None) -> int:
        """Stores what lies at an address."""
        return self._put([key], [(buffer_ptr, size)], config)[0]

    def put_from_with_metadata(self, key: str, buffer_ptr: int, metadata_buffer_ptr: int,
                               size: int, metadata_size: int,
                               config: ReplicateConfig | None = None) -> int:
        """Stores metadata, and behind it what lies at an address."""
        return self._put([key], [[(metadata_buffer_ptr, metadata_size), (buffer_ptr, size)]],
                         config)[0]

    def batch_put_from(self, keys: Keys, buffer_ptrs: Numbers, sizes: Numbers,
                       config: ReplicateConfig | None = None) -> list[int]:
        """Stores what lies at addresses."""
        if not len(keys) == len(buffer_ptrs) == len(sizes):
            return _refused(len(keys))
        return self._put(keys, _pieces(buffer_ptrs, sizes), config)

    def batch_put_from_multi_buffers(self, keys: Keys, all_buffer_ptrs: typing.Sequence[Numbers],
                                     all_sizes: typing.Sequence[Numbers],
                                     config: ReplicateConfig | None = None) -> list[int]:
        """Stores objects whose pieces lie at several addresses each."""
        values = _scattered(keys, all_buffer_ptrs, all_sizes)
        return self._put(keys, values, config) if values is not None else _refused(len(keys))

    def upsert(self, key: str, value, config: ReplicateConfig | None = None) -> int:
        """Stores an object in the place of an older one, if there is one."""
        return self._put([key], [value], config, True)[0]

    def upsert_parts(self, key: str, *parts, config: ReplicateConfig | None = None) -> int:
        """As put_parts(), in the place of an older one."""
        return self._put([key], [list(parts)], config, True)[0]

    def upsert_batch(self, keys: Keys, values: typing.Sequence,
                     config: ReplicateConfig | None = None) -> int:
        """As put_batch(), in the place of older ones."""
        if len(keys) != len(values):
            return INVALID_PARAMS
        return self._first(self._put(keys, values, config, True))

    def upsert_from(self, key: str, buffer_ptr: int, size: int,
                    config: ReplicateConfig | None = None) -> int:
        """As put_from(), in the place of an older one."""
        return self._put([key], [(buffer_ptr, size)], config, True)[0]

    def batch_upsert_from(self, keys: Keys, buffer_ptrs: Numbers, sizes: Numbers,
                          config: ReplicateConfig | None = None) -> list[int]:
        """As batch_put_from(), in the place of older ones."""
        if not len(keys) == len(buffer_ptrs) == len(sizes):
            return _refused(len(keys))
        return self._put(keys, _pieces(buffer_ptrs, sizes), config, True)

    # ---- getting

    def _get(self, keys: Keys, buffers: typing.Sequence) -> list[int]:
        """Lengths, or codes."""
        if self._client is None:
            return _refused(len(keys))
        results, code = _guarded(self._client.get_batch, keys, buffers)
        return [code] * len(keys) if results is None else [code_of(r) for r in results]

    def get(self, key: str) -> bytes:
        """An object; empty if it can't be had."""
        if self._client is None:
            return b""
        return _guarded(self._client.get, key)[0] or b""

    def get_batch(self, keys: Keys) -> list[bytes]:
        """Objects; empty where one can't be had."""
        return [bytes(b or b"") for b in self.batch_get_buffer(keys)]

    def get_buffer(self, key: str) -> BufferHandle | None:
        """An object, or None."""
        return self.batch_get_buffer([key])[0]

    def batch_get_buffer(self, keys: Keys) -> list[BufferHandle | None]:
        """Objects, with None where one can't be had."""
        handles = [None if (size := self.get_size(key)) < 0 else BufferHandle(size)
                   for key in keys]
        there = [i for i, handle in enumerate(handles) if handle is not None]
        found = self._get([keys[i] for i in there], [handles[i] for i in there])
        for i, length in zip(there, found, strict=True):
            if length < 0:
                handles[i] = None
            else:
                del handles[i][length:]
        return handles

    def get_into(self, key: str, buffer_ptr: int, size: int) -> int:
        """Copies an object to an address; its length, or a code."""
        return self._get([key], [(buffer_ptr, size)])[0]

    def batch_get_into(self, keys: Keys, buffer_ptrs: Numbers, sizes: Numbers) -> list[int]:
        """Copies objects to addresses."""
        if not len(keys) == len(buffer_ptrs) == len(sizes):
            return _refused(len(keys))
        return self._get(keys, _pieces(buffer_ptrs, sizes))

    def batch_get_into_multi_buffers(self, keys: Keys, all_buffer_ptrs: typing.Sequence[Numbers],
                                     all_sizes: typing.Sequence[Numbers],
                                     prefer_alloc_in_same_node: bool = False) -> list[int]:
        """Copies objects to several addresses each."""
        buffers = _scattered(keys, all_buffer_ptrs, all_sizes)
        return self._get(keys, buffers) if buffers is not None else _refused(len(keys))

    def _get_ranges(self, keys: Keys, offsets: Numbers, pieces: list[tuple[int, int]]) -> list[int]:
        """The number of bytes of each range, or a code."""
        if self._client is None:
            return _refused(len(keys))
        results, code = _guarded(self._client.get_ranges, keys, offsets, pieces)
        if results is None:
            return [code] * len(keys)
        return [size if r.status == 0 else code_of(r.status)
                for r, (_, size) in zip(results, pieces, strict=True)]

    def get_into_ranges(self, buffer_ptrs: Numbers, all_keys: typing.Sequence[Keys],
                        all_dst_offsets, all_src_offsets, all_sizes) -> list[list[list[int]]]:
        """Copies ranges of objects into buffers that are registered, to offsets there; results are
        nested as the arguments are: buffer, key, range."""
        results = []
        for pointer, keys, *parts in zip(buffer_ptrs, all_keys, all_dst_offsets, all_src_offsets,
                                         all_sizes):
            room = self._room_at(pointer)
            results.append([self._get_parts(pointer, room, key, *part)
                            for key, *part in zip(keys, *parts)])
        return results

    def _room_at(self, pointer: int) -> int | None:
        with self._lock:
            region = self._regions.get(pointer)
        return region.length if region else None

    def _get_parts(self, pointer: int, room: int | None, key: str, to: Numbers, offsets: Numbers,
                   sizes: Numbers) -> list[int]:
        if not len(to) == len(offsets) == len(sizes):
            return _refused(max(len(to), len(offsets), len(sizes)))
        fits = [room is None or t + size <= room for t, size in zip(to, sizes)]
        wanted = [(o, (pointer + t, size))
                  for t, o, size, ok in zip(to, offsets, sizes, fits) if ok]
        found = iter(self._get_ranges([key] * len(wanted), [o for o, _ in wanted],
                                      [piece for _, piece in wanted]))
        return [next(found) if ok else INVALID_PARAMS for ok in fits]

    # ---- layer by layer

    def batch_get_session_start(self, keys: Keys) -> list[int]:
        """Begins to get objects range by range."""
        codes = [0 if found == 1 else found or code_of(errors.Status.NOT_FOUND)
                 for found in self.batch_is_exist(keys)]
        with self._lock:
            self._readers.update(key for key, code in zip(keys, codes) if code == 0)
        return codes

    def batch_get_into_multi_buffer_ranges(self, keys: Keys, all_buffer_ptrs, all_sizes,
                                           all_src_offsets) -> list[int]:
        """Copies ranges of objects whose session was begun; how many bytes of each, or a code."""
        return [self._session_get(key, *parts) for key, *parts in
                zip(keys, all_buffer_ptrs, all_sizes, all_src_offsets)]

    def _session_get(self, key: str, pointers: Numbers, sizes: Numbers, offsets: Numbers) -> int:
        if key not in self._readers or not len(pointers) == len(sizes) == len(offsets):
            return INVALID_PARAMS
        found = self._get_ranges([key] * len(offsets), offsets, _pieces(pointers, sizes))
        return self._first(found) or sum(found)

    def batch_get_session_end(self, keys: Keys) -> int:
        """Ends sessions of gets."""
        with self._lock:
            self._readers.difference_update(keys)
        return 0 if self._client is not None else -1

    def batch_put_session_start(self, keys: Keys, sizes: Numbers,
                                config: ReplicateConfig | None = None) -> list[int]:
        """Begins to put objects range by range: finds place for them."""
        groups, _ = _guarded(config.groups, len(keys)) if config else ([None] * len(keys), 0)
        if len(keys) != len(sizes) or groups is None:
            return _refused(len(keys))
        return [self._session_put(key, size, config, group)
                for key, size, group in zip(keys, sizes, groups)]

    def _session_put(self, key: str, size: int, config: ReplicateConfig | None,
                     group: bytes | None) -> int:
        if self._client is None or key in self._writers or (config and not config.is_valid()):
            return INVALID_PARAMS
        writer, code = _guarded(self._client.writer, key, size, **self._how(config),
                                 group=group)
        if writer is not None:
            with self._lock:
                self._writers[key] = writer
        return code

    def batch_put_from_multi_buffer_ranges(self, keys: Keys, all_buffer_ptrs, all_sizes,
                                           all_dst_offsets) -> list[int]:
        """Stores ranges; how many bytes of each object, or a code."""
        return [self._session_write(key, *parts) for key, *parts in
                zip(keys, all_buffer_ptrs, all_sizes, all_dst_offsets)]

    def _session_write(self, key: str, pointers: Numbers, sizes: Numbers, offsets: Numbers) -> int:
        writer = self._writers.get(key)
        if writer is None or not len(pointers) == len(sizes) == len(offsets):
            return INVALID_PARAMS
        codes = [_guarded(writer.write, offset, piece)[1]
                 for offset, piece in zip(offsets, _pieces(pointers, sizes))]
        return self._first(codes) or sum(sizes)

    def batch_put_session_end(self, keys: Keys) -> list[int]:
        """Makes objects visible, whose ranges were all stored."""
        return [self._session_end(key) for key in keys]

    def _session_end(self, key: str) -> int:
        writer = self._writers.get(key)
        if writer is None:
            return INVALID_PARAMS
        code = _guarded(writer.commit)[1]
        if code != INVALID_PARAMS:  # otherwise ranges are missing, and may come
            self.batch_put_session_revoke([key])
        return code

    def batch_put_session_revoke(self, keys: Keys) -> list[int]:
        """Gives up objects that weren't ended."""
        with self._lock:
            writers = [self._writers.pop(key, None) for key in keys]
        for writer in writers:
            if writer is not None:
                writer.close()
        return [0 if writer is not None else INVALID_PARAMS for writer in writers]

    # ---- questions, and removing

    def is_exist(self, key: str) -> int:
        """1: it is there; 0: it isn't; negative: an error."""
        return self.batch_is_exist([key])[0]

    def batch_is_exist(self, keys: Keys) -> list[int]:
        """As is_exist(), for many."""
        if self._client is None:
            return _refused(len(keys))
        found, code = _guarded(self._client.exists_batch, keys)
        return [code] * len(keys) if found is None else [int(there) for there in found]

    def get_size(self, key: str) -> int:
        """An object's length, or a code."""
        if self._client is None:
            return INVALID_PARAMS
        stat, code = _guarded(self._client.stat, key)
        return code if stat is None else stat.length

    def remove(self, key: str, force: bool = False) -> int:
        """Removes an object."""
        return self.batch_remove([key], force)[0]

    def batch_remove(self, keys: Keys, force: bool = False) -> list[int]:
        """Removes objects."""
        if self._client is None:
            return _refused(len(keys))
        results, code = _guarded(self._client.remove_batch, keys)
        return [code] * len(keys) if results is None else [code_of(r) for r in results]

    def remove_all(self, force: bool = False) -> int:
        """Removes all objects of the tenant; how many, or a code."""
        if self._client is None:
            return INVALID_PARAMS
        removed, code = _guarded(self._client.remove_prefix, b"")
        return code if removed is None else removed

    def remove_by_regex(self, regex_pattern: str, force: bool = False) -> int:
        """Removes objects in whose names the expression is found; how many, or a code."""
        try:
            pattern = re.compile(regex_pattern)
        except re.error:
            return INVALID_PARAMS
        return self._remove_matching(lambda key: pattern.search(key.decode(errors="replace")))

    def _remove_matching(self, wanted: typing.Callable) -> int:
        if self._client is None:
            return INVALID_PARAMS
        keys, code = _guarded(lambda: [e.key for e in self._client.keys() if wanted(e.key)])
        if keys is None:
            return code
        removed = 0
        for at in range(0, len(keys), REMOVE_AT_ONCE):
            codes = self.batch_remove(keys[at:at + REMOVE_AT_ONCE])
            removed += codes.count(0)
        return removed


def _scattered(keys: Keys, all_pointers, all_sizes) -> list[list[tuple[int, int]]] | None:
    """The pieces of many values; None if the lists don't go together."""
    if not len(keys) == len(all_pointers) == len(all_sizes):
        return None
    with contextlib.suppress(ValueError):
        return [_pieces(pointers, sizes) for pointers, sizes in zip(all_pointers, all_sizes)]
    return None


def install() -> None:
    """Makes ``from mooncake.store import MooncakeDistributedStore`` find this module, in this
    process. Not where Mooncake itself has been imported."""
    this = sys.modules[__name__]
    if sys.modules.get("mooncake.store", this) is not this:
        raise RuntimeError("Mooncake's own store has been imported")
    package = sys.modules.setdefault("mooncake", types.ModuleType("mooncake"))
    package.__dict__.setdefault("__path__", [])
    package.store = sys.modules["mooncake.store"] = this
