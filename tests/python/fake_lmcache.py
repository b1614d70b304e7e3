# SPDX-License-Identifier: Apache-2.0
"""As much of LMCache's own side as its remote connectors see, for the tests: chunks of memory with
counted references, headers, and the base class. `install()` puts it where LMCache would be."""
import struct
import sys
import types

CHUNK_TOKENS = 16
TOKEN_BYTES = 1024
CHUNK_BYTES = CHUNK_TOKENS * TOKEN_BYTES
HEADER = "<qi"
FORMAT = 7


class MemoryObj:
    """A chunk; the allocator counts those that somebody refers to."""

    def __init__(self, allocator, size):
        self.allocator = allocator
        self.array = bytearray(size)
        self.size = size
        self.references = 1

    @property
    def byte_array(self):
        return memoryview(self.array)[:self.size]

    def get_shapes(self):
        return [(self.size,)]

    def get_dtypes(self):
        return ["uint8"]

    def get_memory_format(self):
        return FORMAT

    def ref_count_down(self):
        self.references -= 1
        assert self.references >= 0
        self.allocator.live -= self.references == 0


class Allocator:
    """The local CPU backend."""

    def __init__(self, room=1000):
        self.live = 0
        self.room = room

    def allocate(self, shapes, dtypes, fmt):
        if self.live >= self.room:
            return None
        self.live += 1
        return MemoryObj(self, CHUNK_BYTES)

    def filled(self, number, size=CHUNK_BYTES):
        """A chunk of an engine's."""
        self.live += 1
        chunk = MemoryObj(self, size)
        chunk.array[:] = bytes([number % 256]) * size
        return chunk


class RemoteMetadata:
    """The header of a chunk."""

    def __init__(self, length, shapes, dtypes, fmt):
        self.length, self.shapes, self.dtypes, self.fmt = length, shapes, dtypes, fmt

    def serialize(self):
        return struct.pack(HEADER, self.length, self.fmt)

    @staticmethod
    def deserialize(header):
        length, fmt = struct.unpack(HEADER, header)
        return RemoteMetadata(length, [(length,)], ["uint8"], fmt)


class RemoteConnector:
    """The base of connectors."""

    def __init__(self, config, metadata):
        assert metadata is not None
        self.meta_shapes, self.meta_dtypes, self.meta_fmt = [(CHUNK_BYTES,)], ["uint8"], FORMAT
        self.remote_metadata_bytes = struct.calcsize(HEADER)

    def reshape_partial_chunk(self, chunk, length):
        if length == 0 or length % TOKEN_BYTES or length > CHUNK_BYTES:
            raise ValueError("no whole number of tokens")
        chunk.size = length
        return chunk


class ConnectorAdapter:
    """What is loaded by name."""

    def __init__(self, schema=""):
        self.schema = schema

    def can_parse(self, url):
        return self.schema != "" and url.startswith(self.schema)


class Key:
    """A chunk's name."""

    def __init__(self, number):
        self.number = number

    def to_string(self):
        return f"model/with/slash@1@0@{self.number:x}@bfloat16"


def install():
    """Makes `import lmcache...` find these."""
    contents = {"lmcache": {}, "lmcache.v1": {}, "lmcache.v1.storage_backend": {},
                "lmcache.v1.protocol": {"RemoteMetadata": RemoteMetadata},
                "lmcache.v1.storage_backend.connector": {"ConnectorAdapter": ConnectorAdapter},
                "lmcache.v1.storage_backend.connector.base_connector":
                    {"RemoteConnector": RemoteConnector}}
    for name, names in contents.items():
        module = types.ModuleType(name)
        module.__path__ = []
        module.__dict__.update(names)
        sys.modules[name] = module
