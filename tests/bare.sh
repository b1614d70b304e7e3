#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Proves that what README.md promises holds on a system that has nothing yet: makes a minimal Debian
# 12, puts a clone of the committed tree in it, and runs there deploy/quickstart.sh and the tests.
# Usage: tests/bare.sh [--quick]    --quick: units and contracts of the release build only
#
# Needs root, debootstrap and a Debian mirror (the one that the host's apt uses); exit status 77 says
# that it could not run here. The system lies below $TMPDIR, the minimal one and the packages are
# kept for the next time in $XDG_CACHE_HOME/cenote (not where CI is set). All mounts and processes
# live in namespaces of their own and end with them.
set -eu
cd "$(dirname "$0")/.."

suite=bookworm
where=/srv/cenote # of the clone in the bare system

skip() {
    echo "SKIPPED: tests/bare.sh: $*" >&2
    exit 77
}

# ---- in the namespaces ------------------------------------------------------------------------

mount_system() {
    mount -t proc proc "$root/proc"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    for device in null zero full random urandom tty; do
        touch "$root/dev/$device"
        mount --bind "/dev/$device" "$root/dev/$device"
    done
    ln -s /proc/self/fd "$root/dev/fd"
    mkdir "$root/dev/shm" "$root/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    mount -t tmpfs -o mode=1777,size=2g tmpfs "$root/dev/shm"
    mount --bind "$cache/archives" "$root/var/cache/apt/archives"
}

in_bare() {
    # shellcheck disable=SC2086 # proxies is a list of words
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CENOTE_BARE=1 $proxies \
        chroot "$root" /bin/sh -euc "cd $where; $1"
}

try_it() {
    mount_system
    in_bare '! command -v gcc cmake git python3' || { echo "the bare system isn't bare" >&2; exit 1; }
    if [ -x "$root$where/deploy/quickstart.sh" ]; then
        echo "== bare: deploy/quickstart.sh"
        in_bare 'deploy/quickstart.sh </dev/null'
    fi
    if [ "$mode" = quick ]; then
        echo "== bare: units and contracts"
        in_bare 'deploy/packages.sh units
            cmake -S . -B build -G Ninja -DCENOTE_TESTS=ON >/dev/null
            cmake --build build -j '"${CENOTE_JOBS:-2}"' >build.log || { cat build.log; exit 1; }
            ctest --test-dir build -L "^(unit|contract)$" -j 2 --no-tests=error --output-on-failure'
    else
        echo "== bare: tests/run.sh"
        in_bare 'tests/run.sh'
    fi
}

if [ "${1:-}" = --inside ]; then
    root=$2 cache=$3 mode=$4 proxies=${5:-}
    try_it
    exit 0
fi

# ---- on the host ------------------------------------------------------------------------------

# Runs a command in its own namespaces, in the background and waited for, so that a signal is acted
# upon at once.
child=
isolated() {
    unshare --mount --pid --fork --kill-child "$@" &
    child=$!
    code=0
    wait "$child" || code=$?
    child=
    return "$code"
}

clean() {
    if [ -n "$child" ]; then
        kill "$child" 2>/dev/null && wait "$child" || true
    fi
    # The last processes of a namespace may take a moment to end.
    rm -rf --one-file-system "$work" || { sleep 1 && rm -rf --one-file-system "$work"; }
}

# "deb URI RELEASE COMPONENT" for each source of this suite that the host's apt uses.
host_sources() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
        sed -n "s/^\([^ ]* $suite[^ ]* main\)\$/deb \1/p" | sort -u
}

make_minimal() {
    [ -f "$minimal" ] && return
    echo "== bare: debootstrap $suite from $mirror"
    # shellcheck disable=SC2086 # proxies is a list of words
    isolated env $proxies debootstrap --variant=minbase "$suite" "$work/system" "$mirror" \
        >"$work/log" 2>&1 ||
        { tail -n 5 "$work/log" >&2; skip "debootstrap does not work here"; }
    rm -f "$work/system/var/cache/apt/archives"/*.deb
    tar -C "$work/system" -cf "$minimal.$$" .
    mv "$minimal.$$" "$minimal"
    rm -rf "$work/system"
}

# The host's way to the network: sources, proxies, certificates, names.
configure() {
    host_sources >"$work/system/etc/apt/sources.list"
    [ -s "$work/system/etc/apt/sources.list" ] ||
        echo "deb $mirror $suite main" >"$work/system/etc/apt/sources.list"
    apt-config dump |
        grep -iE '^Acquire::(https?::|ftp::|Retries|Check-)' |
        grep -viE 'auto-?detect' >"$work/system/etc/apt/apt.conf.d/90host" || true
    echo force-unsafe-io >"$work/system/etc/dpkg/dpkg.cfg.d/unsafe-io" # it lives for minutes only
    cp -L /etc/resolv.conf /etc/hosts "$work/system/etc/"
    if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
        mkdir -p "$work/system/etc/ssl/certs"
        cp -L /etc/ssl/certs/ca-certificates.crt "$work/system/etc/ssl/certs/"
    fi
}

case "${1:-}" in
--quick) mode=quick ;;
'') mode=all ;;
*) echo "usage: $0 [--quick]" >&2; exit 2 ;;
esac
[ -z "${CENOTE_BARE:-}" ] || skip "this is the bare system"
[ "$(id -u)" = 0 ] || skip "needs root"
command -v debootstrap >/dev/null || skip "needs debootstrap"
unshare --mount --pid --fork true 2>/dev/null || skip "may not make namespaces"

work=$(mktemp -d "${TMPDIR:-/tmp}/cenote-bare.XXXXXX")
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

cache=${CENOTE_CACHE:-$work/cache}
if [ -z "${CI:-}" ]; then
    cache=${CENOTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cenote}
fi
mkdir -p "$cache/archives/partial"
exec 9>"$cache/lock"
flock 9 # one at a time: they share the packages
minimal=$cache/$suite-$(dpkg --print-architecture).tar
mirror=$(host_sources | sed -n "s/^deb \([^ ]*\) $suite main\$/\1/p" | head -n 1)
mirror=${mirror:-http://deb.debian.org/debian}
proxies=$(env | grep -iE '^(http|https|no)_proxy=[^ ]*$' | tr '\n' ' ')

git diff --quiet HEAD -- || echo "tests/bare.sh: what isn't committed is not part of the proof" >&2
make_minimal
mkdir "$work/system"
tar -C "$work/system" -xf "$minimal"
configure
git clone -q --no-local . "$work/system$where"
isolated "$PWD/tests/bare.sh" --inside "$work/system" "$cache" "$mode" "$proxies"
echo "bare: passed"
