#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client of the data wire on plain sockets, written from doc/PROTOCOL.md alone.

Usage: datawire.py DATAWIRE_NODE
"""
import os
import socket
import struct
import subprocess
import sys

import xxhash

CHUNK = 65536
STALE, BAD_GRANT, BAD_RANGE, DENIED, PROTOCOL = -18, -65, -66, -15, -41


def sums_of(payload):
    chunks = [payload[i:i + CHUNK] for i in range(0, len(payload), CHUNK)]
    return b"".join(struct.pack("<Q", xxhash.xxh3_64_intdigest(c)) for c in chunks)


def tail_of(node, put_id, gva, payload):
    """What lies behind the payload: chunk sums, if there are two or more, and the seal."""
    sums = sums_of(payload)
    root = xxhash.xxh3_64_intdigest(sums)
    seal = b"CNSL" + struct.pack("<HBBQQQ", 1, 1, 0, put_id, gva, node["incarnation"])
    seal += bytes(16) + struct.pack("<IHHQQQQ", node["namespace"], 0, 1, 0, len(payload),
                                    len(payload), root)
    seal += bytes(24)
    seal += b"LIVE" + bytes(4) + struct.pack("<Q", xxhash.xxh3_64_intdigest(seal))
    return (sums if len(payload) > CHUNK else b"") + seal


def extent_size(length):
    chunks = -(-length // CHUNK)
    return (length + (8 * chunks if chunks > 1 else 0) + 128 + 15) // 16 * 16


class Wire:
    def __init__(self, node, token=None, boot=None, hello=None):
        host, port = node["tcp"].rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)), timeout=10)
        if hello is None:
            hello = b"CNTD" + struct.pack("<HHQII", 1, 0, node["session"], node["namespace"], 0)
            hello += token or node["token"]
            hello += struct.pack("<Q", node["boot"] if boot is None else boot) + bytes(16)
        self.sock.sendall(hello)
        answer = self.read(32)
        assert answer[:6] == b"CNTD\x01\x00"
        self.status, self.boot = struct.unpack("<i4xQ", answer[8:24])
        self.id = 0

    def read(self, length):
        got = b""
        while len(got) < length:
            more = self.sock.recv(length - len(got))
            if not more:
                raise EOFError
            got += more
        return got

    def request(self, op, put_id, gva, length, offset, count, mac=0, body=b""):
        self.id += 1
        return b"CNXR" + struct.pack("<B3xQQQQQQQ", op, self.id, put_id, gva, length, offset,
                                     count, mac) + body

    def send(self, *request):
        self.sock.sendall(self.request(*request))
        return self.id

    def response(self, request):
        magic, status, answered, count = struct.unpack("<4siQQ8x", self.read(32))
        assert magic == b"CNXA" and answered == request
        return status, self.read(count)

    def put(self, node, put_id, gva, payload, mac):
        tail = tail_of(node, put_id, gva, payload)
        size = extent_size(len(payload))
        first = self.send(2, put_id, gva, len(payload), 0, len(payload), mac, payload)
        second = self.send(2, put_id, gva, len(payload), size - len(tail), len(tail), mac, tail)
        return self.response(first)[0], self.response(second)[0]

    def get(self, put_id, gva, length):
        first = self.send(1, put_id, gva, length, 0, length)
        second = self.send(1, put_id, gva, length, extent_size(length) - 128, 128)
        return self.response(first), self.response(second)


def expect_close(wire):
    try:
        wire.read(1)
    except (EOFError, ConnectionError):
        return
    raise AssertionError("the connection is still open")


def check_values(node):
    wire = Wire(node)
    assert wire.status == 0 and wire.boot == node["boot"]
    for put_id, gva, length, mac in node["grants"]:
        payload = os.urandom(length)
        tail = tail_of(node, put_id, gva, payload)
        assert wire.put(node, put_id, gva, payload, mac ^ 1) == (BAD_GRANT, BAD_GRANT)
        assert wire.get(put_id, gva, length)[0] == (STALE, b"")
        assert wire.put(node, put_id, gva, payload, mac) == (0, 0)
        assert wire.get(put_id, gva, length) == ((0, payload), (0, tail[-128:]))
        assert wire.get(put_id + 1000, gva, length)[1] == (STALE, b"")
        part = wire.send(1, put_id, gva, length, length // 2, 3)
        assert wire.response(part) == (0, payload[length // 2:length // 2 + 3])
    put_id, gva, length, mac = node["grants"][0]
    out = wire.send(1, put_id, gva, length, extent_size(length) - 1, 2)
    assert wire.response(out) == (BAD_RANGE, b"")
    out = wire.send(1, put_id, gva - 2**40, length, 0, length)
    assert wire.response(out) == (BAD_RANGE, b"")


def check_bursts(node):
    """A burst ends at every step of the node's turns: each request is answered all the same."""
    put_id, gva, length, mac = node["grants"][0]
    for reads in range(4):
        for writes in range(1, 36):
            wire = Wire(node)
            burst = [wire.request(1, put_id + 1000, gva, length, 0, length) for _ in range(reads)]
            burst += [wire.request(2, put_id, gva, length, 0, 8, mac, bytes(8))
                      for _ in range(writes)]
            wire.sock.sendall(b"".join(burst))
            for number in range(len(burst)):
                assert wire.response(number + 1)[1] == b""
            wire.sock.close()


