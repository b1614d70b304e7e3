#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the pages of section 3, one for each function, and cenote(7) from the public headers.

Usage: doc/man/generate.py [--check]. With --check nothing is written; status 1 if a page differs.
tests/tidy checks it too.
"""
import pathlib
import re
import sys

import headers
import troff

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDER = "doc/man"
MADE = '.\\" Made by doc/man/generate.py from include/cenote/: change the headers instead.'
COLUMNS = 72
MAIN = "cenote/cenote.h"
# Headers with an overview of their own, beside the main one.
PARTS = (("cenote/async.h", "cenote_async", "operations in the background"),
         ("cenote/buffer.h", "cenote_buffers", "registered memory"),
         ("cenote/metrics.h", "cenote_counters", "what a client has done"),
         ("cenote/namespace.h", "cenote_namespaces", "namespaces and quotas"),
         ("cenote/policy.h", "cenote_policy", "times to live, pins and groups"),
         ("cenote/range.h", "cenote_ranges", "parts of values"),
         ("cenote/view.h", "cenote_views", "values where they lie"))
LINK = "Compile and link with \\fIpkg\\-config \\-\\-cflags \\-\\-libs cenote\\fP."


def _summary(comment):
    """The beginning of the first sentence, as a NAME section has it."""
    first = troff.fill(re.split(r"[.:;](?:\s|$)| \(|, e\.g|\n@", comment, maxsplit=1)[0])
    return troff.escape(first[0].lower() + first[1:])


def _sentence(text):
    return text[:1].upper() + text[1:]


def _paragraph(declared, name, header):
    """A paragraph "Name: ..." of a header's opening comment, or else of the main header's."""
    about = declared.about[header] + "\n\n" + declared.about[MAIN]
    found = re.search(rf"^{name}: (.*?)(?:\n\n|\Z)", about, re.S | re.M)
    return troff.prose(_sentence(troff.fill(found.group(1)))) if found else ""


class Comment:
    """A function's comment, taken apart: paragraphs, parameters, the return value."""

    def __init__(self, text):
        self.parts = []  # (kind, name, text); kind is "text", "param" or "return"
        for line in text.split("\n"):
            tag = re.match(r"@(param|return)(?:\[out\])?\s+", line)
            if tag:
                rest = line[tag.end():]
                name, rest = rest.split(None, 1) if tag[1] == "param" else ("", rest)
                self.parts.append([tag[1], name, rest])
            elif self.parts and line and (line[0] == " " or self.parts[-1][0] == "text"):
                self.parts[-1][2] += " " + line.strip()
            elif line:
                self.parts.append(["text", "", line])
            else:
                self.parts.append(["text", "", ""])

    def of(self, kind):
        return [(name, troff.fill(text)) for k, name, text in self.parts if k == kind and text]


def _wrap_prototype(code_parts):
    """[(text, bold or italic), ...] of a prototype, one element for each parameter, in lines."""
    first, parameters = code_parts
    lines, line = [], [(first, "B")]
    used = len(first)
    for n, (before, name) in enumerate(parameters):
        end = ");" if n == len(parameters) - 1 else ", "
        if used + len(before) + len(name) + len(end) > COLUMNS and n > 0:
            lines.append(line)
            line, used = [(" " * len(first), "B")], len(first)
        line += [(before, "B"), (name, "I"), (end, "B")]
        used += len(before) + len(name) + len(end)
    return lines + [line]


def _prototype(declared, function):
    parameters = declared.parameters(function)
    first = function.code[:function.code.index("(") + 1]
    if not parameters:
        return f".B {troff.literal(function.code)};"
    lines = []
    for line in _wrap_prototype((first, parameters)):
        fonts = "".join(f"\\f{font}{troff.literal(text)}" for text, font in line)
        lines.append(fonts.rstrip() + "\\fP")
    return "\n".join(lines)


def _types_of(declared, text):
    """The types that a text names, and those that these name."""
    found = []
    for name in re.findall(r"\b(?:struct|enum) cenote_\w+", text):
        if name in declared.types and name not in found:
            inner = _types_of(declared, declared.types[name].code.split("\n", 1)[1])
            found += [t for t in inner if t not in found] + [name]
    return found


def _errors(declared, function):
    named = re.findall(r"\bCENOTE_[A-Z_]+\b", function.comment)
    lines = [troff.item(f".B {s.name}", troff.escape(_sentence(s.text) + "."))
             for s in declared.statuses if s.name in named and s.number != 0]
    if function.code.startswith("int "):
        lines.append(".PP\n" + _paragraph(declared, "Errors", function.header))
    return lines


def _threads(declared, function):
    """The rule of the function itself, or else the header's."""
    own = re.search(r"Any thread\.|No other call[^.]*\.", function.comment)
    return troff.fill(own.group()) if own else _paragraph(declared, "Threads",
                                                                function.header)


def _section(name, lines):
    return [troff.heading(name), *lines] if lines else []


def _see_also(function):
    named = sorted(set(re.findall(r"\b(cenote_\w+)\(\)", function.comment)) - {function.name})
    links = [f".BR {name} (3)," for name in named] + [".BR cenote (7)"]
    return "\n".join(links)


