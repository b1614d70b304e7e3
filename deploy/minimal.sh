#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# For sourcing: minimal Debian 12 systems that a test unpacks, enters and throws away. debootstrap
# makes one once, from the mirror that the host's apt uses; it is kept as a tar file beside the
# packages that were fetched in them, in $XDG_CACHE_HOME/cenote ($CENOTE_CACHE), which any number of
# tests may use at once. Mounts and processes live in namespaces and end with them.
#
#   minimal_can            root, debootstrap, namespaces; status 1, having said what is missing
#   minimal_tar            makes the tar file, unless it is there: $minimal_tar
#   minimal_sources        prints lines for sources.list: those of this suite that the host's apt uses
#   minimal_unpack DIR     makes DIR such a system, with the host's way to the network
#   minimal_run DIR WORD...    a command in namespaces, and keeps what was fetched in DIR
#   minimal_mount DIR      there: what programs want to find, with nothing of the host's but devices
#   minimal_enter DIR WORD...  there: a command in the system
#   minimal_can_boot       namespaces and control groups for minimal_boot; status 1, as minimal_can
#   minimal_boot DIR NAME  there, instead of the two before: its own systemd as the first process,
#                          with no network and in the control group NAME
#   minimal_forget NAME    for an EXIT trap: the control group
#   minimal_stop           for an EXIT trap: ends the command that is being run
#   minimal_remove DIR     for an EXIT trap, too
#
# A signal is acted upon at once, as nothing that takes long runs in the foreground.

minimal_suite=bookworm
minimal_cache=${CENOTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cenote}
minimal_child=
minimal_made=
minimal_limit= # seconds that a command may take

minimal_can() {
    [ "$(id -u)" = 0 ] || { echo "needs root"; return 1; }
    command -v debootstrap >/dev/null || { echo "needs debootstrap (deploy/packages.sh package)"; return 1; }
    unshare --mount --pid --net --fork true 2>/dev/null || { echo "may not make namespaces"; return 1; }
}

minimal_watch() {
    timeout "$minimal_limit" tail --pid="$1" -f /dev/null || kill -KILL "$1"
}

# Runs a command in namespaces of its own, in the background and waited for.
minimal_isolated() {
    unshare --mount --pid --fork --kill-child "$@" &
    minimal_child=$!
    minimal_code=0
    [ -z "$minimal_limit" ] || minimal_watch "$minimal_child" >/dev/null 2>&1 &
    wait "$minimal_child" || minimal_code=$?
    minimal_child=
    return "$minimal_code"
}

minimal_stop() {
    if [ -n "$minimal_child" ]; then
        # unshare puts off every other signal until its child has ended, which this one takes along.
        kill -KILL "$minimal_child" 2>/dev/null && wait "$minimal_child" || true
        minimal_child=
    fi
    [ -z "$minimal_made" ] || minimal_remove "$minimal_made"
}

# The last processes of a namespace may take a moment to end.
minimal_remove() {
    rm -rf --one-file-system "$1" || { sleep 1 && rm -rf --one-file-system "$1"; }
}

minimal_sources() {
    apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) main' 'Identifier: Packages' \
        'Component: main' | grep " $minimal_suite" | sort -u
}

# minimal_bootstrap DIR: in DIR, of which nothing stays.
minimal_bootstrap() {
    minimal_mirror=$(minimal_sources | sed -n "s/^deb \([^ ]*\) $minimal_suite main\$/\1/p" | head -n 1)
    minimal_mirror=${minimal_mirror:-http://deb.debian.org/debian}
    echo "== debootstrap $minimal_suite from $minimal_mirror" >&2
    minimal_isolated debootstrap --variant=minbase "$minimal_suite" "$1/system" "$minimal_mirror" \
        >"$1/log" 2>&1 ||
        { tail -n 5 "$1/log" >&2; return 1; }
    rm -f "$1/system/var/cache/apt/archives"/*.deb
    tar -C "$1/system" -cf "$minimal_tar.new" . && mv "$minimal_tar.new" "$minimal_tar"
}

# One at a time makes it, and the others wait for it.
minimal_tar() {
    minimal_tar=$minimal_cache/$minimal_suite-$(dpkg --print-architecture).tar
    mkdir -p "$minimal_cache/archives"
    [ ! -f "$minimal_tar" ] || return 0
    exec 9>"$minimal_cache/lock"
    flock 9
    minimal_code=0
    if [ ! -f "$minimal_tar" ]; then
        minimal_made=$(mktemp -d "${TMPDIR:-/tmp}/cenote-minimal.XXXXXX")
        minimal_bootstrap "$minimal_made" || minimal_code=$?
        minimal_remove "$minimal_made"
        minimal_made=
    fi
    exec 9>&-
    return "$minimal_code"
}

# minimal_share FROM TO: packages that TO lacks, whole ones only.
minimal_share() {
    for minimal_package in "$1"/*.deb; do
        minimal_shared=$2/${minimal_package##*/}
        [ -f "$minimal_package" ] && [ ! -f "$minimal_shared" ] || continue
        ln "$minimal_package" "$minimal_shared" 2>/dev/null && continue
        cp "$minimal_package" "$minimal_shared.$$" && mv "$minimal_shared.$$" "$minimal_shared"
    done
}

