#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds everything and passes all tests of record.
set -eu
cd "$(dirname "$0")/.."
deploy/packages.sh test
cmake -S . -B build -G Ninja >/dev/null
cmake --build build
ctest --test-dir build --output-on-failure
