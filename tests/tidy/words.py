# SPDX-License-Identifier: Apache-2.0
"""Words that must be there, and words that must not."""
import re

_LICENCE = "SPDX-License-Identifier: Apache-2.0"
# Written in pieces, so that this file passes its own check.
_LEFT_OVER = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
_DEVELOPER = re.compile(r"(?<![\w.~}])/(home|Users|root|wo" r"rk)/\w")


def check_licence(tree):
    """Each source begins with its licence line."""
    for name in tree.ending(".c", ".h"):
        if not tree.text(name).startswith(f"/* {_LICENCE} */\n"):
            yield f"{name}:1: does not begin with the SPDX line"
    for name in tree.scripts():
        lines = tree.text(name).splitlines()
        wanted = 1 if lines and lines[0].startswith("#!") else 0
        if lines[wanted:wanted + 1] != [f"# {_LICENCE}"]:
            yield f"{name}:{wanted + 1}: does not begin with the SPDX line"


def check_left_overs(tree):
    """Nothing is marked as unfinished, and nothing points into somebody's home."""
    for name in tree.names:
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            if _LEFT_OVER.search(line):
                yield f"{name}:{number}: something was left unfinished here"
            if _DEVELOPER.search(line):
                yield f"{name}:{number}: an absolute path of somebody's machine"
