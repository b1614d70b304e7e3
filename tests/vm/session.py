# SPDX-License-Identifier: Apache-2.0
"""The folder that a guest and the host share: how a command gets in, and what became of it.

In: `shares`, what else the guest mounts; `main`, the first process in the machine's file system;
`command`, a script that makes the environment of this process, and the network, and becomes the
command. Out: `up` when the guest begins with it, `kernel-log` and `status` at its end.
"""
import contextlib
import dataclasses
import os
import pathlib
import re
import shlex

import host

GUEST = pathlib.Path(__file__).resolve().parent / "guest"
OUT = "/run/cenote-vm-out" # results, in the guest
# The guest has temporary folders of its own.
NOT_FORWARDED = re.compile(r"TMPDIR|TMP|TEMP|PWD|OLDPWD|SHLVL|_|XDG_RUNTIME_DIR|CENOTE_VM_\w+")
COMPLAINT = re.compile(r"\bBUG\b|\bWARNING:|Call Trace:|Oops:|Kernel panic|Out of memory:|"
                       r"general protection fault")
LINES_AFTER_COMPLAINT = 20


@dataclasses.dataclass
class Job:
    """What a guest is to do. net: the network that vm-net makes before the command; out: the host's
    folder for results; exports: further folders that the guest sees, read-only."""
    command: list
    net: str = ""
    out: pathlib.Path = None
    exports: tuple = ()
    environment: dict = dataclasses.field(default_factory=dict)
    interactive: bool = False


@dataclasses.dataclass
class Share:
    """A folder of the host's in the guest."""
    tag: str
    folder: pathlib.Path
    place: str
    writable: bool = False


class Session:
    """A session's folder."""

    def __init__(self, folder, job):
        self.folder = folder
        self.job = job
        out = pathlib.Path(job.out or folder / "out").absolute()
        out.mkdir(parents=True, exist_ok=True)
        # The tree is exported by itself, since it may lie where the guest has folders of its own.
        exported = (host.TREE, *job.exports)
        self.shares = [Share(f"tree{i}", path, str(path)) for i, path in enumerate(exported)]
        self.shares.append(Share("out", out, OUT, writable=True))
        self._write()

    def _write(self):
        lines = []
        for share in self.shares:
            how = "rw,cache=none" if share.writable else "ro,cache=loose"
            lines.append(f"{share.tag} {how} {share.place}\n")
        (self.folder / "shares").write_text("".join(lines))
        (self.folder / "main").write_text(str(GUEST / "main"))
        if self.job.interactive:
            (self.folder / "interactive").touch()
        script = self._command_script().encode(errors="surrogateescape")
        (self.folder / "command").write_bytes(script)

    def _command_script(self):
        environment = {name: value for name, value in os.environ.items()
                       if name.isidentifier() and not NOT_FORWARDED.fullmatch(name)}
        environment.update(self.job.environment, CENOTE_VM_OUT=OUT,
                           PATH=f"{GUEST / 'bin'}:{host.SYSTEM_PATH}")
        lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
        here, tree = shlex.quote(os.getcwd()), shlex.quote(str(host.TREE))
        lines.append(f"cd {here} 2>/dev/null || cd {tree} || exit 125")
        if self.job.net:
            lines.append(f"vm-net {shlex.quote(self.job.net)} || exit 125")
        lines.append("exec " + shlex.join(self.job.command))
        return "\n".join(lines) + "\n"

    def is_up(self):
        return (self.folder / "up").exists()

    def status(self):
        """The command's exit status; None if the guest left none."""
        with contextlib.suppress(OSError):
            return int((self.folder / "status").read_text())
        return None

    def kernel_complaints(self):
        """Of the guest's kernel log: lines that no test may leave behind, and what follows them."""
        with contextlib.suppress(OSError):
            lines = (self.folder / "kernel-log").read_text(errors="replace").splitlines()
            for number, line in enumerate(lines):
                if COMPLAINT.search(line):
                    return lines[number:number + LINES_AFTER_COMPLAINT]
        return []
