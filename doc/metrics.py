#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tables of doc/METRICS.md, between lines `<!-- BEGIN NAME -->` and `<!-- END NAME -->`:
what a daemon with both roles says at /metrics, and what the tool's client counts. The rest of that
page is written by hand.

Usage: doc/metrics.py [--check] DIRECTORY (where the programs are, e.g. build/bin). With --check
nothing is written; status 1 if the page differs. tests/system/test_metrics.py checks it too.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request

PAGE = pathlib.Path(__file__).resolve().parent / "METRICS.md"
FAMILY = re.compile(r"^# HELP (\w+) (.*)\n# TYPE \w+ (\w+)((?:\n[^#].*)*)", re.M)
SAMPLE = re.compile(r"^\w+\{(.*)\}", re.M)
LABEL = re.compile(r'(\w+)="')
# Of families that may have no sample yet.
LABELS = {"cenote_node_duration_seconds": "transport, direction",
          "cenote_node_connections": "transport", "cenote_node_queue_pairs": "transport",
          "cenote_node_regions": "transport", "cenote_node_completion_errors_total": "transport",
          "cenote_node_fenced_total": "transport", "cenote_node_rails_lost_total": "transport",
          "cenote_client_duration_seconds": "operation", "cenote_rpc_duration_seconds": "method",
          "cenote_http_duration_seconds": "method",
          "cenote_namespace_objects": "namespace", "cenote_namespace_used_bytes": "namespace",
          "cenote_namespace_evictions_total": "namespace",
          "cenote_trace_seconds": "operation, stage", "cenote_trace_in_flight": "operation, stage",
          "cenote_trace_shortest_seconds": "operation, stage",
          "cenote_trace_longest_seconds": "operation, stage"}


def row(name, text, kind, samples):
    found = SAMPLE.search(samples)
    labels = [label for label in LABEL.findall(found[1]) if label != "le"] if found else []
    return f"| `{name}` | {kind} | {', '.join(labels) or LABELS.get(name, '')} | {text} |"


def table(page):
    rows = [row(*found) for found in FAMILY.findall(page)]
    return "\n".join(["| name | kind | labels | meaning |", "|---|---|---|---|", *sorted(rows)])


def daemon_page(programs, directory):
    process = subprocess.Popen(
        [programs / "cenoted", "--data-dir", directory / "meta", "--listen",
         f"unix:{directory}/control", "--shm-dir", directory / "shm", "--dram", "8MiB",
         "--data-listen", "127.0.0.1:0", "--http", "127.0.0.1:0"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        endpoint = re.search(r"http (\S+)", process.stdout.readline())[1]
        with urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        client = subprocess.run(
            [programs / "cenote", "put", "a", "/dev/null", "--metrics", "-"], check=True, text=True,
            env={**os.environ, "CENOTE_META": f"unix:{directory}/control"}, capture_output=True)
        return page, client.stderr
    finally:
        process.terminate()
        process.communicate(timeout=30)


def main():
    arguments = [a for a in sys.argv[1:] if a != "--check"]
    with tempfile.TemporaryDirectory(prefix="cenote-metrics-") as directory:
        daemon, client = daemon_page(pathlib.Path(arguments[0]).resolve(),
                                     pathlib.Path(directory))
    old = text = PAGE.read_text()
    for name, page in (("DAEMON", daemon), ("CLIENT", client)):
        begin, end = f"<!-- BEGIN {name} -->\n", f"\n<!-- END {name} -->"
        head, rest = text.split(begin)
        text = head + begin + table(page) + end + rest.split(end)[1]
    if "--check" in sys.argv:
        if text != old:
            sys.exit(f"{PAGE}: the tables differ from what the programs say: doc/metrics.py")
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
