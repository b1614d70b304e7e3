#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The pages of nodes' memory: huge ones and those of a NUMA node, proven by what the kernel says of
the process. Needs root, to set huge pages aside; what was set aside before is restored.

Usage: test_memory_pages.py [--seed N] [--only CASE]
"""
import collections
import pathlib
import re
import subprocess
import tempfile

import pool
from pool import MIB, SHORT, Pool, check
from test_memory import Named, check_values, main, put_values, refuse

HUGE_PAGE = 2 * MIB
NR_HUGE = pathlib.Path("/proc/sys/vm/nr_hugepages")


class Reserved:
    """Some huge pages, set aside for a test and given back."""

    def __init__(self, pages):
        self.pages = pages

    def __enter__(self):
        try:
            self.before = int(NR_HUGE.read_text())
            NR_HUGE.write_text(str(self.before + self.pages))
        except OSError as error:
            pool.skip(f"huge pages can't be set aside: {error}")
        if int(NR_HUGE.read_text()) < self.before + self.pages:
            self.__exit__()
            pool.skip("the machine has no room for huge pages")
        return self

    def __exit__(self, *_):
        NR_HUGE.write_text(str(self.before))


def mapped_pages(pid, needle):
    """KernelPageSize of the mappings whose file's name has the needle, with their sizes."""
    found, current = collections.Counter(), None
    for line in pathlib.Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            current = needle in line
        elif current and (m := re.match(r"(KernelPageSize|Shared_Hugetlb|Private_Hugetlb|Size):"
                                        r"\s+(\d+) kB", line)):
            found[m[1]] += int(m[2])
    return found


def huge_pages(_options, chance):
    """Of those that were set aside, proven from smaps; and what is said when there are none."""
    if not NR_HUGE.exists():
        pool.skip("this kernel has no huge pages")
    with Reserved(24):
        with Pool(split=True, dram=16 * HUGE_PAGE, options=SHORT,
                  node_options=["--huge-pages", "2M"]) as p:
            pages = mapped_pages(p.nodes[0].pid, "cenote-segment")
            check(pages["KernelPageSize"] == 2048, f"pages of {pages['KernelPageSize']} KiB")
            check(pages["Shared_Hugetlb"] + pages["Private_Hugetlb"] == 16 * 2048,
                  f"not all of it is there: {pages}")
            check_values(p, put_values(p, chance.random()))
        refuse(["--dram", 4096 * HUGE_PAGE, "--huge-pages", "2M"],
               "needs 4096 huge pages of 2 MiB, the machine has [0-9]+ free ones|this machine has")


def named_huge_pages(_options, chance):
    """A hugetlbfs, with the state on a tmpfs."""
    if not NR_HUGE.exists():
        pool.skip("this kernel has no huge pages")
    mount = pathlib.Path(tempfile.mkdtemp(prefix="cenote-test-"))
    done = subprocess.run(["mount", "-t", "hugetlbfs", "-o", "pagesize=2M,mode=0700", "none",
                           mount], check=False, capture_output=True)
    if done.returncode != 0:
        mount.rmdir()
        pool.skip(f"no hugetlbfs can be mounted: {done.stderr.decode()}")
    try:
        with Reserved(24), Named(nodes=0) as p:
            refuse(["--memory-dir", mount, "--dram", "2MiB"], "--memory-state-dir must name")
            node = p.add_node("huge", ["--memory-dir", mount, "--memory-state-dir",
                                       p.directory("huge")], start=False)
            node.options[node.options.index("--dram") + 1] = str(16 * HUGE_PAGE)
            node.start()
            p.wait_capacity()
            values = put_values(p, chance.random())
            before, after = p.restart(node, "huge")
            check(before[1] == after[1], "the memory was taken over")
            pages = mapped_pages(node.pid, str(mount))
            check(pages["KernelPageSize"] == 2048, f"pages of {pages['KernelPageSize']} KiB")
            check_values(p, values)
    finally:
        subprocess.run(["umount", mount], check=True)
        mount.rmdir()


def numa(_options, chance):
    """Bound to a node, proven from numa_maps."""
    if not pathlib.Path("/proc/self/numa_maps").exists():
        pool.skip("this kernel knows no NUMA")
    with Pool(split=True, options=SHORT, node_options=["--numa", "0"]) as p:
        lines = [line for line in
                 pathlib.Path(f"/proc/{p.nodes[0].pid}/numa_maps").read_text().splitlines()
                 if "cenote-segment" in line]
        check(lines and all(" bind:0 " in line for line in lines), f"not bound: {lines}")
        check(all(re.search(r"\bN0=\d+", line) for line in lines), f"not there: {lines}")
        check_values(p, put_values(p, chance.random()))


if __name__ == "__main__":
    main([numa, huge_pages, named_huge_pages])
