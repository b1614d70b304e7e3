#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A pool on this machine, with real files in and out: installs what is missing, builds, starts a
# metadata service and two nodes, puts files, gets them in other processes over shared memory and
# over TCP, compares, and shows the rates and the pool.
# Usage: deploy/quickstart.sh [--keep] [FILE...]
#   --keep   leaves the pool running, and says how to use and to stop it
#   FILE     what to put; by default the largest shared libraries of this machine, about 300 MB
# CENOTE_BIN=folder: the programs are there already; nothing is installed or built.
set -eu
cd "$(dirname "$0")/.."

default_bytes=300000000
keep=no
if [ "${1:-}" = --keep ]; then
    keep=yes
    shift
fi

if [ -n "${CENOTE_BIN:-}" ]; then
    bin=$CENOTE_BIN
else
    deploy/packages.sh build
    echo "building ..."
    [ -f build/CMakeCache.txt ] || cmake -S . -B build -G Ninja -DCENOTE_TESTS=OFF >/dev/null
    cmake --build build --target cenoted cenote_cli >/dev/null
    bin=$PWD/build/bin
fi

dir=$(mktemp -d "${TMPDIR:-/tmp}/cenote.XXXXXX")
pids=
stop() {
    # shellcheck disable=SC2086 # a list of numbers
    [ -z "$pids" ] || kill $pids 2>/dev/null || true
    for pid in $pids; do wait "$pid" 2>/dev/null || true; done
    rm -rf "$dir"
}
trap stop EXIT
trap 'exit 130' INT TERM

# start NAME ARGUMENT...: a cenoted in the background; its first line says where it listens.
start() {
    name=$1
    shift
    "$bin/cenoted" --shm-dir "$dir" --log-level warn "$@" >"$dir/$name.out" 2>"$dir/$name.log" &
    pids="$! $pids"
    for _ in $(seq 100); do
        grep -q ready "$dir/$name.out" && return 0
        kill -0 "$!" 2>/dev/null || break
        sleep 0.1
    done
    echo "$name did not start:" >&2
    cat "$dir/$name.out" "$dir/$name.log" >&2
    exit 1
}

# The largest files first, until there is enough.
choose_files() {
    find /usr/lib /usr/bin -xdev -type f -size +1M -printf '%s %p\n' 2>/dev/null | sort -rn |
        awk -v most="$default_bytes" '$1 < most / 8 && sum + $1 <= most { sum += $1; print $2 }'
}

if [ $# -gt 0 ]; then
    printf '%s\n' "$@" >"$dir/files"
else
    choose_files >"$dir/files"
fi
bytes=$(tr '\n' '\0' <"$dir/files" | xargs -0 stat -L -c %s | awk '{ sum += $1 } END { printf "%.0f", sum }')
count=$(wc -l <"$dir/files")
segment=$((bytes * 3 / 4 + (64 << 20)))

start meta --roles meta --listen "unix:$dir/control" --data-dir "$dir/meta"
start node1 --roles node --meta "unix:$dir/control" --dram "$segment"
start node2 --roles node --meta "unix:$dir/control" --dram "$segment"
export CENOTE_META="unix:$dir/control"

# A node offers its memory as it is populated.
for _ in $(seq 300); do
    offered=$("$bin/cenote" --json status | grep -o '"populated_bytes": *[0-9]*' |
        awk '{ sum += $NF } END { printf "%.0f", sum }')
    [ "$offered" -ge $((2 * segment)) ] && break
    sleep 0.1
done

now() { date +%s%N; }

# row WHAT BEGIN END: a line of the table.
row() {
    awk -v what="$1" -v count="$count" -v bytes="$bytes" -v ns="$(($3 - $2))" 'BEGIN {
        printf "  %-22s %5d files %8.1f MB %7.2f s %8.1f MB/s\n",
            what, count, bytes / 1e6, ns / 1e9, bytes / (ns / 1e9) / 1e6 }'
}

begin=$(now)
while read -r file; do
    "$bin/cenote" put "$file" "$file"
done <"$dir/files"
row "put (shm)" "$begin" "$(now)" >>"$dir/table"

for transport in shm tcp; do
    begin=$(now)
    while read -r file; do
        "$bin/cenote" --transport "$transport" get "$file" "$dir/$(echo "$file" | tr / _)"
    done <"$dir/files"
    row "get ($transport)" "$begin" "$(now)" >>"$dir/table"
    while read -r file; do
        copy="$dir/$(echo "$file" | tr / _)"
        cmp "$file" "$copy"
        rm "$copy"
    done <"$dir/files"
done

echo
echo "Every file came back byte for byte. One process for each file, start to end:"
cat "$dir/table"
echo
"$bin/cenote" status

if [ "$keep" = yes ]; then
    trap - EXIT
    cat <<TXT

The pool goes on. Use it:   export CENOTE_META=unix:$dir/control
                            $bin/cenote ls
Stop it:                    kill $pids; rm -rf $dir
TXT
fi
