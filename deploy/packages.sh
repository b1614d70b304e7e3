#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs, from Debian's packages, what sets need and this machine lacks.
# Usage: deploy/packages.sh SET...    of build, python, package, arm64, deploy, units, test
set -eu

build="gcc cmake ninja-build pkg-config libevent-dev libmsgpack-dev liblmdb-dev libsodium-dev libxxhash-dev libjansson-dev libibverbs-dev"
# Of the package for Python, its wheel included.
python="$build python3-dev python3-setuptools python3-wheel python3-pip python3-venv"
# Of tests/arm64.sh; the libraries are deploy/sysroot.sh's.
arm64="$build gcc-aarch64-linux-gnu qemu-user-static"
# Of Debian packages (deploy/package.sh) and their test.
package="$python dpkg-dev debhelper dh-python lintian systemd debootstrap"
tests="$python g++ clang-14 clang-format-14 libclang-rt-14-dev libcriterion-dev valgrind strace python3-msgpack python3-xxhash python3-numpy git debootstrap"
# Of units and contracts alone.
units="$build libcriterion-dev python3-xxhash"
# Of the tests of the status page, of metrics and of alerts.
browser="prometheus chromium chromium-driver python3-selenium"
# Of guests with software RDMA devices (tests/vm).
guests="qemu-system-x86 busybox-static kmod iproute2 ibverbs-providers ibverbs-utils perftest"
# Of deploy/test.sh: engine and compose, Prometheus, what the chart's test is made of.
deploy="docker.io docker-compose debootstrap git ca-certificates curl prometheus python3-yaml python3-venv"

usage() {
    echo "usage: $0 SET..., of build python package arm64 deploy units test" >&2
    exit 2
}

# What of the sets that were named isn't there.
[ $# -gt 0 ] || usage
want=
for set; do
    case $set in
    build) want="$want $build" ;;
    python) want="$want $python" ;;
    package) want="$want $package" ;;
    arm64) want="$want $arm64" ;;
    units) want="$want $units" ;;
    test) want="$want $tests $guests $browser" ;;
    deploy) want="$want $build $deploy" ;;
    *) usage ;;
    esac
done

missing=
for package in $want; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -z "$missing" ] && exit 0

sudo=
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "missing packages (install them as root):$missing" >&2; exit 1; }
    sudo=sudo
fi
echo "installing:$missing" >&2
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of words
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
