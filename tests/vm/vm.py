#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs commands in a guest with software RDMA devices, on this machine's file system.

The command's output comes as it is written, and its exit status is this program's. Others: 77, it
can't run on this machine; 124, the command took too long; 125, the guest failed, or its kernel
complained. tests/vm/README.md tells more.
"""
import argparse
import os
import pathlib
import shlex
import signal
import sys
import tempfile

import host
import image
import running
from machine import Shape
from running import Guest, say
from session import Job

SKIPPED = 77
NETS = ("one", "pair", "rails")
SHELL_LIMIT_S = 24 * 3600


def main(words):
    options = _parse(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return options.function(options)
    except host.Skip as reason:
        say(f"SKIPPED: {reason}")
        return SKIPPED
    except host.Failed as error:
        say(error)
        return running.RIG_FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _parse(words):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="run | pair | shell | image")
    run = commands.add_parser("run", help="runs a command in a guest")
    run.add_argument("command", nargs="+", help="put -- before it")
    run.set_defaults(function=_run)
    pair = commands.add_parser("pair", help="runs two commands in two guests on a wire")
    pair.add_argument("command", nargs="+", help="-- the first one -- the second one")
    pair.set_defaults(function=_pair)
    shell = commands.add_parser("shell", help="a prompt in a guest; Ctrl-A X ends it")
    shell.set_defaults(function=_shell, timeout=SHELL_LIMIT_S)
    for command in (run, shell):
        command.add_argument("--net", choices=NETS, help="the network to make first (vm-net)")
        command.add_argument("--cpus", type=int, default=min(2, host.cores()))
    for command in (run, pair):
        command.add_argument("--timeout", type=float, default=120, metavar="S",
                             help="seconds that the command may take (%(default)s)")
    for command in (run, pair, shell):
        command.add_argument("--memory", default="2G", help="of each guest (%(default)s)")
        command.add_argument("--share", type=pathlib.Path, metavar="DIR",
                             help="folder for results, $CENOTE_VM_OUT in the guest")
        command.add_argument("--export", type=pathlib.Path, metavar="DIR", action="append",
                             default=[], help="a further folder that the guest can read; the "
                             "source tree, and all outside /tmp, /run and /dev are seen anyway")
    commands.add_parser("image", help="makes kernel and RAM disk").set_defaults(function=_image)
    return parser.parse_args(words)


def _image(_):
    print(image.ensure().folder)
    return 0


def _run(options):
    return running.run([Guest(_job(options, options.command), _shape(options))], options.timeout)


def _shell(options):
    size = os.get_terminal_size() if sys.stdin.isatty() else os.terminal_size((80, 24))
    script = (f"stty rows {size.lines} columns {size.columns}; "
              f"exec {shlex.quote(os.environ.get('SHELL', '/bin/bash'))} -i")
    job = _job(options, ["sh", "-c", script])
    job.interactive = True
    return running.run([Guest(job, _shape(options))], options.timeout)


def _pair(options):
    """Two commands, each in a guest of one processor."""
    if "--" not in options.command:
        raise host.Failed("usage: vm.py pair [option...] -- COMMAND... -- COMMAND...")
    middle = options.command.index("--")
    commands = {"a": options.command[:middle], "b": options.command[middle + 1:]}
    with tempfile.TemporaryDirectory(prefix="cenote-vm.") as folder:
        options.share = options.share or pathlib.Path(folder)
        guests = []
        for side, command in commands.items():
            job = _job(options, command)
            job.net, job.environment = "card", {"CENOTE_VM_SIDE": side}
            guests.append(Guest(job, Shape(memory=options.memory), side))
        return running.run(guests, options.timeout)


def _job(options, command):
    return Job(command, getattr(options, "net", None) or "", options.share,
               tuple(path.resolve() for path in options.export))


def _shape(options):
    return Shape(options.cpus, options.memory)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
