# SPDX-License-Identifier: Apache-2.0
"""The pages of doc/man and doc/THREADS.md against the public headers."""
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "doc/man"))
import generate
import headers

_THREADS = "doc/THREADS.md"


def wanted(texts):
    """{path: text} of the pages that headers want; texts are {path below include/: text}."""
    made = generate.pages(headers.Headers(texts))
    return {f"{generate.FOLDER}/{name}": text for name, text in made.items()}


def check_pages(tree):
    """Pages are what doc/man/generate.py makes of the headers."""
    if not any(name.startswith(generate.FOLDER + "/") for name in tree.names):
        return  # the small trees of the selftest
    for path, what in generate.differing(tree.root, headers.read_tree(tree.root)):
        yield f"{path}:1: {what}: run doc/man/generate.py"


def check_layout(tree):
    """groff has nothing to say against a page (where it is installed)."""
    names = [name for name in tree.names if re.fullmatch(r"doc/man/[\w.-]+\.[1-8]", name)]
    if not shutil.which("groff"):
        return
    for name in names:
        done = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", name], cwd=tree.root,
                              text=True, capture_output=True, check=False)
        for line, what in re.findall(r":(\d+): (.*)", done.stderr)[:1]:
            yield f"{name}:{line}: {what}"


def check_threads(tree):
    """doc/THREADS.md speaks of every public function, and of no other."""
    if _THREADS not in tree.names:
        return
    declared = {function.name for function in headers.read_tree(tree.root).functions}
    named = set(re.findall(r"\b(cenote_\w+)\(\)", tree.text(_THREADS)))
    for name in sorted(declared - named):
        yield f"{_THREADS}:1: says nothing of {name}()"
    for name in sorted(named - declared):
        yield f"{_THREADS}:1: {name}() is declared in no public header"
