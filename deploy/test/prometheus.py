#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus with deploy/prometheus' configuration scrapes a real pool: a service and three
nodes. All targets are up; it loads all alert rules and evaluates them without a fault; no alert is
raised in a pool that is well; each expression of a rule and of the Grafana dashboard has a result
(what it compares, where it only has one when something is wrong). Then a node is killed, and the
alerts that are about that become pending.

Usage: deploy/test/prometheus.py    CENOTE_BIN, CENOTE_SOURCE as for the tests of tests/system
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request

TREE = pathlib.Path(__file__).resolve().parents[2]
os.environ.setdefault("CENOTE_SOURCE", str(TREE))
sys.path.insert(0, str(TREE / "tests" / "system"))
import test_monitoring as monitoring  # noqa: E402
from pool import BIN, Pool, check, end_of, skip, steady_port, wait_until  # noqa: E402

INTERVAL = "1s"  # in the place of the configuration's
WAIT_S = 30
# "x > 1" has no series where x is 1; "x > bool 1" has one.
COMPARISON = re.compile(r" (==|!=|<=|>=|<|>) ")
# What only a node with RDMA devices tells.
ONLY_RDMA = ("cenote_node_rails_lost_total", "cenote_node_connections")


class Prometheus:
    """Its process, and what it answers."""

    def __init__(self, directory, config):
        self.address = f"127.0.0.1:{steady_port()}"
        with open(directory / "log", "wb") as log:
            self.process = subprocess.Popen(
                ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory}/data",
                 f"--web.listen-address={self.address}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.log = directory / "log"

    def get(self, path, **arguments):
        url = f"http://{self.address}/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]

    def ready(self):
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=5):
                return True
        except OSError:
            check(self.process.poll() is None, f"prometheus ended: {self.log.read_text()}")
            return False

    def result(self, expression):
        try:
            return self.get("query", query=expression)["result"]
        except urllib.error.HTTPError as error:
            sys.exit(f"FAILED: {expression}: {error.read().decode()}")

    def pending(self):
        return {a["labels"]["alertname"] for a in self.get("alerts")["alerts"]}

    def stop(self):
        self.process.terminate()
        end_of(self.process, WAIT_S, "prometheus")


def configuration(directory, pool):
    """deploy/prometheus/prometheus.yaml with this pool's addresses, and more frequent."""
    text = (monitoring.RULES.parent / "prometheus.yaml").read_text(encoding="utf-8")
    names = dict(zip(("meta", "node1", "node2", "node3"), (pool.meta, *pool.nodes)))
    for name, daemon in names.items():
        check(text.count(f'"{name}:7480"') == 1, f"prometheus.yaml: {name}")
        text = text.replace(f"{name}:7480", daemon.endpoints["http"][0])
    text, count = re.subn(r"_interval: \w+", f"_interval: {INTERVAL}", text)
    check(count == 2, "prometheus.yaml: its intervals")
    path = directory / "prometheus.yaml"
    path.write_text(text, encoding="utf-8")
    shutil.copy(monitoring.RULES, directory)
    return path


def use(pool, enough):
    """Puts, gets, misses and errors, until it is enough."""
    pool.cenote("ns", "create", "tenant")
    number = 0
    while not enough.is_set():
        number += 1
        pool.cenote("put", f"key {number}", "/etc/passwd")
        for transport in ("shm", "tcp"):
            pool.cenote("--transport", transport, "get", f"key {number}")
        pool.cenote("get", "nothing", code=None)
        pool.cenote("rm", f"key {number}")


def expressions():
    """[(where it stands, expression)], without the variables that Grafana has."""
    asked = [("dashboard: " + where, e) for where, e in monitoring.dashboard_expressions()]
    asked += [("alert: " + where, " ".join(e.split())) for where, e in monitoring.alerts()]
    # A subquery of whole minutes would see its first one after a minute.
    values = {**monitoring.VARIABLES, "$__rate_interval": "10s", ":1m]": ":1s]"}
    for where, expression in asked:
        for name, value in values.items():
            expression = expression.replace(name, value)
        yield where, expression


def check_rules(prometheus):
    def evaluated():
        return all(r["health"] != "unknown" for r in rules())

    def rules():
        return [r for g in prometheus.get("rules")["groups"] for r in g["rules"]]
    wait_until(evaluated, WAIT_S, "the rules being evaluated")
    found = {r["name"]: r for r in rules()}
    check(set(found) == {name for name, _ in monitoring.alerts()}, f"other rules: {set(found)}")
    for name, rule in found.items():
        check(rule["health"] == "ok", f"{name}: {rule['health']}: {rule.get('lastError')}")
    return len(found)


def empty(prometheus):
    """What has no result."""
    missing = []
    for where, expression in expressions():
        prometheus.result(expression)  # as it stands
        has = prometheus.result(COMPARISON.sub(r" \1 bool ", expression))
        if not has and not any(name in expression for name in ONLY_RDMA):
            missing.append(f"{where}: {expression}")
    return missing


def all_up(prometheus):
    return len(prometheus.result('up{job="cenote"} == 1')) == 4


def judge(prometheus):
    wait_until(prometheus.ready, WAIT_S, "prometheus")
    wait_until(lambda: all_up(prometheus), WAIT_S, "four targets being up")
    rules = check_rules(prometheus)
    # Some need what happens between two scrapes.
    try:
        wait_until(lambda: not empty(prometheus), WAIT_S, "a result of everything")
    except Exception:
        print(*empty(prometheus), sep="\n")
        raise
    check(not prometheus.pending(), f"alerts of a pool that is well: {prometheus.pending()}")
    print(f"prometheus: {rules} rules, {len(list(expressions()))} expressions with a result")


def try_life(pool, prometheus):
    enough = threading.Event()
    user = threading.Thread(target=use, args=(pool, enough))
    user.start()
    try:
        judge(prometheus)
    finally:
        enough.set()
        user.join()


def try_death(pool, prometheus):
    pool.nodes[2].kill()
    about = {"CenoteTargetDown", "CenoteNodeAway"}
    wait_until(lambda: about <= prometheus.pending(), WAIT_S, f"{about} being pending")
    names = ", ".join(sorted(prometheus.pending()))
    print(f"prometheus: a node is killed, and pending are {names}")


def main():
    if not shutil.which("prometheus"):
        skip("no prometheus here (deploy/packages.sh deploy)")
    if not (BIN / "cenoted").exists():
        skip(f"there is no {BIN}/cenoted")
    http = ["--http=127.0.0.1:0"]
    with tempfile.TemporaryDirectory(prefix="cenote-prometheus-") as name, \
            Pool(nodes=3, split=True, dram="32MiB", options=http) as pool:
        pool.allow(r"module=(node|meta|rpc|shm|tcp)\b")
        directory = pathlib.Path(name)
        prometheus = Prometheus(directory, configuration(directory, pool))
        try:
            try_life(pool, prometheus)
            try_death(pool, prometheus)
        finally:
            prometheus.stop()


if __name__ == "__main__":
    main()
