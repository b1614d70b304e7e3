# SPDX-License-Identifier: Apache-2.0
"""Keeps the processors of all running guests of a user at or below this machine's cores.

There is a lock file for each core. Who starts a guest takes one for each of its processors, and
waits in a queue, which is one more lock, until he has all; so nobody holds some and waits for
others that wait for him.
"""
import contextlib
import fcntl
import sys
import time

import host

POLL_S = 0.1


@contextlib.contextmanager
def taken(processors):
    """Holds the slots of a guest, or of two."""
    cores = host.cores()
    if processors > cores:
        raise host.Skip(f"this machine has {cores} cores, too few for {processors} virtual "
                        "processors")
    folder = host.cache_directory() / "cores"
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as held:
        slots = [held.enter_context(_lock_file(folder / f"core-{i}")) for i in range(cores)]
        with _lock_file(folder / "queue") as queue:
            if not _try([queue], 1):
                _say_that_it_waits()
                fcntl.flock(queue, fcntl.LOCK_EX) # in the order of coming, unlike who polls
            if not _try(slots, processors):
                _say_that_it_waits()
                while not _try(slots, processors): # it isn't known which of the guests ends first
                    time.sleep(POLL_S)
        yield


def _lock_file(path):
    return open(path, "w", encoding="ascii")


def _say_that_it_waits():
    print("vm: waits for another guest to end", file=sys.stderr, flush=True)


def _try(files, count):
    """Locks count of the files, or none."""
    locked = []
    for file in files:
        if len(locked) == count:
            break
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked.append(file)
    if len(locked) == count:
        return True
    for file in locked:
        fcntl.flock(file, fcntl.LOCK_UN)
    return False
