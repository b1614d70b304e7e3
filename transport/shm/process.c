/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/process.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/base/log.h"

#define STAT_TEXT_MAX 1024
#define START_FIELD   20 /* of those behind the name */

static bool read_stat(const char *path, char text[STAT_TEXT_MAX])
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    size_t n = fread(text, 1, STAT_TEXT_MAX - 1, f);
    fclose(f);
    text[n] = '\0';
    return n > 0;
}

/* A /proc of another pid namespace would tell of other processes. */
static bool proc_is_ours(void)
{
    char text[STAT_TEXT_MAX];
    unsigned long long pid;
    return read_stat("/proc/self/stat", text) && sscanf(text, "%llu", &pid) == 1 &&
           pid == (unsigned long long)getpid();
}

static bool read_start(uint64_t pid, uint64_t *start)
{
    char path[48], text[STAT_TEXT_MAX];
    unsigned long long ticks;
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    if (!proc_is_ours() || !read_stat(path, text))
        return false;
    const char *at = strrchr(text, ')'); /* the name may hold anything */
    for (int i = 0; i < START_FIELD && at != NULL; i++)
        at = strchr(at + 1, ' ');
    if (at == NULL || sscanf(at, " %llu", &ticks) != 1)
        return false;
    *start = ticks;
    return true;
}

static bool read_name_space(uint64_t *out)
{
    struct stat st;
    if (stat("/proc/self/ns/pid", &st) != 0)
        return false;
    *out = st.st_ino;
    return true;
}

static bool has_ended(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return poll(&p, 1, 0) > 0;
}

int process_open(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        log_debug("shm", "pidfd_open of %d: %s", (int)pid, strerror(errno));
    return fd;
}

int process_name(int pidfd, pid_t pid, struct process_name *out)
{
    struct process_name name = {.pid = (uint64_t)pid};
    /* Not ended afterwards: then what was read before is of this process. */
    if (read_name_space(&name.name_space) && read_start(name.pid, &name.start) &&
        !has_ended(pidfd)) {
        *out = name;
        return CENOTE_OK;
    }
    log_debug("shm", "process %d can't be named from here", (int)pid);
    return CENOTE_NOT_SUPPORTED;
}

static enum process_fate judge(int pidfd, const struct process_name *name)
{
    uint64_t start;
    if (has_ended(pidfd))
        return PROCESS_DEAD;
    if (!read_start(name->pid, &start))
        return has_ended(pidfd) ? PROCESS_DEAD : PROCESS_UNKNOWN;
    /* Ended meanwhile, and perhaps another has the id: either way the named one is no more. */
    if (has_ended(pidfd) || start != name->start)
        return PROCESS_DEAD;
    return PROCESS_LIVES;
}

enum process_fate process_look(const struct process_name *name, int *pidfd)
{
    uint64_t name_space;
    if (!read_name_space(&name_space) || name_space != name->name_space)
        return PROCESS_UNKNOWN;
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)name->pid, 0);
    if (fd < 0)
        return errno == ESRCH ? PROCESS_DEAD : PROCESS_UNKNOWN;
    enum process_fate fate = judge(fd, name);
    if (fate == PROCESS_LIVES)
        *pidfd = fd;
    else
        close(fd);
    return fate;
}
