#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A seed replays exactly, in another process too: other addresses, another environment, another pid.
# Usage: replay.sh SIM SEED...
set -eu
sim=$1
shift
one=$(mktemp)
two=$(mktemp)
trap 'rm -f "$one" "$two"' EXIT
for seed; do
    "$sim" --seed "$seed" --trace >"$one"
    PADDING=$(env) "$sim" --seed "$seed" --trace >"$two"
    if ! cmp "$one" "$two"; then
        tail -n 1 "$one" "$two"
        echo "seed $seed: two processes that run it differ"
        exit 1
    fi
done
echo "$# seeds: two processes each, nothing differs"
