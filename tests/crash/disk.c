/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/scenario/check.h"

#define EXPORTED __attribute__((visibility("default")))

static const char *const file_names[DISK_FILES] = {"data.mdb", "state"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of all that follows */
static char watched[DISK_PATH_MAX];
static struct disk_record *record_to;
static struct {
    unsigned first, count, counted;
    int error;
    bool syncs_too;
} failing;

/* ---- what is watched ------------------------------------------------------------------------- */

#define NO_FILE   (-1)
#define DIRECTORY (-2)

/* enum disk_file, or one of these. */
static int file_of(const char *path)
{
    size_t len = strlen(watched);
    if (len == 0 || strncmp(path, watched, len) != 0)
        return NO_FILE;
    if (path[len] == 0)
        return DIRECTORY;
    for (int f = 0; f < (int)DISK_FILES; f++)
        if (path[len] == '/' && strcmp(path + len + 1, file_names[f]) == 0)
            return f;
    return NO_FILE;
}

static int file_of_fd(int fd)
{
    char link[32], path[256];
    if (watched[0] == 0)
        return NO_FILE;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    if (len < 0)
        return NO_FILE;
    path[len] = 0;
    return file_of(path);
}

static void record_op(struct disk_op op, const void *bytes)
{
    struct disk_record *r = record_to;
    if (r == NULL)
        return;
    if (r->count == r->room) {
        r->room = r->room * 2 + 256;
        r->ops = realloc(r->ops, r->room * sizeof(*r->ops));
        CHECK(r->ops != NULL);
    }
    if (op.kind == DISK_WRITE) {
        op.bytes = malloc(op.len_bytes);
        CHECK(op.bytes != NULL);
        memcpy(op.bytes, bytes, op.len_bytes);
    }
    r->ops[r->count++] = op;
}

static bool fails(int file, bool sync)
{
    if (file == NO_FILE || (sync && !failing.syncs_too))
        return false;
    failing.counted++;
    return failing.counted >= failing.first && failing.counted - failing.first < failing.count;
}

static int error(int code)
{
    errno = code;
    return -1;
}

/* ---- what libc has --------------------------------------------------------------------------- */

/* A disk that is full may still have taken a part. */
static size_t cut(size_t len_bytes)
{
    return failing.error == ENOSPC && failing.counted % 2 == 0 ? len_bytes / 2 / 512 * 512 : 0;
}

EXPORTED ssize_t pwrite(int fd, const void *bytes, size_t len_bytes, off_t at)
{
    pthread_mutex_lock(&lock);
    int file = file_of_fd(fd);
    bool failed = fails(file, false);
    size_t len = failed ? cut(len_bytes) : len_bytes;
    ssize_t done =
        len > 0 || !failed ? syscall(SYS_pwrite64, fd, bytes, len, at) : error(failing.error);
    if (file >= 0 && done > 0)
        record_op((struct disk_op){.kind = DISK_WRITE,
                                   .file = (enum disk_file)file,
                                   .durable = (fcntl(fd, F_GETFL) & O_DSYNC) != 0,
                                   .at_bytes = (uint64_t)at,
                                   .len_bytes = (size_t)done},
                  bytes);
    pthread_mutex_unlock(&lock);
    return done;
}

/* All of it, or where it ends: the parts are recorded one by one. */
EXPORTED ssize_t writev(int fd, const struct iovec *parts, int count)
{
    pthread_mutex_lock(&lock);
    int file = file_of_fd(fd);
    bool failed = fails(file, false);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = failed ? error(failing.error) : syscall(SYS_writev, fd, parts, count);
    size_t left = done > 0 ? (size_t)done : 0;
    for (int i = 0; file >= 0 && i < count && left > 0; i++) {
        size_t len = parts[i].iov_len < left ? parts[i].iov_len : left;
        record_op((struct disk_op){.kind = DISK_WRITE,
                                   .file = (enum disk_file)file,
                                   .at_bytes = (uint64_t)at,
                                   .len_bytes = len},
                  parts[i].iov_base);
        at += (off_t)len;
        left -= len;
    }
    pthread_mutex_unlock(&lock);
    return done;
}

/* Counts and records one that the kernel has done, or lets it fail. */
static int resized(int fd, int file, int rc)
{
    struct stat st;
    if (rc == 0 && file >= 0 && fstat(fd, &st) == 0)
        record_op((struct disk_op){.kind = DISK_SIZE,
                                   .file = (enum disk_file)file,
                                   .at_bytes = (uint64_t)st.st_size},
                  NULL);
    return rc;
}

EXPORTED int ftruncate(int fd, off_t len_bytes)
{
    pthread_mutex_lock(&lock);
    int file = file_of_fd(fd);
    int rc = fails(file, false) ? error(failing.error)
                                : resized(fd, file, (int)syscall(SYS_ftruncate, fd, len_bytes));
    pthread_mutex_unlock(&lock);
    return rc;
}

EXPORTED int fallocate(int fd, int mode, off_t at, off_t len_bytes)
{
    pthread_mutex_lock(&lock);
    int file = file_of_fd(fd);
    int rc = fails(file, false)
                 ? error(failing.error)
                 : resized(fd, file, (int)syscall(SYS_fallocate, fd, mode, at, len_bytes));
    pthread_mutex_unlock(&lock);
    return rc;
}

/* The disk is the record's: nothing has to wait for the machine's. */
static int sync_fd(int fd)
{
    pthread_mutex_lock(&lock);
    int file = file_of_fd(fd);
    int rc = fails(file, true) ? error(failing.error) : 0;
    if (rc == 0 && file == DIRECTORY)
        record_op((struct disk_op){.kind = DISK_SYNC_DIR}, NULL);
    else if (rc == 0 && file >= 0)
        record_op((struct disk_op){.kind = DISK_SYNC, .file = (enum disk_file)file}, NULL);
    pthread_mutex_unlock(&lock);
    return rc;
}

EXPORTED int fdatasync(int fd)
{
    return sync_fd(fd);
}

EXPORTED int fsync(int fd)
{
    return sync_fd(fd);
}

/* LMDB maps its file for reading: there is nothing of the kind to be synced. */
EXPORTED int msync(void *at, size_t len_bytes, int flags)
{
    (void)at, (void)len_bytes, (void)flags;
    CHECK(!"msync is called: the record has to know of it");
    return 0;
}

/* ---- names ----------------------------------------------------------------------------------- */

static int open_at(int dir, const char *name, int flags, mode_t mode)
{
    struct stat st;
    pthread_mutex_lock(&lock);
    bool there = fstatat(dir, name, &st, 0) == 0;
    int fd = (int)syscall(SYS_openat, dir, name, flags, mode);
    int file = fd < 0 || there ? NO_FILE : file_of_fd(fd);
    if (file >= 0)
        record_op((struct disk_op){.kind = DISK_COME, .file = (enum disk_file)file}, NULL);
    pthread_mutex_unlock(&lock);
    return fd;
}

#define OPEN_BODY(dir)                                                                             \
    va_list rest;                                                                                  \
    va_start(rest, flags);                                                                         \
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;                               \
    va_end(rest);                                                                                  \
    return open_at(dir, name, flags, mode)

EXPORTED int open(const char *name, int flags, ...)
{
    OPEN_BODY(AT_FDCWD);
}

EXPORTED int openat(int dir, const char *name, int flags, ...)
{
    OPEN_BODY(dir);
}

/* ---- the test's ------------------------------------------------------------------------------ */

void disk_watch(const char *dir)
{
    pthread_mutex_lock(&lock);
    CHECK(dir == NULL || strlen(dir) < sizeof(watched));
    snprintf(watched, sizeof(watched), "%s", dir != NULL ? dir : "");
    pthread_mutex_unlock(&lock);
}

void disk_record_to(struct disk_record *record)
{
    pthread_mutex_lock(&lock);
    record_to = record;
    pthread_mutex_unlock(&lock);
}

size_t disk_recorded(const struct disk_record *record)
{
    pthread_mutex_lock(&lock);
    size_t count = record->count;
    pthread_mutex_unlock(&lock);
    return count;
}

void disk_record_free(struct disk_record *record)
{
    for (size_t i = 0; i < record->count; i++)
        free(record->ops[i].bytes);
    free(record->ops);
    *record = (struct disk_record){0};
}

void disk_fail(unsigned first, unsigned count, int code, bool syncs_too)
{
    pthread_mutex_lock(&lock);
    failing.first = first;
    failing.count = count;
    failing.counted = 0;
    failing.error = code;
    failing.syncs_too = syncs_too;
    pthread_mutex_unlock(&lock);
}

unsigned disk_counted(void)
{
    pthread_mutex_lock(&lock);
    unsigned counted = failing.counted;
    pthread_mutex_unlock(&lock);
    return counted;
}
