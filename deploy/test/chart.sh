#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Renders, lints and validates deploy/helm/cenote: by the real helm, versions 3 and 4, against the
# Kubernetes API's schemas; what it renders for cenoted is given to cenoted.
# Usage: deploy/test/chart.sh [--quick]    --quick: one helm, two versions of Kubernetes
#
# helm.sh tells where helm comes from; schemas are those of PyPI's kubernetes-validate. What was had is
# kept in $XDG_CACHE_HOME/cenote. Exit status 77 says what couldn't be had.
set -euo pipefail
cd "$(dirname "$0")/../.."

quick=no
[ "${1:-}" != --quick ] || quick=yes

skip() {
    echo "SKIPPED: deploy/test/chart.sh: $*" >&2
    exit 77
}

/usr/bin/python3 -c 'import yaml' 2>/dev/null || skip "needs python3-yaml (deploy/packages.sh deploy)"
work=$(mktemp -d "${TMPDIR:-/tmp}/cenote-chart.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

. deploy/test/helm.sh
find_helms $quick

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
