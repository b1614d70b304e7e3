# SPDX-License-Identifier: Apache-2.0
"""Runs guests to their end: one, or two on a wire."""
import contextlib
import dataclasses
import selectors
import socket
import sys

import image
import slots
from machine import Ended, Machine, Shape
from session import Job

TIMED_OUT = 124
RIG_FAILED = 125
POLL_S = 0.1
ATTEMPTS = 2


@dataclasses.dataclass
class Guest:
    """A guest to run. Where it has a name, each line of its output begins with it."""
    job: Job
    shape: Shape
    name: str = ""


class _Printer:
    """Passes a guest's output on: as it comes, or in whole lines with its name before them."""

    def __init__(self, name):
        self._prefix = f"{name}: ".encode()
        self._named = bool(name)
        self._line = b""

    def write(self, text):
        if self._named:
            *lines, self._line = (self._line + text).split(b"\n")
            text = b"".join(self._prefix + line + b"\n" for line in lines)
        sys.stdout.buffer.write(text)
        sys.stdout.buffer.flush()

    def end(self):
        if self._line:
            self.write(b"\n")


def say(text):
    print(f"vm: {text}", file=sys.stderr, flush=True)


def run(guests, limit_s):
    """Runs one guest, or two on a wire, and returns the worst exit status. A guest that never came
    up gets a second chance, since no command has run in it."""
    made = image.ensure()
    with slots.taken(sum(guest.shape.processors for guest in guests)):
        for attempt in range(ATTEMPTS):
            try:
                return _run_once(made, guests, limit_s)
            except Ended as error:
                say(error)
                if error.came_up or attempt + 1 == ATTEMPTS:
                    return TIMED_OUT if error.timed_out else RIG_FAILED
                say("once more")
    raise AssertionError("the last attempt returns")


def _run_once(made, guests, limit_s):
    with contextlib.ExitStack() as undo:
        machines = []
        for guest, wire in zip(guests, _wires(len(guests), undo)):
            shape = dataclasses.replace(guest.shape, wire=wire, card=len(machines) + 1)
            machines.append(undo.enter_context(Machine(made, shape, guest.job, limit_s)))
        try:
            statuses = _follow(machines, [_Printer(guest.name) for guest in guests])
        except Ended:
            for machine in machines:
                _show("last words of the guest", machine.last_words())
            raise
        return max(max(statuses), max(_judge_kernel(machine) for machine in machines))


def _wires(count, undo):
    """The two ends of a wire, or none for a guest alone."""
    if count == 1:
        return [None]
    return [undo.enter_context(end) for end in socket.socketpair()]


def _follow(machines, printers):
    """Passes outputs on until all guests have ended; their commands' exit statuses."""
    statuses = []
    with selectors.DefaultSelector() as selector:
        for machine, printer in zip(machines, printers):
            if machine.has_output:
                selector.register(machine, selectors.EVENT_READ, printer)
            else:
                statuses.append(machine.status())
        while selector.get_map():
            for key, _ in selector.select(POLL_S):
                if not _pass_on(key.fileobj, key.data):
                    selector.unregister(key.fileobj)
                    statuses.append(key.fileobj.status())
            for key in selector.get_map().values():
                key.fileobj.check_time()
    return statuses


def _pass_on(machine, printer):
    """Passes some output on; false at its end."""
    text = machine.read()
    if text is None:
        printer.write(machine.rest())
        printer.end()
        return False
    printer.write(text)
    return True


def _judge_kernel(machine):
    complaints = machine.session.kernel_complaints()
    if not complaints:
        return 0
    _show("the guest's kernel complains", complaints)
    return RIG_FAILED


def _show(what, lines):
    say(f"{what}:")
    for line in lines:
        say(f"| {line}")
