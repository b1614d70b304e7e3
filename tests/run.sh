#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the tree four ways and runs the tests of record in each:
#   build           RelWithDebInfo: everything but the negative controls
#   build-asan      AddressSanitizer and UndefinedBehaviorSanitizer: the programs' tests again, but
#                   for those that run code which others run too; a few in a guest with RDMA devices
#   build-tsan      ThreadSanitizer: the scenario programs
#   build-switches  safety mechanisms that can be switched off: the negative controls
# and searches for inputs that break parsers, by clang in build-fuzz, for a few seconds each.
# Usage: tests/run.sh [--bare]    --bare: the same in a bare Debian too (needs root)
# CENOTE_LONG=1: campaigns take longer.
set -eu
cd "$(dirname "$0")/.."

bare=no
case "${1:-}" in
--bare) bare=yes ;;
'') ;;
*) echo "usage: $0 [--bare]" >&2; exit 2 ;;
esac

jobs=${CENOTE_JOBS:-2}
without=^$
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
    cmake -S . -B "$dir" -G Ninja -DCENOTE_TESTS=ON $launcher "$@" >"$results/cmake" || { cat "$results/cmake"; exit 1; }
    cmake --build "$dir" --target "$target" -j "$jobs" >"$results/ninja" ||
        { cat "$results/ninja"; exit 1; }
}

# Tests that search for wrong bytes and lost values: what they find counts, and isn't asked twice.
final='^(fuzz/.*|scenario/(sim.*|crash|flip.*|meta_random)|system/(linear|partitions|storm|kill))$'

# check DIR LABEL [word put before the command...]: one test more than cores, as many of them wait.
# Without the tests that match $without. Others that fail beside their neighbours are run once more,
# alone; the summary names them, and doesn't bear many.
check() {
    dir=$1 label=$2
    shift 2
    lost=$dir/Testing/Temporary/LastTestsFailed.log
    rm -f "$lost"
    "$@" ctest --test-dir "$dir" -L "$label" -E "$without" -j $((jobs + 1)) --no-tests=error \
        --output-on-failure --output-junit "$results/$dir.xml" && return
    [ -s "$lost" ] || { failed=yes; return; }
    names=$(sed 's/^[0-9]*://' "$lost" | grep -vE "$final" | paste -sd '|')
    [ -n "$names" ] || return 0
    echo "== $dir, alone: $names"
    "$@" ctest --test-dir "$dir" -R "^($names)\$" --output-on-failure \
        --output-junit "$results/$dir-alone.xml" || true
}

# sanitize DIR TARGET SANITIZERS. Warnings are judged in the first build: instrumented code
# confuses gcc's flow analysis.
sanitize() {
    build "$1" "$2" -DCENOTE_SANITIZE="$3" -DCENOTE_WERROR=OFF -DCMAKE_BUILD_TYPE=Debug \
        "-DCMAKE_C_FLAGS_DEBUG=-O1 -g"
}

deploy/packages.sh test
build build all
check build '^(unit|contract|scenario|system|guest|tidy)$'
sanitize build-asan all address,undefined
# What is of documents, packages and pages, what is long, and what other tests' code does again.
without='^system/(page|monitoring|openapi|top|install|readme|config|large|trace|kill|linear|soak'
without="$without|soak_hours|python_(demo|lmcache|lmcache_remote|local|mooncake|sglang|vllm|ascend))\$"
check build-asan '^(unit|contract|scenario|system|guest)$'
without=^$
sanitize build-tsan scenarios thread
# gcc 12's ThreadSanitizer can't start where the kernel randomizes more address bits than it knows.
fixed=
build-tsan/bin/planted none >/dev/null 2>&1 || fixed="setarch -R"
# shellcheck disable=SC2086 # two words or none
check build-tsan '^scenario$' $fixed
build build-switches controls -DCENOTE_TEST_SWITCHES=ON
check build-switches '^control$'
echo "== build-fuzz"
code=0
if [ "${CENOTE_LONG:-}" = 1 ]; then fuzz_seconds=20; else fuzz_seconds=3; fi
tests/fuzz/build.sh "$fuzz_seconds" || code=$?
case $code in
0) check build-fuzz '^fuzz$' ;;
77) ;;
*) failed=yes ;;
esac
if [ "$bare" = yes ]; then
    code=0
    tests/bare.sh || code=$?
    case $code in
    0) status="status='run'/>" ;;
    77) status="status='notrun'><skipped message='SKIP_RETURN_CODE=77'/></testcase>" ;;
    *) status="status='fail'/>" ;;
    esac
    echo "<testsuite><testcase name='tests/bare.sh' $status</testsuite>" >"$results/bare.xml"
fi
tests/summary.py "$results"/*.xml || failed=yes
[ "$failed" = no ]
