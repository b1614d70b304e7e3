#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds the Debian packages and has them installed, used, upgraded, removed and purged in a minimal
# Debian 12: cenoted runs there as its user with the configuration that it comes with; what the
# service knows, and what was changed in /etc, outlives restart and upgrade; the purge leaves nothing.
# Usage: deploy/test/packages.sh [--quick] [DIRECTORY]
#   --quick      without Python and development packages in the minimal system
#   DIRECTORY    of packages that are built already
#
# Needs what deploy/minimal.sh needs, and deploy/packages.sh package; exit status 77 says that it could
# not run here, and why.
set -euo pipefail
cd "$(dirname "$0")/../.."

higher=9.9.9 # the version after the upgrade
ready_seconds=60

say() { echo "== packages: $* ($SECONDS s)"; }

skip() {
    echo "SKIPPED: deploy/test/packages.sh: $*" >&2
    exit 77
}

fail() {
    echo "FAILED: deploy/test/packages.sh: $*" >&2
    exit 1
}

# ---- in the minimal system --------------------------------------------------------------------

# What is there, apart from what belongs to dpkg, apt and logs.
list_system() {
    find / -xdev \( -path /proc -o -path /dev -o -path /debs -o -path /var/log -o -path /var/cache \
        -o -path /var/lib/apt -o -path /var/lib/dpkg \) -prune -o -printf '%y %m %u %p\n' | sort
}

apt_install() {
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "$@" \
        >/apt.log 2>&1 </dev/null || { tail -n 20 /apt.log; fail "apt-get install $*"; }
}

# Starts the daemon as its unit would: its user, its directories, its configuration.
start_daemon() {
    install -d -m 0700 -o cenote -g cenote /run/cenote
    : >/run/out
    setpriv --reuid=cenote --regid=cenote --init-groups --no-new-privs --inh-caps=-all \
        --bounding-set=-all cenoted --config /etc/cenote/cenoted.conf >>/run/out 2>>/run/err &
    daemon=$!
    for ((i = 0; i < ready_seconds * 20; i++)); do
        ! grep -q "cenoted ready" /run/out || return 0
        kill -0 "$daemon" 2>/dev/null || break
        sleep 0.05
    done
    cat /run/err
    fail "cenoted did not become ready"
}

stop_daemon() {
    kill "$daemon"
    wait "$daemon" || fail "cenoted ended with $?: $(tail -n 5 /run/err)"
}

as_user() { setpriv --reuid=cenote --regid=cenote --init-groups "$@"; }

check_values() {
    as_user cenote put "$1" /usr/bin/cenoted
    as_user cenote get "$1" | cmp - /usr/bin/cenoted || fail "the value came back different"
    as_user cenote --transport tcp get "$1" | cmp - /usr/bin/cenoted || fail "over TCP, too"
    # Somebody else has no shared memory with it, but the network.
    cenote get "$1" | cmp - /usr/bin/cenoted || fail "root got it different"
}

check_installed() {
    [ "$(stat -c '%a %U' /var/lib/cenote)" = "700 cenote" ] || fail "/var/lib/cenote's owner"
    getent passwd cenote | grep -q ':/var/lib/cenote:/usr/sbin/nologin$' || fail "the user"
    cenoted --check-config --config /etc/cenote/cenoted.conf | grep -q ': good$' ||
        fail "the configuration that it comes with"
    ! ldd /usr/bin/cenoted | grep "not found" || fail "libraries are missing"
    [ "$mode" = quick ] || check_more
}

check_more() {
    python3 -c 'import cenote; print(cenote.__version__)' | grep -q . || fail "Python's import"
    as_user python3 -c 'import cenote
client = cenote.Client()
client.put(b"python", b"value")
assert bytes(client.get(b"python")) == b"value"' || fail "Python's client"
    cc -o /run/put_get /usr/share/doc/libcenote-dev/examples/put_get.c -lcenote
    /run/put_get | grep -q "hello, pool" || fail "a program that is linked with libcenote"
}

kept() { as_user cenote ns ls | grep -q '^tenant' || fail "the namespace is gone"; }

use_it() {
    start_daemon
    check_installed
    check_values first
    as_user cenote ns create tenant
    stop_daemon
    start_daemon
    kept
    check_values second
}

