#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Parts of values: gets of ranges, values that are put layer by layer, registered buffers; and what
becomes of them when nodes and the service go away in between, or a byte goes wrong.

Usage: test_ranges.py [--times N] [--only CASE...]
"""
import argparse
import mmap
import os
import random
import signal

from pool import (IN_GUEST, NOISE, SHORT, TRANSPORTS, UNSCRUBBED, Pool, check, end_of, named,
                  run_cases, wait_stopped, wait_until)

KIB = 1024
CHUNK = 64 * KIB
VALUE = 50 * 40 * KIB + 5 # fifty layers
MIB = 1 << 20
QUICK = [*SHORT, "--lease=50ms", "--suspect=400ms", "--dead=800ms"]


def spawn_layers(pool, transport, key, replicas):
    """A writer that has written half of its layers and stands still."""
    process = pool.spawn("ranges", pool.meta_endpoint, transport, "layers", key, VALUE, 7, replicas)
    wait_stopped(process)
    return process


def finish(process, wanted):
    process.send_signal(signal.SIGCONT)
    text = end_of(process, 60, "the writer of layers")
    check(wanted in text, f"the writer of layers said {text!r}, not {wanted!r}")


def expect_range(pool, transport, key, data, offset, length, code=0):
    done = pool.cenote("get", "--transport", transport, "--range", f"{offset}:{length}", key,
                       code=code)
    check(code != 0 or done.stdout == data[offset:offset + length],
          f"{length} bytes at {offset} of {key} are wrong")
    return done.stderr.decode()


def value_of(pool, transport, key):
    """All of it, by a whole get, and its ranges agree."""
    data = pool.cenote("get", "--transport", transport, key).stdout
    check(len(data) == VALUE, f"{key} has {len(data)} bytes")
    for offset, length in ((0, 1), (CHUNK - 1, 2), (VALUE - 1, 1), (3, 10 * CHUNK), (VALUE, 0)):
        expect_range(pool, transport, key, data, offset, length)
    return data


def around(pool, transport):
    text = pool.run("ranges", pool.meta_endpoint, transport, "around")
    check("all as documented" in text, text)
    pool.wait_used(0)
    usage = pool.cenote("get", "--range", "5", "k", code=2).stderr
    check(b"FROM:LENGTH" in usage, usage)
    pool.cenote("get", "--range", "0:1", "none", code=3)


def node_state(pool, node):
    return next(n["state"] for n in pool.status()["nodes"] if n["name"] == node.name)


def node_dies(pool, transport, replicas):
    """Between two ranges; with another replica nobody notices."""
    pool.wait_used(0)
    process = spawn_layers(pool, transport, "layers", replicas)
    writing = [n["name"] for n in pool.status()["nodes"]
               if any(s["used_bytes"] for s in n["segments"])]
    victim = next(n for n in pool.nodes if n.name in writing and n.alive())
    victim.kill()
    wait_until(lambda: node_state(pool, victim) != "alive", 20, "the node's death being noticed")
    if replicas == 1:
        finish(process, "commit NODE_DOWN")
        process = spawn_layers(pool, transport, "again", 1) # the other node takes it
        finish(process, "write OK commit OK")
        value_of(pool, transport, "again")
        pool.cenote("rm", "again")
    else:
        finish(process, "write OK commit OK")
        value_of(pool, transport, "layers")
        pool.cenote("rm", "layers")


def service_dies(pool, transport):
    """Between two ranges, and comes back before the commit."""
    process = spawn_layers(pool, transport, "layers", 1)
    pool.meta.kill()
    pool.meta.start()
    finish(process, "write OK commit OK")
    value_of(pool, transport, "layers")
    pool.cenote("rm", "layers")


def too_late(pool, transport):
    """The service has ended the put."""
    process = spawn_layers(pool, transport, "late", 1)
    wait_until(lambda: pool.status()["service"]["pending_puts"] == 0, 20, "the put's end")
    finish(process, "commit ABORTED")
    pool.cenote("exists", "late", code=3)


def scribble(node, data, offset):
    """Changes one byte of a value in a node's memory."""
    directory = f"/proc/{node.pid}/fd"
    for fd in os.listdir(directory):
        if "cenote-segment" not in os.readlink(f"{directory}/{fd}"):
            continue
        with open(f"{directory}/{fd}", "r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            at = memory.find(data)
            if at >= 0:
                memory[at + offset] ^= 1
            return at >= 0
    raise AssertionError(f"{node.name} has no segment")


def damage(pool, transport):
    """One wrong byte fails the ranges that touch its chunk, and no others."""
    for replicas in (1, 2):
        data = random.randbytes(VALUE) # not what lies about in freed memory
        (pool.dir / "value").write_bytes(data)
        pool.cenote("put", "--replicas", replicas, "damaged", pool.dir / "value")
        check(any(scribble(n, data, 5 * CHUNK + 9) for n in pool.nodes if n.alive()),
              "no node has the value")
        code = 1 if replicas == 1 else 0
        text = expect_range(pool, transport, "damaged", data, 5 * CHUNK, 1, code)
        check(code == 0 or "failed verification" in text, text)
        expect_range(pool, transport, "damaged", data, 6 * CHUNK - 1, 2, code)
        expect_range(pool, transport, "damaged", data, 4 * CHUNK + 7, CHUNK - 7)
        expect_range(pool, transport, "damaged", data, 6 * CHUNK, 3 * CHUNK)
        pool.cenote("rm", "damaged")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("--only", nargs="+")
    options = parser.parse_args()

    def each(pool, case, *args):
        def run():
            for _ in range(options.times):
                for transport in TRANSPORTS:
                    case(pool, transport, *args)
        return named("_".join([case.__name__, *map(str, args)]), run)

    # Each death costs a node; two are needed at the end.
    with Pool(nodes=2 + 2 * len(TRANSPORTS) * options.times, split=True, dram=24 * MIB,
              options=[*QUICK, UNSCRUBBED, "--put-timeout=30s"]) as pool:
        pool.allow(*NOISE)
        run_cases([each(pool, around), each(pool, damage), each(pool, service_dies),
                   each(pool, node_dies, 2), each(pool, node_dies, 1)], options.only or ())

    soon = "2s" if IN_GUEST else "300ms"
    with Pool(dram=24 * MIB, options=[*QUICK, f"--put-timeout={soon}"]) as pool:
        pool.allow(*NOISE)
        run_cases([each(pool, too_late)], options.only or ())


if __name__ == "__main__":
    main()
