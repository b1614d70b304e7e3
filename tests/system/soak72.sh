#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Three days of full load, an hour at a time in pools of its own and then 48 hours in one; a line for
# each in tests/results/soak.tsv. Needs a build in build/.
# Usage: tests/system/soak72.sh [hours, instead of 24, of single ones]
set -eu
cd "$(dirname "$0")/../.."
export CENOTE_SOURCE="$PWD" CENOTE_BIN="$PWD/build/bin" CENOTE_LIB="$PWD/build/lib"
results=tests/results/soak.tsv
for _ in $(seq "${1:-24}"); do
    /usr/bin/python3 tests/system/test_soak_hours.py --hours 1 --results $results
done
exec /usr/bin/python3 tests/system/test_soak_hours.py --hours 48 --results $results
