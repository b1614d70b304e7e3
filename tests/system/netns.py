# SPDX-License-Identifier: Apache-2.0
"""Networks of a test's own, one for each process, with a router between them that can cut any
direction between any two. Nothing of it is seen outside, nothing stays behind.

    net = Network()              this process moves into a network of its own: the router
    a = net.add("a")             another one; a.address, a.enter (words before a command)
    net.cut(a, b)                what a sends to b is dropped, silently
    net.heal(); net.close()

Whoever may not make networks (that needs root) gets Unsupported.
"""
import ctypes
import os
import pathlib
import subprocess

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Unsupported(Exception):
    """No networks here, and why."""


def _ip(*words, inside=()):
    done = subprocess.run([*inside, "ip", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unsupported(f"ip {' '.join(words)}: {done.stderr.strip()}")


class Host:
    """A network namespace, kept by a process that does nothing."""

    def __init__(self, name, number):
        self.name = name
        self.address = f"10.77.{number}.2"
        self.gateway = f"10.77.{number}.1"
        self.keeper = subprocess.Popen(["unshare", "--net", "sleep", "infinity"],
                                       stdin=subprocess.DEVNULL)
        self.path = f"/proc/{self.keeper.pid}/ns/net"
        self.enter = ["nsenter", f"--net={self.path}", "--"]

    def entered(self):
        """Has the keeper left this network?"""
        return os.stat(self.path).st_ino != os.stat("/proc/self/ns/net").st_ino

    def wire(self, number):
        outer, inner = f"veth{number}", f"vethn{number}"
        _ip("link", "add", outer, "type", "veth", "peer", "name", inner)
        _ip("link", "set", inner, "netns", str(self.keeper.pid))
        _ip("addr", "add", f"{self.gateway}/24", "dev", outer)
        _ip("link", "set", outer, "up")
        _ip("link", "set", "lo", "up", inside=self.enter)
        _ip("addr", "add", f"{self.address}/24", "dev", inner, inside=self.enter)
        _ip("link", "set", inner, "up", inside=self.enter)
        _ip("route", "add", "default", "via", self.gateway, inside=self.enter)

    def close(self):
        self.keeper.kill()
        self.keeper.wait()


class Network:
    """This process is the router from now on."""

    def __init__(self):
        self.hosts = []
        self.cuts = set()
        if _libc.unshare(CLONE_NEWNET) != 0:
            raise Unsupported(f"unshare: {os.strerror(ctypes.get_errno())}")
        _ip("link", "set", "lo", "up")
        pathlib.Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def add(self, name):
        host = Host(name, len(self.hosts) + 1)
        self.hosts.append(host)
        for _ in range(10000):
            if host.entered():
                break
            os.sched_yield()
        host.wire(len(self.hosts))
        return host

    def cut(self, source, target):
        """What source sends to target is dropped from now on."""
        if (source, target) not in self.cuts:
            _ip("rule", "add", "from", source.address, "to", target.address, "blackhole")
            self.cuts.add((source, target))

    def heal(self):
        for source, target in self.cuts:
            _ip("rule", "del", "from", source.address, "to", target.address, "blackhole")
        self.cuts.clear()

    def close(self):
        for host in self.hosts:
            host.close()
