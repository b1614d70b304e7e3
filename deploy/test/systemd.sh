#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Boots a minimal Debian 12 with systemd as its first process, in namespaces of its own, types there
# what doc/OPERATIONS.md says of packages, and uses the daemon under its unit: clients of several
# users over each transport, what the sandbox forbids, reload with good and bad files, restart,
# kill -9, an upgrade under load, the next boot, purge.
# Usage: deploy/test/systemd.sh [--quick] [DIRECTORY]
#   --quick      without huge pages, another user's daemon, and many deaths in a row
#   DIRECTORY    of packages that are built already
#
# Needs what deploy/minimal.sh needs and control groups of version 2; exit status 77 says that it
# could not run here, and why.
set -euo pipefail
cd "$(dirname "$0")/../.."

higher=9.9.9 # the version after the upgrade
wait_seconds=30
whole_seconds=600 # of a boot and what is done then
exposure_tenths_max=20
pages=40 # of 2 MiB, where the machine has them

say() { echo "== systemd: $*"; }

skip() {
    echo "SKIPPED: deploy/test/systemd.sh: $*" >&2
    exit 77
}

fail() {
    echo "FAILED: deploy/test/systemd.sh: $*" >&2
    exit 1
}

# ---- in the booted system ---------------------------------------------------------------------

conf=/etc/cenote/cenoted.conf

fail_there() {
    journalctl -u cenoted -n 40 --no-pager || true
    fail "$@"
}

# wait_for WHAT COMMAND...
wait_for() {
    local what=$1 i
    shift
    for ((i = 0; i < wait_seconds * 20; i++)); do
        ! "$@" >/dev/null 2>&1 || return 0
        sleep 0.05
    done
    fail_there "$what did not come true"
}

# typed TAG: the commands of doc/OPERATIONS.md, as they stand there.
typed() {
    (cd /debs && bash -euo pipefail "/debs/typed/$1") >/run/typed 2>&1 </dev/null ||
        { cat /run/typed; fail_there "a command of doc/OPERATIONS.md ($1)"; }
}

as() {
    local user=$1
    shift
    setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"
}

property() { systemctl show -P "$1" cenoted; }
is_active() { [ "$(property ActiveState)" = active ]; }

# Another process than that, or none, is the daemon, and runs.
is_other_than() {
    local pid
    pid=$(property MainPID)
    [ "$pid" != 0 ] && [ "$pid" != "$1" ] && is_active
}

said() { journalctl -u cenoted -o cat --since "$since" | grep -q "$1"; }
mark() { since=$(date '+%F %T.%6N'); }

# A started daemon may still be at touching its memory.
probes=0
takes_values() { as "${1:-cenote}" cenote put "probe $((probes += 1)) $$ $RANDOM" /etc/hostname; }

# check KEY TRANSPORT USER...: each gets the value.
check() {
    local key=$1 transport=$2 user
    shift 2
    for user; do
        as "$user" cenote --transport "$transport" get "$key" | cmp - /usr/bin/cenoted ||
            fail_there "$user got $key over $transport different"
    done
}

refused() {
    ! as "$2" cenote --transport "$3" get "$1" >/dev/null 2>&1 || fail_there "$2 has $3"
}

use_it() {
    wait_for "the pool taking values" takes_values
    as cenote cenote put "$1" /usr/bin/cenoted
    check "$1" shm cenote
    check "$1" tcp cenote nobody root
    check "$1" auto cenote nobody root
    refused "$1" nobody shm
    refused "$1" root shm
}

install_it() {
    typed "packages install"
    is_active || fail_there "the daemon isn't active after the installation"
    [ "$(systemctl is-enabled cenoted)" = enabled ] || fail "it isn't enabled"
    use_it first
    as cenote cenote ns create tenant
    typed "packages unit"
    is_active || fail_there "the daemon isn't active after the document's commands"
    as cenote cenote ns ls | grep -q '^tenant' || fail_there "the namespace is gone"
    # Stopped in order, memory without a name.
    ! as cenote cenote get first >/dev/null 2>&1 || fail_there "a value outlived its memory"
    # Less memory is touched sooner.
    sed -i 's/^#dram = .*/dram = 64MiB/' $conf
    systemctl restart cenoted
    use_it second
}

