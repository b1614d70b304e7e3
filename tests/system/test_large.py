#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A value of more than 4 GiB, over both transports. Skipped where the memory isn't there."""
import subprocess
import sys

from pool import SANITIZED, Pool

SIZE = 5 << 30
NEEDED = 11 << 30  # the pool, its page tables, and one client's buffer


def available_bytes():
    with open("/proc/meminfo", encoding="ascii") as lines:
        fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024


def make(path):
    """A sparse file with marks where 32 bits would wrap."""
    with open(path, "wb") as f:
        f.truncate(SIZE)
        for offset in (0, (1 << 31) - 8, (1 << 32) - 8, 1 << 32, SIZE - 16):
            f.seek(offset)
            f.write(f"{offset:016x}".encode())


def main():
    if SANITIZED or available_bytes() < NEEDED:
        return 77
    with Pool(split=True, dram=str(SIZE + (256 << 20))) as pool:
        source, copy = pool.dir / "in", pool.dir / "out"
        make(source)
        for transport in ("shm", "tcp"):
            pool.cenote("--transport", transport, "put", "large", source, timeout=300)
            pool.cenote("--transport", transport, "get", "large", copy, timeout=300)
            subprocess.run(["cmp", source, copy], check=True)
            copy.unlink()
            pool.cenote("rm", "large")
            assert pool.used_bytes() == 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
