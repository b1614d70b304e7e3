# SPDX-License-Identifier: Apache-2.0
"""What calls.txt says, and what a program imports."""
import os
import re
import subprocess

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "calls.txt")
FORTIFIED = re.compile(r"__(\w+?)(?:64)?(?:_chk|_2)$|__isoc\d+_(\w+)$|__(sched_cpucount)$")


def listed():
    """{reason: [names]}; a name that is there twice is an error."""
    reasons, seen = {}, set()
    with open(LIST, encoding="ascii") as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                reason, names = line.split(": ")
                for name in names.split():
                    if name in seen:
                        raise ValueError(f"{LIST} has {name} twice")
                    seen.add(name)
                    reasons.setdefault(reason, []).append(name)
    return reasons


def wrapped():
    return set(listed()["wrapped"])


def plain(name):
    """What the sources call a function."""
    found = FORTIFIED.match(name)
    return next(filter(None, found.groups())) if found else name


def imports(program):
    """The functions of others that it calls, less what compiler and C library put there."""
    done = subprocess.run(["nm", "-D", "--undefined-only", program], text=True, check=True,
                          stdout=subprocess.PIPE)
    names = {line.split()[-1].split("@")[0] for line in done.stdout.splitlines()}
    return {name for name in names
            if not name.startswith(("_ITM_", "__")) or plain(name) != name}
