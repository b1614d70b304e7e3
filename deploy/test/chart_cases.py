#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Renders deploy/helm/cenote with several sets of values, and checks what comes out.

Usage: chart_cases.py HELM [--validate KUBERNETES_VALIDATE VERSION...] [--cenoted CENOTED]

Each file deploy/test/chart/*.yaml is a set of values, apart from refused.yaml: those that helm must
refuse. What is checked: helm lint, the Kubernetes API's schemas, that cenoted takes the
configuration files, and that the parts refer to each other.
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

TOP = pathlib.Path(__file__).resolve().parents[2]
CHART = TOP / "deploy/helm/cenote"
SETS = TOP / "deploy/test/chart"
CUSTOM = ("ServiceMonitor",)  # kinds that aren't Kubernetes' own


def check(condition, text):
    if not condition:
        print(f"FAILED: chart: {text}")
        sys.exit(1)


def run(*command, **more):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False,
                          **more)


class Chart:
    def __init__(self, helm, name, values):
        files = [] if values is None else ["--values", values]
        self.name = name
        self.lint = run(helm, "lint", "--strict", CHART, *files)
        self.rendered = run(helm, "template", "rel", CHART, "--namespace", "pool", *files)
        check(self.lint.returncode == 0, f"{name}: lint: {self.lint.stdout}{self.lint.stderr}")
        check(self.rendered.returncode == 0, f"{name}: {self.rendered.stderr}")
        self.parts = [p for p in yaml.safe_load_all(self.rendered.stdout) if p]

    def all(self, kind):
        return [p for p in self.parts if p["kind"] == kind]

    def one(self, kind, ending):
        found = [p for p in self.all(kind) if p["metadata"]["name"].endswith(ending)]
        check(len(found) == 1, f"{self.name}: {len(found)} {kind} {ending}")
        return found[0]

    def node(self):
        kinds = [k for k in ("StatefulSet", "DaemonSet") for p in self.all(k)
                 if p["metadata"]["name"].endswith("-node")]
        check(len(kinds) == 1, f"{self.name}: {kinds}")
        return self.one(kinds[0], "-node")

    def shm_dir(self):
        """Where the node's sockets are mounted."""
        mounts = self.node()["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
        return next(m["mountPath"] for m in mounts if m["name"] == "sockets")

    def config(self, role):
        text = self.all("ConfigMap")[0]["data"][f"{role}.conf"]
        return dict(line.split(" = ", 1) for line in text.strip().splitlines())


def check_references(chart):
    """Mounts have volumes, selectors find pods, ports have names that exist."""
    pods = [p["spec"]["template"] for k in ("StatefulSet", "DaemonSet") for p in chart.all(k)]
    pods += chart.all("Pod")
    maps = {p["metadata"]["name"] for p in chart.all("ConfigMap")}
    for pod in pods:
        spec = pod["spec"]
        volumes = {v["name"] for v in spec.get("volumes", [])} | {"data"}
        names = {p["name"] for c in spec["containers"] for p in c.get("ports", [])}
        for container in spec["containers"] + spec.get("initContainers", []):
            for mount in container["volumeMounts"]:
                check(mount["name"] in volumes, f"{chart.name}: no volume {mount['name']}")
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if probe in container:
                    check(container[probe]["httpGet"]["port"] in names, f"{chart.name}: {probe}")
            security = container["securityContext"]
            dropped = security["capabilities"]["drop"] == ["ALL"]
            check(security["readOnlyRootFilesystem"] and dropped,
                  f"{chart.name}: {container['name']} may do more than it must")
        for volume in spec.get("volumes", []):
            if "configMap" in volume:
                check(volume["configMap"]["name"] in maps, f"{chart.name}: {volume}")
    for part in sum(map(chart.all, ("Service", "PodDisruptionBudget", "NetworkPolicy")), []):
        selector = part["spec"].get("selector") or part["spec"]["podSelector"]
        selector = selector.get("matchLabels", selector).items()
        check(any(selector <= pod["metadata"]["labels"].items() for pod in pods),
              f"{chart.name}: {part['kind']} {part['metadata']['name']} finds no pod")


def image_environment():
    """What the image's processes find in their environment."""
    text = (TOP / "deploy/docker/Dockerfile").read_text()
    words = re.search(r"^ENV (.*)$", text, re.MULTILINE)[1].split()
    return dict(word.split("=", 1) for word in words)


def pod_environment(chart, role):
    """What cenoted of this role finds: the image's, and the pod's; the cluster's words are "x"."""
    pod = chart.one("StatefulSet", "-meta") if role == "meta" else chart.node()
    found = {k: v for k, v in os.environ.items() if not k.startswith("CENOTE_")}
    found |= image_environment()
    for entry in pod["spec"]["template"]["spec"]["containers"][0]["env"]:
        value = entry.get("value", "x")
        found[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda m: found[m[1]], value)
    return found


def check_config(chart, cenoted):
    """cenoted takes the files, and what it makes of all that it finds in the pod is what they say."""
    of_image = {name[len("CENOTE_"):].lower().replace("_", "-") for name in image_environment()}
    for role, claimed in (("meta", {"data-dir": "/var/lib/cenote/meta"}),
                          ("node", {"shm-dir": chart.shm_dir()})):
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as f:
            f.write(chart.all("ConfigMap")[0]["data"][f"{role}.conf"])
            f.flush()
            environment = pod_environment(chart, role) | {"CENOTE_CONFIG": f.name}
            done = run(cenoted, "--check-config", env=environment)
            said = done.stdout + done.stderr
            idle = set(re.findall(r"([\w-]+) says nothing", said)) - of_image
            check(done.returncode == 0 and not idle, f"{chart.name}: {role}.conf: {said}")
            printed = run(cenoted, "--print-config", env=environment).stdout
        lines = [line.split(" = ", 1) for line in printed.splitlines() if re.match("[a-z]", line)]
        for name, value in (chart.config(role) | claimed).items():
            got = [v for n, v in lines if n == name]
            check(",".join(got) == value, f"{chart.name}: {role}: {name} is {got}, not {value}")


def check_default(chart):
    node = chart.node()
    check(node["kind"] == "StatefulSet" and node["spec"]["replicas"] == 3, "three nodes")
    container = node["spec"]["template"]["spec"]["containers"][0]
    check(container["resources"]["limits"]["memory"] == str((4 << 30) + (512 << 20)), "its memory")
    check(chart.config("node")["keep-memory"] == "true", "a crash keeps the memory")
    check(chart.config("node")["meta"] == "rel-cenote.pool.svc.cluster.local:7400", "its service")
    check("hostPID" not in node["spec"]["template"]["spec"], "hostPID only where it is asked for")
    claim = chart.one("StatefulSet", "-meta")["spec"]["volumeClaimTemplates"][0]
    check(claim["spec"]["resources"]["requests"]["storage"] == "80Gi", "the claim")


def check_daemonset(chart):
    spec = chart.node()["spec"]["template"]["spec"]
    check(chart.node()["kind"] == "DaemonSet" and spec["hostPID"], "a DaemonSet that sees clients")
    paths = {v["hostPath"]["path"] for v in spec["volumes"] if "hostPath" in v}
    check(paths == {"/run/cenote-pool", "/dev/shm/pools/pool-rel-cenote"}, f"{paths}")
    check(spec["initContainers"][0]["command"][-2:] == ["/memory", "/run/cenote-pool"], "prepare")
    names = {e["name"]: e for e in spec["containers"][0]["env"]}
    check(names["CENOTE_NODE_NAME"]["valueFrom"]["fieldRef"]["fieldPath"] == "spec.nodeName",
          "a node of a DaemonSet has its machine's name")
    check(chart.config("node")["dram"] == "2GiB,512MiB", "two segments")


def check_rdma(chart):
    spec = chart.node()["spec"]["template"]["spec"]
    limits = spec["containers"][0]["resources"]["limits"]
    check(spec["hostNetwork"] and spec["dnsPolicy"] == "ClusterFirstWithHostNet", "host network")
    check(limits["hugepages-1Gi"] == str(128 << 30) and limits["memory"] == "2Gi", f"{limits}")
    check(limits["rdma/hca_shared_devices_b"] == 2 and limits["nvidia.com/gpu"] == 1, f"{limits}")
    check(spec["containers"][0]["securityContext"]["capabilities"]["add"] == ["IPC_LOCK"], "lock")
    labels = chart.node()["spec"]["selector"]
    check(spec["topologySpreadConstraints"][0]["labelSelector"] == labels, "spread as what?")
    config = chart.config("node")
    check(config["huge-pages"] == "1G" and config["rdma"] == "mlx5_0,tc=106", f"{config}")


def check_everything(chart):
    monitors = chart.all("ServiceMonitor")
    jobs = [r["replacement"] for m in monitors for r in m["spec"]["endpoints"][0]["relabelings"]
            if r["targetLabel"] == "job"]
    check(len(monitors) == 2 and jobs == ["cenote-pool-pool"] * 2, f"jobs of monitors: {jobs}")
    check("hostPID" not in chart.node()["spec"]["template"]["spec"], "its own processes")
    config = chart.config("meta")
    check(config["log-level"] == "info" and config["lease"] == "2s" and config["evict-high"] == "90"
          and config["shards"] == "0-8191=a:7400,8192-16383=b:7400", f"{config}")
    node = chart.config("node")
    check(node["meta"].endswith(":17400"), "the service's port")
    check(node["keep-memory"] == "false" and node["scrub-rate"] == "0", f"{node}")
    for pod in [p["spec"]["template"] for p in chart.all("StatefulSet")] + chart.all("Pod"):
        check(any(v.get("secret", {}).get("secretName") == "pool-keys"
                  for v in pod["spec"]["volumes"]), "the secret is mounted everywhere")
        check(pod["spec"]["securityContext"]["runAsUser"] == 1000, "the user")


def validate(charts, validator, versions):
    """Against the Kubernetes API's schemas, unknown fields included."""
    with tempfile.TemporaryDirectory() as where:
        for chart in charts:
            path = pathlib.Path(where) / f"{chart.name}.yaml"
            parts = [p for p in chart.parts if p["kind"] not in CUSTOM]
            path.write_text(yaml.safe_dump_all(parts))
            for version in versions:
                done = run(validator, "--strict", "-k", version, path)
                check(done.returncode == 0, f"{chart.name}, {version}: {done.stdout}{done.stderr}")
        # The validator itself: a field that doesn't exist.
        parts[0]["spec"] = {"noSuchField": 1}
        path.write_text(yaml.safe_dump_all(parts))
        check(run(validator, "--strict", "-k", versions[0], path).returncode != 0,
              "the validator takes everything")


def check_versions():
    """One version everywhere."""
    project = (TOP / "CMakeLists.txt").read_text()
    version = re.search(r"project\(cenote VERSION ([\d.]+)", project)[1]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    check(chart["appVersion"] == version, "the chart's appVersion")
    for name, before in (("deploy/docker/Dockerfile", "ARG VERSION="),
                         ("deploy/compose.yaml", "{CENOTE_VERSION:-")):
        check(before + version in (TOP / name).read_text(), f"the version in {name}")


def check_refused(helm):
    cases = yaml.safe_load((SETS / "refused.yaml").read_text())
    for case in cases:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
            yaml.safe_dump(case["values"], f)
            done = run(helm, "template", "rel", CHART, "--values", f.name)
        check(done.returncode != 0, f"{case['values']} is taken")
        check(case["says"] in done.stderr, f"{case['values']}: {done.stderr}")
    return len(cases)


CHECKS = {"default": check_default, "daemonset": check_daemonset, "rdma": check_rdma,
          "everything": check_everything}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("helm")
    parser.add_argument("--validate", nargs="+", metavar="WORD", default=[])
    parser.add_argument("--cenoted")
    options = parser.parse_args()
    check_versions()
    charts = [Chart(options.helm, "default", None)]
    charts += [Chart(options.helm, p.stem, p) for p in sorted(SETS.glob("*.yaml"))
               if p.stem != "refused"]
    for chart in charts:
        check_references(chart)
        CHECKS[chart.name](chart)
        if options.cenoted:
            check_config(chart, options.cenoted)
    print(f"chart: {len(charts)} sets of values, {sum(len(c.parts) for c in charts)} manifests")
    if options.validate:
        validate(charts, options.validate[0], options.validate[1:])
        print(f"chart: valid for Kubernetes {', '.join(options.validate[1:])}")
    print(f"chart: {check_refused(options.helm)} sets of values refused")


if __name__ == "__main__":
    main()
