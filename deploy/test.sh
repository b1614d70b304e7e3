#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tests what is deployed: packages, containers, the chart. Each part is deploy/test/PART.sh; one that
# can't run on this machine says why, and is counted as skipped.
# Usage: deploy/test.sh [--quick] [PART...]    default: all parts; --quick: under four minutes in all
set -u
cd "$(dirname "$0")/.."

known=(compose.sh chart.sh operations.sh)
known=("${known[@]%.sh}")
options=()
parts=()
for word; do
    case $word in
    --quick) options+=("$word") ;;
    -*) echo "usage: $0 [--quick] [PART...], of ${known[*]}" >&2; exit 2 ;;
    *)
        [[ " ${known[*]} " == *" $word "* ]] || { echo "$0: there is no part $word" >&2; exit 2; }
        parts+=("$word")
        ;;
    esac
done
[ ${#parts[@]} -gt 0 ] || parts=("${known[@]}")

part_pid=
stop() {
    [ -z "$part_pid" ] || { kill "$part_pid" 2>/dev/null; wait "$part_pid"; }
    exit 130
}
trap stop INT TERM

summary=()
failed=0
for part in "${parts[@]}"; do
    script=deploy/test/$part.sh
    [ -x "$script" ] || continue
    echo "==== $part"
    begin=$SECONDS
    "$script" "${options[@]}" &
    part_pid=$!
    wait "$part_pid"
    code=$?
    part_pid=
    case $code in
    0) word=passed ;;
    77) word=SKIPPED ;;
    *) word=FAILED failed=1 ;;
    esac
    summary+=("$(printf '%-10s %-8s %4d s' "$part" "$word" $((SECONDS - begin)))")
done
echo
printf '%s\n' "${summary[@]}"
exit $failed
