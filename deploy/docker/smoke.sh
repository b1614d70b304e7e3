#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Puts values of several lengths into the pool at $CENOTE_META, gets them back over each transport
# that is named, compares their checksums, and removes them.
# Usage: cenote-smoke [TRANSPORT...]    default: auto
set -eu

[ $# -gt 0 ] || set -- auto
dir=$(mktemp -d "${TMPDIR:-/tmp}/smoke.XXXXXX")
name=smoke/$(hostname)/$$
keys=
clean() {
    # shellcheck disable=SC2086 # a list of words
    [ -z "$keys" ] || cenote rm $keys >/dev/null 2>&1 || true
    rm -rf "$dir"
}
trap clean EXIT
trap 'exit 130' INT TERM

sum() { sha256sum <"$1" | cut -c 1-64; }

# A pool that has just been started may still wait for its nodes.
all_there() { grep -q ': alive' "$dir/status" && ! grep -q ': suspect' "$dir/status"; }
tries=60
until cenote status >"$dir/status" 2>&1 && all_there; do
    tries=$((tries - 1))
    if [ "$tries" = 0 ]; then
        cat "$dir/status" >&2
        echo "smoke: FAILED: no node is there, or one is away" >&2
        exit 1
    fi
    sleep 1
done

count=0
for transport; do
    for len in 0 1 4096 65537 8388608; do
        key=$name/$transport/$len
        keys="$keys $key"
        head -c "$len" /dev/urandom >"$dir/value"
        cenote --transport "$transport" put "$key" "$dir/value"
        cenote --transport "$transport" get "$key" "$dir/got"
        if [ "$(sum "$dir/value")" != "$(sum "$dir/got")" ]; then
            echo "smoke: FAILED: $key came back with other bytes" >&2
            exit 1
        fi
        count=$((count + 1))
    done
done
echo "smoke: passed: $count values over $*"
