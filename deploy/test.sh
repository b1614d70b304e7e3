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
# With --quick those that mostly wait for others go beside those that compile, and speak after them.
set -u
cd "$(dirname "$0")/.." || exit

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
aside=()
if [ ${#parts[@]} = 0 ]; then
    parts=("${known[@]}")
    [ ${#options[@]} = 0 ] || { parts=(packages systemd compose) aside=(chart prometheus operations); }
fi

results=$(mktemp -d "${TMPDIR:-/tmp}/cenote-deploy.XXXXXX")
trap 'rm -rf "$results"' EXIT

# run PART...: one after the other; how it went lies in results/PART then.
run() {
    local part code begin word pid=
    trap 'kill "$pid" 2>/dev/null; wait; exit 130' INT TERM
    for part; do
        echo "==== $part"
        begin=$SECONDS
        "deploy/test/$part.sh" "${options[@]}" </dev/null &
        pid=$!
        wait "$pid"
        code=$?
        case $code in
        0) word=passed ;;
        77) word=SKIPPED ;;
        *) word=FAILED ;;
        esac
        printf '%-10s %-8s %4d s\n' "$part" "$word" $((SECONDS - begin)) >"$results/$part"
    done
}

lanes=()
trap 'kill "${lanes[@]}" 2>/dev/null; wait; exit 130' INT TERM
run "${parts[@]}" &
lanes+=($!)
if [ ${#aside[@]} -gt 0 ]; then
    run "${aside[@]}" >"$results/said" 2>&1 &
    lanes+=($!)
fi
wait "${lanes[@]}"
[ ! -f "$results/said" ] || cat "$results/said"
echo
failed=0 skipped=0
for part in "${parts[@]}" "${aside[@]}"; do
    line=$(cat "$results/$part" 2>/dev/null || printf '%-10s FAILED' "$part")
    echo "$line"
    case $line in
    *FAILED*) failed=1 ;;
    *SKIPPED*) skipped=1 ;;
    esac
done
[ $failed = 0 ] || exit 1
[ $skipped = 0 ] || exit 77
