#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the tree four ways and runs the tests of record in each:
#   build           RelWithDebInfo: everything but the negative controls
#   build-asan      AddressSanitizer and UndefinedBehaviorSanitizer: the programs' tests again
#   build-tsan      ThreadSanitizer: the scenario programs
#   build-switches  safety mechanisms that can be switched off: the negative controls
# Usage: tests/run.sh [--bare]    --bare: the same in a bare Debian too (needs root)
set -eu
cd "$(dirname "$0")/.."

bare=no
case "${1:-}" in
--bare) bare=yes ;;
'') ;;
*) echo "usage: $0 [--bare]" >&2; exit 2 ;;
esac

jobs=${CENOTE_JOBS:-2}
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
trap 'exit 130' INT TERM
failed=no

launcher=
if command -v ccache >/dev/null; then
    launcher=-DCMAKE_C_COMPILER_LAUNCHER=ccache
fi

# build DIR TARGET [cmake option...]
build() {
    dir=$1 target=$2
    shift 2
    echo "== $dir"
    cmake -S . -B "$dir" -G Ninja $launcher "$@" >"$results/cmake" || { cat "$results/cmake"; exit 1; }
    cmake --build "$dir" --target "$target" -j "$jobs" >"$results/ninja" ||
        { cat "$results/ninja"; exit 1; }
}

# check DIR LABEL [ctest option...]
check() {
    dir=$1 label=$2
    shift 2
    ctest --test-dir "$dir" -L "$label" -j "$jobs" --no-tests=error --output-on-failure \
        --output-junit "$results/$dir.xml" "$@" || failed=yes
}

# sanitize DIR TARGET SANITIZERS. Warnings are judged in the first build: instrumented code
# confuses gcc's flow analysis.
sanitize() {
    build "$1" "$2" -DCENOTE_SANITIZE="$3" -DCENOTE_WERROR=OFF -DCMAKE_BUILD_TYPE=Debug \
        "-DCMAKE_C_FLAGS_DEBUG=-O1 -g"
}

deploy/packages.sh test
build build all
check build '^(unit|contract|scenario|system|tidy)$'
sanitize build-asan all address,undefined
check build-asan '^(unit|contract|scenario|system)$'
sanitize build-tsan scenarios thread
check build-tsan '^scenario$'
build build-switches controls -DCENOTE_TEST_SWITCHES=ON
# That each switch in use has its control is a check of tests/tidy.
check build-switches '^control$' --no-tests=ignore
if [ "$bare" = yes ]; then
    tests/bare.sh || failed=yes
fi
tests/summary.py "$results"/*.xml || failed=yes
[ "$failed" = no ]
