# SPDX-License-Identifier: Apache-2.0
"""Rules for code that others link, and proofs that its safety mechanisms are guarded."""
import re

import cscan
from includes import folder_of
from tree import line_of

_LIBRARY = ("transport", "meta", "client")
_RUDE = re.compile(r"\b(printf|vprintf|puts|putchar|perror|exit|_exit|signal|sigaction)\s*\(")


def check_library(tree):
    """Libraries don't print, exit or handle signals."""
    for name in tree.ending(".c", ".h"):
        folder = folder_of(name)
        if folder == "client/cli" or not name.startswith(tuple(top + "/" for top in _LIBRARY)):
            continue
        text = cscan.code(tree.text(name))
        for match in _RUDE.finditer(text):
            place = f"{name}:{line_of(text, match.start())}"
            yield f"{place}: a library does not call {match.group(1)}()"


def check_controls(tree):
    """Each mechanism that can be switched off has a negative control."""
    controlled = set()
    for name in tree.names:
        if name.endswith("CMakeLists.txt"):
            controlled.update(re.findall(r"\bSWITCH\s+(\w+)", tree.text(name)))
    seen = set()
    for name in tree.ending(".c", ".h"):
        if name.startswith("tests/"):
            continue
        text = cscan.code(tree.text(name))
        for match in re.finditer(r"\btest_off\(TEST_(\w+)\)", text):
            switch = match.group(1).lower()
            if switch not in controlled and switch not in seen:
                seen.add(switch)
                place = f"{name}:{line_of(text, match.start())}"
                yield f"{place}: no cenote_control() switches '{switch}' off"
