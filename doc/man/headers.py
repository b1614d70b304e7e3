# SPDX-License-Identifier: Apache-2.0
"""Reads the public headers: what they declare and what they say about it."""
import re
from collections import namedtuple

# comment is the text without its marks; code is what stands behind it.
Function = namedtuple("Function", "name header code comment")
Type = namedtuple("Type", "kind name code comment fields")
Constant = namedtuple("Constant", "name value comment")
Status = namedtuple("Status", "name number text group")

_COMMENT = r"/\*\*((?:(?!\*/).)*)\*/\s*"
_FUNCTION = re.compile(_COMMENT + r"CENOTE_API\s+([^;{]+);", re.S)
_TYPE = re.compile(_COMMENT + r"((struct|enum) (cenote_\w+) \{\n(.*?)\n\};)", re.S)
_CONSTANT = re.compile(_COMMENT + r"#define (CENOTE_\w+)[ \t]+([\w-]+)$", re.S | re.M)
_PLAIN_COMMENT = re.compile(r"/\*.*?\*/", re.S)
_STATUS = re.compile(r'/\* (?P<group>[^*]+?) \*/|X\((?P<name>\w+), (?P<number>-?\d+), '
                     r'"(?P<text>[^"]*)"\)')


def _bare(comment):
    """The lines of a comment, without stars; the indentation behind a star stays."""
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip() for line in comment.strip().splitlines()]
    return "\n".join(lines).strip()


def _one_line(code):
    return re.sub(r"\s+", " ", code).strip()


def _fields(kind, body):
    """Names of a struct's members or of an enum's constants."""
    parts = _PLAIN_COMMENT.sub("", body).split(";" if kind == "struct" else ",")
    found = []
    for part in parts:
        declared = part.split("=")[0].strip()
        if declared and not declared.startswith("#"):
            found.append(re.search(r"(\w+)$", declared).group(1))
    return found


class Headers:
    """All public headers; texts are {path below include/: text}."""

    def __init__(self, texts):
        self.functions, self.types, self.constants, self.statuses = [], {}, [], []
        self.about = {}  # a header's opening comment
        for name, text in sorted(texts.items()):
            self._read(name, text)

    def _read(self, name, text):
        opening = re.search(_COMMENT, text, re.S)
        self.about[name] = re.sub(r"^@file.*\n", "", _bare(opening.group(1))) if opening else ""
        for comment, code in _FUNCTION.findall(text):
            function = re.search(r"(\w+)\(", code).group(1)
            self.functions.append(Function(function, name, _one_line(code), _bare(comment)))
        for comment, code, kind, tag, body in _TYPE.findall(text):
            self.types[f"{kind} {tag}"] = Type(kind, tag, code, _bare(comment),
                                               _fields(kind, body))
        for comment, constant, value in _CONSTANT.findall(text):
            self.constants.append(Constant(constant, value, _bare(comment)))
        statuses = re.search(r"#define CENOTE_STATUS_MAP\(X\)((?:[^\n]*\\\n)*[^\n]*)", text)
        group = ""
        for found in _STATUS.finditer(statuses.group(1)) if statuses else ():
            group = found["group"] or group
            if found["name"]:
                self.statuses.append(Status("CENOTE_" + found["name"], int(found["number"]),
                                            found["text"], group))

    def parameters(self, function):
        """[(everything before its name, name), ...] of a function."""
        inside = function.code[function.code.index("(") + 1:-1]
        if inside == "void":
            return []
        return [re.fullmatch(r"(.*?)(\w+)", part.strip()).groups() for part in inside.split(",")]


def read_tree(root):
    """The headers of a checkout."""
    folder = root / "include"
    return Headers({path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
                    for path in sorted(folder.glob("cenote/*.h"))})
