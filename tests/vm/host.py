# SPDX-License-Identifier: Apache-2.0
"""What the rig finds on this machine: tools, cores, acceleration, a place for its cache."""
import ctypes
import os
import pathlib
import platform
import shutil
import signal
import subprocess

TREE = pathlib.Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1
# What each tool comes in, among Debian's packages.
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "apt-get": "apt",
    "apt-cache": "apt",
    "busybox": "busybox-static",
    "depmod": "kmod",
    "modprobe": "kmod",
    "dpkg-deb": "dpkg",
    "ip": "iproute2",
    "rdma": "iproute2",
    "tc": "iproute2",
}
SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"

_libc = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """The rig can't run on this machine; the text says what is missing."""


class Failed(Exception):
    """The rig can't do what it should; the text says why."""


def tool(name):
    """The path of a tool, or Skip."""
    path = shutil.which(name, path=SYSTEM_PATH)
    if not path:
        raise Skip(f"{name} is missing: install the package {TOOLS[name]} "
                   "(deploy/packages.sh test does)")
    return path


def require_tools():
    if platform.machine() != "x86_64":
        raise Skip(f"the guest needs an x86_64 host, this is {platform.machine()}")
    for name in TOOLS:
        tool(name)


def cores():
    return len(os.sched_getaffinity(0))


def acceleration():
    """QEMU's options for the processor. /dev/kvm may be there and crawl where the processor itself
    doesn't virtualize, so that only the processor's flags count."""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as info:
        flags = next((line.split() for line in info if line.startswith("flags")), [])
    if {"vmx", "svm"} & set(flags) and os.access("/dev/kvm", os.R_OK | os.W_OK):
        return ["-accel", "kvm", "-cpu", "host"]
    # With these two flags the kernel copies by `rep movsb`, which TCG does a byte at a time.
    return ["-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm"]


def cache_directory():
    """Where kernels, initial RAM disks and locks are kept."""
    named = os.environ.get("CENOTE_VM_CACHE")
    if named:
        path = pathlib.Path(named)
    else:
        base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        path = pathlib.Path(base) / "cenote-vm"
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def die_with_parent():
    """For a child before its exec: the end of this process ends it too."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def output_of(command, **options):
    """A command's standard output; Failed, with its last words, where it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, preexec_fn=die_with_parent, **options)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise Failed(f"{' '.join(map(str, command))}: status {done.returncode}: {last}")
    return done.stdout
