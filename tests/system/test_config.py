#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The configuration of cenoted: what its file may say, what is refused and how, and what SIGHUP
changes in a daemon that runs."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile

import pool
from pool import BIN, Pool, check, run_cases, wait_until

SOURCE = pathlib.Path(os.environ.get("CENOTE_SOURCE", ".")).resolve()
EXAMPLE = SOURCE / "deploy/cenoted.conf"
USAGE = 2


def cenoted(*arguments, code=0, **environment):
    """Runs it to its end; returns the lines that it wrote."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CENOTE_")}
    done = subprocess.run([BIN / "cenoted", *map(str, arguments)], env={**clean, **environment},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, timeout=20 * pool.SLOWNESS, check=False)
    check(done.returncode == code, f"{arguments}: ended with {done.returncode}:\n{done.stdout}")
    return done.stdout.splitlines()


class File:
    """A configuration file."""

    def __init__(self, text=""):
        self.folder = tempfile.TemporaryDirectory(prefix="cenote-test-")
        self.path = pathlib.Path(self.folder.name) / "cenoted.conf"
        self.write(text)

    def write(self, text):
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.folder.cleanup()


def faults(text, *arguments, **environment):
    """What --check-config has against a file, without the file's name; empty: nothing."""
    with File(text) as file:
        lines = cenoted("--check-config", "--config", file.path, *arguments,
                        code=USAGE if BAD.search(str(text)) else 0, **environment)
        return [line.replace(f"{file.path}:", "") for line in lines]


# Only what a file says that is marked as wrong may be refused.
BAD = re.compile("WRONG")


def everything_is_said_at_once():
    text = """# WRONG
lease = 5q
data_dir = /x
evict-low = 80
evict-low = 81  # again
suspect = 40s
help = true
zone = "a"
no equals sign
listen = 127.0.0.1:7400, 127.0.0.1:7400
dram = 64MiB, 12
log-level = info, rpcc=debug, loud
frobnicate = 1
"""
    found = faults(text)
    wanted = ["2: lease: '5q' is not valid (a time",
              "3: no option is called 'data_dir' (is data-dir meant?)",
              "5: evict-low: stands in line 4 already",
              "6: suspect: heartbeat, suspect and dead must ascend",
              "7: help: stands on the command line only",
              "8: zone: values stand there without quotes",
              "9: 'name = value' is expected",
              "10: listen: 127.0.0.1:7400 stands there twice",
              "11: dram: '12' is out of range",
              "12: log-level: no module is called 'rpcc'",
              "12: log-level: 'loud' is not valid",
              "13: no option is called 'frobnicate'"]
    for start in wanted:
        check(any(line.startswith(start) for line in found), f"{start} is not in {found}")
    check(len(found) == len(wanted), f"more is said than that: {found}")


def contradictions_are_located():
    for text, start in (
            ("evict-low = 100\n#WRONG", "1: evict-low: evict-low must not be above evict-high"),
            ("slots = 0-100\n#WRONG", "1: slots: slots and shards go together"),
            ("#WRONG\nmemory-dir = /dev/shm/x", "2: memory-dir: --memory-dir needs --node-name"),
            ("#WRONG\nmemory-state-dir = /x", "2: memory-state-dir: goes with --memory-dir"),
            ("#WRONG\nlisten = 0.0.0.0:7400", "2: listen: other machines can reach 0.0.0.0:7400"),
            ("data-listen = 127.0.0.1:7400\n#WRONG", "1: data-listen: 127.0.0.1:7400 can't be"),
            ("huge-pages = 1G\ndram=3MiB\n#WRONG", "2: dram: '3MiB' is no multiple"),
            ("#WRONG\ndram =", "2: dram: from 1 to 64 segments"),
            ("#WRONG\nshards = 0-1=127.0.0.1:1\nslots = 0-1", "2: shards: slot 2 has no owner")):
        found = faults(text)
        check(len(found) == 1 and found[0].startswith(start), f"{start}: {found}")
    (line,) = faults("evict-high = 90 # WRONG", "--evict-low=91")
    check(line.startswith("--evict-low: "), line)
    (line,) = faults("# WRONG", CENOTE_EVICT_HIGH="none")
    check(line.startswith("CENOTE_EVICT_HIGH: 'none' is not valid (a number)"), line)


