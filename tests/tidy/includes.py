# SPDX-License-Identifier: Apache-2.0
"""Who may include what: the table of layers, and where third-party headers are known."""
import re

from cscan import without_comments
from tree import line_of

_BASE = ("include", "transport/base")
_WIRE = _BASE + ("transport/wire",)
_TRANSPORTS = ("transport", "transport/rpc") + _WIRE

# A folder and the folders that it may include besides itself. A folder that isn't named here counts
# as its nearest parent.
LAYERS = {
    "include": (),
    "transport/base": ("include",),
    "transport/wire": _BASE,
    "transport/rpc": _WIRE,
    "transport": _BASE,
    "transport/loop": _BASE + ("transport",),
    "transport/shm": _BASE + ("transport",),
    "transport/tcp": _BASE + ("transport",),
    "transport/rdma": _BASE + ("transport",),
    "transport/ub": _BASE + ("transport",),
    "meta/core": _WIRE + ("meta/stub",),
    "meta/store": _WIRE + ("meta/core",),
    "meta/stub": _WIRE,
    "meta/service": _WIRE + ("meta/core", "meta/store", "meta/stub"),
    "server": _BASE + ("server/config", "server/memory", "server/roles"),
    "server/config": _BASE + ("meta/stub", "transport"),
    "server/memory": _BASE + ("meta/stub", "transport"),
    "server/node": _BASE + ("meta/core", "meta/stub", "transport/wire", "transport"),
    "server/roles": _TRANSPORTS + ("meta/core", "meta/store", "meta/stub", "meta/service",
                                   "server/config", "server/memory", "server/node", "server/http",
                                   "server/gateway"),
    "server/http": _BASE,
    "server/gateway": _BASE + ("server/http",),
    "client": _TRANSPORTS + ("meta/stub",),
    "client/cli": _BASE,
    "client/python": ("include",),
    "bench": _TRANSPORTS + ("meta/stub",),
    "doc": ("include",),
    "tests": None,  # anything
}

# A header that some folder may include though nothing else of its folder.
SINGLE = {
    "transport/rdma/settings.h": ("server/config", "server/roles"),  # the text of an option
}

# Third-party headers and the folders that know them. Tests may know all.
THIRD_PARTY = (
    (r"(infiniband|rdma)/", ("transport/rdma",)),
    (r"(ub/|urma)", ("transport/ub",)),
    (r"cuda", ("transport",)),
    (r"event2/", ("transport/rpc", "transport/tcp", "transport/rdma", "server/roles",
                  "server/http")),
    (r"lmdb\.h$", ("meta/store", "bench")),  # measured by itself, too
    (r"msgpack", ("transport/wire",)),
    (r"(xxhash|xxh_|xxh3|sodium)", ("transport/base",)),
    (r"jansson\.h$", ("client", "client/cli", "bench")),
    (r"Python\.h$", ("client/python",)),
    (r"criterion/", ()),
)

_LIBC = re.compile(
    r"(assert|ctype|errno|float|inttypes|limits|locale|math|setjmp|signal|stdalign|stdarg|stdatomic"
    r"|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|strings|time|wchar"
    r"|dirent|dlfcn|endian|fcntl|ftw|getopt|glob|grp|ifaddrs|libgen|malloc|netdb|poll|pthread|pwd"
    r"|regex|sched|semaphore|spawn|syslog|termios|unistd|ucontext|utime|execinfo|link|elf"
    r"|immintrin|x86intrin|arm_neon|cpuid"
    r"|sys/\w+|net/\w+|netinet/\w+|arpa/\w+|linux/\w+|asm/\w+|sanitizer/\w+|valgrind/\w+)\.h$")
_STANDARD = re.compile(
    r"(assert|errno|inttypes|limits|stdarg|stdbool|stddef|stdint|string|time)\.h$")
_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+(?:"([^"]+)"|<([^>]+)>|(\S+))', re.M)


def folder_of(name):
    """The folder of the table to which a file belongs; None outside the table."""
    parts = name.split("/")[:-1]
    while parts:
        if "/".join(parts) in LAYERS:
            return "/".join(parts)
        parts.pop()
    return None


def _third_party_fault(folder, header):
    if folder == "include":
        return None if _STANDARD.match(header) else f"a public header may not include <{header}>"
    if _LIBC.match(header) or folder == "tests":
        return None
    for pattern, places in THIRD_PARTY:
        if re.match(pattern, header):
            known = ", ".join(places) or "tests"
            return None if folder in places else f"<{header}> is known to {known} only"
    return f"<{header}> is in no table of tests/tidy/includes.py"


def _find_circle(edges):
    """A circle in {folder: {folder: place}}, or None."""
    done = set()

    def walk(folder, path):
        if folder in path:
            return path[path.index(folder):] + [folder]
        if folder in done:
            return None
        for target in sorted(edges.get(folder, ())):
            circle = walk(target, path + [folder])
            if circle:
                return circle
        done.add(folder)
        return None

    for start in sorted(edges):
        circle = walk(start, [])
        if circle:
            return circle
    return None


def _own_target(name, names):
    """The tracked file that an include names, from the root or as a public header; or None."""
    for candidate in (name, "include/" + name):
        if candidate in names:
            return candidate
    return None


def check(tree):
    """Each #include line keeps to the table, and folders include each other in no circle."""
    names = set(tree.names)
    edges = {}
    for name in tree.ending(".c", ".h"):
        folder = folder_of(name)
        if folder is None:
            yield f"{name}:1: its folder is in no table of tests/tidy/includes.py"
            continue
        text = without_comments(tree.text(name))
        for match in _INCLUDE.finditer(text):
            place = f"{name}:{line_of(text, match.start(1 if match.group(1) else 0))}"
            quoted, angled, _ = match.groups()
            header = quoted or angled
            if header is None:
                yield f"{place}: an include must name its file"
                continue
            own = _own_target(header, names)
            if quoted and own != quoted:
                yield f'{place}: "{quoted}" is no path from the root of the repository'
            elif own:
                target = folder_of(own)
                allowed = LAYERS[folder]
                if target != folder and allowed is not None:
                    edges.setdefault(folder, {}).setdefault(target, place)
                    if target not in allowed and folder not in SINGLE.get(own, ()):
                        yield f"{place}: {folder} may not include {target} ({header})"
            else:
                fault = _third_party_fault(folder, header)
                if fault:
                    yield f"{place}: {fault}"
    circle = _find_circle(edges)
    if circle:
        yield f"{edges[circle[0]][circle[1]]}: folders in a circle: {' -> '.join(circle)}"
