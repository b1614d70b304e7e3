#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the tree for 64-bit ARM and runs units and contracts there, by qemu-user.
# Usage: tests/arm64.sh [--quick]    --quick: optimised less, and without the units that take longest
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

say_left_out() {
    while read -r case reason; do
        [ -z "$case" ] || echo "SKIPPED: $case: $reason"
    done <<EOF
$1
EOF
}

# Cases that hold for machines, and not for qemu-user: name, reason.
units_left_out='
registry/add__touches_the_pages  qemu-user says that madvise(2) has populated pages, and leaves it
mockverbs/registration__limits  the same: so memory that may only be read seems to be writable
rdma_region/make__read_only_memory_as_source_only  the same
traffic/page__of_64_nodes_is_made_in_10_ms  a figure for processors, not for their emulation
'
# tests/contract/CMakeLists.txt leaves them out where it is a cross build.
contracts_left_out='
contract_shm/writer_outlives_node  qemu-user tells each thread another start of its process
contract_shm/writer_unseen  the same: a new life of the node takes the process for another
contract_shm/hold_outlives_node  the same
'
# What takes longest: whoever has 4 s of a processor and more to himself.
long='alloc|alloc_fill|cached|directory|evict|get|horizons|index|linear|member|policy_sim|put|puts'
long="^unit/test_($long|ranges|recover|table|told|view|window)\$"

if [ "${1:-}" = --inside ]; then
    shift
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
    # ELF, 64 bit, little-endian, AArch64; opened now, whatever is mounted later.
    printf '%s' ':cenote-arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'"$QEMU:F" \
        >/proc/sys/fs/binfmt_misc/register
    CRITERION_TEST_PATTERN="!($(echo "$units_left_out" | sed -n 's/  .*//p' | paste -sd '|'))"
    export CRITERION_TEST_PATTERN
    ctest --test-dir "$@" -L '^(unit|contract)$' --no-tests=error --output-on-failure
    exit
fi

jobs=${CENOTE_JOBS:-2}
dir=build-arm64 type=RelWithDebInfo without='^$'
case "${1:-}" in
--quick) dir=build-arm64-quick type=MinSizeRel without=$long ;;
'') ;;
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
cmake -S . -B "$dir" -G Ninja -DCMAKE_TOOLCHAIN_FILE="$PWD/deploy/cmake/aarch64.cmake" \
    -DCMAKE_SYSROOT="$sysroot" -DCENOTE_TESTS=ON -DCMAKE_BUILD_TYPE="$type" \
    -DCMAKE_C_FLAGS_MINSIZEREL=-O1 $launcher >/dev/null
# Commands name their programs in one way or another.
programs=$(ctest --test-dir "$dir" -N -V -L '^(unit|contract)$' -E "$without" |
    grep -o "$PWD/$dir/bin/[a-z0-9_]*" | sort -u | sed "s|.*/|bin/|")
# shellcheck disable=SC2086 # a list of words
cmake --build "$dir" --target $programs cenoted cenote_cli -j "$jobs" >"$dir/log" ||
    { tail -n 30 "$dir/log"; exit 1; }

# Criterion needs libgit2 to show how two texts differ, of which no test here makes use, and with it
# come twelve libraries, which each case would load anew: six sevenths of the time that it takes.
instead=$PWD/$dir/instead
soname=$(aarch64-linux-gnu-objdump -p "$sysroot"/usr/lib/aarch64-linux-gnu/libcriterion.so |
    sed -n 's/.*NEEDED *\(libgit2\.so.*\)/\1/p')
mkdir -p "$instead"
printf 'int git_%s(void);\nint git_%s(void) { return -1; }\n' libgit2_init libgit2_init \
    libgit2_shutdown libgit2_shutdown diff_buffers diff_buffers |
    aarch64-linux-gnu-gcc -shared -nostdlib -fPIC "-Wl,-soname,$soname" -o "$instead/$soname" -x c -

export QEMU QEMU_LD_PREFIX="$sysroot" QEMU_SET_ENV="LD_LIBRARY_PATH=$instead"
say_left_out "$units_left_out$contracts_left_out"
[ "$without" = '^$' ] || echo "SKIPPED: --quick: $without"
unshare -Urm "$0" --inside "$dir" -E "$without" -j $((jobs + 1)) # as many of them wait
