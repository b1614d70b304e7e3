# SPDX-License-Identifier: Apache-2.0
"""Public headers compile alone, as C11 and as C++17."""
import subprocess

_WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wundef", "-Werror",
             "-fsyntax-only"]
_LANGUAGES = (
    ("C11", ["gcc", "-std=c11", "-Wshadow", "-Wstrict-prototypes", "-x", "c"]),
    ("C++17", ["g++", "-std=c++17", "-Wold-style-cast", "-x", "c++"]),
)


def check(tree):
    """Each public header, included alone and twice, compiles without a warning."""
    for name in tree.ending(".h"):
        if not name.startswith("include/"):
            continue
        line = f"#include <{name.removeprefix('include/')}>\n"
        for language, command in _LANGUAGES:
            done = subprocess.run(command + _WARNINGS + ["-I", str(tree.root / "include"), "-"],
                                  input=line + line, text=True, capture_output=True, check=False)
            if done.returncode != 0:
                reason = next((text for text in done.stderr.splitlines() if " error: " in text),
                              "?")
                yield f"{name}:1: does not compile alone as {language}: {reason}"
