#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a folder with the libraries that Cenote is built with, of another architecture, from Debian's
# packages. Debian's libevent-dev and libcriterion-dev can't be installed for two architectures at
# once; unpacked beside the system they can be had, by any user, and nothing of the system changes.
# Usage: deploy/sysroot.sh ARCHITECTURE    prints the folder, in $XDG_CACHE_HOME/cenote, where it is
#                                          kept for the next time
set -eu

[ $# -eq 1 ] || { echo "usage: $0 ARCHITECTURE" >&2; exit 2; }
arch=$1
packages="libc6-dev libevent-dev libmsgpack-dev liblmdb-dev libsodium-dev libxxhash-dev libjansson-dev libibverbs-dev libcriterion-dev"

cache=${CENOTE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cenote}
root=$cache/sysroot-$arch
[ ! -f "$root/packages" ] || [ "$(cat "$root/packages")" != "$packages" ] || { echo "$root"; exit 0; }

mkdir -p "$cache"
work=$(mktemp -d "$cache/sysroot.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial"
: >"$work/state/status"

# As on a machine of that architecture with nothing installed.
apt() {
    apt-get -qq -o "APT::Architecture=$arch" -o "APT::Architectures=$arch" \
        -o "Dir::State=$work/state" -o "Dir::State::status=$work/state/status" \
        -o "Dir::Cache=$work/cache" -o "APT::Sandbox::User=$(id -un)" "$@" >"$work/log" 2>&1 ||
        { tail -n 5 "$work/log" >&2; exit 1; }
}
apt update
# shellcheck disable=SC2086 # a list of words
apt -y -d --no-install-recommends install $packages
for package in "$work/cache/archives"/*.deb; do
    case $package in
    */libboost*) ;; # for msgpack in C++: of no use here, and more than all others
    *) dpkg-deb -x "$package" "$work/made" ;;
    esac
done
# What points into the system points into the folder.
find "$work/made" -type l -lname '/*' | while IFS= read -r link; do
    ln -sfn "$(realpath -m --relative-to="${link%/*}" "$work/made$(readlink "$link")")" "$link"
done
echo "$packages" >"$work/made/packages"
rm -rf "$root"
mv "$work/made" "$root"
echo "$root"
