# SPDX-License-Identifier: Apache-2.0
"""One guest: QEMU with a session's folder, and its life in time.

The command's output comes through a virtual serial port that is QEMU's standard output; the console
is the kernel's, and is kept for the case that the guest dies.
"""
import contextlib
import dataclasses
import os
import pathlib
import socket
import subprocess
import tempfile
import time

import host
from session import Job, Session, Share

BOOT_LIMIT_S = 60
CONSOLE_LINES = 60
# The watchdogs are off, because a busy host takes processors away for seconds, which is no fault of
# the guest's kernel. A guest that hangs reaches the time limit. The time stamp counters of virtual
# processors agree; the kernel finds them wanting, and would ask a slow emulated timer instead.
KERNEL_OPTIONS = ("console=ttyS0 quiet panic=-1 oops=panic mitigations=off audit=0 nokaslr "
                  "random.trust_cpu=on nowatchdog rcupdate.rcu_cpu_stall_suppress=1 "
                  "tsc=reliable cryptomgr.notests log_buf_len=4M")
# Of each device: what it takes the kernel a fifth of a second to set up, and nobody needs.
PLAIN = "vectors=0,disable-legacy=on"


@dataclasses.dataclass
class Shape:
    """What a guest consists of. wire: a socket, at whose other end is another guest."""
    processors: int = 1
    memory: str = "2G"
    wire: socket.socket = None
    card: int = 1 # number of its network card on the wire


class Ended(Exception):
    """A guest that ended, or must be ended, without a status of its command."""

    def __init__(self, text, came_up, timed_out=False):
        super().__init__(text)
        self.came_up = came_up
        self.timed_out = timed_out


class Machine:
    """A guest. Use as a context: in the end QEMU is gone, and so is the session's folder."""

    def __init__(self, image, shape, job, limit_s):
        self._image = image
        self._shape = shape
        self._job = job
        self._limit_s = limit_s
        self._undo = contextlib.ExitStack()
        self._zeros = b"" # the last bytes of the output, which may be the mark of its end
        self._up_s = None

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            temporary = tempfile.TemporaryDirectory(prefix="cenote-vm.")
            self._folder = pathlib.Path(undo.enter_context(temporary))
            (self._folder / "session").mkdir()
            self.session = Session(self._folder / "session", self._job)
            self._process = self._start()
            self._started_s = time.monotonic()
            undo.callback(self._stop)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_):
        self._undo.close()

    # ---- QEMU ---------------------------------------------------------------------------------

    def _start(self):
        """Its input stays open and empty: at an end of input QEMU would close the port."""
        wire = self._shape.wire
        stream = None if self._job.interactive else subprocess.PIPE
        with open(self._folder / "errors", "wb") as errors:
            return subprocess.Popen(
                self._arguments(), stdin=stream, stdout=stream, stderr=errors,
                preexec_fn=host.die_with_parent, pass_fds=[wire.fileno()] if wire else [])

    def _stop(self):
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream:
                stream.close()

    def _arguments(self):
        arguments = [host.tool("qemu-system-x86_64"), *host.acceleration(),
                     "-smp", str(self._shape.processors), "-m", self._shape.memory,
                     "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
                     "-kernel", str(self._image.kernel), "-initrd", str(self._image.initrd),
                     "-append", KERNEL_OPTIONS, *self._console_arguments()]
        shares = [Share("root", pathlib.Path("/"), "/"),
                  Share("session", self.session.folder, "/run/cenote-vm", writable=True)]
        for share in shares + self.session.shares:
            arguments += _share_arguments(share)
        return arguments + self._wire_arguments()

    def _wire_arguments(self):
        if not self._shape.wire:
            return []
        descriptor, card = self._shape.wire.fileno(), self._shape.card
        return ["-netdev", f"stream,id=wire,server=off,addr.type=fd,addr.str={descriptor}",
                "-device", f"virtio-net-pci,romfile=,netdev=wire,mac=52:54:00:00:00:{card:02x},"
                           f"{PLAIN}"]

    def _console_arguments(self):
        """The first of the virtual devices is the output's, by which guest/main finds it."""
        if self._job.interactive:
            return ["-serial", "mon:stdio"]
        return ["-monitor", "none", "-serial", f"file:{_escaped(self._console)}",
                "-chardev", "stdio,id=output,signal=off", "-device", f"virtio-serial-pci,{PLAIN}",
                "-device", "virtserialport,chardev=output,name=output"]

    @property
    def _console(self):
        return self._folder / "console"

    # ---- its life -----------------------------------------------------------------------------

    @property
    def has_output(self):
        """False at the prompt: the terminal is QEMU's then."""
        return self._process.stdout is not None

    def fileno(self):
        """Readable when read() has something."""
        return self._process.stdout.fileno()

    def read(self):
        """Some of the command's output; None after its end."""
        part = os.read(self.fileno(), 1 << 16)
        if not part:
            return None
        part = self._zeros + part
        text = part.rstrip(b"\0")
        self._zeros = part[len(text):]
        return text

    def rest(self):
        """The output's last bytes: two zeros less, which guest/main wrote."""
        return self._zeros[2:]

    def check_time(self):
        """To be called now and then: Ended if the guest takes too long."""
        now = time.monotonic()
        if self._up_s is None:
            if self.session.is_up():
                self._up_s = now
            elif now > self._started_s + BOOT_LIMIT_S:
                raise Ended(f"the guest did not come up in {BOOT_LIMIT_S} s", False)
        elif now > self._up_s + self._limit_s:
            raise Ended(f"time-out: the command did not end in {self._limit_s:g} s", True, True)

    def status(self):
        """Waits for QEMU to end by itself; the command's exit status, or Ended."""
        self._process.wait()
        status = self.session.status()
        if status is None:
            came_up = self.session.is_up()
            raise Ended("the guest ended before its command did" if came_up else
                        "the guest did not come up", came_up)
        return status

    def last_words(self):
        """What QEMU and the kernel said at last."""
        said = []
        for path in (self._folder / "errors", self._console):
            with contextlib.suppress(OSError):
                said += path.read_text(errors="replace").splitlines()
        return said[-CONSOLE_LINES:]


def _share_arguments(share):
    """A file system that the guest can mount by its tag."""
    options = "" if share.writable else ",readonly=on"
    return ["-fsdev", f"local,id={share.tag},path={_escaped(share.folder)},security_model=none,"
                      f"multidevs=remap{options}",
            "-device", f"virtio-9p-pci,fsdev={share.tag},mount_tag={share.tag},{PLAIN}"]


def _escaped(path):
    """For QEMU's options, where a comma begins the next one."""
    return str(path).replace(",", ",,")
