#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Types the commands of doc/OPERATIONS.md that need no container: those that ask a daemon, look at a
# machine, check rules and configurations, and those that set a machine, which are undone afterwards.
# Usage: deploy/test/operations.sh [--quick]    --quick: without those that set the machine
set -euo pipefail
cd "$(dirname "$0")/../.."

bin=$(realpath "${CENOTE_BIN:-build/bin}")
if [ ! -x "$bin/cenoted" ] || [ ! -x "$bin/cenote" ]; then
    echo "SKIPPED: deploy/test/operations.sh: there is no $bin/cenoted" >&2
    exit 77
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/cenote-operations.XXXXXX")
daemon=
undo=()
clean() {
    for command in "${undo[@]}"; do eval "$command" || true; done
    [ -z "$daemon" ] || { kill "$daemon" && wait "$daemon"; } || true
    rm -rf "$work" /var/tmp/cenote-trace.json
}
trap clean EXIT
trap 'exit 130' INT TERM

# Each block of the document is typed by a test, or is known not to be.
/usr/bin/python3 deploy/test/commands.py --others doc/OPERATIONS.md daemon machine rules file check \
    compose "compose last" chart packages\ {build,install,unit,keep,user,edit,reload,huge,huge\ configuration} ||
    { echo "FAILED: doc/OPERATIONS.md says something that isn't tried" >&2; exit 1; }

# typed TAG: its commands, one after the other.
typed() {
    /usr/bin/python3 deploy/test/commands.py doc/OPERATIONS.md "$1" >"$work/$1"
    PATH=$bin:$PATH bash -euo pipefail "$work/$1" >"$work/output" 2>&1 ||
        { cat "$work/output" >&2; echo "FAILED: a command of doc/OPERATIONS.md ($1)" >&2; exit 1; }
    echo "operations: $(wc -l <"$work/$1") lines typed ($1)"
}

export CENOTE_META="unix:$work/control" CENOTE_HTTP="unix:$work/http"
"$bin/cenoted" --data-dir "$work/meta" --listen "$CENOTE_META" --shm-dir "$work/shm" \
    --dram 32MiB >"$work/ready" 2>"$work/log" &
daemon=$!
for _ in $(seq 200); do
    ! grep -q ready "$work/ready" || break
    kill -0 "$daemon" 2>/dev/null || { cat "$work/log" >&2; exit 1; }
    sleep 0.05
done
typed daemon
if command -v promtool >/dev/null; then
    typed rules
else
    echo "SKIPPED: deploy/test/operations.sh: no promtool (deploy/packages.sh deploy)" >&2
fi

# The configuration is a good one.
/usr/bin/python3 deploy/test/commands.py doc/OPERATIONS.md file >"$work/example.conf"
env -u CENOTE_META -u CENOTE_HTTP "$bin/cenoted" --check-config --config "$work/example.conf" \
    >"$work/output" 2>&1 ||
    { cat "$work/output" >&2; echo "FAILED: the file of doc/OPERATIONS.md" >&2; exit 1; }
# One with faults is told of as it is written there.
printf '%s\n' 'roles = meta' 'listen = 127.0.0.1:7400' 'lease = 5q' 'evict-low = 80' \
    'evict-low = 85' 'dram = 1GiB' '' '# Not its name' 'data_dir = /var/lib/cenote' \
    >"$work/cenoted.conf"
/usr/bin/python3 deploy/test/commands.py doc/OPERATIONS.md check >"$work/check"
code=0
sed -n 's/^\$ //p' "$work/check" >"$work/typed"
(cd "$work" && PATH=$bin:$PATH env -u CENOTE_META -u CENOTE_HTTP bash typed) >"$work/output" 2>&1 || code=$?
grep -v '^\$ ' "$work/check" >"$work/expected"
{ [ "$code" = 2 ] && diff "$work/expected" "$work/output"; } ||
    { echo "FAILED: --check-config says something else than doc/OPERATIONS.md ($code)" >&2; exit 1; }
echo "operations: a configuration and its faults"
[ "${1:-}" != --quick ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "SKIPPED: deploy/test/operations.sh: the commands that set the machine need root" >&2
    exit 0
fi
for name in vm.nr_hugepages net.core.somaxconn net.core.rmem_max net.core.wmem_max \
    vm.max_map_count vm.swappiness; do
    undo+=("sysctl -qw $name=$(sysctl -n $name)")
done
huge=/sys/kernel/mm/transparent_hugepage/shmem_enabled
undo+=("echo $(sed 's/.*\[\(.*\)\].*/\1/' $huge) >$huge")
undo+=("umount /run/cenote-memory && rmdir /run/cenote-memory")
typed machine
grep -qF '[advise]' $huge
# What was set serves: a node's memory on that tmpfs.
"$bin/cenoted" --http none --data-dir "$work/second" --listen "unix:$work/second.sock" \
    --shm-dir "$work/shm2" --node-name n --memory-dir /run/cenote-memory/n --dram 64MiB \
    >"$work/ready2" 2>"$work/log2" &
second=$!
for _ in $(seq 200); do
    ! grep -q ready "$work/ready2" || break
    sleep 0.05
done
grep -q ready "$work/ready2" || { cat "$work/log2" >&2; exit 1; }
kill "$second"
wait "$second"
echo "operations: a node's memory on the tmpfs of the document"
