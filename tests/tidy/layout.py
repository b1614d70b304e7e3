# SPDX-License-Identifier: Apache-2.0
"""clang-format decides the layout of C."""
import re
import shutil
import subprocess

_TOOL = "clang-format-14"


def check(tree):
    """clang-format would change nothing (where it is installed)."""
    names = tree.ending(".c", ".h")
    if not names or not shutil.which(_TOOL):
        return
    done = subprocess.run([_TOOL, "--dry-run", "--ferror-limit=0"] + names, cwd=tree.root,
                          text=True, capture_output=True, check=False)
    seen = set()
    for name, line in re.findall(r"^(\S+?):(\d+):\d+: warning: code should be clang-formatted",
                                 done.stderr, re.M):
        if name not in seen:
            seen.add(name)
            yield f"{name}:{line}: {_TOOL} lays this out differently"
    if done.returncode != 0:
        yield f".clang-format:1: {_TOOL} fails: {done.stderr.strip().splitlines()[0]}"