upgrade_it() {
    sed -i 's/^#evict-low = .*/evict-low = 93/' /etc/cenote/cenoted.conf
    kill -HUP "$daemon"
    for ((i = 0; i < ready_seconds * 20; i++)); do
        ! grep -q 'evict-low is 93' /run/err || break
        sleep 0.05
    done
    grep -q 'evict-low is 93' /run/err || fail "SIGHUP has not changed anything"
    stop_daemon
    apt_install -o Dpkg::Options::=--force-confold /debs/higher/*.deb
    [ "$(dpkg-query -W -f '${Version}' cenoted)" = "$higher" ] || fail "the upgrade's version"
    grep -q '^evict-low = 93' /etc/cenote/cenoted.conf || fail "the changed conffile is lost"
    [ -f /etc/cenote/cenoted.conf.dpkg-dist ] || fail "the new conffile isn't beside the old one"
    start_daemon
    kept
    check_values third
    stop_daemon
}

remove_it() {
    local names
    mapfile -t names < <(dpkg-query -W -f '${Package}\n' '*cenote*')
    apt-get remove -y -qq "${names[@]}" >/apt.log 2>&1 || { cat /apt.log; fail "apt-get remove"; }
    [ -f /etc/cenote/cenoted.conf ] && [ -d /var/lib/cenote ] || fail "a remove isn't a purge"
    [ ! -e /usr/bin/cenoted ] && [ ! -e /lib/systemd/system/cenoted.service ] || fail "the remove"
    dpkg --purge "${names[@]}" >/apt.log 2>&1 || { cat /apt.log; fail "dpkg --purge"; }
    rm -f /apt.log
    list_system >/dev/after
    # The user stays, as Debian advises. Everything else is as it was.
    getent passwd cenote >/dev/null || fail "the user is gone, who may have files elsewhere"
    diff /dev/before /dev/after >/dev/differences || true
    sed -i '/^[<>]/!d; / \/etc\/\(passwd\|group\|g\?shadow\|sub[ug]id\)-\?$/d' /dev/differences
    [ ! -s /dev/differences ] || fail "the purge has left: $(cat /dev/differences)"
}

# What they depend on, which stays when they go.
install_dependencies() {
    local more=
    [ "$mode" = quick ] || more="gcc libc6-dev"
    apt-get update -qq
    # shellcheck disable=SC2046,SC2086 # lists of words
    apt_install $more $(apt-get -s install --no-install-recommends /debs/*.deb |
        sed -n 's/^Inst \([^ ]*\).*/\1/p' | grep -v cenote)
    rm -f /apt.log
}

case "${1:-}" in
--fetch)
    mode=$2
    install_dependencies
    exit
    ;;
--try)
    mode=$2
    list_system >/dev/before
    say "installing"
    apt_install /debs/*.deb
    say "using"
    use_it
    say "upgrading"
    upgrade_it
    say "removing"
    remove_it
    exit
    ;;
esac

# ---- on the host ------------------------------------------------------------------------------

. deploy/minimal.sh
. deploy/test/higher.sh
self=$PWD/deploy/test/packages.sh

in_system() { minimal_enter "$root" /bin/bash "/debs/${self##*/}" "$1" "$mode"; }

case "${1:-}" in
--inside) # in namespaces
    root=$2 mode=$3
    minimal_mount "$root"
    in_system --fetch
    # Nobody else's daemons, ports or networks from here on.
    exec unshare --net "$self" --offline "$root" "$mode"
    ;;
--offline)
    root=$2 mode=$3
    ip link set lo up
    in_system --try
    exit
    ;;
esac

mode=all
packages=
for word; do
    case $word in
    --quick) mode=quick ;;
    -*) echo "usage: $0 [--quick] [DIRECTORY]" >&2; exit 2 ;;
    *) packages=$word ;;
    esac
done
why=$(minimal_can) || skip "$why"
for program in dpkg-buildpackage dh; do
    command -v "$program" >/dev/null || skip "needs $program (deploy/packages.sh package)"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/cenote-packages.XXXXXX")
clean() {
    minimal_stop
    minimal_remove "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The unit, as far as systemd judges it without running it.
check_unit() {
    command -v systemd-analyze >/dev/null || { echo "no systemd-analyze: the unit isn't judged"; return; }
    systemd-analyze security --offline=true --threshold=25 deploy/systemd/cenoted.service \
        >"$work/security" 2>&1 || { cat "$work/security"; fail "the unit is exposed too far"; }
    grep -o "Overall.*" "$work/security"
}

check_lintian() {
    command -v lintian >/dev/null || { echo "no lintian: the packages aren't judged"; return; }
    lintian --allow-root --fail-on error,warning "$packages"/*.changes ||
        fail "lintian has something against the packages"
}

# In the long form as doc/OPERATIONS.md says.
build() {
    if [ "$mode" = quick ]; then
        deploy/package.sh --quick >/dev/null
        return
    fi
    /usr/bin/python3 deploy/test/commands.py doc/OPERATIONS.md "packages build" >"$work/build"
    bash -euo pipefail "$work/build" >"$work/output" 2>&1 ||
        { tail -n 30 "$work/output"; fail "a command of doc/OPERATIONS.md (packages build)"; }
}

check_unit
if [ -z "$packages" ]; then
    say "building"
    packages=build-package
    build
fi
say "judging"
check_lintian
minimal_tar || skip "debootstrap does not work here"
minimal_unpack "$work/system"
wanted=("$packages"/libcenote1_*.deb "$packages"/cenote_*.deb "$packages"/cenoted_*.deb)
[ "$mode" = quick ] ||
    wanted+=("$packages"/libcenote-dev_*.deb "$packages"/python3-cenote_*.deb)
higher_make "$higher" "$work/higher" "${wanted[@]}"
mkdir "$work/system/debs"
cp -R "${wanted[@]}" "$work/higher" "$self" "$work/system/debs/"
minimal_run "$work/system" "$self" --inside "$work/system" "$mode"
say "passed"
