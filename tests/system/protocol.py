#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client of a Cenote pool written from doc/PROTOCOL.md alone, on plain sockets.

It shares no line with libcenote, so that the two can disagree. Values of one stripe or several,
first replica only.
"""
import socket
import struct
import time

import msgpack
import xxhash

CHUNK = 65536
SEAL_BYTES = 128
OK, EXISTS = 0, -2
SLOTS = 16384
LEASE_TRIES = 8
VISIBLE, DRAINED, UNKNOWN = 0, 1, 2


class Failure(Exception):
    """A status other than success."""

    def __init__(self, status, text=""):
        super().__init__(f"status {status} {text}")
        self.status = status


class LeaseOver(Failure):
    """What was read may have changed meanwhile."""


def connect(endpoint):
    if endpoint.startswith("unix:"):
        s = socket.socket(socket.AF_UNIX)
        s.connect(endpoint[len("unix:"):])
        return s
    host, port = endpoint.rsplit(":", 1)
    s = socket.create_connection((host.strip("[]"), int(port)))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def receive(sock, count):
    data = bytearray()
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError("the peer closed the connection")
        data += part
    return bytes(data)


def slot_of(namespace, key):
    """Which slot a key belongs to."""
    seed = xxhash.xxh3_64_intdigest(namespace.encode())
    return xxhash.xxh3_64_intdigest(key, seed) % SLOTS


# ---- extents and seals -----------------------------------------------------------------------


def chunk_sums(payload):
    return [xxhash.xxh3_64_intdigest(payload[i:i + CHUNK]) for i in range(0, len(payload), CHUNK)]


def sums_root(sums):
    return xxhash.xxh3_64_intdigest(struct.pack(f"<{len(sums)}Q", *sums))


def sums_bytes(length):
    chunks = (length + CHUNK - 1) // CHUNK
    return 8 * chunks if chunks >= 2 else 0


def seal_offset(length):
    return (length + sums_bytes(length) + 15) // 16 * 16


def make_seal(put_id, gva, incarnation, key_hash, namespace, stripe, total, length, root):
    """stripe: (index, count, offset)."""
    head = struct.pack("<4sHBBQQQ16sIHHQQQQ24x", b"CNSL", 1, 1, 0, put_id, gva, incarnation,
                       key_hash, namespace, stripe[0], stripe[1], stripe[2], total, length, root)
    assert len(head) == 112
    return head + struct.pack("<4sIQ", b"LIVE", 0, xxhash.xxh3_64_intdigest(head))


def check_seal(seal, put_id, gva, incarnation, stripe, length):
    if seal[0:4] != b"CNSL" or struct.unpack_from("<H", seal, 4)[0] != 1:
        raise Failure(-18, "no seal")
    if struct.unpack_from("<Q", seal, 120)[0] != xxhash.xxh3_64_intdigest(seal[:112]):
        raise Failure(-18, "the seal's checksum")
    if seal[112:116] != b"LIVE":
        raise Failure(-18, "void")
    named = struct.unpack_from("<QQQ", seal, 8)
    if named != (put_id, gva, incarnation) or struct.unpack_from("<Q", seal, 72)[0] != length:
        raise Failure(-18, "the seal names another put")
    if struct.unpack_from("<H", seal, 52)[0] != stripe:
        raise Failure(-18, "the seal names another stripe")


# ---- the data wire ----------------------------------------------------------------------------


class Data:
    """A connection to a node's data port."""

    READ, WRITE = 1, 2

    def __init__(self, endpoint, session, namespace, token, boot):
        self.sock = connect(endpoint)
        self.next_id = 1
        hello = struct.pack("<4sHHQII16sQ", b"CNTD", 1, 0, session, namespace, 0, token, boot)
        self.sock.sendall(hello.ljust(64, b"\0"))
        magic, version, _, status, _, self.boot = struct.unpack_from("<4sHHiIQ",
                                                                     receive(self.sock, 32))
        if status != OK:
            raise Failure(status, "hello")
        if (magic, version) != (b"CNTD", 1):
            raise ConnectionError("that is no data port")

    def request_head(self, op, put_id, gva, payload_length, offset, length, mac=0):
        self.next_id += 1
        return struct.pack("<4sBBHQQQQQQQ", b"CNXR", op, 0, 0, self.next_id, put_id, gva,
                           payload_length, offset, length, mac)

    def answer(self):
        magic, status, request, length, _ = struct.unpack("<4siQQQ", receive(self.sock, 32))
        if magic != b"CNXA" or request != self.next_id:
            raise ConnectionError("an answer to something else")
        if status != OK:
            raise Failure(status)
        return receive(self.sock, length)

    def read(self, put_id, gva, payload_length, offset, length):
        self.sock.sendall(self.request_head(self.READ, put_id, gva, payload_length, offset, length))
        return self.answer()

    def write(self, put_id, gva, payload_length, offset, data, mac):
        head = self.request_head(self.WRITE, put_id, gva, payload_length, offset, len(data), mac)
        self.sock.sendall(head + data)
        self.answer()

    def close(self):
        self.sock.close()


# ---- the control port -------------------------------------------------------------------------


