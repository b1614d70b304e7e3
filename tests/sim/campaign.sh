#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the simulator for hours on all cores, and adds a line to tests/results/sim.tsv: date, commit,
# command, seeds, steps, violations.
# Usage: campaign.sh [--hours N | --seconds N] [--first SEED] [--sim PROGRAM] [--jobs N]
set -eu
here=$(dirname "$0")
root=$here/../..
results=$root/tests/results/sim.tsv
seconds=3600 sim=$root/build/bin/sim jobs=$(nproc) first=
while [ $# -gt 1 ]; do
    case $1 in
        --hours) seconds=$(($2 * 3600)) ;;
        --seconds) seconds=$2 ;;
        --first) first=$2 ;;
        --sim) sim=$2 ;;
        --jobs) jobs=$2 ;;
        *) echo "campaign.sh: what is $1?" >&2; exit 2 ;;
    esac
    shift 2
done
# Each campaign goes on where the last one ended.
if [ -z "$first" ] && [ -f "$results" ]; then
    first=$(awk -F '\t' 'NR > 1 && $3 ~ /--first/ { split($3, a, " "); for (i in a)
        if (a[i] == "--first" && a[i + 1] + $4 > next_) next_ = a[i + 1] + $4 }
        END { print next_ + 0 }' "$results")
fi
[ "${first:-0}" -gt 0 ] || first=1
said=$(mktemp)
trap 'rm -f "$said"' EXIT
code=0
"$sim" --first "$first" --seconds "$seconds" --jobs "$jobs" > "$said" || code=$?
cat "$said"
if [ ! -f "$results" ]; then
    mkdir -p "$(dirname "$results")"
    printf 'date\tcommit\tcommand\tseeds\tsteps\tviolations\n' > "$results"
fi
# shellcheck disable=SC2046
set -- $(sed -n 's/^seeds \([0-9]*\) steps \([0-9]*\) violations \([0-9]*\),.*/\1 \2 \3/p' "$said")
[ $# -eq 3 ] || { echo "campaign.sh: the simulator was interrupted" >&2; exit 2; }
printf '%s\t%s\tsim --first %s --seconds %s --jobs %s\t%s\t%s\t%s\n' "$(date -u +%Y-%m-%d)" \
    "$(git -C "$root" rev-parse --short HEAD)" "$first" "$seconds" "$jobs" "$1" "$2" "$3" >> "$results"
exit $code