minimal_unpack() {
    mkdir "$1"
    tar -C "$1" -xf "$minimal_tar"
    minimal_sources >"$1/etc/apt/sources.list"
    apt-config dump | grep -iE '^Acquire::(https?::|ftp::|Retries|Check-)' |
        grep -viE 'auto-?detect' >"$1/etc/apt/apt.conf.d/90host" || true
    echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io" # it lives for minutes only
    cp -L /etc/resolv.conf /etc/hosts "$1/etc/"
    if [ -f /etc/ssl/certs/ca-certificates.crt ]; then
        mkdir -p "$1/etc/ssl/certs"
        cp -L /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"
    fi
    minimal_share "$minimal_cache/archives" "$1/var/cache/apt/archives"
}

minimal_run() {
    minimal_ran=$1
    shift
    minimal_isolated "$@" || true
    minimal_share "$minimal_ran/var/cache/apt/archives" "$minimal_cache/archives"
    return "$minimal_code"
}

minimal_mount() {
    mount -t proc proc "$1/proc"
    mount -t tmpfs -o mode=755 tmpfs "$1/run"
    mount -t tmpfs -o mode=755 tmpfs "$1/dev"
    for minimal_device in null zero full random urandom tty; do
        touch "$1/dev/$minimal_device"
        mount --bind "/dev/$minimal_device" "$1/dev/$minimal_device"
    done
    ln -s /proc/self/fd "$1/dev/fd"
    mkdir "$1/dev/shm" "$1/dev/pts"
    mount -t devpts -o newinstance,ptmxmode=666 devpts "$1/dev/pts"
    ln -s pts/ptmx "$1/dev/ptmx"
    mount -t tmpfs -o mode=1777,size=2g tmpfs "$1/dev/shm"
}

# Of the environment the proxies only.
minimal_enter() {
    minimal_root=$1
    shift
    # shellcheck disable=SC2046 # a list of words
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        $(env | grep -iE '^(http|https|no)_proxy=[^ ]*$' || true) chroot "$minimal_root" "$@"
}

minimal_spaces="--net --uts --ipc --cgroup"

minimal_can_boot() {
    # shellcheck disable=SC2086 # a list of words
    unshare --mount --pid $minimal_spaces --fork mount -t cgroup2 cgroup2 /mnt 2>/dev/null ||
        { echo "has no control groups of version 2, or may not make namespaces"; return 1; }
}

# A namespace of control groups begins where its first process is, so that the move comes before.
minimal_boot() {
    mount --bind "$1" "$1"
    minimal_mount "$1"
    mount -t cgroup2 cgroup2 "$1/mnt"
    mkdir -p "$1/mnt/$2"
    echo 0 >"$1/mnt/$2/cgroup.procs"
    umount "$1/mnt"
    # shellcheck disable=SC2016,SC2086 # for the shell there; a list of words
    exec unshare $minimal_spaces sh -euc '
        cd "$1"
        ip link set lo up
        hostname minimal
        # The settings of this kernel are the host'"'"'s.
        mount --bind proc/sys proc/sys
        mount -o remount,bind,ro proc/sys
        mount -t sysfs sysfs sys
        mount -t cgroup2 cgroup2 sys/fs/cgroup
        mount -o remount,bind,ro sys
        mount -t tmpfs -o mode=1777 tmpfs tmp
        pivot_root . mnt
        umount -l /mnt
        exec env -i container=minimal PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
        ' - "$1"
}

minimal_forget() {
    # shellcheck disable=SC2016 # for the shell there
    unshare --mount sh -c 'mount -t cgroup2 cgroup2 /mnt &&
        find "/mnt/$1" -depth -type d -exec rmdir {} \;' - "$1" 2>/dev/null || true
}
