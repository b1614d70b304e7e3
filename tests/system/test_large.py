#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A value of more than 4 GiB, larger than any one node's memory, through the tool and through the
library, over both transports. Skipped where the memory or the disk isn't there."""
import os
import shutil
import subprocess

from pool import BIN, SANITIZED, Pool, check, end_of, skip

SIZE = (5 << 30) + 12345
NODES = 2
DRAM = 2816 << 20
MEMORY_NEEDED = 14 << 30 # the pool, and one client with the value in memory
DISK_NEEDED = 12 << 30
FOLDER = os.environ.get("CENOTE_LARGE_DIR", "/var/tmp")
SECONDS = 200


def available_bytes():
    with open("/proc/meminfo", encoding="ascii") as lines:
        fields = dict(line.split(":", 1) for line in lines)
    return int(fields["MemAvailable"].split()[0]) * 1024


def through_files(pool, source):
    """In through shared memory, out over TCP: the tool maps its files."""
    pool.cenote("put", "--transport", "shm", "files", source, timeout=SECONDS)
    check(pool.used_bytes() >= SIZE, "the pool holds the value")
    get = subprocess.Popen([BIN / "cenote", "get", "--transport", "tcp", "files", source + ".out"],
                           env=pool.environment())
    end_of(get, SECONDS, "cenote get of a large value")
    check(get.returncode == 0, "the tool gets a large value")
    pool.run("large", "check", source + ".out", SIZE, 7, seconds=SECONDS)
    os.unlink(source + ".out")
    pool.cenote("rm", "files")
    pool.wait_used(0, seconds=60)


def through_memory(pool):
    """The other way round."""
    pool.run("large", "put", pool.meta_endpoint, "tcp", "memory", SIZE, 9, seconds=SECONDS)
    pool.run("large", "get", pool.meta_endpoint, "shm", "memory", SIZE, 9, seconds=SECONDS)
    pool.cenote("rm", "memory")
    pool.wait_used(0, seconds=60)


def main():
    if SANITIZED:
        skip("a sanitizer's shadow of 5 GiB values doesn't fit")
    if available_bytes() < MEMORY_NEEDED:
        skip(f"less than {MEMORY_NEEDED >> 30} GiB of memory are available")
    if shutil.disk_usage(FOLDER).free < DISK_NEEDED:
        skip(f"less than {DISK_NEEDED >> 30} GiB are free in {FOLDER} ($CENOTE_LARGE_DIR)")
    with Pool(nodes=NODES, split=True, dram=DRAM, options=["--lease=1s"]) as pool:
        source = f"{FOLDER}/{pool.dir.name}"
        try:
            pool.run("large", "file", source, SIZE, 7, seconds=SECONDS)
            through_files(pool, source)
        finally:
            for name in (source, source + ".out"):
                if os.path.exists(name):
                    os.unlink(name)
        through_memory(pool)


if __name__ == "__main__":
    main()
