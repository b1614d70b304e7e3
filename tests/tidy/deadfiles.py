# SPDX-License-Identifier: Apache-2.0
"""Files that nothing uses."""
import pathlib
import re

from cscan import without_comments


def _named_by(tree, name):
    """The sources that one CMake list names; test_${x}.c stands for all words x of the list."""
    folder = pathlib.PurePosixPath(name).parent
    text = re.sub(r"#.*", "", tree.text(name)).replace("${PROJECT_SOURCE_DIR}/", "/")
    words = set(re.findall(r"[\w-]+", text))
    for source in re.findall(r"[\w./${}-]+\.(?:c|h)\b", text):
        variants = [source]
        if "${" in source:
            variants = [re.sub(r"\$\{\w+\}", word, source) for word in words]
        for variant in variants:
            yield variant[1:] if variant.startswith("/") else str(folder / variant)


def _built_sources(tree):
    """Paths of all sources that CMake lists name."""
    lists = tree.ending("CMakeLists.txt", ".cmake")
    return {source for name in lists for source in _named_by(tree, name)}


def _included(tree):
    found = set()
    for name in tree.ending(".c", ".h"):
        for header in re.findall(r'^[ \t]*#[ \t]*include[ \t]+["<]([^">]+)[">]',
                                 without_comments(tree.text(name)), re.M):
            found.add(header)
    return found


def _mentioned(tree, name):
    """Does another file name this script, or import it?"""
    path = pathlib.PurePosixPath(name)
    word = re.escape(path.name) + r"|import\s+(\w+,\s*)*" + re.escape(path.stem) + r"\b"
    pattern = re.compile(word + r"|from\s+" + re.escape(path.stem) + r"\b")
    return any(pattern.search(tree.text(other)) for other in tree.names if other != name)


def _is_package_part(name):
    """A package's __init__ and the like are found by their place."""
    return pathlib.PurePosixPath(name).name.startswith("__")


def check(tree):
    """Each source is built, each header included, each script named by some other file."""
    used = _built_sources(tree) | _included(tree)
    for name in tree.names:
        if name.endswith(".c") and name not in used:
            yield f"{name}:1: no CMakeLists.txt builds it"
        elif name.endswith(".h") and not name.startswith("include/") and name not in used:
            yield f"{name}:1: nothing includes it"
        elif name.endswith((".py", ".sh")) and not (
                _is_package_part(name) or _mentioned(tree, name)):
            yield f"{name}:1: nothing runs or imports it"
