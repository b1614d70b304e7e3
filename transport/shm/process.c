/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/process.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define STAT_TEXT_MAX 1024
#define START_FIELD   20 /* of those behind the name */

bool process_lacks(int error)
{
    bool lacks = error == EMFILE || error == ENFILE || error == ENOMEM || error == EINTR;
    return lacks && !test_off(TEST_WANT);
}

/* 0, or an errno; so do all that read. */
static int read_stat(const char *path, char text[STAT_TEXT_MAX])
{
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return errno;
    size_t n = fread(text, 1, STAT_TEXT_MAX - 1, f);
    int error = n > 0 ? 0 : ferror(f) ? errno : ENODATA;
    fclose(f);
    text[n] = '\0';
    return error;
}

/* A /proc of another pid namespace would tell of other processes. */
static int check_proc(void)
{
    char text[STAT_TEXT_MAX];
    unsigned long long pid;
    int error = read_stat("/proc/self/stat", text);
    if (error != 0)
        return error;
    return sscanf(text, "%llu", &pid) == 1 && pid == (unsigned long long)getpid() ? 0 : ENXIO;
}

static int read_start(uint64_t pid, uint64_t *start)
{
    char path[48], text[STAT_TEXT_MAX];
    unsigned long long ticks;
    snprintf(path, sizeof path, "/proc/%llu/stat", (unsigned long long)pid);
    int error = check_proc();
    if (error == 0)
        error = read_stat(path, text);
    if (error != 0)
        return error;
    const char *at = strrchr(text, ')'); /* the name may hold anything */
    for (int i = 0; i < START_FIELD && at != NULL; i++)
        at = strchr(at + 1, ' ');
    if (at == NULL || sscanf(at, " %llu", &ticks) != 1)
        return ENODATA;
    *start = ticks;
    return 0;
}

static int read_name_space(uint64_t *out)
{
    struct stat st;
    if (stat("/proc/self/ns/pid", &st) != 0)
        return errno;
    *out = st.st_ino;
    return 0;
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
    if (read_name_space(&name.name_space) == 0 && read_start(name.pid, &name.start) == 0 &&
        !has_ended(pidfd)) {
        *out = name;
        return CENOTE_OK;
    }
    log_debug("shm", "process %d can't be named from here", (int)pid);
    return CENOTE_NOT_SUPPORTED;
}

static enum process_fate unseen(const struct process_name *name, int error)
{
    if (!process_lacks(error))
        return PROCESS_UNKNOWN;
    log_error("shm", "cannot look at process %llu: %s", (unsigned long long)name->pid,
              strerror(error));
    return PROCESS_UNSEEN;
}

static enum process_fate judge(int pidfd, const struct process_name *name)
{
    uint64_t start;
    if (has_ended(pidfd))
        return PROCESS_DEAD;
    int error = read_start(name->pid, &start);
    if (error != 0)
        return has_ended(pidfd) ? PROCESS_DEAD : unseen(name, error);
    /* Ended meanwhile, and perhaps another has the id: either way the named one is no more. */
    if (has_ended(pidfd) || start != name->start)
        return PROCESS_DEAD;
    return PROCESS_LIVES;
}

enum process_fate process_look(const struct process_name *name, int *pidfd)
{
    uint64_t name_space;
    int error = read_name_space(&name_space);
    if (error != 0 || name_space != name->name_space)
        return unseen(name, error);
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)name->pid, 0);
    if (fd < 0)
        return errno == ESRCH ? PROCESS_DEAD : unseen(name, errno);
    enum process_fate fate = judge(fd, name);
    if (fate == PROCESS_LIVES)
        *pidfd = fd;
    else
        close(fd);
    return fate;
}