# What the journal has of the process that runs: its lines, and nothing else.
check_journal() {
    journalctl _PID="$(property MainPID)" -o cat >/run/lines
    grep -q 'level=info module=node .*joined the pool' /run/lines || fail_there "no line of a join"
    ! grep -vE '^ts=[-0-9T:.]+Z level=[a-z]+ module=[a-z]+ msg=".*"$|^cenoted ready' /run/lines ||
        fail "lines of the log that aren't logfmt"
    # The journal knows their levels.
    journalctl -u cenoted -p warning -o cat >/run/lines
    grep -q 'level=warn .* is dead' /run/lines || fail_there "a warning isn't one for the journal"
    ! grep -v 'level=\(warn\|error\) ' /run/lines || fail_there "no warnings, but the journal has them so"
    ! grep 'a client is refused' /run/lines || fail "a client of root is called refused"
}

check_exposure() {
    local exposure
    exposure=$(systemd-analyze security --no-pager cenoted | sed -n 's/.*Overall exposure[^:]*: //p')
    say "systemd-analyze security: $exposure"
    [ "$(tr -cd 0-9 <<<"${exposure%% *}")" -le $exposure_tenths_max ] || fail "exposed too far"
    [ "${exposure%% *}" = "$(cat /debs/exposure)" ] || fail "doc/OPERATIONS.md says $(cat /debs/exposure)"
}

# The same attempts outside of the unit and in it, by the same user.
check_sandbox() {
    mknod -m 666 /dev/forbidden c 1 11 # the log of the kernel
    install -d -m 777 /srv/anybody /run/user/anybody
    as cenote perl /debs/sandbox.pl >/run/outside
    ! grep -v ' can$' /run/outside || fail "the attempts prove nothing: they fail anyway"
    mkdir -p /run/systemd/system/cenoted.service.d
    printf '[Service]\nExecStartPost=/usr/bin/perl /debs/sandbox.pl /run/cenote/inside\n' \
        >/run/systemd/system/cenoted.service.d/probe.conf
    systemctl daemon-reload
    systemctl restart cenoted
    cp /run/cenote/inside /run/inside
    rm -r /run/systemd/system/cenoted.service.d
    systemctl daemon-reload
    systemctl restart cenoted
    grep '^may ' /run/inside | grep -v ' can$' && fail "the unit forbids what the daemon needs"
    grep '^mustn.t ' /run/inside | grep ' can$' && fail "the unit doesn't forbid it"
    say "$(grep -c . /run/inside) attempts from within the unit"
    check_limits
}

check_limits() {
    local limits
    limits=$(awk '/^Max (open files|locked memory)/ { print $4 }' "/proc/$(property MainPID)/limits" | xargs)
    # Its bit in the capabilities; without it no limit is raised, not even by the first process.
    if (((0x$(awk '/^CapEff/ { print $2 }' /proc/1/status) >> 24 & 1) == 0)); then
        say "limits not checked: this machine lets nobody raise them ($limits)"
    else
        [ "$limits" = "1048576 unlimited" ] || fail "limits: $limits"
    fi
}

reload_it() {
    local pid
    pid=$(property MainPID)
    mark
    sed -i 's/^#evict-low = .*/evict-low = 93/' $conf
    systemctl reload cenoted
    wait_for "the new mark" said 'evict-low is 93'
    cp $conf /run/good
    echo 'nonsense = 3' >>$conf
    ! systemctl reload cenoted 2>/run/error || fail_there "a broken configuration is no error"
    systemctl status cenoted | grep -q "no option is called 'nonsense'" || fail_there "it isn't shown"
    [ "$(property MainPID)" = "$pid" ] || fail_there "a broken configuration cost the daemon"
    check second shm cenote
    reload_as_written
    cp /run/good $conf
    echo 'nonsense = 3' >>$conf
    # And it isn't tried again and again.
    ! systemctl restart cenoted 2>/run/error || fail_there "it started with a broken configuration"
    [ "$(property ActiveState) $(property NRestarts)" = "failed 0" ] || fail_there "it is tried again"
    cp /run/good $conf
    systemctl restart cenoted
}

