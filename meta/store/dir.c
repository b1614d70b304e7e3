/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/store/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cenote/status.h>

#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define STATE_BYTES  256u
#define BOOT_ID_FILE "/proc/sys/kernel/random/boot_id"
#define NO_BOOT_ID   "unknown" /* equal to none, itself included */

static const char *const phase_names[] = {"new", "open", "clean"};
static const char *const durability_names[] = {"process", "sync"};

bool dir_is_network(unsigned long fs_type)
{
    static const unsigned long types[] = {
        0x6969,     /* NFS */
        0xff534d42, /* CIFS */
        0xfe534d42, /* SMB 2 */
        0x517b,     /* SMB */
        0x564c,     /* NCP */
        0x5346414f, /* AFS */
        0x6b414653, /* kAFS */
        0x73757245, /* Coda */
        0x00c36400, /* Ceph */
        0x0bd00bd0, /* Lustre */
        0x47504653, /* GPFS */
        0x7461636f, /* OCFS2 */
        0x01161970, /* GFS2 */
        0x01021997, /* 9P */
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
        if ((fs_type & 0xffffffff) == types[i])
            return true;
    return false;
}

int dir_status_of(int error)
{
    switch (error) {
    case EROFS:
    case EACCES:
    case EPERM:
        return CENOTE_READ_ONLY;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return CENOTE_META_FULL;
    case ENOMEM:
        return CENOTE_NO_MEMORY;
    default:
        return CENOTE_IO;
    }
}

static int fail(const struct dir *d, const char *what, int error)
{
    log_error("store", "%s: %s: %s", d->path, what, strerror(error));
    return dir_status_of(error);
}

/* Where the kernel tells no boot id, none is known; for want of a descriptor or memory it must not
 * count as another one. */
static int boot_id_read(struct dir *d, const char *given)
{
    snprintf(d->boot_id, sizeof(d->boot_id), "%s", given ? given : NO_BOOT_ID);
    FILE *f = given ? NULL : fopen(BOOT_ID_FILE, "re");
    if (!f)
        return given || errno == ENOENT || errno == EACCES ? CENOTE_OK
                                                           : fail(d, BOOT_ID_FILE, errno);
    char word[DIR_BOOT_ID_MAX + 1];
    int rc = CENOTE_OK;
    errno = EIO;
    if (fscanf(f, "%63s", word) == 1)
        memcpy(d->boot_id, word, sizeof(word));
    else
        rc = fail(d, BOOT_ID_FILE, errno);
    fclose(f);
    return rc;
}

/* ---- the directory and its lock ------------------------------------------------------------- */

static int dir_make(struct dir *d)
{
    struct statfs fs;
    if (mkdir(d->path, 0700) != 0 && errno != EEXIST)
        return fail(d, "cannot make the data directory", errno);
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0)
        return fail(d, "cannot open the data directory", errno);
    if (fstatfs(d->fd, &fs) != 0)
        return fail(d, "statfs", errno);
    if (dir_is_network((unsigned long)fs.f_type)) {
        log_error("store", "%s: lies on a network file system (type 0x%lx): use a local disk",
                  d->path, (unsigned long)fs.f_type);
        return CENOTE_NOT_SUPPORTED;
    }
    return CENOTE_OK;
}

static int dir_lock(struct dir *d)
{
    d->lock_fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (d->lock_fd < 0)
        return fail(d, "cannot open the lock file", errno);
    if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return CENOTE_OK;
    if (errno != EWOULDBLOCK)
        return fail(d, "flock", errno);
    log_error("store", "%s: the data directory is in use by another process", d->path);
    return CENOTE_LOCKED;
}

/* ---- the state file ------------------------------------------------------------------------- */

struct state {
    enum dir_phase phase;
    enum store_durability durability;
    char boot_id[DIR_BOOT_ID_MAX + 1];
};

