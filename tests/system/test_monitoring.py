#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The dashboard for Grafana and the alert rules for Prometheus: they ask for what /metrics has, by
labels that it has, their expressions are well-formed, and each alert fires when it should, does not
when it should not, and is explained in doc/OPERATIONS.md.

Usage: test_monitoring.py [case ...]
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

from pool import MIB, Pool, check, run_cases, skip

DEPLOY = pathlib.Path(os.environ.get("CENOTE_SOURCE", ".")).resolve() / "deploy"
DASHBOARD = DEPLOY / "grafana" / "cenote.json"
RULES = DEPLOY / "prometheus" / "alerts.yaml"
TESTS = DEPLOY / "prometheus" / "alerts_test.yaml"
OF_PROMETHEUS = {"job", "instance", "le"}
VARIABLES = {"$job": ".+", "$__rate_interval": "5m", "$__range": "1h"}
SELECTOR = re.compile(r"\b(cenote_\w+)(?:\{([^}]*)\})?")
GROUPS = re.compile(r"\bby \(([^)]*)\)")


def dashboard_expressions():
    """[(panel, expression)]"""
    board = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    found = [(a["name"], a["expr"]) for a in board["annotations"]["list"]]
    for panel in board["panels"]:
        found += [(panel["title"], t["expr"]) for t in panel.get("targets", [])]
        for target in panel.get("targets", []):
            check(target["datasource"]["uid"] == "${datasource}", f"{panel['title']}: its source")
    return found


def alerts():
    """[(name, expression)], from YAML that has the form of alerts.yaml."""
    parts = re.split(r"^ +- alert: ", RULES.read_text(encoding="utf-8"), flags=re.M)[1:]
    found = []
    for part in parts:
        expression = re.search(r"^ +expr: (.*?)^ +(?:for|labels):", part, re.M | re.S).group(1)
        found.append((part.split()[0], expression.lstrip(">").strip()))
    return found


def families(page):
    """{name of a sample: its labels}, of what a daemon tells; doc/METRICS.md knows the labels."""
    text = (DEPLOY.parent / "doc" / "METRICS.md").read_text(encoding="utf-8")
    labels = {name: set(filter(None, map(str.strip, said.split(","))))
              for name, said in re.findall(r"^\| `(\w+)` \| \w+ \| ([^|]*) \|", text, re.M)}
    found = {}
    for name, kind in re.findall(r"^# TYPE (\w+) (\w+)", page, re.M):
        check(name in labels, f"doc/METRICS.md doesn't have {name}")
        for suffix in ("_bucket", "_sum", "_count") if kind == "histogram" else ("",):
            found[name + suffix] = labels[name]
    return found


def page_of(pool):
    endpoint = pool.meta.endpoints["http"][0]
    with urllib.request.urlopen(f"http://{endpoint}/metrics", timeout=10) as answer:
        return answer.read().decode()


def names():
    """Every name and label that is asked for is one that a daemon tells."""
    with Pool(dram=16 * MIB, meta_options=["--http=127.0.0.1:0"]) as pool:
        told = families(page_of(pool))
    asked = dashboard_expressions() + alerts()
    check(len(asked) > 50, f"only {len(asked)} expressions were found")
    for where, expression in asked:
        used = SELECTOR.findall(expression)
        check(used or expression.startswith("up{"), f"{where}: nothing of ours: {expression}")
        known = set(OF_PROMETHEUS)
        for name, selector in used:
            check(name in told, f"{where}: no metric is called {name}")
            known |= told[name]
            unknown = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector)) - known
            check(not unknown, f"{where}: {name} has no label {unknown}")
        for group in GROUPS.findall(expression):
            unknown = {g.strip() for g in group.split(",")} - known
            check(not unknown, f"{where}: nothing has the label {unknown}: {expression}")


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True,
                          cwd=RULES.parent, check=False)
    check(done.returncode == 0, done.stdout + done.stderr)


def dashboard():
    """Prometheus can read each expression of the dashboard; no two panels lie on each other."""
    rules = ["groups:", "  - name: dashboard", "    rules:"]
    for i, (_, expression) in enumerate(dashboard_expressions()):
        for name, value in VARIABLES.items():
            expression = expression.replace(name, value)
        check("$" not in expression, f"a variable that Grafana doesn't have: {expression}")
        rules += [f"      - record: expression:{i}", f"        expr: {json.dumps(expression)}"]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write("\n".join(rules) + "\n")
        file.flush()
        promtool("check", "rules", file.name)
    taken = {}
    for panel in json.loads(DASHBOARD.read_text(encoding="utf-8"))["panels"]:
        at = panel["gridPos"]
        check(at["x"] + at["w"] <= 24, f"{panel['title']} is too wide")
        for cell in ((x, y) for x in range(at["x"], at["x"] + at["w"])
                     for y in range(at["y"], at["y"] + at["h"])):
            check(cell not in taken, f"{panel['title']} lies on {taken.get(cell)}")
            taken[cell] = panel["title"]


def rules():
    """Each alert has its tests, which pass, and its paragraph."""
    promtool("check", "rules", RULES)
    promtool("test", "rules", TESTS)
    tests = TESTS.read_text(encoding="utf-8")
    text = (DEPLOY.parent / "doc" / "OPERATIONS.md").read_text(encoding="utf-8")
    for name, _ in alerts():
        for case in (f"name: {name}\n", f"name: no {name}\n"):
            check(case in tests, f"alerts_test.yaml has no case '{case.strip()}'")
        check(f"`{name}`" in text, f"doc/OPERATIONS.md doesn't say what {name} means")
    for name in set(re.findall(r"`(Cenote\w+)`", text)):
        check(name in dict(alerts()), f"doc/OPERATIONS.md explains {name}, which there isn't")


def main():
    run_cases([names], sys.argv[1:])
    if not shutil.which("promtool"):
        skip("no promtool here: dashboard and alerts were not tested; it is in the package "
             "prometheus (deploy/packages.sh test)")
    run_cases([dashboard, rules], sys.argv[1:])


if __name__ == "__main__":
    main()
