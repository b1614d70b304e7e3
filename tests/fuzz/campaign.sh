#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs all fuzzers in turn on all cores for so many hours, and adds a line for each to
# tests/results/fuzz.tsv: date, commit, target, seconds, processes, executions, crashes, command.
# What was found stays in build-fuzz/corpus; crashes in build-fuzz/crashes. --keep takes a small
# selection of what was found into tests/fuzz/corpus. Needs seconds for building, none for results.
# Usage: tests/fuzz/campaign.sh HOURS [--keep] [target...]
set -eu
cd "$(dirname "$0")/../.."
[ $# -ge 1 ] || { echo "usage: $0 HOURS [--keep] [target...]" >&2; exit 2; }
hours=$1
shift
keep=no
if [ "${1:-}" = --keep ]; then
    keep=yes
    shift
fi
command="tests/fuzz/campaign.sh $hours"
kept_bytes=65536 # of one corpus in the tree

tests/fuzz/build.sh
targets=${*:-$(sed -n 's/^cenote_fuzzer(fuzz_\([a-z_]*\).*/\1/p' tests/fuzz/CMakeLists.txt)}
count=$(echo "$targets" | wc -w)
slice=$(awk -v h="$hours" -v n="$count" 'BEGIN { s = int(h * 3600 / n); print (s > 0 ? s : 1) }')
cores=$(nproc)
commit=$(git rev-parse --short=12 HEAD)
results=tests/results/fuzz.tsv
mkdir -p build-fuzz/crashes build-fuzz/logs tests/results
[ -e $results ] ||
    printf 'date\tcommit\ttarget\tseconds\tprocesses\texecutions\tcrashes\tcommand\n' >$results
export ASAN_OPTIONS=allocator_may_return_null=1:quarantine_size_mb=4:malloc_context_size=4
export UBSAN_OPTIONS=print_stacktrace=1

# search TARGET: on all cores at once; each process has a seed of its own.
search() {
    found=build-fuzz/corpus/fuzz_$1
    mkdir -p "$found"
    pids=
    # Weighing inputs by rare features takes a third of a slow target's time, and finds less in it.
    for core in $(seq "$cores"); do
        build-fuzz/bin/fuzz_"$1" -max_total_time="$slice" -timeout=10 -rss_limit_mb=2048 -entropic=0 \
            -print_final_stats=1 -reload=1 -artifact_prefix=build-fuzz/crashes/"$1"- \
            "$found" tests/fuzz/corpus/"$1" >build-fuzz/logs/"$1.$core" 2>&1 &
        pids="$pids $!"
    done
    crashes=0
    for pid in $pids; do
        wait "$pid" || crashes=$((crashes + 1))
    done
    executions=$(cat build-fuzz/logs/"$1".* |
        awk '/^stat::number_of_executed_units/ { n += $2 } END { print n + 0 }')
    printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$(date -u +%Y-%m-%dT%H:%MZ)" "$commit" "$1" "$slice" \
        "$cores" "$executions" "$crashes" "$command" >>$results
    echo "$1: $executions executions, $crashes crashes"
}

# select TARGET: the smallest files that reach what all of them reach, up to kept_bytes.
select_inputs() {
    small=$(mktemp -d)
    build-fuzz/bin/fuzz_"$1" -merge=1 "$small" tests/fuzz/corpus/"$1" build-fuzz/corpus/fuzz_"$1" \
        >build-fuzz/logs/"$1.merge" 2>&1
    ls -rS "$small" | while read -r file; do
        size=$(wc -c <"$small/$file")
        kept_bytes=$((kept_bytes - size))
        [ "$kept_bytes" -ge 0 ] || break
        [ -e tests/fuzz/corpus/"$1/$file" ] || cp "$small/$file" tests/fuzz/corpus/"$1/$file"
    done
    rm -rf "$small"
}

failed=no
for target in $targets; do
    rm -f build-fuzz/logs/"$target".*
    search "$target"
    [ "$crashes" = 0 ] || failed=yes
    [ $keep = no ] || select_inputs "$target"
done
[ $failed = no ]
