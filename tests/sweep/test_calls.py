#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The fault sweep covers what the product calls.

Each function that cenoted or libcenote imports is in calls.txt: wrapped, or with the reason why it
isn't; and what is wrapped is called, under each of its names.
"""
import os
import sys
import tempfile
import subprocess

import calls

PRODUCTS = (os.path.join(os.environ["CENOTE_BIN"], "cenoted"),
            os.path.join(os.environ["CENOTE_LIB"], "libcenote.so"))


def faults(imported, reasons):
    """What is wrong, a line each."""
    wrapped, aliases = set(reasons["wrapped"]), set(reasons["wrapped as"])
    known = {name for names in reasons.values() for name in names}
    called = {calls.plain(name) for name in imported}
    for name in sorted(called - known):
        yield f"{name} is called and not in calls.txt: can it fail?"
    for name in sorted(known - aliases - called):
        yield f"{name} is in calls.txt and called by nobody"
    for name in sorted(imported):
        if calls.plain(name) in wrapped and name not in wrapped | aliases:
            yield f"{name} is {calls.plain(name)}, and not wrapped under this name"


def imported_by(source):
    """By a library of this one function: a control."""
    with tempfile.TemporaryDirectory() as folder:
        library = os.path.join(folder, "control.so")
        subprocess.run(["cc", "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", library], text=True,
                       input=source, check=True)
        return calls.imports(library)


def main():
    if os.environ.get("CENOTE_SANITIZE"):
        return 77 # its names are others
    imported = set().union(*map(calls.imports, PRODUCTS))
    reasons = calls.listed()
    found = list(faults(imported, reasons))
    print("".join(f"{line}\n" for line in found), end="")
    for name in ("pipe2", "__recv_chk"): # one that isn't listed, and another name of a wrapped one
        more = imported | imported_by(f"void f(void) {{ {name}(); }}")
        if not any(line.startswith(name) for line in faults(more, reasons)):
            found.append(name)
            print(f"control: {name} is not seen")
    if not any(line.startswith("mdb_put ") for line in faults(
            imported, {**reasons, "wrapped": reasons["wrapped"] + ["mdb_put"]})):
        found.append("mdb_put")
        print("control: a wrapped name that nobody calls is not seen")
    print(f"{len(imported)} functions, {len(reasons['wrapped'])} of them wrapped, "
          f"{len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
