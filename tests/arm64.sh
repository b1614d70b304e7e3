#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the tree for 64-bit ARM and runs units and contracts there, by qemu-user.
# Usage: tests/arm64.sh [--quick]    --quick: the units of what both sides share, and of RPC
#
# Needs deploy/packages.sh arm64, user namespaces and a kernel with binfmt_misc in them (6.7 or later);
# exit status 77 says that it could not run here, and why. qemu translates each barrier of ARM into
# what x86 needs for it, and x86 forgives more: a missing barrier shows on ARM hardware only.
# doc/ARCHITECTURE.md says what was read through for that.
set -eu
cd "$(dirname "$0")/.."

skip() {
    echo "SKIPPED: tests/arm64.sh: $*" >&2
    exit 77
}

# What qemu-user can't do, or can't in time; each is said.
#   registry/add__touches_the_pages        mincore(2) tells nothing of the guest's pages
#   mockverbs/registration__limits         memory that may only be read can be written to
#   test_alloc_fill                        fills petabytes; it takes minutes
left_out='^unit/(test_registry|test_mockverbs|test_alloc_fill)$'

if [ "${1:-}" = --inside ]; then
    shift
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
    # ELF, 64 bit, little-endian, AArch64; opened now, whatever is mounted later.
    printf '%s' ':cenote-arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$QEMU:F" \
        >/proc/sys/fs/binfmt_misc/register
    ctest --test-dir build-arm64 -E "$left_out" --no-tests=error --output-on-failure "$@"
    case "$*" in
    *"(unit|contract)"*)
        echo "SKIPPED: test_alloc_fill: it takes minutes under qemu-user"
        for test in test_registry:registry/add__touches_the_pages \
            test_mockverbs:mockverbs/registration__limits; do
            echo "SKIPPED: ${test#*:}: qemu-user"
            "build-arm64/bin/${test%%:*}" --filter "!(${test#*:})" || exit 1
        done
        ;;
    esac
    exit 0
fi

case "${1:-}" in
--quick) chosen='-L ^unit$ -R unit/test_(epoch|extent|grant|hash|sums|log|config|status|clock|wire|cache|views|slots|index|table|window|rpc_calls)' ;;
'') chosen='-L ^(unit|contract)$' ;;
*) echo "usage: $0 [--quick]" >&2; exit 2 ;;
esac
QEMU=$(command -v qemu-aarch64-static) || skip "needs qemu-user-static (deploy/packages.sh arm64)"
command -v aarch64-linux-gnu-gcc >/dev/null || skip "needs gcc-aarch64-linux-gnu (deploy/packages.sh arm64)"
unshare -Urm mount -t binfmt_misc none /proc/sys/fs/binfmt_misc 2>/dev/null ||
    skip "this kernel has no binfmt_misc for namespaces"
sysroot=$(deploy/sysroot.sh arm64) || skip "no mirror with arm64 packages"
launcher=
! command -v ccache >/dev/null || launcher=-DCMAKE_C_COMPILER_LAUNCHER=ccache

# shellcheck disable=SC2086 # a word or none
cmake -S . -B build-arm64 -G Ninja -DCMAKE_TOOLCHAIN_FILE="$PWD/deploy/cmake/aarch64.cmake" \
    -DCMAKE_SYSROOT="$sysroot" -DCENOTE_TESTS=ON $launcher >/dev/null
targets=all
if [ "${1:-}" = --quick ]; then
    # shellcheck disable=SC2086 # a list of words
    targets=$(ctest --test-dir build-arm64 -N $chosen | sed -n 's|.*unit/||p')
fi
# shellcheck disable=SC2086 # a list of words
cmake --build build-arm64 --target $targets cenoted cenote_cli -j "${CENOTE_JOBS:-2}" >build-arm64/log ||
    { tail -n 30 build-arm64/log; exit 1; }
export QEMU QEMU_LD_PREFIX="$sysroot"
# shellcheck disable=SC2086 # a list of words
unshare -Urm "$0" --inside $chosen -j "${CENOTE_JOBS:-2}"