# What the log says of a file that can be taken in part.
reload_as_written() {
    sed '/^#*evict-\(high\|low\) = /d' /run/good >$conf
    printf '%s\n' 'evict-low = 60' 'evict-high = 90' >>$conf
    systemctl restart cenoted
    mark
    sed -i 's/^evict-high = .*/evict-high = 70/; s/^#lease = .*/lease = 3s/' $conf
    systemctl reload cenoted
    wait_for "the summary" said '1 taken, 1 need a restart'
    journalctl _PID="$(property MainPID)" -o cat --since "$since" |
        sed -n 's/^[^ ]* \(level=[a-z]* module=cenoted msg="reload: .*\)/\1/p' >/run/lines
    diff "/debs/typed/packages reload" /run/lines || fail_there "doc/OPERATIONS.md says something else"
}

# Death by death, at most a second away each time.
kill_it() {
    local pid
    for ((i = 0; i < $1; i++)); do
        pid=$(property MainPID)
        kill -9 "$pid"
        wait_for "the daemon after kill -9" is_other_than "$pid"
    done
    [ "$(property NRestarts)" = "$1" ] || fail_there "$(property NRestarts) restarts, not $1"
}

# A client with a capability, of which the sandbox must not hide the process.
check_capable() {
    setpriv --reuid=cenote --regid=cenote --clear-groups --inh-caps=+ipc_lock --ambient-caps=+ipc_lock \
        cenote --transport shm get "$1" | cmp - /usr/bin/cenoted ||
        fail_there "a client with a capability has no shared memory"
}

keep_it() {
    typed "packages keep"
    use_it kept
    check_capable kept
    kill_it "$1"
    wait_for "the value after kill -9" as cenote cenote get kept
    check kept shm cenote
    check kept tcp nobody
    systemctl restart cenoted
    wait_for "the value after a restart" as cenote cenote get kept
    check kept shm cenote
}

# Values in and out all the time. The node is away for a moment, and so are its values; what comes is
# right.
load_it() {
    local n=0 away=0
    while [ ! -e /run/enough ]; do
        if as cenote cenote put "load $n" /etc/passwd && as cenote cenote get "load $n" >/run/value; then
            cmp /run/value /etc/passwd >/run/failed || return
            n=$((n + 1))
        else
            away=$((away + 1))
        fi
    done
    echo "$n values in and out during the upgrade, $away times the node was away" >/run/loaded
}

