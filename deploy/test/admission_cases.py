#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What Kubernetes says of deploy/helm/cenote: all that it renders is admitted, pods and claims that
follow from it included, upgrades are, and what can't be changed is refused as doc/OPERATIONS.md
says.

Usage: admission_cases.py HELM ADMISSION     ADMISSION: of deploy/test/admission/main.go
"""
import pathlib
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
CHART = TOP / "deploy/helm/cenote"
SETS = TOP / "deploy/test/chart"

# Kubernetes' standards for pods: what a namespace must allow for the nodes of a set.
NODE_STANDARD = {"default": "restricted", "daemonset": "privileged", "rdma": "privileged",
                 "everything": "privileged"}
STANDARD = (("node.memory.kind=hostPath", "privileged"), ("node.shm.enabled=true", "privileged"),
            ("node.hostNetwork=true", "privileged"), ("node.rdma.enabled=true", "privileged"),
            ("node.gpu.enabled=true", "restricted"), ("node.memory.kind=hugepages", "restricted"))
# From a set to the same with other values: what becomes of which object.
META, NODE = "StatefulSet/rel-cenote-meta", "StatefulSet/rel-cenote-node"
TAKEN = (
    ("default", ["image.tag=1.2.3"], META),
    ("default", ["image.tag=1.2.3"], NODE),
    ("default", ["node.replicas=5", "node.dram={8GiB,8GiB}"], NODE),
    ("default", ["node.memory.kind=hostPath", "node.memory.hostPath=/dev/shm/cenote"], NODE),
    ("default", ["node.config.scrub-rate=8MiB"], "ConfigMap/rel-cenote"),
    ("default", ["meta.service.type=LoadBalancer"], "Service/rel-cenote"),
    ("daemonset", ["node.maxUnavailable=3", "node.nodeSelector.pool=no"],
     "DaemonSet/rel-cenote-node"),
    ("rdma", ["node.rdma.count=1"], NODE),
)
REFUSED = (
    ("default", ["meta.storage.size=200Gi"], META),
    ("default", ["meta.storage.storageClass=other"], META),
)


def check(condition, text):
    if not condition:
        print(f"FAILED: admission: {text}")
        sys.exit(1)


class Cases:
    def __init__(self, helm, program, folder):
        self.helm, self.program, self.folder = helm, program, pathlib.Path(folder)
        self.count = 0

    def render(self, name, settings=(), hooks=()):
        """hooks: as they are; or left out, since an upgrade makes them anew."""
        command = [self.helm, "template", "rel", CHART, "--namespace", "pool", *hooks]
        if name != "default":
            command += ["--values", SETS / f"{name}.yaml"]
        for setting in settings:
            command += ["--set", setting]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        check(done.returncode == 0, f"{name}: {done.stderr}")
        self.count += 1
        path = self.folder / f"{self.count}.yaml"
        path.write_text(done.stdout)
        return path

    def ask(self, *paths):
        """(is all of it admitted?, lines)"""
        done = subprocess.run([str(self.program), *map(str, paths)], capture_output=True,
                              text=True, check=False)
        check(done.returncode in (0, 1), f"{done.stderr}")
        return done.returncode == 0, done.stdout.splitlines()


def change(cases, name, settings):
    without = ("--no-hooks",)
    return cases.ask(cases.render(name, hooks=without), cases.render(name, settings, without))


def created(cases, name):
    admitted, lines = cases.ask(cases.render(name))
    check(admitted, f"{name}:\n" + "\n".join(lines))
    check(not any(line.startswith("warning") for line in lines), f"{name}: {lines}")
    unknown = [line for line in lines if line.startswith("unknown")]
    check(all("ServiceMonitor/" in line for line in unknown), f"{name}: {unknown}")
    standards = {line.split()[2]: line.split()[1] for line in lines if line.startswith("standard")}
    for pod, standard in standards.items():
        wanted = NODE_STANDARD[name] if "-node-" in pod else "restricted"
        check(standard == wanted, f"{name}: {pod} is {standard}")
    claims = [line for line in lines if line.startswith("created PersistentVolumeClaim/")]
    check(len(claims) == 1, f"{name}: {lines}")
    return len(lines)


def upgraded(cases, name, settings, wanted):
    admitted, lines = change(cases, name, settings)
    check(admitted and f"updated {wanted}" in lines, f"{name}, {settings}:\n" + "\n".join(lines))


def refused(cases, name, settings, wanted):
    _, lines = change(cases, name, settings)
    said = [line for line in lines if line.startswith("refused")]
    check(len(said) == 1 and said[0].startswith(f"refused {wanted}: ") and "Forbidden" in said[0],
          f"{name}, {settings}:\n" + "\n".join(lines))


def standard(cases, setting, wanted):
    _, lines = cases.ask(cases.render("default", [setting]))
    check(f"standard {wanted} Pod/rel-cenote-node-0" in lines, f"{setting}: {lines}")


def nonsense(cases):
    """The program itself refuses what the server would."""
    path = cases.folder / "nonsense.yaml"
    for text in ("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {noSuchField: 1}\n",
                 "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 0}]}\n",
                 "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: A_b}\n"):
        path.write_text(text)
        admitted, lines = cases.ask(path)
        check(not admitted and len(lines) == 1, f"{text} is admitted: {lines}")


def main():
    with tempfile.TemporaryDirectory(prefix="cenote-admission-") as folder:
        cases = Cases(sys.argv[1], sys.argv[2], folder)
        nonsense(cases)
        count = sum(created(cases, name) for name in NODE_STANDARD)
        for case in STANDARD:
            standard(cases, *case)
        for case in TAKEN:
            upgraded(cases, *case)
        for case in REFUSED:
            refused(cases, *case)
        to_daemons = cases.ask(cases.render("default"), cases.render("daemonset"))
        check("created DaemonSet/rel-cenote-node" in to_daemons[1], f"{to_daemons}")
    print(f"admission: {len(NODE_STANDARD)} sets of values admitted, {count} answers; "
          f"{len(TAKEN)} upgrades taken, {len(REFUSED)} refused")


if __name__ == "__main__":
    main()
