#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""RDMA beside perftest's tools, in one guest with software devices: the same sizes, queue pairs,
depth, MTU and processors, in turns, round by round. Prints medians, ratios and targets.

    bench/rdma.py [--net pair|one] [--rounds N] [--queue-pairs N] [--json FILE] [PART...]

Parts: read, write (beside ib_read_bw and ib_write_bw), block (122 buffers beside one), latency
(beside ib_read_lat), memory (registered or not), library (a pool: put and get beside the raw rate).
In the guest every instruction is interpreted: only ratios tell something.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

TREE = pathlib.Path(__file__).resolve().parent.parent
sys.path.append(str(TREE / "tests/vm"))
import vm # noqa: E402 pylint: disable=wrong-import-position

PYTHON = "/usr/bin/python3"
BIN = pathlib.Path(os.environ.get("CENOTE_BIN", TREE / "build/bin")).resolve()
INSIDE = "CENOTE_BENCH_INSIDE"
TOOLS = ("ib_read_bw", "ib_write_bw", "ib_read_lat")
SIZES = {"64K": 64 << 10, "256K": 256 << 10, "1M": 1 << 20, "8M": 8 << 20}
# (devices of node and client, where the node listens) by network.
PLACES = {"pair": ("rxe0", "rxe1", "10.8.0.1"), "one": ("rxe0", "rxe0", "10.7.0.1")}
MTU = 4096
NODE_CPU, CLIENT_CPU = 0, 1
COMMAND_S = 60
# Packets that wait for a processor. What is beyond it is lost, and sent again after 67 ms: on a
# busy host that is all that would be measured.
BACKLOG = 100000
ALONE = 32 # reads of 1 MiB, one at a time
LOST = re.compile(r"completer_retry_err|retry_exceeded_err|rcvd_seq_err|out_of_seq_request")
PARTS = ("read", "write", "block", "latency", "memory", "library")


class Failed(Exception):
    """A tool failed; the text tells."""