upgrade_it() {
    local pid load
    pid=$(property MainPID)
    load_it 2>/dev/null &
    load=$!
    apt-get install -y -qq -o Dpkg::Options::=--force-confold /debs/higher/*.deb >/run/typed 2>&1 \
        </dev/null || { tail -n 20 /run/typed; fail "the upgrade"; }
    [ "$(dpkg-query -W -f '${Version}' cenoted)" = $higher ] || fail "the upgrade's version"
    is_other_than "$pid" || fail_there "the upgrade has not restarted the daemon"
    wait_for "the value after the upgrade" as cenote cenote get kept
    touch /run/enough
    wait $load || fail_there "a client got something else during the upgrade"
    say "$(cat /run/loaded)"
    grep -q '^evict-low = 93' $conf || fail "the changed conffile is lost"
    check kept shm cenote
}

# edit TAG: as if somebody had written that in the editor.
edit() {
    cp "/debs/typed/$1" /run/drop-in
    SYSTEMD_EDITOR="cp /run/drop-in" script -qec "$2" /dev/null >/run/typed 2>&1 </dev/null ||
        { cat /run/typed; fail_there "systemctl edit"; }
}

# The daemon as the user of a client; values and metadata go along.
change_user() {
    useradd --system engine
    edit "packages user" "bash -euo pipefail '/debs/typed/packages edit'"
    wait_for "the value of before" as engine cenote get kept
    check kept shm engine
    check kept tcp cenote
    refused kept cenote shm
    systemctl stop cenoted
    chown -R cenote: /dev/shm/cenote
    systemctl revert cenoted >/run/typed 2>&1
    systemctl start cenoted
    wait_for "the value of before" as cenote cenote get kept
    say "as another user"
}

use_huge_pages() {
    [ "$(cat /debs/pages)" -ge $pages ] || { say "no huge pages here: not tried"; return 0; }
    systemctl stop cenoted
    edit "packages huge" "systemctl edit cenoted"
    cp $conf /run/good
    sed -i '/^\(memory-dir\|keep-memory\|node-name\) =/d' $conf
    { cat "/debs/typed/packages huge configuration" && echo node-name = huge; } >>$conf
    systemctl start cenoted
    use_it huge
    kill_it 1
    wait_for "the value in huge pages" as cenote cenote get huge
    check huge shm cenote
    systemctl stop cenoted
    systemctl revert cenoted >/run/typed 2>&1
    rm -rf /dev/hugepages/cenote /dev/shm/cenote-state
    cp /run/good $conf
    systemctl start cenoted
    say "in huge pages"
}

stop_it() {
    systemctl stop cenoted
    [ "$(property ActiveState) $(property Result) $(property ExecMainStatus)" = "inactive success 0" ] ||
        fail_there "the stop"
    [ ! -e /run/cenote ] || fail "/run/cenote is still there"
    [ "$(find /dev/shm/cenote -type f | wc -l)" -gt 0 ] || fail "the named memory is gone"
    systemctl start cenoted
}

purge_it() {
    local names
    mapfile -t names < <(dpkg-query -W -f '${Package}\n' '*cenote*')
    apt-get purge -y -qq "${names[@]}" >/run/typed 2>&1 || { cat /run/typed; fail "apt-get purge"; }
    [ -z "$(pgrep_daemon)" ] || fail "the daemon runs on"
    rm -r /dev/shm/cenote # as the document says
    find / /run /dev/shm /tmp -xdev -path /debs -prune -o -path /var/log -prune -o \
        -path /run/systemd -prune -o -name '*cenote*' -print >/run/left
    [ ! -s /run/left ] || fail "the purge has left: $(cat /run/left)"
    systemctl list-unit-files --all --no-legend | grep cenote && fail "systemd knows it still"
    say "purged"
}

pgrep_daemon() { grep -lsx cenoted /proc/[0-9]*/comm || true; }

first_boot() {
    install_it
    check_journal
    check_exposure
    check_sandbox
    use_it second
    reload_it
    keep_it "$deaths"
    upgrade_it
    [ "$mode" = quick ] || change_user
    [ "$mode" = quick ] || use_huge_pages
    stop_it
    wait_for "the daemon before the boot" is_active
}

# It was enabled and ran; the machine's memory is another one.
second_boot() {
    wait_for "the daemon after a boot" is_active
    wait_for "the pool taking values" takes_values
    as cenote cenote ns ls | grep -q '^tenant' || fail_there "the namespace is gone"
    use_it rebooted
    say "booted again"
    purge_it
}

# What the packages depend on, and systemd.
fetch() {
    apt-get update -qq
    # shellcheck disable=SC2046 # a list of words
    apt-get install -y -qq --no-install-recommends systemd-sysv adduser \
        $(apt-get -s install --no-install-recommends /debs/build-package/*.deb |
            sed -n 's/^Inst \([^ ]*\).*/\1/p' | grep -v cenote)
}

case "${1:-}" in
--fetch-there)
    fetch
    exit
    ;;
--try)
    mode=$2
    deaths=7 # more than systemd takes in ten seconds, unless it is told to
    [ "$mode" != quick ] || deaths=1
    set -E
    trap 'fail_there "line $LINENO: $BASH_COMMAND"' ERR
    "$3"
    exit
    ;;
esac

