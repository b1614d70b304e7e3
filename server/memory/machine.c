/* SPDX-License-Identifier: Apache-2.0 */
#include "server/memory/machine.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/base/hash.h"
#include "transport/base/log.h"

#define CGROUP_DIR "/sys/fs/cgroup/"

/* ---- memory ---------------------------------------------------------------------------------- */

static void read_meminfo(struct machine_memory *out)
{
    char line[128];
    FILE *f = fopen("/proc/meminfo", "re");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        unsigned long long kib;
        if (sscanf(line, "MemTotal: %llu kB", &kib) == 1)
            out->total_bytes = kib * 1024;
        else if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
            out->available_bytes = kib * 1024;
    }
    fclose(f);
}

/* A number in a file of the control group; UINT64_MAX: no limit, or no such file. */
static uint64_t read_cgroup(const char *path)
{
    unsigned long long v = 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return UINT64_MAX;
    if (fscanf(f, "%llu", &v) != 1)
        v = UINT64_MAX;
    fclose(f);
    return v;
}

void machine_memory(struct machine_memory *out)
{
    *out = (struct machine_memory){UINT64_MAX, UINT64_MAX};
    read_meminfo(out);
    uint64_t limit = read_cgroup(CGROUP_DIR "memory.max");
    uint64_t used = read_cgroup(CGROUP_DIR "memory.current");
    if (limit == UINT64_MAX) { /* version 1, as a container sees it */
        limit = read_cgroup(CGROUP_DIR "memory/memory.limit_in_bytes");
        used = read_cgroup(CGROUP_DIR "memory/memory.usage_in_bytes");
    }
    if (limit == UINT64_MAX || used == UINT64_MAX)
        return;
    uint64_t left = used < limit ? limit - used : 0;
    if (limit < out->total_bytes)
        out->total_bytes = limit;
    if (left < out->available_bytes)
        out->available_bytes = left;
}

uint64_t machine_numa_available(unsigned node)
{
    char path[64], line[128];
    uint64_t available = 0;
    snprintf(path, sizeof path, "/sys/devices/system/node/node%u/meminfo", node);
    FILE *f = fopen(path, "re");
    if (!f)
        return UINT64_MAX;
    while (fgets(line, sizeof line, f)) {
        unsigned long long kib;
        if (sscanf(line, "Node %*u MemFree: %llu kB", &kib) == 1 ||
            sscanf(line, "Node %*u Inactive(file): %llu kB", &kib) == 1)
            available += kib * 1024;
    }
    fclose(f);
    return available;
}

void machine_raise_descriptors(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0)
        log_warn("cenoted", "cannot raise the limit of open files: %s", strerror(errno));
}

/* ---- places ---------------------------------------------------------------------------------- */

int machine_make_dir(const char *dir)
{
    char path[PATH_MAX];
    size_t len = strlen(dir);
    if (len >= sizeof path) {
        log_error("cenoted", "the path of the directory %.64s... is too long", dir);
        return CENOTE_IO;
    }
    memcpy(path, dir, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        path[i] = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST) {
            log_error("cenoted", "cannot make the directory %s: %s", path, strerror(errno));
            return CENOTE_IO;
        }
        path[i] = dir[i];
    }
    return CENOTE_OK;
}

void machine_data_dir(char *out, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (geteuid() == 0)
        snprintf(out, size, "/var/lib/cenote");
    else if (state && state[0] == '/')
        snprintf(out, size, "%s/cenote", state);
    else
        snprintf(out, size, "%s/.local/state/cenote", home ? home : "");
}

void machine_node_name(char *out, size_t size)
{
    char host[40] = "";
    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        memcpy(host, "node", sizeof "node");
    snprintf(out, size, "%s-%d-%04x", host, (int)getpid(), (unsigned)(hash_random_u64() & 0xffff));
}
