#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the Debian packages of this tree into build-package/ (or DIRECTORY), by dpkg-buildpackage in
# a copy where deploy/debian is debian/.
# Usage: deploy/package.sh [--quick] [--reuse] [DIRECTORY]
#   --quick    without packages of debugging symbols
#   --reuse    those that are there, if they are newer than the tree
# DEB_BUILD_OPTIONS is heeded, and DEBFULLNAME and DEBEMAIL name whoever builds them. deploy/packages.sh package installs what it needs.
set -eu
cd "$(dirname "$0")/.."

usage() {
    echo "usage: $0 [--quick] [--reuse] [DIRECTORY]" >&2
    exit 2
}

options=${DEB_BUILD_OPTIONS:-}
out=
reuse=no
while [ $# -gt 0 ]; do
    case $1 in
    --quick)
        options="$options noautodbgsym"
        export DEB_CFLAGS_STRIP=-g # they would be made to be thrown away
        ;;
    --reuse) reuse=yes ;;
    -*) usage ;;
    *) [ -z "$out" ] || usage; out=$1 ;;
    esac
    shift
done
out=${out:-build-package}
mkdir -p "$out"
out=$(cd "$out" && pwd)

# What is tracked or would be; or, where there is no git, everything.
list_files() {
    if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
        git ls-files -z --cached --others --exclude-standard
    else
        find . -path './build*' -prune -o -type f -print0
    fi
}

# No file of the tree is newer than the oldest package.
is_new() {
    oldest=$(ls -t "$out"/*.deb 2>/dev/null | tail -n 1)
    # shellcheck disable=SC2016 # for the shell there
    [ -n "$oldest" ] && [ -z "$(list_files |
        xargs -0 sh -c 'find "$@" -maxdepth 0 -newer "$0"' "$oldest" 2>&1)" ]
}

if [ $reuse = yes ] && is_new; then
    ls "$out"/*.deb
    exit
fi

source=$out/source
rm -rf "$source"
mkdir "$source"
list_files | tar --null --no-recursion --ignore-failed-read -T - -cf - 2>/dev/null |
    tar -C "$source" -xf -
cp -R "$source/deploy/debian" "$source/debian"
cp "$source/deploy/systemd/cenoted.service" "$source/debian/"

version=$(sed -n 's/^project(cenote VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
written=$(cd "$source" && dpkg-parsechangelog -S Version)
[ "$version" = "${written%%-*}" ] || {
    echo "$0: CMakeLists.txt says $version, and deploy/debian/changelog $written" >&2
    exit 1
}

set -- -b -us -uc -ui
if [ -n "${DEBEMAIL:-}" ]; then
    set -- "$@" -m "${DEBFULLNAME:-$DEBEMAIL} <$DEBEMAIL>"
fi
if command -v ccache >/dev/null && [ -d /usr/lib/ccache ]; then
    PATH=/usr/lib/ccache:$PATH
    CCACHE_DIR=$(ccache -k cache_dir) # debhelper gives its commands another home
    export CCACHE_DIR
fi
options="parallel=${CENOTE_JOBS:-2} $options"
rm -f "$out"/*.deb "$out"/*.buildinfo "$out"/*.changes
(cd "$source" && DEB_BUILD_OPTIONS=$options dpkg-buildpackage "$@") >"$out/log" 2>&1 || {
    tail -n 40 "$out/log" >&2
    exit 1
}
rm -rf "$source"
ls "$out"/*.deb
