#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libcenote's binary interface: both libraries export what the public headers declare and nothing
else, and prototypes, layouts and values are those of client/libcenote.abi.

Usage: test_abi.py [--update]. --update writes that file anew: only for additions, or with a new
SOVERSION in client/CMakeLists.txt.
"""
import difflib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(os.environ.get("CENOTE_SOURCE", ".")).resolve()
LIB = pathlib.Path(os.environ.get("CENOTE_LIB", "build/lib")).resolve()
PINNED = SOURCE / "client/libcenote.abi"
MAP = SOURCE / "client/libcenote.map"

sys.path.insert(0, str(SOURCE / "doc/man"))
import headers

HELP = (f"The interface has changed. Applications that are installed break when a line of "
        f"{PINNED.name} changes or goes: give what is new names of its own at the end. Additions: "
        f"tests/system/test_abi.py --update, and client/{MAP.name} for a function.")


def layout_program(declared):
    """C that prints sizes, offsets and values, a line for each."""
    lines = [*(f"#include <{name}>" for name in sorted(declared.about)), "#include <stdio.h>",
             "int main(void)", "{"]

    def say(text, value):
        lines.append(f'    printf("{text} %lld\\n", (long long)({value}));')

    for name, of in sorted(declared.types.items()):
        say(f"{name} size", f"sizeof({name})")
        if of.kind == "struct":
            for field in of.fields:
                say(f"{name}.{field} offset", f"offsetof({name}, {field})")
                say(f"{name}.{field} size", f"sizeof(((({name} *)0)->{field}))")
        else:
            for constant in of.fields:
                say(f"{name} {constant}", constant)
    for status in declared.statuses:
        say(f"enum cenote_status {status.name}", status.name)
    for constant in declared.constants:
        # a macro with an argument is pinned by what it makes of 1
        say(f"constant {constant.name}", re.sub(r"\(\w+\)$", "(1)", constant.name))
    return "\n".join(lines + ["    return 0;", "}", ""])


def run_program(text):
    with tempfile.TemporaryDirectory(prefix="cenote-test-") as folder:
        program = pathlib.Path(folder, "layout")
        program.with_suffix(".c").write_text(text, encoding="utf-8")
        subprocess.run(["cc", "-std=c11", "-Wall", "-Werror", f"-I{SOURCE}/include",
                        program.with_suffix(".c"), "-o", program], check=True)
        return subprocess.run([program], check=True, capture_output=True, text=True).stdout


def interface(declared):
    """All that applications depend on, as lines of text."""
    prototypes = sorted(f"function {function.code}" for function in declared.functions)
    return prototypes + run_program(layout_program(declared)).splitlines()


def exported(library, *options):
    """Names that a library defines for others, as a set."""
    text = subprocess.run(["nm", "--defined-only", "--extern-only", *options, library], check=True,
                          capture_output=True, text=True).stdout
    found = re.findall(r"^[0-9a-f]+ ([A-Za-z]) (\S+)$", text, re.M)
    return {name for kind, name in found if kind != "A"}  # A: a version's own name


def without_sanitizers(names):
    return {n for n in names if not n.startswith(("__asan_", "__odr_asan", "__ubsan_", "__gcov"))}


def check_exports(declared):
    """Yields what is wrong with the libraries' symbols."""
    functions = {function.name for function in declared.functions}
    shared = exported(LIB / "libcenote.so", "--dynamic")
    shared = {re.sub(r"@@CENOTE_\d+$", "", n) if "@" in n else n + " without a version"
              for n in without_sanitizers(shared)}
    static = without_sanitizers(exported(LIB / "libcenote.a"))
    for library, found in (("libcenote.so", shared), ("libcenote.a", static)):
        for name in sorted(functions - found):
            yield f"{library} does not export {name}"
        for name in sorted(found - functions):
            yield f"{library} exports {name}, which no public header declares"


def main(arguments):
    declared = headers.read_tree(SOURCE)
    lines = interface(declared)
    if arguments == ["--update"]:
        PINNED.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return 0
    faults = list(check_exports(declared))
    pinned = PINNED.read_text(encoding="utf-8").splitlines()
    if lines != pinned:
        faults += difflib.unified_diff(pinned, lines, PINNED.name, "the headers", lineterm="", n=0)
        faults.append(HELP)
    print("\n".join(faults) or f"{len(lines)} lines of the interface are as they were")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
