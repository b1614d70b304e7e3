# SPDX-License-Identifier: Apache-2.0
"""The tree under check: names and texts of the files that git knows or would add."""
import pathlib
import subprocess


class Tree:
    def __init__(self, root):
        self.root = pathlib.Path(root)
        listed = subprocess.run(
            ["git", "-c", f"safe.directory={self.root}", "-C", str(self.root), "ls-files", "-z",
             "--cached", "--others", "--exclude-standard"],
            check=True, capture_output=True, text=True).stdout
        names = sorted(set(name for name in listed.split("\0") if name))
        self.names = [name for name in names if (self.root / name).is_file()]
        self._texts = {}

    def text(self, name):
        """The text of a file; empty for a binary one (a fuzzing corpus, say)."""
        if name not in self._texts:
            try:
                self._texts[name] = (self.root / name).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                self._texts[name] = ""
        return self._texts[name]

    def ending(self, *suffixes):
        return [name for name in self.names if name.endswith(suffixes)]

    def scripts(self):
        """Python, shell and CMake files, with a suffix or without."""
        found = []
        for name in self.names:
            if name.endswith((".py", ".sh", ".cmake")) or name.endswith("CMakeLists.txt"):
                found.append(name)
            elif "." not in pathlib.PurePath(name).name and self.text(name).startswith("#!"):
                found.append(name)
        return found


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1
