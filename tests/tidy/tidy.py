#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the tree against the rules that a compiler doesn't know.

Usage: tests/tidy/tidy.py [root]. Prints one line for each fault, `file:line: what`, and ends with
status 1 if there is any. tests/tidy/selftest.py plants a fault of each kind.
"""
import pathlib
import sys

import deadfiles
import docs
import includes
import layout
import lengths
import manpages
import mechanisms
import publicheaders
import words
from tree import Tree

CHECKS = (
    includes.check,
    lengths.check,
    docs.check,
    publicheaders.check,
    layout.check,
    deadfiles.check,
    words.check_licence,
    words.check_left_overs,
    manpages.check_pages,
    manpages.check_layout,
    manpages.check_threads,
    mechanisms.check_library,
    mechanisms.check_controls,
)


def faults(tree):
    """Yields (check, fault) for all faults of a tree."""
    for check in CHECKS:
        for fault in check(tree):
            yield check, fault


def main(arguments):
    root = arguments[0] if arguments else pathlib.Path(__file__).resolve().parents[2]
    tree = Tree(root)
    found = [fault for _, fault in faults(tree)]
    for fault in found:
        print(fault)
    print(lengths.report(tree))
    print(f"{len(CHECKS)} checks, {len(tree.names)} files, {len(found)} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