def broken_files():
    for text, start in ((b"zone = a\0b # WRONG", "1: the line has a byte 0"),
                        (b"#" * 5000 + b"WRONG", "1: the line is too long"),
                        (b"#WRONG\n" * 200000, "157286: "),
                        (b"\xff\xfe\x00 WRONG", "1: the line has a byte 0")):
        found = faults(text)
        check(found[-1].startswith(start) or "longer than" in found[-1], str(found)[:300])
    for path in ("/nonexistent/x", "/proc/self/mem", "/"):
        (line,) = cenoted("--check-config", "--config", path, code=USAGE)
        check(line.startswith(f"{path}: "), line)
    (line,) = cenoted("--check-config", "--config", "x" * 2000, code=USAGE)
    check("too long" in line, line)
    text = "".join(f"name{i} = WRONG\x1b[31m\n" for i in range(2000))
    found = faults(text)
    check(re.fullmatch(r"\.\.\. and \d+ more", found[-1]), found[-1])
    check("\x1b" not in "".join(found), "an escape sequence came through")


def good_files():
    with File("\ufeffzone=a\r\n\r\n lease = 3s # not long\nnode-name = a#b\ndram=1MiB\n"
              "dram = 2MiB , 3MiB\n#dram=x") as file:
        cenoted("--check-config", "--config", file.path)
        said = {line for line in cenoted("--print-config", "--config", file.path)
                if line and not line.startswith("#")}
        check(said == {"zone = a", "lease = 3s", "node-name = a#b", "dram = 1MiB,2MiB,3MiB"},
              said)
        lines = cenoted("--print-config", "--config", file.path, "--dram", "4M",
                        CENOTE_LEASE="1m", CENOTE_ZONE="b")
        for line in ("dram = 4M", "lease = 1m", "zone = b"):
            check(line in lines, line)
    with File("roles = node\ndata-dir = /x\n") as file:
        lines = cenoted("--check-config", "--config", file.path)
        check(lines == ["data-dir says nothing here: this process is only a node",
                        f"{file.path}: good"], lines)


def the_example_is_complete():
    sys.path.insert(0, str(SOURCE / "doc/man"))
    text = EXAMPLE.read_text()
    cenoted("--check-config", "--config", EXAMPLE)
    # What is commented out is what holds anyway.
    plain = cenoted("--print-config")
    shown = [line for line in text.splitlines() if re.match(r"#?[a-z][a-z-]* =", line)]
    names = [re.match(r"#?([a-z-]+) =", line)[1] for line in shown]
    options = [re.match(r"#([a-z-]+) =", line)[1] for line in plain if re.match("#[a-z]", line)]
    check(names == options, "the example hasn't exactly the options of --print-config")
    for line in shown:
        check(not line.startswith("#") or line in plain, f"{line} isn't the default")
    with File("".join(line.lstrip("#") + "\n" for line in shown
                      if not line.endswith("=") and "shm-dir" not in line)) as file:
        cenoted("--check-config", "--config", file.path)


def modules_are_those_of_the_sources():
    pattern = re.compile(r'(?:log_(?:error|warn|info|debug)|LOG_AT)\([^";]*?"([a-z_]+)",')
    macro = re.compile(r'#define MODULE\s+"([a-z_]+)"')
    found = set()
    for folder in ("server", "meta", "transport"):
        for path in (SOURCE / folder).rglob("*.c"):
            text = path.read_text()
            found |= set(pattern.findall(text)) | set(macro.findall(text))
    found.discard("test")  # of switches that exist in test builds only
    with File("log-level = nothing=debug # WRONG") as file:
        (line,) = cenoted("--check-config", "--config", file.path, code=USAGE)
    known = set(re.search(r"\((.*)\)$", line)[1].split(", "))
    check(known == found, f"in server/config/log_levels.c and not in sources: {known - found}, "
                          f"the other way round: {found - known}")


def hang_up(daemon, pattern):
    """Sends SIGHUP; returns the lines about it, once one of them matches."""
    before = len(daemon.log())
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: re.search(pattern, daemon.log()[before:]), what=f"a line with {pattern}")
    return [line for line in daemon.log()[before:].splitlines() if "reload: " in line]


def marks(pool_):
    eviction = pool_.status()["eviction"]
    return eviction["high_percent"], eviction["low_percent"]


