#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Counts what an operation costs: instructions (callgrind), allocations, and calls of the kernel
(strace), on the thread that does it. tests/cost/counts.json says what they were: 5 % more fail; 5 %
less ask for --update, which writes them down.

    lookup, lookup_batch   the service's answer to a request, without sockets; lookup_batch: for
                           each of its 128 keys
    lookup call            the whole of one: the codec on both ends, the service and its turn
    commit                 the service and its store in memory, not LMDB, and the codec on both ends
    rdma get, put, block   for each work request that the RDMA transport posts: 16 copies of 64 KiB
                           at once, and one of 122 pieces, over a device that does nothing; and how
                           many requests, doorbells and completions a turn has
    rdma read, write       the same of one copy, without a seal
    get, put ...           libcenote's function with 4 KiB, against a pool
    block                  a get of a KV-cache block of DeepSeek-R1: 122 buffers, 8784 KiB

A lookup call, a get and a block are counted once more in programs that are compiled without metrics
and trace points (..._bare). What those cost must be less than a hundredth. Each instruction that
reads the clock stands for CLOCK there: elsewhere that happens in the vDSO, which valgrind doesn't
have.

The counts hold for one compiler and one kernel of the checksums (valgrind has no AVX-512, so that
any machine with AVX2 has the same): others skip.

Usage: test_cost.py [--update | --traced]    --traced: only tells what tracing costs while it is on
"""
import argparse
import json
import os
import pathlib
import re
import subprocess

from pool import BIN, MIB, Pool, check, run_cases, skip

COUNTS = pathlib.Path(os.environ.get("CENOTE_SOURCE", ".")) / "tests/cost/counts.json"
TOLERANCE = 0.05
TIMES = 128
TRIES = 3
CLOCK = 10
METRICS_SHARE = 0.01
MARK = re.compile(r"getpgid\((-471[12])\)")
# name, operations in a turn, the function that is counted
SERVICE = (("lookup", 1, "service_peer_message"), ("lookup_batch", 128, "service_peer_message"),
           ("commit", 1, "measured"))
CHANNEL = ("get", "put", "block", "put block", "read 64K", "write 64K", "read 64", "write 64")
CLIENT = ("shm get", "tcp get", "shm put", "tcp put", "shm block")
BLOCK_TIMES = 4


def run(command):
    done = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, check=False)
    check(done.returncode == 0, f"{' '.join(map(str, command))}: ended with {done.returncode}:\n"
          f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def works(*command):
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def fixed(command):
    """Without randomly chosen addresses, where that is allowed."""
    return ["setarch", "-R", *command] if works("setarch", "-R", "true") else command


def clock_instructions(profile):
    names = set(re.findall(r"fn=\((\d+)\) \S*clock_gettime", profile))
    calls = re.findall(r"^cfn=\((\d+)\).*\ncalls=.*\n\S+ (\d+)$", profile, re.M)
    return sum(int(cost) for name, cost in calls if name in names)


def counted(command, directory, times, function, *more):
    """(instructions, those of reading the clock, allocations of a turn, surroundings)"""
    out = directory / "callgrind.out"
    text = run(fixed(["valgrind", "--tool=callgrind", f"--toggle-collect={function}",
                      f"--callgrind-out-file={out}", *command, times, *more]))
    allocated, kernel, compiler = re.search(r"allocations (\d+) kernel (\w+) compiler (.*)",
                                            text).groups()
    profile = out.read_text()
    total = int(re.search(r"^(?:totals|summary): (\d+)", profile, re.M)[1])
    check(total > times, f"callgrind doesn't find {function}")
    return (total, clock_instructions(profile), int(allocated) / times,
            {"kernel": kernel, "compiler": compiler})


def service_call(name, function, turn, directory):
    """Of one turn: the difference that twice as many make, whatever the program does before."""
    command = [BIN / "cost_service", name]
    once, _, _, surroundings = counted(command, directory, TIMES, function)
    twice = counted(command, directory, 2 * TIMES, function)[0]
    check(twice > once, f"callgrind doesn't find {function}")
    return {"instructions": round((twice - once) / TIMES / turn)}, surroundings


def kernel_calls(command, directory, times):
    """Of the thread that calls measured(), in a turn; none where they can't be counted."""
    if not works("strace", "-o", "/dev/null", "true"):
        print("  strace may not trace here: calls of the kernel are not counted", flush=True)
        return {}
    out = directory / "strace.out"
    run(["strace", "-f", "-o", out, *command, times])
    thread, calls, inside = None, 0, False
    for line in out.read_text().splitlines():
        task, text = line.split(None, 1)
        mark = MARK.match(text)
        if mark:
            thread, inside = task, mark[1] == "-4711"
        elif inside and task == thread and "resumed>" not in text:
            calls += 1
    check(thread is not None, "strace saw no mark")
    return {"kernel_calls": round(calls / times, 1)}


def channel_call(what, directory):
    """Instructions of a work request; all else of a turn."""
    command = [BIN / "cost_channel", what]
    total, _, allocated, surroundings = counted(command, directory, TIMES, "measured")
    told = run([*command, TIMES]).splitlines()[-1].split()
    entry = {name: int(count) / TIMES for name, count in zip(told[::2], told[1::2])}
    check(entry["requests"] >= 1, "nothing is requested")
    entry["instructions"] = round(total / TIMES / entry["requests"])
    entry["allocations"] = allocated
    entry.update(kernel_calls(command, directory, TIMES))
    return entry, surroundings


