#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What the minimiser leaves of a world that fails, and of a variation of a schedule, is less than half
# of it, fails, and needs each of its pieces. The build has switches: readers accept any seal.
# Usage: minimise.sh SIM
set -eu
sim=$1
export CENOTE_TEST_OFF=seal

pieces() { sed -n 's/^  \([of][0-9]*\) .*/\1/p'; }

# What is left out, of what: --schedule and its name, or nothing
check() {
    seed=$("$sim" "$@" --seeds 200 | sed -n 's/^.*seed \([0-9]*\): .*/\1/p' | head -n 1)
    all=$("$sim" "$@" --seed "$seed" --trace | pieces | wc -l)
    said=$("$sim" "$@" --seed "$seed" --minimise)
    left=$(echo "$said" | pieces)
    count=$(echo "$left" | wc -l)
    skip=$(echo "$said" | sed -n 's/^sim .*--skip \([^ ]*\) --trace$/\1/p')
    [ $((count * 2)) -lt "$all" ] || { echo "seed $seed: $count of $all pieces are left"; exit 1; }
    if "$sim" "$@" --seed "$seed" --skip "$skip"; then
        echo "what is left of seed $seed doesn't fail"
        exit 1
    fi
    for piece in $left; do
        if ! "$sim" "$@" --seed "$seed" --skip "$skip,$piece" >/dev/null; then
            echo "seed $seed fails without $piece, too"
            exit 1
        fi
    done
    echo "seed $seed: $count of $all pieces are left"
}

check
check --schedule mixture
