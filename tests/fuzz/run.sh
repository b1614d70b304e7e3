#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Searches for inputs that break a parser, with AddressSanitizer and UndefinedBehaviorSanitizer. A
# finding is left in build-fuzz/; once it is mended, the input belongs in tests/fuzz/corpus under a
# name that says what it was. Exit status 77: there is no clang.
# Usage: tests/fuzz/run.sh [seconds for each fuzzer]     3; with CENOTE_LONG=1 20
set -eu
cd "$(dirname "$0")/../.."
seconds=3
[ "${CENOTE_LONG:-}" != 1 ] || seconds=20
seconds=${1:-$seconds}
tests/fuzz/build.sh "$seconds"
exec ctest --test-dir build-fuzz -L '^fuzz$' -j "${CENOTE_JOBS:-2}" --no-tests=error --output-on-failure
