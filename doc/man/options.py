#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what --help of the programs says into the pages of sections 1 and 8, between lines
`.\\" BEGIN NAME` and `.\\" END NAME`, where NAME is OPTIONS or COMMANDS, and what `cenoted
--print-config` says into cenoted.conf(5) and deploy/cenoted.conf (where lines that set something
stay). The rest of these files is written by hand.

Usage: doc/man/options.py [--check] DIRECTORY (where the programs are, e.g. build/bin). With --check
nothing is written; status 1 if a page differs. tests/system/test_install.py checks it too.
"""
import os
import pathlib
import re
import subprocess
import sys

import troff

FOLDER = pathlib.Path(__file__).resolve().parent
EXAMPLE = FOLDER.parent.parent / "deploy/cenoted.conf"
FILE_PAGE = "cenoted.conf.5"
PAGES = {"cenote": "cenote.1", "cenoted": "cenoted.8", "cenote-bench": "cenote-bench.1"}

_OPTION = re.compile(r"^  --([\w-]+)(?: ([A-Z]+))? +(\S.*)$", re.M)
_COMMAND = re.compile(r"^  ([a-z]+)((?: +(?:\[[^\]]+\]|[A-Z]+(?:\.\.\.)?))*) {2,}(\S.*)$", re.M)
_DEFAULT = re.compile(r" \[(.*)\]$")
_CHOICES = re.compile(r" \(((?:[\w,-]+, )+[\w,-]+)\)$")


def _sentence(text):
    if not re.match(r"[a-z, ]+: ", text):  # "put: take the place ..." names a command or a choice
        text = text[0].upper() + text[1:]
    return text if text.endswith(".") else text + "."


def _described(text):
    """An option's text: what it does, the choices and the default."""
    default = _DEFAULT.search(text)
    text = _DEFAULT.sub("", text)
    choices = _CHOICES.search(text)
    lines = [troff.literal(_sentence(_CHOICES.sub("", text)))]
    if choices:
        words = [f"\\fB{troff.literal(word)}\\fP" for word in choices[1].split(", ")]
        lines.append("One of " + ", ".join(words) + ".")
    if default and default[1]:
        lines.append(f"Default: \\fB{troff.literal(default[1])}\\fP.")
    return "\n".join(lines)


def _option(name, metavar, text):
    value = f" \\fI{metavar}\\fP" if metavar else ""
    return troff.item(f"\\fB\\-\\-{troff.literal(name)}\\fP{value}", _described(text))


def _command(name, arguments, text):
    arguments = re.sub(r"([A-Z]+)", r"\\fI\1\\fP", troff.literal(" ".join(arguments.split())))
    return troff.item(f"\\fB{name}\\fP {arguments}".rstrip(), troff.literal(_sentence(text)))


def sections(text):
    """{"OPTIONS": troff, "COMMANDS": troff} of a --help text."""
    text = re.sub(r"\n {6,}(?=\S)", " ", text)  # lines that go on
    return {"OPTIONS": "\n".join(_option(*found) for found in _OPTION.findall(text)),
            "COMMANDS": "\n".join(_command(*found) for found in _COMMAND.findall(text))}


def filled(page, parts):
    """The page with its marked parts replaced."""
    def replace(match):
        return f'{match[1]}{parts[match[2]]}\n{match[3]}'
    return re.sub(r'(^\.\\" BEGIN (\w+)\n).*?(^\.\\" END \2$)', replace, page,
                  flags=re.S | re.M)


def _printed(directory):
    """[(name, value, comment lines)] of `cenoted --print-config` where nothing is said."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("CENOTE_")}
    text = subprocess.run([directory / "cenoted", "--print-config"], check=True, env=environment,
                          capture_output=True, text=True).stdout
    found = []
    for block in text.strip().split("\n\n"):
        *comment, line = block.splitlines()
        name, value = line.removeprefix("#").split(" =", 1)
        found.append((name, value.strip(), comment))
    return found


def _file_item(name, value, comment):
    default = f" = \\fB{troff.literal(value)}\\fP" if value else ""
    text = " ".join(line.removeprefix("# ") for line in comment)
    return troff.item(f"\\fB{troff.literal(name)}\\fP{default}", troff.literal(text))


def _file_page(page, printed):
    return filled(page, {"OPTIONS": "\n".join(_file_item(*item) for item in printed)})


def _example(text, printed):
    said = {line.split("=")[0].strip(): line for line in text.splitlines()
            if line and not line.startswith("#")}
    blocks = ["\n".join([*comment, said.get(name, f"#{name} = {value}".rstrip())])
              for name, value, comment in printed]
    return re.sub(r"(^# BEGIN OPTIONS\n).*?(^# END OPTIONS$)",
                  lambda match: match[1] + "\n\n".join(blocks) + "\n" + match[2], text,
                  flags=re.S | re.M)


def _wanted(directory):
    """(path, the text that it should have) of every file."""
    for program, name in PAGES.items():
        text = subprocess.run([directory / program, "--help"], check=True, capture_output=True,
                              text=True).stdout
        page = FOLDER / name
        yield page, filled(page.read_text(encoding="utf-8"), sections(text))
    printed = _printed(directory)
    page = FOLDER / FILE_PAGE
    yield page, _file_page(page.read_text(encoding="utf-8"), printed)
    yield EXAMPLE, _example(EXAMPLE.read_text(encoding="utf-8"), printed)


def differing(directory, write=False):
    """Names of the files that don't say what the programs say; write: they are made to."""
    found = []
    for path, wanted in _wanted(directory):
        if wanted != path.read_text(encoding="utf-8"):
            found.append(path.name)
            if write:
                path.write_text(wanted, encoding="utf-8")
    return found


def main(arguments):
    check = arguments[0] == "--check"
    found = differing(pathlib.Path(arguments[-1]).resolve(), write=not check)
    for name in found:
        print(f"{name}: differs from what the program says" if check else f"{name}: written")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
