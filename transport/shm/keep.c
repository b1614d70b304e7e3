/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/shm/keep.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "transport/base/log.h"
#include "transport/base/testswitch.h"

/* The format of the file stands in its name. */
#define NAME_FORMAT "slots2-%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64 "-%016" PRIx64
#define NAME_SCAN   "slots2-%16" SCNx64 "-%16" SCNx64 "-%16" SCNx64 "-%16" SCNx64 "-%16" SCNx64 "%n"

/* ---- names ----------------------------------------------------------------------------------- */

static void name_write(char out[SHM_SLOTS_NAME_MAX], uint64_t session,
                       const struct process_name *who, uint64_t serial)
{
    int n = snprintf(out, SHM_SLOTS_NAME_MAX, NAME_FORMAT, session, who->pid, who->start,
                     who->name_space, serial);
    assert(n > 0 && n < (int)SHM_SLOTS_NAME_MAX);
}

static bool name_read(const char *name, uint64_t *session, struct process_name *who)
{
    uint64_t serial;
    int end = 0;
    return strlen(name) < SHM_SLOTS_NAME_MAX &&
           sscanf(name, NAME_SCAN, session, &who->pid, &who->start, &who->name_space, &serial,
                  &end) == 5 &&
           name[end] == '\0';
}

/* ---- taking over ----------------------------------------------------------------------------- */

static int link_taken(struct shm_exporter *e, const char *name, uint64_t session,
                      struct slots *slots, int pidfd)
{
    struct shm_connection *c = calloc(1, sizeof *c);
    if (c == NULL)
        return CENOTE_NO_MEMORY;
    *c = (struct shm_connection){.next = e->connections,
                                 .fd = -1,
                                 .pidfd = pidfd,
                                 .session = session,
                                 .slots = slots,
                                 .taken_over = true};
    memcpy(c->slots_name, name, strlen(name) + 1);
    e->connections = c;
    e->connection_count++;
    log_warn("shm",
             "a client of this node's earlier life, session %llu, may still be writing or looking",
             (unsigned long long)session);
    return CENOTE_OK;
}

/* Slots that may be occupied: those of a process that lives are kept. */
static int take_occupied(struct shm_exporter *e, const char *name, uint64_t session,
                         const struct process_name *who, struct slots *slots)
{
    int pidfd = -1, status;
    enum process_fate fate = process_look(who, &pidfd);
    if (fate == PROCESS_LIVES && e->connection_count < SHM_CONNECTIONS_MAX) {
        status = link_taken(e, name, session, slots, pidfd);
        if (status == CENOTE_OK)
            return CENOTE_OK;
        close(pidfd);
    } else if (fate == PROCESS_DEAD) {
        unlinkat(e->slots_dir, name, 0);
        status = CENOTE_OK;
    } else if (fate == PROCESS_UNSEEN) {
        status = CENOTE_IO;
    } else {
        log_warn("shm", "%s: nobody can tell from here when process %llu has done with this memory",
                 name, (unsigned long long)who->pid);
        if (fate == PROCESS_LIVES)
            close(pidfd);
        status = CENOTE_LOCKED;
    }
    slots_unmap(slots);
    return status;
}

/* What can't be opened for want of something may be opened in a moment: the memory is not given up
 * for that. */
static int not_opened(const char *name, int error)
{
    log_warn("shm", "cannot open %s: %s", name, strerror(error));
    return process_lacks(error) ? CENOTE_IO : CENOTE_LOCKED;
}

