#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Proves that what README.md promises holds on a system that has nothing yet: makes a minimal Debian
# 12, puts a clone of the committed tree in it, and runs there deploy/quickstart.sh and the tests.
# Usage: tests/bare.sh [--quick]    --quick: units and contracts of the release build only
#
# Needs what deploy/minimal.sh needs; exit status 77 says that it could not run here, and why. The
# system lies below $TMPDIR.
set -eu
cd "$(dirname "$0")/.."
. deploy/minimal.sh

where=/srv/cenote # of the clone in the bare system

skip() {
    echo "SKIPPED: tests/bare.sh: $*" >&2
    exit 77
}

# ---- in the namespaces ------------------------------------------------------------------------

in_bare() {
    minimal_enter "$root" /bin/sh -euc "export CENOTE_BARE=1; cd $where; $1"
}

try_it() {
    minimal_mount "$root"
    in_bare '! command -v gcc cmake git python3' || { echo "the bare system isn't bare" >&2; exit 1; }
    if [ -x "$root$where/deploy/quickstart.sh" ]; then
        echo "== bare: deploy/quickstart.sh"
        in_bare 'deploy/quickstart.sh </dev/null'
    fi
    if [ "$mode" = quick ]; then
        echo "== bare: units and contracts"
        in_bare 'deploy/packages.sh units
            cmake -S . -B build -G Ninja -DCENOTE_TESTS=ON >/dev/null
            cmake --build build --target units -j '"${CENOTE_JOBS:-2}"' >build.log || { cat build.log; exit 1; }
            ctest --test-dir build -L "^(unit|contract)$" -j 2 --no-tests=error --output-on-failure'
    else
        echo "== bare: tests/run.sh"
        in_bare 'tests/run.sh'
    fi
}

if [ "${1:-}" = --inside ]; then
    root=$2 mode=$3
    try_it
    exit 0
fi

# ---- on the host ------------------------------------------------------------------------------

case "${1:-}" in
--quick) mode=quick ;;
'') mode=all ;;
*) echo "usage: $0 [--quick]" >&2; exit 2 ;;
esac
[ -z "${CENOTE_BARE:-}" ] || skip "this is the bare system"
why=$(minimal_can) || skip "$why"

work=$(mktemp -d "${TMPDIR:-/tmp}/cenote-bare.XXXXXX")
clean() {
    minimal_stop
    minimal_remove "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

git diff --quiet HEAD -- || echo "tests/bare.sh: what isn't committed is not part of the proof" >&2
minimal_tar || skip "debootstrap does not work here"
minimal_unpack "$work/system"
git clone -q --no-local . "$work/system$where"
minimal_run "$work/system" "$PWD/tests/bare.sh" --inside "$work/system" "$mode"
echo "bare: passed"
