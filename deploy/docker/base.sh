#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a base image for deploy/docker/Dockerfile from Debian's packages, for where no registry can
# be reached: a minimal Debian 12 without documentation, like debian:bookworm-slim.
# Usage: deploy/docker/base.sh [TAG]    prints TAG; default: cenote-base:bookworm
#
# Needs root, debootstrap, an engine ($DOCKER_HOST) and a Debian mirror (the one that the host's apt
# uses). The system is kept as a tar file in $XDG_CACHE_HOME/cenote.
set -eu

tag=${1:-cenote-base:bookworm}
suite=bookworm
cache=${CENOTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cenote}
tar=$cache/base-$suite-$(dpkg --print-architecture).tar

# "URI RELEASE" of each source of this suite that the host's apt uses.
sources() {
    apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Identifier: Packages' \
        'Component: main' | grep " $suite" | sort -u
}

slim() {
    cat >"$1/etc/dpkg/dpkg.cfg.d/slim" <<'TXT'
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
TXT
    # A layer is written as a whole, or not at all.
    echo force-unsafe-io >"$1/etc/dpkg/dpkg.cfg.d/unsafe-io"
    echo 'Acquire::Languages "none";' >"$1/etc/apt/apt.conf.d/slim"
    find "$1/usr/share/doc" -type f ! -name copyright -delete
    find "$1/usr/share/doc" -depth -type d -empty -delete
    rm -rf "$1/usr/share/info"/* "$1/usr/share/locale"/* "$1/usr/share/man"/* \
        "$1/var/cache/apt"/* "$1/var/lib/apt/lists"/* "$1/var/log"/* "$1/var/cache/debconf"/*
    mkdir -p "$1/var/cache/apt/archives/partial" "$1/var/lib/apt/lists/partial"
}

make_tar() {
    mirror=$(sources | sed -n "s/ $suite\$//p" | head -n 1)
    work=$(mktemp -d "${TMPDIR:-/tmp}/cenote-base.XXXXXX")
    trap 'rm -rf --one-file-system "$work"' EXIT
    trap 'exit 130' INT TERM
    # In namespaces of its own: its mounts end with it.
    unshare --mount --pid --fork --kill-child debootstrap --variant=minbase "$suite" \
        "$work/system" "${mirror:-http://deb.debian.org/debian}" >"$work/log" 2>&1 ||
        { tail -n 5 "$work/log" >&2; exit 1; }
    sources | sed 's/.*/deb & main/' >"$work/system/etc/apt/sources.list"
    slim "$work/system"
    mkdir -p "$cache"
    tar -C "$work/system" --exclude ./dev --exclude ./proc --exclude ./sys -cf "$tar.$$" .
    mv "$tar.$$" "$tar"
}

[ -f "$tar" ] || make_tar
# Importing it again would make another image, and nothing that was built upon it could be used.
sum=$(stat -c %s-%Y "$tar")
[ "$(docker image inspect -f '{{.Config.Labels.tar}}' "$tag" 2>/dev/null)" = "$sum" ] ||
    docker import --change 'CMD ["bash"]' --change "LABEL tar=$sum" "$tar" "$tag" >/dev/null
echo "$tag"
