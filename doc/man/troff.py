# SPDX-License-Identifier: Apache-2.0
"""Text as troff wants it, with the man macros."""
import re

LICENCE = '.\\" SPDX-License-Identifier: Apache-2.0'


def escape(text):
    """Any text, to be shown as it is."""
    text = text.replace("\\", "\\e").replace("'", "\\(aq").replace("`", "\\(ga")
    return re.sub(r"^\.", r"\\\&.", text, flags=re.M)


def literal(text):
    """As escape(), for what people copy: hyphens are minus signs."""
    return escape(text).replace("-", "\\-")


def prose(text):
    """Escaped text in which names of the interface stand out."""
    text = escape(text)
    text = re.sub(r"\b(CENOTE_[A-Z0-9_]+)\b(?!\()", r"\\fB\1\\fP", text)
    text = re.sub(r"\b(cenote_\w+)\(\)", r"\\fB\1\\fP(3)", text)
    return re.sub(r"\b((?:struct|enum) cenote\w*)", r"\\fB\1\\fP", text)


def fill(text):
    """Lines joined: troff breaks them anew."""
    return re.sub(r"\s+", " ", text).strip()


def title(name, section, what):
    return f'.TH {name.upper()} {section} "" Cenote "{what}"'


def heading(name):
    return f".SH {name}"


def item(tag, text):
    """A tag and the paragraph that belongs to it; both are troff already."""
    return f".TP\n{tag}\n{text}"


def example(code):
    return f".EX\n{literal(code)}\n.EE"