def main():
    options = parse()
    if os.environ.get(INSIDE):
        return inside(options)
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    if missing:
        print(f"SKIPPED: {', '.join(missing)} (package perftest) isn't here")
        return vm.SKIPPED
    os.environ[INSIDE] = "1"
    os.environ["CENOTE_BIN"] = str(BIN)
    return vm.main(["run", "--net", options.net, "--timeout", str(options.limit), "--export",
                    str(BIN.parent), "--share", str(options.json.parent), "--", PYTHON,
                    __file__, *sys.argv[1:]])


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="of: " + ", ".join(PARTS))
    parser.add_argument("--net", choices=PLACES, default="pair")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queue-pairs", type=int, default=1, metavar="N")
    parser.add_argument("--depth", type=int, default=64, help="requests in flight on each")
    parser.add_argument("--bytes", type=int, default=16 << 20, help="that a measurement moves")
    parser.add_argument("--pings", type=int, default=1000)
    parser.add_argument("--events", action="store_true", help="sleep instead of polling, both")
    parser.add_argument("--limit", type=float, default=1200, metavar="S", help="for all of it")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE",
                        default=pathlib.Path(tempfile.gettempdir()) / "cenote-rdma.json")
    options = parser.parse_args()
    unknown = set(options.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part: {', '.join(unknown)}")
    options.parts = options.parts or PARTS
    return options


# ---- in the guest ------------------------------------------------------------------------------


class Run:
    """All figures of a run: a list of values, one a round, by name."""

    def __init__(self, options):
        self.options = options
        self.figures = {}
        self.node, self.client, self.address = PLACES[options.net]

    def note(self, name, value):
        self.figures.setdefault(name, []).append(value)

    def perftest(self, tool, size, count):
        """The line of results of one of perftest's tools, a client beside a server."""
        common = [tool, "-x", "1", "-m", str(MTU), "-F", "-s", str(size), "-n", str(count)]
        if tool != "ib_read_lat":
            common += ["-q", str(self.options.queue_pairs), "-N", "--perform_warm_up",
                       "-t", str(self.options.depth)]
        if self.options.events:
            common.append("-e")
        server = on_cpu(NODE_CPU, *common, "-d", self.node)
        client = on_cpu(CLIENT_CPU, *common, "-d", self.client, self.address)
        with subprocess.Popen(server, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            try:
                return result_line(until_up(client, process), size)
            finally:
                end(process)

    def cenote(self, *cases):
        """What xcopy_bench says of these cases."""
        words = ["--json", "--rounds=1", f"--rdma={self.client},mtu={MTU}",
                 f"--node-rdma={self.node},mtu={MTU}", f"--listen={self.address}:0",
                 f"--cpu={CLIENT_CPU + 1}", f"--node-cpu={NODE_CPU + 1}",
                 f"--channels={self.options.queue_pairs}", f"--depth={self.options.depth}",
                 f"--bytes={self.options.bytes}", f"--pings={self.options.pings}"]
        if self.options.events:
            words.append("--events")
        return json.loads(output_of([BIN / "xcopy_bench", *words, *cases]))

    def rate(self, op, name):
        """Both rates of a size."""
        size = SIZES[name]
        count = max(self.options.bytes // size // self.options.queue_pairs, 5)
        words = self.perftest(f"ib_{op}_bw", size, count)
        self.note(f"ib_{op}_bw {name}", float(words[3]) * (1 << 20) / 1e6)
        self.note(f"{op} {name}", self.cenote(f"{op}:{name}")[f"{op}:{name}"]["mb_s"])


def on_cpu(cpu, *command):
    return ["taskset", "-c", str(cpu), *command]


def output_of(command):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=COMMAND_S, check=False)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def until_up(client, server):
    """The client's output; it is tried until the server, which lives, listens."""
    while True:
        try:
            return output_of(client)
        except Failed:
            if server.poll() is not None:
                raise


def result_line(output, size):
    for line in output.splitlines():
        words = line.split()
        if words and words[0] == str(size):
            return words
    raise Failed(f"no line of results: {output}")


def end(process):
    """A server of perftest ends with its client, unless that failed."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()


def do_read(run):
    for name in SIZES:
        run.rate("read", name)


def do_write(run):
    for name in SIZES:
        run.rate("write", name)


def do_block(run):
    for name, result in run.cenote("read:block", "read:flat", "write:block", "write:flat").items():
        run.note(name, result["mb_s"])


def do_latency(run):
    run.note("ib_read_lat 64", float(run.perftest("ib_read_lat", 64, run.options.pings)[4]))
    run.note("ping 64", run.cenote("ping:64")["ping:64"]["us_p50"])


def do_memory(run):
    cases = [f"{op}:{size}{kind}" for op in ("read", "write") for size in ("64K", "1M", "block")
             for kind in ("", ":plain")]
    for name, result in run.cenote(*cases).items():
        run.note(f"memory {name}", result["mb_s"])


def do_library(run):
    """A pool on the node's device, and a client on the other; the raw rate at the same time."""
    for op in ("read", "write"):
        run.rate(op, "1M")
    alone_us = float(run.perftest("ib_read_lat", 1 << 20, ALONE)[4])
    run.note("ib_read_lat 1M", (1 << 20) / alone_us)
    with tempfile.TemporaryDirectory() as folder:
        control = f"unix:{folder}/control"
        daemon = on_cpu(NODE_CPU, BIN / "cenoted", "--data-dir", f"{folder}/meta", "--listen",
                        control, "--shm-dir", f"{folder}/shm", "--dram=160MiB", "--lease=300ms",
                        f"--rdma={run.node},mtu={MTU}")
        with subprocess.Popen(daemon, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              text=True) as process:
            try:
                if "ready" not in process.stdout.readline():
                    raise Failed("cenoted isn't ready")
                copies = json.loads(pool_copies(run, control))
            finally:
                process.terminate()
                process.wait(COMMAND_S)
    for move in ("put", "get_seal", "get_full"):
        run.note(f"library {move}", (1 << 20) / copies[move]["p50_us"])


def pool_copies(run, control):
    command = on_cpu(CLIENT_CPU, BIN / "cenote-bench", "--meta", control, "--transport=rdma",
                     "--json", "--rounds=32", "--set=12M", "copy", "1M")
    return output_of(["env", f"CENOTE_RDMA={run.client},mtu={MTU}", *command])


DO = {"read": do_read, "write": do_write, "block": do_block, "latency": do_latency,
      "memory": do_memory, "library": do_library}


def ratios(figures):
    """(what, ours, beside what, target, whether less is better)"""
    rows = []
    for op in ("read", "write"):
        rows += [(f"{op} {name}", f"ib_{op}_bw {name}", 0.95, False) for name in SIZES]
    rows.append(("read:block", "read:flat", 0.9, False))
    rows.append(("write:block", "write:flat", None, False))
    rows.append(("ping 64", "ib_read_lat 64", 1.1, True))
    for op in ("read", "write"):
        rows += [(f"memory {op}:{size}:plain", f"memory {op}:{size}", None, False)
                 for size in ("64K", "1M", "block")]
    rows.append(("library put", "ib_write_bw 1M", 0.85, False))
    rows.append(("library get_full", "ib_read_bw 1M", 0.85, False))
    rows += [(f"library {get}", "ib_read_lat 1M", None, False) for get in ("get_seal", "get_full")]
    return [row for row in rows if row[0] in figures and row[1] in figures]


def tell(figures):
    """The table. True: all targets are met."""
    good = True
    print(f"{'':26} {'ours':>9} {'beside':>9}  {'ratio':>6}  {'rounds':13}  target")
    for ours, other, target, less in ratios(figures):
        a, b = figures[ours], figures[other]
        ratio = statistics.median(a) / statistics.median(b)
        each = [x / y for x, y in zip(a, b)]
        met = target is None or (ratio <= target if less else ratio >= target)
        good = good and met
        wanted = "" if target is None else f"{'<=' if less else '>='} {target}"
        print(f"{ours:26} {statistics.median(a):9.1f} {statistics.median(b):9.1f}  {ratio:6.3f}  "
              f"{min(each):5.2f} - {max(each):4.2f}   {wanted}{'' if met else '  MISSED'}")
    print("MB/s; ping: us")
    return good


def lost():
    """What the devices have counted of packets that were lost, or sent again."""
    found = {}
    for path in pathlib.Path("/sys/class/infiniband").glob("*/ports/1/hw_counters/*"):
        if LOST.fullmatch(path.name) and int(path.read_text()) > 0:
            found[f"{path.parts[4]} {path.name}"] = int(path.read_text())
    return found


def place(device, cpu):
    """What a device receives is worked on by this processor. Otherwise it is the one that sent it:
    then everything happens on the client's, or it doesn't, as the scheduler likes."""
    interface = pathlib.Path(f"/sys/class/infiniband/{device}/parent").read_text().strip()
    for queue in pathlib.Path(f"/sys/class/net/{interface}/queues").glob("rx-*"):
        (queue / "rps_cpus").write_text(f"{1 << cpu:x}")


def inside(options):
    pathlib.Path("/proc/sys/net/core/netdev_max_backlog").write_text(str(BACKLOG))
    run = Run(options)
    place(run.node, NODE_CPU)
    if run.client != run.node:
        place(run.client, CLIENT_CPU)
    for number in range(options.rounds):
        for part in options.parts:
            begin = time.monotonic()
            DO[part](run)
            print(f"round {number + 1} {part} {time.monotonic() - begin:.1f} s", flush=True)
        if number + 1 < options.rounds:
            tell(run.figures)
    print("packets lost or sent again:", lost() or "none", flush=True)
    out = pathlib.Path(os.environ["CENOTE_VM_OUT"]) / options.json.name
    out.write_text(json.dumps(run.figures, indent=1), encoding="ascii")
    return 0 if tell(run.figures) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as error:
        print(f"rdma.py: {error}", file=sys.stderr)
        sys.exit(1)
