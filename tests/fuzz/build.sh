#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the fuzzers in build-fuzz. Exit status 77: there is no clang.
# Usage: tests/fuzz/build.sh [seconds that ctest gives each]
set -eu
cd "$(dirname "$0")/../.."
if ! command -v clang-14 >/dev/null; then
    echo "SKIPPED: no clang-14" >&2
    exit 77
fi
launcher=
if command -v ccache >/dev/null; then
    launcher=-DCMAKE_C_COMPILER_LAUNCHER=ccache
fi
cmake -S . -B build-fuzz -G Ninja -DCENOTE_FUZZ=ON -DCENOTE_WERROR=OFF $launcher \
    -DCMAKE_C_COMPILER=clang-14 -DCENOTE_FUZZ_SECONDS="${1:-3}" >/dev/null
cmake --build build-fuzz --target fuzzers fuzz_seeds -j "${CENOTE_JOBS:-2}" >build-fuzz/ninja.log ||
    { cat build-fuzz/ninja.log; exit 1; }
