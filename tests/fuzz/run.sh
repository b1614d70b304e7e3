#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Searches for inputs that break a parser. A finding is left in build-fuzz/; once it is mended, the
# input belongs in tests/fuzz/corpus.
# Usage: tests/fuzz/run.sh [seconds for each fuzzer]
set -eu
cd "$(dirname "$0")/../.."
deploy/packages.sh test
cmake -S . -B build-fuzz -G Ninja -DCENOTE_FUZZ=ON -DCENOTE_WERROR=OFF \
    -DCMAKE_C_COMPILER=clang-14 -DCENOTE_FUZZ_SECONDS="${1:-30}"
cmake --build build-fuzz --target fuzzers
exec ctest --test-dir build-fuzz -L '^fuzz$' -j 2 --no-tests=error --output-on-failure
