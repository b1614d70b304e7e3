#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Gives what deploy/helm/cenote renders to the code by which kube-apiserver admits objects: creates,
# upgrades, and what Kubernetes must refuse (deploy/test/admission/main.go tells what is asked).
#
# It is built from the Go module proxy, from k8s.io/kubernetes as it is released, which takes two
# minutes of a processor at the first time and most of a gigabyte; the program is kept in
# $XDG_CACHE_HOME/cenote. Exit status 77 says what couldn't be had.
set -euo pipefail
cd "$(dirname "$0")/../.."

kubernetes=1.34.4
build_seconds=900

skip() {
    echo "SKIPPED: deploy/test/admission.sh: $*" >&2
    exit 77
}

work=$(mktemp -d "${TMPDIR:-/tmp}/cenote-admission.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# The modules that Kubernetes is made of are released with it, 1.x as 0.x.
go_mod() {
    local released
    released=$(go mod download -json "k8s.io/kubernetes@v$kubernetes" | sed -n 's/.*"GoMod": "\(.*\)".*/\1/p')
    [ -n "$released" ] || return 1
    sed "s#^module .*#module admission#
         s#=> ./staging/src/\(.*\)#=> \1 v0.${kubernetes#1.}#" "$released" >"$work/go.mod"
    go mod edit -require="k8s.io/kubernetes@v$kubernetes" "$work/go.mod"
}

build() {
    command -v go >/dev/null || skip "there is no Go"
    echo "admission: building what admits objects from Kubernetes $kubernetes: it takes minutes"
    cp deploy/test/admission/main.go "$work"
    (
        cd "$work"
        export GOFLAGS=-mod=mod
        go_mod && nice -n 10 timeout "$build_seconds" \
            go build -p 1 -trimpath -ldflags="-s -w" -o admission .
    ) >"$work/log" 2>&1 || skip "Kubernetes $kubernetes isn't built: $(tail -n 1 "$work/log")"
    mv "$work/admission" "$program"
}

/usr/bin/python3 -c 'import yaml' 2>/dev/null || skip "needs python3-yaml (deploy/packages.sh deploy)"
. deploy/test/helm.sh
find_helms yes
program=$cache/admission-$kubernetes-$(sha256sum deploy/test/admission/main.go | cut -c1-12)
[ -x "$program" ] || build
echo "admission: Kubernetes $kubernetes, helm $("${helms[0]}" version --short 2>/dev/null)"
/usr/bin/python3 deploy/test/admission_cases.py "${helms[0]}" "$program"