static int take_file(struct shm_exporter *e, const char *name, int fd)
{
    struct process_name who;
    uint64_t session;
    struct stat st;
    struct slots *slots;
    /* Killed between making the file and giving it its size: no client has ever got it. */
    if (fstat(fd, &st) == 0 && st.st_size == 0)
        return unlinkat(e->slots_dir, name, 0) == 0 ? CENOTE_OK : CENOTE_IO;
    int status = name_read(name, &session, &who) ? slots_open(fd, &slots) : CENOTE_PROTOCOL;
    if (status == CENOTE_NO_MEMORY || status == CENOTE_IO) {
        log_warn("shm", "cannot look at %s: %s", name, cenote_status_text(status));
        return status;
    }
    if (status != CENOTE_OK) {
        log_warn("shm", "%s is no file of slots", name);
        return CENOTE_LOCKED;
    }
    slots_raise(slots, UINT64_MAX);
    bool empty = !slots_occupied(slots, UINT64_MAX) && slots_holds(slots) == 0;
    if (!empty && !test_off(TEST_KEEP))
        return take_occupied(e, name, session, &who, slots);
    slots_unmap(slots);
    return unlinkat(e->slots_dir, name, 0) == 0 ? CENOTE_OK : CENOTE_IO;
}

/* *status: the directory can't be read to its end, which is not the same as its end: writers that
 * nobody knew of would be left. */
static const struct dirent *next_file(DIR *dir, int *status)
{
    errno = 0;
    const struct dirent *d = readdir(dir);
    if (d == NULL && errno != 0) {
        log_warn("shm", "cannot read the directory of slots: %s", strerror(errno));
        *status = CENOTE_IO;
    }
    return d;
}

static int take_all(struct shm_exporter *e, DIR *dir)
{
    const struct dirent *d;
    int status = CENOTE_OK;
    while (status == CENOTE_OK && (d = next_file(dir, &status)) != NULL) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        int fd = openat(e->slots_dir, d->d_name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
            return not_opened(d->d_name, errno);
        status = take_file(e, d->d_name, fd);
        close(fd);
    }
    return status;
}

int shm_keep_open(struct shm_exporter *e)
{
    e->slots_dir = -1;
    if (e->gate.slots_dir == NULL)
        return CENOTE_OK;
    DIR *dir = opendir(e->gate.slots_dir);
    e->slots_dir = dir == NULL ? -1 : fcntl(dirfd(dir), F_DUPFD_CLOEXEC, 3);
    if (e->slots_dir < 0) {
        log_error("shm", "cannot open %s: %s", e->gate.slots_dir, strerror(errno));
        if (dir != NULL)
            closedir(dir);
        return CENOTE_IO;
    }
    int status = take_all(e, dir);
    closedir(dir);
    if (status != CENOTE_OK)
        shm_keep_close(e);
    return status;
}

void shm_keep_close(struct shm_exporter *e)
{
    while (e->connections != NULL) {
        struct shm_connection *c = e->connections;
        e->connections = c->next;
        shm_connection_free(c);
    }
    if (e->slots_dir >= 0)
        close(e->slots_dir);
    e->slots_dir = -1;
}

/* ---- new ones -------------------------------------------------------------------------------- */

int shm_keep_make(struct shm_exporter *e, struct shm_connection *c, struct slots **out, int *fd)
{
    if (e->slots_dir < 0)
        return slots_make(out, fd);
    name_write(c->slots_name, c->session, &c->process, hash_random_u64());
    int file = openat(e->slots_dir, c->slots_name,
                      O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) {
        log_error("shm", "cannot make %s/%s: %s", e->gate.slots_dir, c->slots_name,
                  strerror(errno));
        c->slots_name[0] = '\0';
        return CENOTE_IO;
    }
    int status = slots_make_in(file, out);
    if (status == CENOTE_OK) {
        *fd = file;
        return CENOTE_OK;
    }
    close(file);
    shm_keep_forget(e, c);
    c->slots_name[0] = '\0';
    return status;
}

void shm_keep_forget(const struct shm_exporter *e, const struct shm_connection *c)
{
    if (c->slots_name[0] != '\0' && unlinkat(e->slots_dir, c->slots_name, 0) != 0)
        log_warn("shm", "cannot remove %s: %s", c->slots_name, strerror(errno));
}
