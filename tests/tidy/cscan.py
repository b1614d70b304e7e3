# SPDX-License-Identifier: Apache-2.0
"""A small scanner of C: enough to find functions and declarations by their braces."""
import re
from collections import namedtuple

# start and end are line numbers, text is the head: everything before the brace or the semicolon.
Function = namedtuple("Function", "name start end head")

_TOKEN = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.M)
_ATTRIBUTE = re.compile(r"__attribute__\s*\(\(.*?\)\)", re.S)


def _blank(match):
    return re.sub(r"[^\n]", " ", match.group())


def without_comments(text):
    """The text with comments blanked; strings stay."""
    return _TOKEN.sub(lambda m: _blank(m) if m.group().startswith("/") else m.group(), text)


def code(text):
    """The text with comments, strings and preprocessor lines blanked; offsets stay."""
    return _DIRECTIVE.sub(_blank, _TOKEN.sub(_blank, text))


def _name_of(head):
    plain = _ATTRIBUTE.sub(" ", head)
    found = re.search(r"(\w+)\s*\(([^()]*)", plain)
    if not found:
        return None
    if found.group(1) == "Test":  # a Criterion test: Test(suite, case)
        return found.group(2).replace(" ", "").replace(",", ".")
    return found.group(1)


def _top_level(text):
    """Yields (head, start, end, kind) of what stands outside all braces; kind is '{' or ';'."""
    depth, start, opened, parens = 0, 0, None, 0
    for at, char in enumerate(text):
        if char == "(":
            parens += 1
        elif char == ")":
            parens -= 1
        elif char == "{":
            if depth == 0 and parens == 0 and text[start:at].strip() == "extern":
                start = at + 1  # extern "C" { ... }
                continue
            if depth == 0:
                opened = at
            depth += 1
        elif char == "}" and depth > 0:
            depth -= 1
            if depth == 0 and parens == 0 and _is_function(text[start:opened]):
                yield text[start:opened], start, at, "{"
                start = at + 1
        elif char == "}":
            start = at + 1  # the end of extern "C"
        elif char == ";" and depth == 0 and parens == 0:
            yield text[start:at], start, at, ";"
            start = at + 1


def _is_function(head):
    plain = _ATTRIBUTE.sub(" ", head).strip()
    return plain.endswith(")") and "=" not in plain


def _found(text, kind):
    blanked = code(text)
    for head, start, end, found in _top_level(blanked):
        if found == kind and _is_function(head):
            first = start + len(head) - len(head.lstrip())
            yield Function(_name_of(head), blanked.count("\n", 0, first) + 1,
                           blanked.count("\n", 0, end) + 1, head.strip())


def functions(text):
    """Functions defined in the text."""
    return list(_found(text, "{"))


def declarations(text):
    """Functions declared in the text."""
    return [f for f in _found(text, ";") if not f.head.startswith("typedef")]
