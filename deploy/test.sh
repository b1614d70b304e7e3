#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Tests what is deployed, in parts. One that can't run on this machine says why, and is counted as
# skipped; the exit status is 77 then, if nothing failed:
#   packages     deploy/test/packages.sh    Debian packages in a bare system
#   systemd      deploy/test/systemd.sh     they and their unit in a system that systemd boots
#   compose      deploy/test/compose.sh     the image and deploy/compose.yaml on an engine
#   chart        deploy/test/chart.sh       deploy/helm/cenote
#   admission    deploy/test/admission.sh   what Kubernetes' own code says of it; not with --quick
#   prometheus   deploy/test/prometheus.sh  configuration, alerts and dashboard in a real Prometheus
#   operations   deploy/test/operations.sh  commands of doc/OPERATIONS.md that need none of these
# Usage: deploy/test.sh [--quick] [PART...]    default: all parts; --quick: under four minutes in all
set -u
cd "$(dirname "$0")/.."

known=(packages systemd compose chart admission prometheus operations)
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
if [ ${#parts[@]} = 0 ]; then
    parts=("${known[@]}")
    [ ${#options[@]} = 0 ] || parts=(packages compose chart operations)
fi

part_pid=
stop() {
    [ -z "$part_pid" ] || { kill "$part_pid" 2>/dev/null; wait "$part_pid"; }
    exit 130
}
trap stop INT TERM

summary=()
failed=0 skipped=0
for part in "${parts[@]}"; do
    script=deploy/test/$part.sh
    echo "==== $part"
    if [ ! -x "$script" ]; then
        echo "SKIPPED: there is no $script" >&2
        summary+=("$(printf '%-10s SKIPPED' "$part")")
        skipped=1
        continue
    fi
    begin=$SECONDS
    "$script" "${options[@]}" &
    part_pid=$!
    wait "$part_pid"
    code=$?
    part_pid=
    case $code in
    0) word=passed ;;
    77) word=SKIPPED skipped=1 ;;
    *) word=FAILED failed=1 ;;
    esac
    summary+=("$(printf '%-10s %-8s %4d s' "$part" "$word" $((SECONDS - begin)))")
done
echo
printf '%s\n' "${summary[@]}"
[ $failed = 0 ] || exit 1
[ $skipped = 0 ] || exit 77
