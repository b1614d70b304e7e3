#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Plants a fault of each kind in a small good tree; tidy must find it, and nothing else."""
import pathlib
import re
import subprocess
import sys
import tempfile

import manpages
import tidy
from tree import Tree

C = "/* SPDX-License-Identifier: Apache-2.0 */\n"
SH = "# SPDX-License-Identifier: Apache-2.0\n"

GOOD = {
    ".clang-format": "BasedOnStyle: LLVM\nIndentWidth: 4\nBreakBeforeBraces: Linux\n"
                     "AllowShortFunctionsOnASingleLine: None\nReflowComments: false\n",
    "include/cenote/cenote.h": C + """\
/** @file cenote.h
 * Threads: any. */
#ifndef CENOTE_CENOTE_H
#define CENOTE_CENOTE_H
#include <stddef.h>
#define CENOTE_API
#ifdef __cplusplus
extern "C" {
#endif
struct cenote;
/**
 * Opens.
 * @param[out] out  the client.
 * @return 0 or an error. Ownership: the caller's, see cenote_close().
 */
CENOTE_API int cenote_open(struct cenote **out);
/** Closes. */
CENOTE_API void cenote_close(struct cenote *client);
#ifdef __cplusplus
}
#endif
#endif
""",
    "transport/base/log.h": C + """\
#ifndef LOG_H
#define LOG_H

/* Writes a line. */
void log_line(const char *text);
void log_flush(void);

#endif
""",
    "transport/base/log.c": C + """\
#include "transport/base/log.h"

#include <sodium.h>
#include <string.h>

void log_line(const char *text)
{
    (void)strlen(text); /* printf(" */
}

void log_flush(void)
{
}
""",
    "transport/wire/wire.h": C + "#include <stddef.h>\n",
    "transport/wire/wire.c": C + """\
#include "transport/wire/wire.h"

#include <cenote/cenote.h>
#include <msgpack.h>

#include "transport/base/log.h"
""",
    "CMakeLists.txt": SH + "m(transport/base/log.c transport/wire/wire.c tests/test_log.c)\n"
                           "cenote_control(log SWITCH seal SCRIPT tests/run.py)\n",
    "tests/test_log.c": C + '#include <criterion/criterion.h>\n\n#include "transport/base/log.h"\n',
    "tests/run.py": SH + "print()\n",
}


def pages():
    """The pages of the good tree."""
    return manpages.wanted({"cenote/cenote.h": GOOD["include/cenote/cenote.h"]})


def long_function(lines):
    return "static void long_one(void)\n{\n" + "    ;\n" * (lines - 3) + "}\n"


def append(name, text):
    return {name: GOOD[name] + text}


def replace(name, old, new):
    assert old in GOOD[name], (name, old)
    return {name: GOOD[name].replace(old, new)}


