# SPDX-License-Identifier: Apache-2.0
"""What headers say about the functions that they declare."""
import re

import cscan

_WORD = re.compile(r"\bCENOTE_[A-Z0-9_]+\b|\bcenote_\w+(?=\()")
_HANDED_OVER = re.compile(r"Ownership|free|NULL", re.I)


def _comment_above(lines, start):
    """The doc comment that ends right above a line (counted from 1); empty if there is none."""
    end = start - 2
    if end < 0 or not lines[end].rstrip().endswith("*/"):
        return ""
    first = end
    while first > 0 and "/*" not in lines[first]:
        first -= 1
    comment = "\n".join(lines[first:end + 1])
    return comment if comment.lstrip().startswith("/**") else ""


def _parameters(head):
    inside = head[head.index("(") + 1:head.rindex(")")]
    inside = re.sub(r"\(\*(\w+)\)\s*\([^()]*\)", r"\1", inside)  # a callback
    return [re.findall(r"\w+", part)[-1] for part in inside.split(",") if part.strip() != "void"]


def _faults_of(function, comment):
    if not comment:
        yield "has no doc comment right above it"
        return
    if not re.match(r"CENOTE_API\s+void\s+\w", function.head) and "@return" not in comment:
        yield "returns something, but its comment has no @return"
    if "**" in function.head and not _HANDED_OVER.search(comment):
        yield "hands over a pointer, but its comment doesn't say who owns it"
    for name in re.findall(r"@param(?:\[\w+\])?\s+(\w+)", comment):
        if name not in _parameters(function.head):
            yield f"has no parameter {name}, of which its comment speaks"


def _check_public(name, text, known):
    lines = text.splitlines()
    general_thread_rule = re.search(r"\bThreads:", text)
    for function in cscan.declarations(text):
        if not function.head.startswith("CENOTE_API"):
            yield f"{name}:{function.start}: {function.name} is public, but not CENOTE_API"
            continue
        comment = _comment_above(lines, function.start)
        for fault in _faults_of(function, comment):
            yield f"{name}:{function.start}: {function.name} {fault}"
        if comment and not general_thread_rule and "thread" not in comment:
            yield f"{name}:{function.start}: {function.name} has no thread rule"
    for number, line in enumerate(lines, 1):
        for word in _WORD.findall(line):
            if word not in known:
                yield f"{name}:{number}: {word} is defined in no public header"


def _known_words(tree, headers):
    """All that the public headers define, statuses included."""
    known = {"CENOTE_"}
    for name in headers:
        text = cscan.without_comments(tree.text(name))
        known.update(re.findall(r"#\s*(?:define|ifndef)\s+(\w+)", text))
        known.update(re.findall(r"\b(cenote_\w+)\s*\(", cscan.code(text)))
        known.update(re.findall(r"\b(CENOTE_[A-Z0-9_]+)\s*=", text))
        known.update("CENOTE_" + status for status in re.findall(r"^\s*X\((\w+),", text, re.M))
    return known | {"CENOTE_META", "CENOTE_RDMA"}  # environment variables


def _start_of_block(lines, row):
    """The first row of the block, bounded by blank lines, that ends with the given row."""
    while row > 0 and lines[row - 1].strip():
        row -= 1
    return row


def _check_internal(name, text):
    lines = text.splitlines()
    blanked = cscan.without_comments(text).splitlines()
    for function in cscan.declarations(text):
        end = function.end
        while end < len(lines) and lines[end].strip():
            end += 1
        start = _start_of_block(lines, function.start - 1)
        before = _start_of_block(lines, start - 1)  # a type, say, that the group is about
        # The first line is the licence's.
        if not any(lines[i] != blanked[i] for i in range(max(before, 1), end)):
            yield f"{name}:{function.start}: nothing is said about {function.name} or its group"


def check(tree):
    """Public functions are documented one by one, internal ones at least by groups."""
    headers = tree.ending(".h")
    public = [name for name in headers if name.startswith("include/")]
    known = _known_words(tree, public)
    for name in headers:
        if name in public:
            yield from _check_public(name, tree.text(name), known)
        else:
            yield from _check_internal(name, tree.text(name))