class Client:
    """One session; opens=False: only a connection. Not thread-safe."""

    def __init__(self, endpoint, namespace="default", opens=True):
        self.sock = connect(endpoint)
        self.unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
        self.msgid = 0
        self.seq = 0
        self.nodes, self.ranges, self.version = {}, [], 0
        self.data = {}
        if opens:
            self.session, self.token, self.namespace, self.reign = self.call(
                "session_open", [1, namespace, "protocol.py"])

    def call(self, method, params):
        self.msgid += 1
        self.sock.sendall(msgpack.packb([0, self.msgid, method, params], use_bin_type=True))
        message = self.message()
        while message[0] == 0: # the service calls those that joined as nodes
            message = self.message()
        kind, msgid, error, result = message
        if (kind, msgid) != (1, self.msgid):
            raise ConnectionError("an answer to something else")
        if error is not None:
            raise Failure(*error)
        return result

    def message(self):
        while True:
            for message in self.unpacker:
                return message
            part = self.sock.recv(65536)
            if not part:
                raise ConnectionError("the service closed the connection")
            self.unpacker.feed(part)

    def next_seq(self):
        self.seq += 1
        return self.seq

    def locate(self, gva):
        """(node, incarnation) of an address."""
        for attempt in range(2):
            for base, length, incarnation, node, _kind in self.ranges:
                if base <= gva < base + length:
                    return self.nodes[node], incarnation
            if attempt == 0:
                answer = self.call("map", [self.version])
                if len(answer) == 3:
                    self.version, nodes, self.ranges = answer
                    self.nodes = {n[0]: n for n in nodes}
        raise Failure(-62, "unknown address")

    def channel(self, node):
        number, boot, endpoint = node[0], node[2], node[7]
        if number not in self.data:
            self.data[number] = Data(endpoint, self.session, self.namespace, self.token, boot)
        return self.data[number]

    def put_start(self, key, length, flags=0, *keep):
        """keep: how the value is kept; without it nothing is asked for."""
        (item,) = self.call("put_start", [self.next_seq(), flags, [[key, length]], *keep])
        if item[0] != OK:
            raise Failure(item[0])
        return item[1:]

    def write_stripe(self, value, put_id, key_hash, stripe, index, count):
        """Writes all replicas; returns the stripe's root."""
        offset, length, replicas = stripe
        payload = value[offset:offset + length]
        sums = chunk_sums(payload)
        root = sums_root(sums)
        tail = struct.pack(f"<{len(sums)}Q", *sums) if len(sums) >= 2 else b""
        for gva, _boot, mac in replicas:
            node, incarnation = self.locate(gva)
            seal = make_seal(put_id, gva, incarnation, key_hash, self.namespace,
                             (index, count, offset), len(value), length, root)
            channel = self.channel(node)
            if length > 0:
                channel.write(put_id, gva, length, 0, payload, mac)
            channel.write(put_id, gva, length, seal_offset(length) - len(tail), tail + seal, mac)
        return root

    def put(self, key, value, flags=0, **keep):
        put_id, key_hash, stripes = self.put_start(key, len(value), flags, *keep.values())
        roots = [self.write_stripe(value, put_id, key_hash, s, i, len(stripes))
                 for i, s in enumerate(stripes)]
        states = [VISIBLE for _, _, replicas in stripes for _ in replicas]
        statuses, _ = self.call("put_commit", [self.next_seq(), [[put_id, 1, roots, states]]])
        if statuses[0] != OK:
            raise Failure(statuses[0])
        return put_id

    def read_stripe(self, put_id, stripe, index):
        _offset, length, root, gvas = stripe
        node, incarnation = self.locate(gvas[0])
        channel = self.channel(node)
        payload = channel.read(put_id, gvas[0], length, 0, length) if length > 0 else b""
        seal = channel.read(put_id, gvas[0], length, seal_offset(length), SEAL_BYTES)
        check_seal(seal, put_id, gvas[0], incarnation, index, length)
        if sums_root(chunk_sums(payload)) != root:
            raise Failure(-12, "the root differs")
        return payload

    def get(self, key):
        """A reader that was too slow for its lease looks the key up again, a few times."""
        for _ in range(LEASE_TRIES - 1):
            try:
                return self.get_once(key)
            except LeaseOver:
                pass
        return self.get_once(key)

    def get_once(self, key):
        start = time.monotonic()
        _leading, (item,) = self.call("lookup", [[key]])
        if item[0] != OK:
            raise Failure(item[0])
        _status, put_id, length, _kind, lease_ms, stripes = item
        value = b"".join(self.read_stripe(put_id, s, i) for i, s in enumerate(stripes))
        if time.monotonic() - start > lease_ms / 1000:
            raise LeaseOver(-18, "the lease ran out")
        if len(value) != length:
            raise Failure(-12, "the length differs")
        return value

    def keep(self, keys, keep, fields):
        """Statuses of the keys."""
        return self.call("keep", [self.next_seq(), keys, keep, fields])

    def kept(self, key):
        """How the value is kept, and what is left of its times."""
        (item,) = self.call("stat", [[key]])
        if item[0] != OK:
            raise Failure(item[0])
        return item[6]

    def remove(self, key):
        (status,) = self.call("remove", [self.next_seq(), [key]])
        if status != OK:
            raise Failure(status)

    def close(self):
        for channel in self.data.values():
            channel.close()
        self.sock.close()