def function_page(declared, function):
    comment = Comment(function.comment)
    texts = [troff.prose(text) for _, text in comment.of("text")]
    types = _types_of(declared, function.code + " " + function.comment)
    lines = [troff.LICENCE, MADE, troff.title(function.name, 3, "Library Functions"),
             troff.heading("NAME"), f"{function.name} \\- {_summary(function.comment)}",
             troff.heading("SYNOPSIS"), ".nf", f".B #include <{function.header}>", ".PP",
             _prototype(declared, function), ".fi", ".PP", LINK]
    lines += _section("DESCRIPTION", ["\n.PP\n".join(texts)])
    lines += _section("PARAMETERS", [troff.item(f".I {name}", troff.prose(text))
                                     for name, text in comment.of("param")])
    lines += _section("RETURN VALUE", [troff.prose(_sentence(text))
                                       for _, text in comment.of("return")])
    lines += _section("ERRORS", _errors(declared, function))
    definitions = "\n\n".join(declared.types[t].code.replace("/**<", "/*") for t in types)
    lines += _section("TYPES", [troff.example(definitions)] if types else [])
    lines += _section("THREADS", [_threads(declared, function)])
    lines += _section("SEE ALSO", [_see_also(function)])
    return "\n".join(lines) + "\n"


def _list_items(body):
    """Lines of "  term  text" or "  - text" with their continuations."""
    items = []
    for line in body.split("\n"):
        term = re.match(r"  (\S+)\s+(\S.*)", line)
        if term and (term[1] == "-" or re.match(r"  \S+\s{2,}", line)):
            items.append([term[1], term[2]])
        else:
            items[-1][1] += " " + line.strip()
    return [troff.item("\\(bu" if term == "-" else f".B {term}", troff.prose(troff.fill(text)))
            for term, text in items]


def _about(text):
    """Sections of a header's opening comment; the first is the description."""
    lines = []
    for block in text.split("\n\n"):
        first, _, rest = block.partition("\n")
        named = re.match(r"([A-Z]\w+): (.*)", block, re.S)
        if rest.startswith("  ") and not first.endswith("."):
            lines += _section(first.upper(), _list_items(rest))
        elif named:
            lines += _section(named[1].upper(), [troff.prose(_sentence(troff.fill(named[2])))])
        else:
            lines += _section("DESCRIPTION", [troff.prose(troff.fill(block))])
    return lines


def _statuses(declared):
    lines, group = [], ""
    for status in declared.statuses:
        if status.group != group:
            group = status.group
            lines.append(f".SS {troff.escape(group.rstrip('.'))}")
        lines.append(troff.item(f".BR {status.name} \" ({troff.literal(str(status.number))})\"",
                                troff.escape(_sentence(status.text) + ".")))
    return lines


def overview_page(declared):
    limits = [troff.item(f".BR {c.name} \" = {troff.literal(c.value)}\"",
                         troff.prose(troff.fill(c.comment))) for c in declared.constants]
    functions = [troff.item(f".BR {f.name} (3)", _sentence(_summary(f.comment)) + ".")
                 for f in declared.functions]
    lines = [troff.LICENCE, MADE, troff.title("cenote", 7, "Miscellaneous"),
             troff.heading("NAME"), "cenote \\- a pool of donated memory with a key/value store",
             troff.heading("SYNOPSIS"), ".nf", f".B #include <{MAIN}>", ".fi", ".PP", LINK]
    lines += _about(declared.about[MAIN])
    lines += _section("FUNCTIONS", functions)
    lines += _section("LIMITS", limits)
    lines += _section("STATUS CODES", _statuses(declared))
    lines += _section("SEE ALSO", [".BR cenote (1),\n.BR cenoted (8),\n.BR cenote\\-bench (1)"])
    return "\n".join(lines) + "\n"


def part_page(declared, name, page, summary):
    """Of a further header."""
    functions = [troff.item(f".BR {f.name} (3)", _sentence(_summary(f.comment)) + ".")
                 for f in declared.functions if f.header == name]
    lines = [troff.LICENCE, MADE, troff.title(page, 7, "Miscellaneous"),
             troff.heading("NAME"), f"{page} \\- {summary}",
             troff.heading("SYNOPSIS"), ".nf", f".B #include <{name}>", ".fi", ".PP", LINK]
    lines += _about(declared.about[name])
    lines += _section("FUNCTIONS", functions)
    lines += _section("SEE ALSO", [".BR cenote (7)"])
    return "\n".join(lines) + "\n"


def pages(declared):
    """{file name: text} of all generated pages."""
    found = {f"{f.name}.3": function_page(declared, f) for f in declared.functions}
    found["cenote.7"] = overview_page(declared)
    for name, page, summary in PARTS:
        if name in declared.about:
            found[f"{page}.7"] = part_page(declared, name, page, summary)
    return found


def differing(root, declared):
    """Yields (path from the root, what is wrong) for pages that aren't as the headers want."""
    wanted = pages(declared)
    for name, text in sorted(wanted.items()):
        path = root / FOLDER / name
        if not path.is_file():
            yield f"{FOLDER}/{name}", "is missing"
        elif path.read_text(encoding="utf-8") != text:
            yield f"{FOLDER}/{name}", "differs from the headers"
    for path in sorted((root / FOLDER).glob("*.3")):
        if path.name not in wanted:
            yield f"{FOLDER}/{path.name}", "describes a function that no header declares"


def main(arguments):
    declared = headers.read_tree(ROOT)
    if arguments == ["--check"]:
        found = list(differing(ROOT, declared))
        for path, what in found:
            print(f"{path}:1: {what}")
        return 1 if found else 0
    wanted = pages(declared)
    for path in (ROOT / FOLDER).glob("*.3"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (ROOT / FOLDER / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