def cost_of_metrics(command, directory, times, total, clocks):
    """Instructions of a turn that the same program has no need of without them."""
    bare = [pathlib.Path(f"{command[0]}_bare"), *command[1:]]
    total_bare, clocks_bare, _, _ = counted(bare, directory, times, "measured")
    cost = (total - total_bare + CLOCK * (clocks - clocks_bare)) / times
    check(cost < METRICS_SHARE * total / times,
          f"{bare[0]}: metrics cost {cost:.1f} of {total / times:.1f} instructions")
    return {"metrics": round(cost, 1)}


def lookup_call(directory):
    command = [BIN / "cost_service", "lookup"]
    total, clocks, _, surroundings = counted(command, directory, TIMES, "measured")
    entry = {"instructions": round(total / TIMES)}
    entry.update(cost_of_metrics(command, directory, TIMES, total, clocks))
    return entry, surroundings


def client_call(name, command, directory):
    times = BLOCK_TIMES if name == "shm block" else TIMES
    total, clocks, allocated, surroundings = counted(command, directory, times, "measured")
    entry = {"instructions": round(total / times), "allocations": round(allocated, 1)}
    if name in ("shm get", "shm block"):
        entry.update(cost_of_metrics(command, directory, times, total, clocks))
    if name != "shm block":
        entry.update(kernel_calls(command, directory, times))
    return entry, surroundings


def tell_traced():
    """What tracing costs while it is on. (Switched off again it leaves nothing behind: that it was
    on isn't part of what is counted elsewhere.)"""
    with Pool(nodes=1, dram=64 * MIB, meta_options=["--lease=600s"]) as p:
        for name in CLIENT:
            command = [BIN / "cost_client", p.meta_endpoint, *name.split()]
            times = BLOCK_TIMES if name == "shm block" else TIMES
            off, on = (counted(command, p.dir, times, "measured", *more)
                       for more in ((), ("traced",)))
            total = [(count[0] + CLOCK * count[1]) / times for count in (off, on)]
            print(f"  {name}: {total[0]:.0f} instructions, {total[1] - total[0]:.0f} more while it "
                  f"is traced ({100 * (total[1] / total[0] - 1):.1f} %)", flush=True)


def methods(p):
    """{name: what counts it}"""
    found = {name: lambda n=name, t=turn, f=function: service_call(n, f, t, p.dir)
             for name, turn, function in SERVICE}
    found["lookup call"] = lambda: lookup_call(p.dir)
    found.update({f"rdma {what}": lambda w=what: channel_call(w, p.dir) for what in CHANNEL})
    for name in CLIENT:
        command = [BIN / "cost_client", p.meta_endpoint, *name.split()]
        found[name] = lambda n=name, c=command: client_call(n, c, p.dir)
    return found


def lowest(count, known):
    """Waiting for an answer costs a little more or less. What is too much is counted again."""
    best, surroundings = count()
    for _ in range(TRIES - 1):
        if not faults_of(known, best):
            break
        again, _ = count()
        best = {what: min(value, again[what]) for what, value in best.items()}
    return best, surroundings


def count_all(known):
    found, surroundings = {}, {}
    # What was looked up stays good under valgrind.
    with Pool(nodes=1, dram=64 * MIB, meta_options=["--lease=600s"]) as p:
        for name, count in methods(p).items():
            found[name], surroundings = lowest(count, known.get(name, {}))
            print(f"  {name}: {found[name]}", flush=True)
    return {**surroundings, "counts": found}


def slack(what, before):
    """When a thread has to wait for an answer is a matter of luck; where it never has, it isn't."""
    if what == "metrics":
        return max(5, before * TOLERANCE)
    return before * TOLERANCE + (1.5 if what == "kernel_calls" and before >= 1 else 0.1)


def faults_of(known, found):
    return [f"{value} {what}, were {known.get(what)}" for what, value in found.items()
            if what not in known or value > known[what] + slack(what, known[what])]


def costs():
    known = json.loads(COUNTS.read_text())
    found = count_all(known["counts"])
    for what in ("kernel", "compiler"):
        if found[what] != known[what]:
            skip(f"counted with {what} {known[what]}, this is {found[what]}")
    faults = []
    for name, entry in found["counts"].items():
        before = known["counts"].get(name, {})
        faults += [f"{name}: {fault}" for fault in faults_of(before, entry)]
        for what, value in entry.items():
            if value < before.get(what, 0) - slack(what, before.get(what, 0)):
                print(f"  cheaper: {name}: {value} {what}, were {before[what]}: tighten it with "
                      "--update", flush=True)
    check(not faults, "it costs more (or --update is due):\n  " + "\n  ".join(faults))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--traced", action="store_true")
    options = parser.parse_args()
    if options.traced:
        tell_traced()
    elif options.update:
        COUNTS.write_text(json.dumps(count_all({}), indent=1) + "\n")
    else:
        run_cases([costs])


if __name__ == "__main__":
    main()