def reload_takes_what_it_can():
    with File("evict-high = 90\nevict-low = 80\n") as file:
        with Pool(options=["--config", file.path]) as p:
            check(marks(p) == (90, 80), "the file's marks")
            file.write("evict-high = 70\nevict-low = 60\nlog-level = warn,cenoted=info,rpc=debug\n"
                       "lease = 3s\nput-timeout = 20s\nscrub-rate = 1GiB\nzone = a\n")
            lines = hang_up(p.meta, r"reload: .*: \d+ taken")
            for text in ("evict-high is 70, was 90", "evict-low is 60, was 80",
                         "put-timeout is 20s, was 1m", "scrub-rate is 1GiB, was 16MiB",
                         "log-level is warn,cenoted=info,rpc=debug, was info",
                         "lease needs a restart: it stays 5s, and is not 3s yet",
                         "zone needs a restart: it stays nothing, and is not a yet",
                         f"{file.path}: 5 taken, 2 need a restart"):
                check(any(text in line for line in lines), f"{text} is not in {lines}")
            wait_until(lambda: marks(p) == (70, 60), what="the service having the new marks")
            p.cenote("status")
            wait_until(lambda: "level=debug module=rpc" in p.meta.log(), what="rpc's debug lines")
            check("level=debug module=meta" not in p.meta.log(), "other modules say no more")
            # What needs a restart is said each time.
            lines = hang_up(p.meta, r"reload: .*: 0 taken, 2 need")
            check(len(lines) == 3, lines)
            # Gone from the file: the default again.
            file.write("log-level = info\n")
            hang_up(p.meta, r": 5 taken, 0 need")
            plain = "\n".join(cenoted("--print-config"))
            default = tuple(int(re.search(rf"#evict-{mark} = (\d+)", plain)[1])
                            for mark in ("high", "low"))
            wait_until(lambda: marks(p) == default, what="the default marks")


def broken_reload_changes_nothing():
    with File("evict-high = 90\nevict-low = 80\n") as file:
        with Pool(options=["--config", file.path]) as p:
            p.allow('module=cenoted msg="reload: ')
            file.write("evict-high = 70\nevict-low = 75\nlog-level = error\nnonsense = 1\n")
            lines = hang_up(p.meta, "nothing is changed")
            check("reload: 2 faults, nothing is changed" in lines[-1], lines)
            check(any(f"{file.path}:4: no option is called 'nonsense'" in line for line in lines)
                  and any(f"{file.path}:2: evict-low: " in line for line in lines), lines)
            check(marks(p) == (90, 80), "the marks stay")
            file.path.unlink()
            (line, _) = hang_up(p.meta, "nothing is changed")
            check("No such file" in line, line)
            file.write("evict-high = 90\nevict-low = 80\n")
            hang_up(p.meta, ": 0 taken, 0 need a restart")


def takes_hangups(daemon):
    """Has it come so far that a hangup doesn't end it?"""
    text = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    return int(re.search(r"SigBlk:\s+(\w+)", text)[1], 16) & 1 << signal.SIGHUP - 1


def hangups_harm_nobody():
    """While it starts, without a file, many of them, and while it stops."""
    with Pool(split=True, nodes=1) as p:
        hang_up(p.meta, "there is no file: 0 taken")
        for _ in range(200):
            p.nodes[0].signal(signal.SIGHUP)
        p.meta.stop()
        p.meta.start(wait=False)
        wait_until(lambda: takes_hangups(p.meta), what="its having begun to start")
        for _ in range(50):
            p.meta.signal(signal.SIGHUP)
        p.meta.wait_ready()
        p.wait_capacity()
        p.nodes[0].signal(signal.SIGTERM)
        p.nodes[0].signal(signal.SIGHUP)
        p.nodes[0].wait_ended()


def the_manager_is_told():
    """By sd_notify(3)'s protocol: when everything is open, and before it ends."""
    with tempfile.TemporaryDirectory(prefix="cenote-test-") as folder:
        for name, address in ((f"{folder}/notify", f"{folder}/notify"),
                              (f"@cenote-{os.getpid()}", f"\0cenote-{os.getpid()}")):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.settimeout(20 * pool.SLOWNESS)
                manager.bind(address)
                daemon = pool.Daemon("notifies", pathlib.Path(folder), (
                    "--data-dir", f"{folder}/meta", "--shm-dir", folder, "--dram", "8MiB",
                    "--listen", f"unix:{folder}/control", "--http", "none"))
                daemon.launcher = ["env", f"NOTIFY_SOCKET={name}"]
                daemon.start(wait=False)
                check(manager.recv(100) == b"READY=1", "ready first")
                daemon.wait_ready()
                daemon.stop()
                check(manager.recv(100) == b"STOPPING=1", "then stopping")


if __name__ == "__main__":
    run_cases((everything_is_said_at_once, contradictions_are_located, broken_files, good_files,
               the_example_is_complete, modules_are_those_of_the_sources,
               reload_takes_what_it_can, broken_reload_changes_nothing, hangups_harm_nobody,
               the_manager_is_told),
              sys.argv[1:])