static int name_index(const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

/* A version that comes later may have other fields behind the format. */
static int state_parse(const struct dir *d, const char *text, struct state *out)
{
    unsigned format;
    char phase[16], durability[16];
    if (sscanf(text, "cenote-store format=%u", &format) != 1) {
        log_error("store", "%s/state: not a state file of this program", d->path);
        return CENOTE_FORMAT;
    }
    if (format != DIR_FORMAT) {
        log_error("store", "%s: has format version %u, this program reads version %u", d->path,
                  format, DIR_FORMAT);
        return CENOTE_FORMAT;
    }
    if (sscanf(text, "cenote-store format=%*u phase=%15s durability=%15s boot=%63s", phase,
               durability, out->boot_id) != 3)
        goto malformed;
    int p = name_index(phase, phase_names, 3);
    int q = name_index(durability, durability_names, 2);
    if (p < 0 || q < 0)
        goto malformed;
    out->phase = (enum dir_phase)p;
    out->durability = (enum store_durability)q;
    return CENOTE_OK;
malformed:
    log_error("store", "%s/state: malformed", d->path);
    return CENOTE_FORMAT;
}

/* CENOTE_NOT_FOUND: there is none. */
static int state_read(const struct dir *d, struct state *out)
{
    char text[STATE_BYTES + 1];
    int fd = openat(d->fd, "state", O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return CENOTE_NOT_FOUND;
    if (fd < 0)
        return fail(d, "cannot open the state file", errno);
    ssize_t len = read(fd, text, sizeof(text) - 1);
    int error = errno;
    close(fd);
    if (len < 0)
        return fail(d, "cannot read the state file", error);
    if (len == 0) /* its owner died between making and writing it */
        return CENOTE_NOT_FOUND;
    text[len] = 0;
    return state_parse(d, text, out);
}

static int write_and_sync(int fd, const char *text, size_t len_bytes)
{
    ssize_t n = pwrite(fd, text, len_bytes, 0);
    if (n < 0)
        return errno;
    if ((size_t)n < len_bytes)
        return ENOSPC;
    return fsync(fd) == 0 ? 0 : errno;
}

int dir_note(struct dir *d, enum dir_phase phase)
{
    char text[STATE_BYTES + 1];
    char line[STATE_BYTES];
    snprintf(line, sizeof(line), "cenote-store format=%u phase=%s durability=%s boot=%s",
             DIR_FORMAT, phase_names[phase], durability_names[d->durability], d->boot_id);
    snprintf(text, sizeof(text), "%-*s\n", (int)STATE_BYTES - 1, line);
    /* It must not be said of data.mdb that it is there before its name is. */
    if (fsync(d->fd) != 0)
        return fail(d, "cannot sync the data directory", errno);
    int fd = openat(d->fd, "state", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(d, "cannot write the state file", errno);
    int error = write_and_sync(fd, text, STATE_BYTES);
    close(fd);
    if (error == 0 && fsync(d->fd) != 0)
        error = errno;
    return error == 0 ? CENOTE_OK : fail(d, "cannot write the state file", error);
}

/* ---- judging what is there ------------------------------------------------------------------ */

/* Unsynced commits are lost or torn when the system has been started again since. */
static bool state_trusted(const struct dir *d, const struct state *s)
{
    bool same_boot = strcmp(s->boot_id, d->boot_id) == 0 && strcmp(s->boot_id, NO_BOOT_ID) != 0;
    return s->phase != DIR_OPEN || s->durability == STORE_SYNC || same_boot || test_off(TEST_TRUST);
}

static int dir_judge(struct dir *d)
{
    struct state s;
    struct stat st;
    bool has_data = fstatat(d->fd, "data.mdb", &st, 0) == 0 && st.st_size > 0;
    int rc = state_read(d, &s);
    if (rc == CENOTE_NOT_FOUND && !has_data) {
        d->phase = DIR_NEW;
        return dir_note(d, DIR_NEW);
    }
    if (rc == CENOTE_NOT_FOUND) {
        log_error("store",
                  "%s: has a data.mdb, but no state file: not a data directory of this "
                  "program",
                  d->path);
        return CENOTE_FORMAT;
    }
    if (rc != CENOTE_OK)
        return rc;
    if (!state_trusted(d, &s)) {
        log_error("store",
                  "%s: the operating system was restarted while the store was open with "
                  "durability=process: its newest changes may be lost or torn. Start with "
                  "--rebuild, which makes it again from what the nodes know (the pool begins "
                  "empty if their memory is gone, too)",
                  d->path);
        return CENOTE_UNTRUSTED;
    }
    if (s.phase != DIR_NEW && !has_data) {
        log_error("store",
                  "%s: data.mdb is missing: start with --rebuild, which makes it again from what "
                  "the nodes know",
                  d->path);
        return CENOTE_IO;
    }
    d->phase = s.phase;
    return CENOTE_OK;
}

/* Nothing of what is there is believed, nor looked at. */
static int dir_begin_anew(struct dir *d)
{
    if (renameat(d->fd, "data.mdb", d->fd, "data.mdb.before") != 0 && errno != ENOENT)
        return fail(d, "cannot set data.mdb aside", errno);
    if (unlinkat(d->fd, "lock.mdb", 0) != 0 && errno != ENOENT)
        return fail(d, "cannot remove lock.mdb", errno);
    d->phase = DIR_NEW;
    return dir_note(d, DIR_NEW);
}

/* What a creation that didn't end left behind. */
static int dir_sweep(struct dir *d)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (unlinkat(d->fd, names[i], 0) != 0 && errno != ENOENT)
            return fail(d, "cannot remove an unfinished file", errno);
    return CENOTE_OK;
}

int dir_open(struct dir *d, const char *path, const struct store_lmdb_options *options)
{
    *d = (struct dir){.fd = -1, .lock_fd = -1, .durability = options->durability};
    d->path = strdup(path);
    if (!d->path)
        return CENOTE_NO_MEMORY;
    int rc = boot_id_read(d, options->boot_id);
    if (rc == CENOTE_OK)
        rc = dir_make(d);
    if (rc == CENOTE_OK)
        rc = dir_lock(d);
    if (rc == CENOTE_OK)
        rc = options->anew ? dir_begin_anew(d) : dir_judge(d);
    if (rc == CENOTE_OK && d->phase == DIR_NEW)
        rc = dir_sweep(d);
    if (rc != CENOTE_OK)
        dir_close(d);
    return rc;
}

void dir_close(struct dir *d)
{
    if (d->lock_fd >= 0)
        close(d->lock_fd);
    if (d->fd >= 0)
        close(d->fd);
    free(d->path);
    *d = (struct dir){.fd = -1, .lock_fd = -1};
}
