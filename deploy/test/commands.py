#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints the commands of a document, as they are written, for a shell.

Usage: commands.py FILE TAG...
       commands.py --others FILE TAG...    fails, and prints the blocks, where some have no such tag

A block of commands, indented by four, belongs to a tag when `<!-- run: TAG -->` stands before it,
and is known not to be run by `<!-- not run: WHY -->`. The blocks of the first tag come first.
"""
import re
import sys

BLOCK = re.compile(r"<!-- run: ([\w ]+) -->\n\n((?:    .*\n|\n(?=    ))+)")
ANY = re.compile(r"(?:<!-- (run|not run): ([\w ]+) -->\n\n|(?<=\n\n))((?:    .*\n|\n(?=    ))+)")


def others(name, tags):
    with open(name, encoding="utf-8") as f:
        left = [block for how, tag, block in ANY.findall(f.read())
                if how != "not run" and tag not in tags]
    if left:
        sys.exit(f"{name}: nobody types\n" + "\n".join(left))


def main():
    if sys.argv[1] == "--others":
        others(sys.argv[2], sys.argv[3:])
        return
    with open(sys.argv[1], encoding="utf-8") as f:
        blocks = BLOCK.findall(f.read())
    for tag in sys.argv[2:]:
        found = [block for name, block in blocks if name == tag]
        if not found:
            sys.exit(f"{sys.argv[1]}: no commands for {tag}")
        for block in found:
            print("\n".join(line[4:] for line in block.splitlines()))


if __name__ == "__main__":
    main()