# A title, what is planted, and the faults that must be found: these and no others.
PLANTED = (
    ("layer", replace("transport/base/log.c", "#include <string.h>\n",
                      '#include <string.h>\n\n#include "transport/wire/wire.h"\n'),
     r"log\.c:7: transport/base may not include transport/wire",
     r"log\.c:7: folders in a circle: transport/base -> transport/wire -> transport/base"),
    ("layer of a public header", append("transport/base/log.h", "#include <client/x.h>\n")
     | {"client/x.h": C}, r"log\.h:10: transport/base may not include client"),
    ("path", replace("transport/wire/wire.c", '"transport/wire/wire.h"', '"wire.h"'),
     r'wire\.c:2: "wire\.h" is no path from the root', r"wire\.h:1: nothing includes it"),
    ("third party", append("transport/wire/wire.c", "#include <sodium.h>\n"),
     r"wire\.c:8: <sodium\.h> is known to transport/base only"),
    ("test library", append("transport/wire/wire.c", "#include <criterion/criterion.h>\n"),
     r"<criterion/criterion\.h> is known to tests only"),
    ("unknown third party", append("transport/wire/wire.c", "#include <zlib.h>\n"),
     r"<zlib\.h> is in no table"),
    ("public third party", replace("include/cenote/cenote.h", "<stddef.h>", "<sys/uio.h>"),
     r"cenote\.h:6: a public header may not include <sys/uio\.h>"),
    ("hidden include", append("transport/wire/wire.c", "#include WIRE\n"),
     r"wire\.c:8: an include must name its file"),
    ("folder", {"lib/x.c": C} | append("CMakeLists.txt", "m(lib/x.c)\n"),
     r"lib/x\.c:1: its folder is in no table"),
    ("circle", {"server/http/a.h": C + '#include "server/roles/b.h"\n',
                "server/roles/b.h": C + '#include "server/http/a.h"\n'},
     r"server/http may not include server/roles \(server/roles/b\.h\)",
     r"folders in a circle: server/http -> server/roles -> server/http"),
    ("long file", append("tests/run.py", "print()\n" * 800), r"run\.py:1: 802 lines"),
    ("long line", append("tests/test_log.c", "\n/* " + "x" * 100 + " */\n"),
     r"test_log\.c:6: 106 columns"),
    ("long function", append("tests/test_log.c", "\n" + long_function(121)),
     r"test_log\.c:6: long_one has 121 lines"),
    ("long median", append("transport/wire/wire.c", "".join(
        "\n" + long_function(19).replace("one", f"of{i}") for i in range(3))),
     r"the median function has 19 lines"),
    ("long tenth", append("transport/wire/wire.c", "\n" + long_function(56)),
     r"a tenth of the functions has more than 56 lines"),
    ("no doc", replace("include/cenote/cenote.h", "/** Closes. */\n", ""),
     r"cenote\.h:18: cenote_close has no doc comment"),
    ("no return", replace("include/cenote/cenote.h", "@return", ""),
     r"cenote\.h:17: cenote_open returns something"),
    ("no owner", replace("include/cenote/cenote.h", "Ownership", "Property"),
     r"cenote_open hands over a pointer"),
    ("no thread rule", replace("include/cenote/cenote.h", "Threads: any.", ""),
     r"cenote_open has no thread rule", r"cenote_close has no thread rule"),
    ("stale parameter", replace("include/cenote/cenote.h", "out  the", "output  the"),
     r"cenote_open has no parameter output"),
    ("stale name", replace("include/cenote/cenote.h", "see cenote_close", "see cenote_end"),
     r"cenote\.h:15: cenote_end is defined in no public header"),
    ("not exported", replace("include/cenote/cenote.h", "CENOTE_API void", "void"),
     r"cenote_close is public, but not CENOTE_API"),
    ("silent header", replace("transport/base/log.h", "/* Writes a line. */\n", "")
     | append("transport/wire/wire.h", "\n#define A 1\n\nvoid wire_x(void);\n"),
     r"log\.h:5: nothing is said about log_line", r"log\.h:6: nothing is said about log_flush",
     r"wire\.h:6: nothing is said about wire_x"),
    ("header alone", replace("include/cenote/cenote.h", "struct cenote;\n",
                             "struct cenote;\nextern uint32_t x;\n"),
     r"cenote\.h:1: does not compile alone as C11: .*uint32_t",
     r"cenote\.h:1: does not compile alone as C\+\+17: .*uint32_t"),
    ("header in C++", replace("include/cenote/cenote.h", "struct cenote;\n",
                              "struct cenote;\nstruct new;\nstruct cenote *class_of(int new);\n"),
     r"class_of is public, but not CENOTE_API",
     r"cenote\.h:1: does not compile alone as C\+\+17"),
    ("layout", append("transport/wire/wire.c", "\nint  x;\n"), r"wire\.c:9: clang-format"),
    ("layout rules", {".clang-format": "NoSuchRule: 1\n"}, r"\.clang-format:1: clang-format"),
    ("dead source", {"transport/wire/old.c": C}, r"old\.c:1: no CMakeLists\.txt builds it"),
    ("dead in a comment", {"transport/wire/old.c": C} | append("CMakeLists.txt",
                                                               "# transport/wire/old.c\n"),
     r"old\.c:1: no CMakeLists\.txt builds it"),
    ("dead header", {"transport/wire/old.h": C}, r"old\.h:1: nothing includes it"),
    ("dead script", {"tests/old.sh": SH}, r"old\.sh:1: nothing runs or imports it"),
    ("licence of C", {"transport/wire/wire.h": "#include <stddef.h>\n"},
     r"wire\.h:1: does not begin with the SPDX line"),
    ("licence of a script", {"tests/run.py": "#!/usr/bin/python3\nprint()\n"},
     r"run\.py:2: does not begin with the SPDX line"),
    ("left over", append("tests/run.py", "# TO" "DO\n"), r"run\.py:3: something was left unfin"),
    ("somebody's path", append("tests/run.py", 'open("/ho' 'me/me")\n'),
     r"run\.py:3: an absolute path of somebody's machine"),
    ("print", replace("transport/base/log.c", "(void)strlen(text)", 'printf("%s", text)'),
     r"log\.c:9: a library does not call printf"),
    ("stale page", pages() | {"doc/man/cenote_open.3": ".TH CENOTE_OPEN 3\n"},
     r"doc/man/cenote_open\.3:1: differs from the headers"),
    ("missing page", {"doc/man/cenote.7": pages()["doc/man/cenote.7"]},
     r"cenote_open\.3:1: is missing", r"cenote_close\.3:1: is missing"),
    ("page of nothing", pages() | {"doc/man/cenote_x.3": ".TH CENOTE_X 3\n"},
     r"cenote_x\.3:1: describes a function that no header declares"),
    ("page's layout", pages() | {"doc/man/cenote.1": ".TH CENOTE 1\n.SH NAME\n.NO\n"},
     r"cenote\.1:3: .*NO"),
    ("no thread rules", {"doc/THREADS.md": "`cenote_open()`, `cenote_end()`\n"},
     r"THREADS\.md:1: says nothing of cenote_close\(\)",
     r"THREADS\.md:1: cenote_end\(\) is declared in no public header"),
    ("no control", replace("transport/base/log.c", "(void)strlen(text)",
                           "return test_off(TEST_SEAL) || test_off(TEST_FENCE)"),
     r"log\.c:9: no cenote_control\(\) switches 'fence' off"),
)


def faults_of(files):
    """What tidy says of a tree with these files: (check, fault) pairs."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        subprocess.run(["git", "init", "-q", folder], check=True)
        return list(tidy.faults(Tree(folder)))


def as_expected(found, expected):
    """Does each fault match one pattern, and each pattern one fault?"""
    hits = [[re.search(pattern, fault) is not None for fault in found] for pattern in expected]
    return (len(found) == len(expected) and all(any(row) for row in hits)
            and all(any(column) for column in zip(*hits)))


def main():
    wrong = [f"the good tree: {fault}" for _, fault in faults_of(GOOD)]
    proven = set()
    for title, change, *expected in PLANTED:
        found = faults_of(GOOD | change)
        proven.update(check for check, _ in found)
        if not as_expected([fault for _, fault in found], expected):
            wrong.append(f"{title}: expected {expected}, found {[fault for _, fault in found]}")
    for check in tidy.CHECKS:
        if check not in proven:
            wrong.append(f"no fault is planted for {check.__module__}.{check.__name__}")
    print("\n".join(wrong + [f"{len(PLANTED)} planted, {len(wrong)} not found as expected"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