def check_last_turns(node, counted):
    """What a connection ends with counts like everything else, though its last turn closes it."""
    put_id, gva, length, mac = node["grants"][0]
    for reads, writes in [(1, 0), (0, 1), (3, 2)] * 8:
        before = counted()
        wire = Wire(node)
        burst = [wire.request(1, put_id, gva, length, 0, 4) for _ in range(reads)]
        burst += [wire.request(2, put_id, gva, length, 0, 2, mac, bytes(2)) for _ in range(writes)]
        wire.sock.sendall(b"".join(burst))
        wire.sock.shutdown(socket.SHUT_WR)
        for number in range(len(burst)):
            assert wire.response(number + 1)[0] == 0
        expect_close(wire)
        more = [now - then for now, then in zip(counted(), before)]
        assert more == [reads, writes, 4 * reads, 2 * writes], (more, reads, writes)


def check_refusals(node):
    assert Wire(node, boot=0).status == 0
    assert Wire(node, boot=node["boot"] + 1).status == -64
    refused = Wire(node, token=bytes(16))
    assert refused.status == DENIED
    expect_close(refused)
    version = Wire(node, hello=b"CNTD\x02\x00" + bytes(58))
    assert version.status == -42
    garbage = Wire(node, hello=b"GET / HTTP/1.1\r\n".ljust(64, b"\n"))
    assert garbage.status == PROTOCOL
    expect_close(garbage)
    wire = Wire(node)
    wire.sock.sendall(b"\xff" * 64)
    assert struct.unpack("<4si24x", wire.read(32)) == (b"CNXA", PROTOCOL)
    expect_close(wire)


def read_node(lines):
    node = {"grants": []}
    for line in lines:
        name, *values = line.split()
        if name == "grant":
            node["grants"].append(tuple(int(v) for v in values))
        elif name == "token":
            node[name] = bytes.fromhex(values[0])
        else:
            node[name] = values[0] if name == "tcp" else int(values[0])
        if len(node["grants"]) == 2:
            return node
    raise AssertionError("the node ended")


def main():
    with subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as program:
        node = read_node(program.stdout)
        def counted():
            program.stdin.write("traffic\n")
            program.stdin.flush()
            return [int(v) for v in program.stdout.readline().split()]

        check_values(node)
        check_last_turns(node, counted)
        check_refusals(node)
        check_bursts(node)
        program.stdin.close()
        assert program.wait(10) == 0


main()
