#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# For sourcing: a Docker engine of a test's own, below a directory, that ends with it.

# engine_start DIR: sets and exports DOCKER_HOST. Status 1, having said why: none can run here. Where
# CENOTE_TEST_ENGINE is set (unix:///var/run/docker.sock), that one is used, and goes on.
engine_start() {
    engine_dir=$1
    engine_pid=
    mkdir -p "$engine_dir/data"
    export DOCKER_HOST="${CENOTE_TEST_ENGINE:-unix://$engine_dir/docker.sock}"
    export DOCKER_CONFIG="$engine_dir/config" DOCKER_BUILDKIT=0 COMPOSE_DOCKER_CLI_BUILD=0
    if [ -n "${CENOTE_TEST_ENGINE:-}" ]; then
        engine_storage=$(docker info -f '{{.Driver}}')
        return
    fi
    # The usual bridge, unless another engine has it.
    engine_bridge=
    [ -z "$(pgrep -x dockerd)" ] || engine_bridge="--bridge none"
    # Layers are copied where the kernel can't lay file systems over each other.
    for engine_storage in overlay2 vfs; do
        # shellcheck disable=SC2086 # two words or none
        dockerd --data-root "$engine_dir/data" --exec-root "$engine_dir/exec" $engine_bridge \
            --host "$DOCKER_HOST" --pidfile "$engine_dir/pid" --group root \
            --storage-driver "$engine_storage" >"$engine_dir/log" 2>&1 &
        engine_pid=$!
        for _ in $(seq 300); do
            docker version >/dev/null 2>&1 && return 0
            kill -0 "$engine_pid" 2>/dev/null || break
            sleep 0.1
        done
        engine_stop
        echo "no engine with $engine_storage: $(grep -iE 'fail|error' "$engine_dir/log" | tail -n 1)" >&2
    done
    return 1
}

engine_stop() {
    [ -n "$engine_pid" ] || return 0
    kill "$engine_pid" 2>/dev/null || true
    wait "$engine_pid" 2>/dev/null || true
    engine_pid=
    # What an engine leaves mounted.
    for engine_mount in "$engine_dir"/exec/netns/*; do
        [ ! -e "$engine_mount" ] || umount "$engine_mount" 2>/dev/null || true
    done
}
