#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs deploy/compose.yaml on a Docker engine that it starts itself, on an image built from this
# tree: values in and out over tcp and over shared memory, a node killed, the metadata service
# restarted, the image replaced under the values; every value is compared by its checksum. Then it
# types what doc/OPERATIONS.md says of containers.
# Usage: deploy/test/compose.sh [--quick]
#   --quick    without the document and the experiments, and of this tree's own build (build/bin)
#              instead of one in a container, if there is one
#
# Needs root, Debian's docker.io and docker-compose, debootstrap and a Debian mirror; exit status 77
# says that it could not run here, and why.
set -euo pipefail
cd "$(dirname "$0")/../.."
# shellcheck source=deploy/test/engine.sh
. deploy/test/engine.sh

quick=no
[ "${1:-}" != --quick ] || quick=yes

skip() {
    echo "SKIPPED: deploy/test/compose.sh: $*" >&2
    exit 77
}

fail() {
    echo "FAILED: deploy/test/compose.sh: $*" >&2
    exit 1
}

[ "$(id -u)" = 0 ] || skip "needs root"
for program in dockerd docker docker-compose debootstrap; do
    command -v $program >/dev/null || skip "needs $program (deploy/packages.sh deploy)"
done

engine_pid=
work=$(mktemp -d "${TMPDIR:-/tmp}/cenote-compose.XXXXXX")
project=cenotetest$$
export CENOTE_IMAGE=cenote:test CENOTE_MEMORY=/dev/shm/$project CENOTE_DRAM=128MiB
export CENOTE_PORT=0 CENOTE_HTTP_PORT=0 COMPOSE_PROJECT_NAME=$project

compose() { docker-compose -f deploy/compose.yaml "$@"; }