# ---- on the host ------------------------------------------------------------------------------

. deploy/minimal.sh
. deploy/test/higher.sh
self=$PWD/deploy/test/systemd.sh

case "${1:-}" in
--fetch) # in namespaces
    minimal_mount "$2"
    minimal_enter "$2" /bin/bash /debs/systemd.sh --fetch-there
    exit
    ;;
--boot) # in namespaces
    minimal_boot "$2" "$3"
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
why=$(minimal_can_boot) || skip "$why"
if [ -z "$packages" ]; then
    for program in dpkg-buildpackage dh; do
        command -v "$program" >/dev/null || skip "needs $program (deploy/packages.sh package)"
    done
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/cenote-systemd.XXXXXX")
name=${work##*/}
pages_before=
clean() {
    trap '' INT TERM HUP
    minimal_stop
    [ -z "$pages_before" ] || sysctl -qw vm.nr_hugepages="$pages_before" || true
    minimal_forget "$name"
    minimal_remove "$work"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# What is booted runs this script, says what it says into a pipe, and ends as it ends.
prepare() {
    local root=$1 debs=$1/debs tag unit
    mkdir -p "$debs/build-package" "$debs/typed"
    cp "$packages"/{libcenote1,cenote,cenoted}_*.deb "$debs/build-package/"
    higher_make $higher "$debs/higher" "$debs"/build-package/*.deb
    cp "$self" "$debs/systemd.sh"
    cp deploy/test/sandbox.pl "$debs/"
    for tag in install unit keep user edit reload huge "huge configuration"; do
        /usr/bin/python3 deploy/test/commands.py doc/OPERATIONS.md "packages $tag" >"$debs/typed/packages $tag"
    done
    tr '\n' ' ' <doc/OPERATIONS.md |
        sed 's/.*`systemd-analyze security` says \([0-9.]*\) .*/\1\n/' >"$debs/exposure"
    for unit in console-getty.service apt-daily.timer apt-daily-upgrade.timer; do
        ln -sf /dev/null "$root/etc/systemd/system/$unit"
    done
    mkfifo "$debs/console"
}

# boot FUNCTION: to its end.
boot() {
    local units=$work/system/etc/systemd/system reader
    mkdir -p "$units/multi-user.target.wants"
    ln -sf ../try.service "$units/multi-user.target.wants/"
    cat >"$units/try.service" <<END
[Unit]
SuccessAction=exit
FailureAction=exit
[Service]
ExecStart=/bin/bash /debs/systemd.sh --try $mode $1
Environment=HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive
StandardOutput=file:/debs/console
StandardError=inherit
END
    cat "$work/system/debs/console" &
    reader=$!
    minimal_limit=$whole_seconds
    minimal_isolated "$self" --boot "$work/system" "$name" >"$work/boot" 2>&1 ||
        { kill $reader 2>/dev/null; tail -n 20 "$work/boot" >&2; fail "$1 ($minimal_code)"; }
    wait $reader
}

# Pages that are set aside belong to the whole machine.
lend_pages() {
    echo 0 >"$work/system/debs/pages"
    [ "$mode" = all ] || return 0
    pages_before=$(sysctl -n vm.nr_hugepages)
    sysctl -qw vm.nr_hugepages=$((pages_before + pages)) 2>/dev/null || true
    awk '/^HugePages_Free/ { print $2 }' /proc/meminfo >"$work/system/debs/pages"
}

if [ -z "$packages" ]; then
    packages=build-package
    deploy/package.sh --quick --reuse >/dev/null
    say "packages ($SECONDS s)"
fi
minimal_tar || skip "debootstrap does not work here"
minimal_unpack "$work/system"
prepare "$work/system"
lend_pages
minimal_run "$work/system" "$self" --fetch "$work/system" >"$work/fetched" 2>&1 ||
    { tail -n 20 "$work/fetched" >&2; fail "apt-get"; }
say "a minimal system with systemd ($SECONDS s)"
boot first_boot
boot second_boot
say "passed ($SECONDS s)"
