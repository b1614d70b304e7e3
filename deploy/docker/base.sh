#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a base image for deploy/docker/Dockerfile from Debian's packages, for where no registry can
# be reached: a minimal Debian 12 without documentation, like debian:bookworm-slim.
# Usage: deploy/docker/base.sh [TAG]    prints TAG; default: cenote-base:bookworm
#
# Needs what deploy/minimal.sh needs, and an engine ($DOCKER_HOST). The system is kept as a tar file in
# $XDG_CACHE_HOME/cenote.
set -eu
# shellcheck source=deploy/minimal.sh
. "$(dirname "$0")/../minimal.sh"

tag=${1:-cenote-base:bookworm}
tar=$minimal_cache/base-$minimal_suite-$(dpkg --print-architecture).tar

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

clean() {
    minimal_stop
    [ -z "$work" ] || minimal_remove "$work"
}

make_tar() {
    work=
    trap clean EXIT
    trap 'exit 130' INT TERM
    minimal_can >&2 && minimal_tar || exit 1
    work=$(mktemp -d "${TMPDIR:-/tmp}/cenote-base.XXXXXX")
    mkdir "$work/system"
    tar -C "$work/system" --exclude ./dev --exclude ./proc --exclude ./sys -xf "$minimal_tar"
    minimal_sources >"$work/system/etc/apt/sources.list"
    slim "$work/system"
    tar -C "$work/system" -cf "$tar.$$" .
    mv "$tar.$$" "$tar"
}

[ -f "$tar" ] || make_tar
# Importing it again would make another image, and nothing that was built upon it could be used.
sum=$(stat -c %s-%Y "$tar")
[ "$(docker image inspect -f '{{.Config.Labels.tar}}' "$tag" 2>/dev/null)" = "$sum" ] ||
    docker import --change 'CMD ["bash"]' --change "LABEL tar=$sum" "$tar" "$tag" >/dev/null
echo "$tag"