clean() {
    code=$?
    if [ "$code" != 0 ] && [ "$code" != 77 ]; then
        compose ps || true
        compose logs --no-color --tail 40 || true
    fi
    compose down -v --remove-orphans -t 5 >/dev/null 2>&1 || true
    engine_stop
    rm -rf --one-file-system "$CENOTE_MEMORY" "$work" || true
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

begin=$SECONDS
say() { echo "== compose: $* ($((SECONDS - begin)) s)"; }

# wait_for WHAT COMMAND...: at most 60 s.
wait_for() {
    local what=$1
    shift
    local end=$((SECONDS + 60))
    while [ $SECONDS -lt $end ]; do
        "$@" >/dev/null 2>&1 && return
        sleep 0.2
    done
    fail "$what did not come true"
}

# ---- images -----------------------------------------------------------------------------------

# prepare_build: the directory and the Dockerfile of which images are built.
prepare_build() {
    local bin=${CENOTE_BIN:-build/bin}
    context=. dockerfile=deploy/docker/Dockerfile
    [ $quick = yes ] && [ -x "$bin/cenoted" ] && [ -x "$bin/cenote" ] || return 0
    context=$work/context dockerfile=$work/context/Dockerfile
    install -D -s -t "$context/image/usr/local/bin" "$bin/cenoted" "$bin/cenote"
    install -D deploy/docker/health.sh "$context/image/usr/local/bin/cenote-health"
    install -D deploy/docker/smoke.sh "$context/image/usr/local/bin/cenote-smoke"
    # Without the stage that builds.
    sed -e '/^FROM .* AS build/,/^$/d' -e 's/^COPY --from=build /COPY /' \
        -e 's#^COPY /image /#COPY image /#' deploy/docker/Dockerfile >"$dockerfile"
}

build() {
    docker build -q --network host -f "$dockerfile" -t "$CENOTE_IMAGE" \
        --build-arg BASE="$base" --build-arg VERSION="$1" "$context" >"$work/build" 2>&1 ||
        { tail -n 40 "$work/build" >&2; fail "the image could not be built"; }
}

mebibytes() { docker image inspect -f '{{.Size}}' "$1" | awk '{ printf "%.0f MiB", $1 / 1048576 }'; }

# ---- the pool, asked from containers ----------------------------------------------------------

# cenote ARGUMENT...: in a container on the pool's network that shares nothing with the nodes. Values
# are read and written in $work/files.
remote() {
    docker run --rm -i --network "${project}_default" -e CENOTE_META=meta:7400 --read-only \
        -v "$work/files:/files" --entrypoint cenote "$CENOTE_IMAGE" "$@"
}

# The same in a container that has the nodes' sockets.
beside() {
    docker run --rm -i --network "${project}_default" -e CENOTE_META=meta:7400 --read-only \
        -v "$work/files:/files" -v "${project}_sockets:/run/cenote" \
        --entrypoint cenote "$CENOTE_IMAGE" "$@"
}

status() { remote --json status; }

# field NAME: of each node, one line "name value".
nodes() {
    status | python3 -c '
import json, sys
for n in json.load(sys.stdin)["nodes"]:
    print(n["name"], n["state"], n["connected"], n["boot"], *[s["incarnation"] for s in n["segments"]])'
}

alive() { [ "$(nodes | grep -c 'alive True')" = "$1" ]; }
incarnations() { nodes | awk '{ print $1, $5 }' | sort; }
boot_of() { nodes | awk -v n="$1" '$1 == n { print $4 }'; }
running() { [ "$(docker inspect -f '{{.State.Running}}' "$1")" = true ]; }
container() { compose ps -q "$1"; }
healthy() { [ "$(docker inspect -f '{{.State.Health.Status}}' "$(container "$1")")" = healthy ]; }

make_files() {
    mkdir -m 777 "$work/files"
    local len
    for len in 0 1 4095 65536 65537 1000003 9000001; do
        head -c "$len" /dev/urandom >"$work/files/$len"
    done
    (cd "$work/files" && sha256sum -- *) >"$work/sums"
}

# In one container each way, as a container takes longer to start than a value to travel.
all() {
    local how=$1 verb=$2 prefix=$3 to=$4 volume=()
    [ "$how" = tcp ] || volume=(-v "${project}_sockets:/run/cenote")
    # shellcheck disable=SC2016 # for the shell in the container
    docker run --rm --network "${project}_default" -e CENOTE_META=meta:7400 --read-only \
        -v "$work/files:/files" "${volume[@]}" --entrypoint sh "$CENOTE_IMAGE" -euc '
        cd /files
        for f in [0-9]*; do cenote --transport "$1" "$2" "$3$f" "$4$f"; done' \
        - "$how" "$verb" "$prefix" "$to"
}

put_all() { all "$1" put "$2" ./; }

# check_all TRANSPORT PREFIX: gets all, and compares their checksums.
check_all() {
    mkdir -m 777 "$work/files/got"
    all "$1" get "$2" got/
    (cd "$work/files/got" && sha256sum --quiet -c "$work/sums") || fail "$2 over $1: other bytes"
    rm -rf "$work/files/got"
}

# ---- the test ---------------------------------------------------------------------------------

[ ! -e /dev/shm/cenote ] || skip "somebody has a pool in /dev/shm/cenote, where that of the document lies"
engine_start "$work/engine" || skip "no engine runs here"
say "engine $(docker version -f '{{.Server.Version}}'), $engine_storage, $(docker info -f '{{.CgroupDriver}} {{.CgroupVersion}}')"

base=$(deploy/docker/base.sh)
say "base image $base, $(mebibytes "$base")"
prepare_build
build 0.1.0-one
say "image $(mebibytes "$CENOTE_IMAGE")"
docker run --rm "$CENOTE_IMAGE" --version
[ "$(docker run --rm --entrypoint id "$CENOTE_IMAGE" -u)" = 7400 ] || fail "the image's user is root"

compose up -d --no-build 2>"$work/up" || { cat "$work/up" >&2; fail "compose up"; }
make_files
wait_for "three nodes" alive 3
say "up"
compose run --rm smoke 2>/dev/null || fail "the smoke test"
for service in meta node1; do wait_for "$service being healthy" healthy $service; done

put_all tcp t/
check_all tcp t/
say "tcp from a container that shares nothing with the nodes: $(ls "$work/files" | wc -l) values"
put_all shm s/
check_all shm s/
check_all shm t/
check_all tcp s/
say "shm from a container that has the nodes' sockets, and across"
if remote --transport shm get s/1 - >/dev/null 2>"$work/error"; then
    fail "shared memory without the nodes' sockets"
fi

before=$(incarnations)
node2=$(container node2)
docker kill "$node2" >/dev/null
docker start "$node2" >/dev/null
wait_for "node2 coming back" alive 3
[ "$(incarnations)" = "$before" ] || fail "node2 has lost its memory: $before, $(incarnations)"
for how in tcp shm; do
    check_all $how t/
    check_all $how s/
done
say "node2 killed and started: its values are there"

compose restart -t 10 meta 2>/dev/null
wait_for "the pool after the service's restart" alive 3
check_all tcp t/
check_all shm s/
[ "$(incarnations)" = "$before" ] || fail "the service's restart cost memory"
say "metadata container restarted"

boots=$(boot_of node1)
build 0.1.0-two
[ "$(docker image inspect -f '{{index .Config.Labels "org.opencontainers.image.version"}}' \
    "$CENOTE_IMAGE")" = 0.1.0-two ] || fail "the image has no version"
compose up -d --no-build 2>"$work/up" || { cat "$work/up" >&2; fail "compose up of the new image"; }
wait_for "the pool after the upgrade" alive 3
[ "$(boot_of node1)" != "$boots" ] || fail "node1 is the old process"
[ "$(incarnations)" = "$before" ] || fail "the upgrade cost memory: $before, $(incarnations)"
for service in meta node1 node2 node3; do
    [ "$(docker inspect -f '{{index .Config.Labels "org.opencontainers.image.version"}}' \
        "$(container $service)")" = 0.1.0-two ] || fail "$service has the old image"
done
for how in tcp shm; do
    check_all $how t/
    check_all $how s/
done
say "image replaced, the memory kept"

# Debian's Prometheus in the place of the one that comes from a registry.
if [ $quick = no ] && command -v prometheus >/dev/null; then
    docker run -d --name "$project-prometheus" --no-healthcheck --network "${project}_default" \
        -v "$(command -v prometheus):/usr/local/bin/prometheus:ro" \
        -v "$(command -v promtool):/usr/local/bin/promtool:ro" \
        -v "$PWD/deploy/prometheus:/etc/prometheus:ro" --tmpfs /prometheus:mode=1777 \
        --entrypoint prometheus "$CENOTE_IMAGE" --config.file=/etc/prometheus/prometheus.yaml \
        --storage.tsdb.path=/prometheus >/dev/null
    scraped() {
        docker exec "$project-prometheus" promtool query instant http://127.0.0.1:9090 \
            "count(up{job=\"cenote\"} == 1)" | grep '=> 4 @'
    }
    wait_for "Prometheus seeing four targets" scraped
    docker rm -f "$project-prometheus" >/dev/null
    say "Prometheus $(prometheus --version 2>&1 | awk 'NR == 1 { print $3 }') scrapes all four"
elif [ $quick = no ]; then
    echo "SKIPPED: deploy/test/compose.sh: no Prometheus (deploy/packages.sh deploy)" >&2
fi

compose stop -t 15 2>/dev/null
for service in meta node1 node2 node3; do
    code=$(docker inspect -f '{{.State.ExitCode}}' "$(container $service)")
    [ "$code" = 0 ] || fail "$service ended with $code on SIGTERM"
done
say "all ended in order on SIGTERM"
# forget COMMAND: all of the pool; nodes with memory of it would refuse a new service.
forget() {
    "$1" down -v -t 5 2>/dev/null
    rm -rf --one-file-system "$CENOTE_MEMORY"
}
forget compose
[ $quick = no ] || exit 0

# ---- experiments: what shared memory between containers takes ---------------------------------

# Without pid: host a node can't see whose process a client is; it says so, and tcp goes on.
python3 - deploy/compose.yaml >"$work/private.yaml" <<'PY'
import sys
text = open(sys.argv[1]).read()
assert text.count("  pid: host\n") == 1
print(text.replace("  pid: host\n", "").replace("./compose", "./deploy/compose"))
PY
private() { docker-compose --project-directory "$PWD" -f "$work/private.yaml" "$@"; }
private up -d --no-build 2>"$work/up" || { cat "$work/up" >&2; fail "compose up without pid: host"; }
wait_for "three nodes" alive 3
if private run --rm smoke shm >"$work/smoke" 2>&1; then
    fail "shared memory with nodes that can't see their clients"
fi
private logs --no-color | grep 'a client is refused' >/dev/null || fail "the node doesn't say why"
private run --rm smoke auto tcp 2>/dev/null || fail "the way over tcp"
forget private
say "without pid: host the nodes refuse shared memory, and clients go on over tcp"

# Memory without a name needs no pid: host, where the kernel gives a descriptor of the peer.
if printf '6.5\n%s\n' "$(uname -r)" | sort -VC; then
    sed -i -e 's#CENOTE_MEMORY_DIR: .*#CENOTE_MEMORY_DIR: ""#' \
        -e 's/^      CENOTE_CONFIG: .*node.conf/&\n      CENOTE_KEEP_MEMORY: "false"/' \
        "$work/private.yaml"
    private up -d --no-build 2>"$work/up" || { cat "$work/up" >&2; fail "memory without a name"; }
    wait_for "three nodes" alive 3
    private run --rm smoke shm >"$work/smoke" 2>&1 ||
        { cat "$work/smoke" >&2; fail "shared memory without a name, and without pid: host"; }
    forget private
    say "with memory that has no name, shm needs no pid: host (Linux $(uname -r))"
fi

# A container's limit is seen before the memory is touched.
if docker run --rm -m 96m "$CENOTE_IMAGE" --data-dir /tmp/m --dram 128MiB >"$work/limit" 2>&1; then
    fail "more memory than the container has"
fi
grep -q 'this machine has' "$work/limit" || { cat "$work/limit" >&2; fail "the limit is not named"; }
say "more memory than the container's limit is refused: $(grep -o 'this machine has.*' "$work/limit")"

# ---- the document -----------------------------------------------------------------------------

unset CENOTE_IMAGE CENOTE_MEMORY CENOTE_DRAM CENOTE_PORT CENOTE_HTTP_PORT COMPOSE_PROJECT_NAME
documented() { docker-compose -f deploy/compose.yaml down -v --remove-orphans -t 5; }
CENOTE_IMAGE=cenote:latest CENOTE_MEMORY=/dev/shm/cenote COMPOSE_PROJECT_NAME=deploy
/usr/bin/python3 deploy/test/commands.py doc/OPERATIONS.md compose "compose last" >"$work/commands"
bash -euo pipefail "$work/commands" >"$work/output" 2>&1 ||
    { tail -n 30 "$work/output" >&2; documented; fail "a command of doc/OPERATIONS.md"; }
rm -f /var/tmp/cenote-meta.tar /var/tmp/cenote-trace.json
say "$(grep -c . "$work/commands") lines of doc/OPERATIONS.md"
