/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/sink.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BESIDE_SUFFIX ".XXXXXX"

/* The file that a signal has to remove. */
static char *volatile unfinished;

static void remove_unfinished(int signal_number)
{
    char *path = unfinished;

    if (path)
        unlink(path);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void watch_signals(char *path)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction act = {.sa_handler = path ? remove_unfinished : SIG_DFL};

    if (path)
        unfinished = path;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaction(signals[i], &act, NULL);
    if (!path)
        unfinished = NULL;
}

static bool is_regular_place(const char *path)
{
    struct stat st;
    return stat(path, &st) != 0 || S_ISREG(st.st_mode);
}

static int open_beside(struct sink *s)
{
    mode_t mask = umask(0);

    umask(mask);
    if (asprintf(&s->beside, "%s" BESIDE_SUFFIX, s->path) < 0) {
        s->beside = NULL;
        return -1;
    }
    s->fd = mkostemp(s->beside, O_CLOEXEC);
    if (s->fd < 0 || fchmod(s->fd, 0666 & ~mask) != 0)
        return -1;
    watch_signals(s->beside);
    return 0;
}

int sink_open(const char *path, struct sink *out)
{
    int saved;

    *out = (struct sink){.path = path, .name = path, .fd = STDOUT_FILENO};
    if (strcmp(path, "-") == 0) {
        out->name = "standard output";
        return 0;
    }
    if (is_regular_place(path)) {
        if (open_beside(out) == 0)
            return 0;
    } else {
        out->fd = open(path, O_WRONLY | O_CLOEXEC);
        if (out->fd >= 0)
            return 0;
    }
    saved = errno;
    sink_close(out);
    errno = saved;
    return -1;
}

static void unmap(struct sink *s)
{
    if (s->data)
        munmap(s->data, s->len_bytes);
    s->data = NULL;
    s->len_bytes = 0;
}

/* Space is reserved now: a full disk shows here, instead of by a signal in the middle of a copy. */
static int reserve(int fd, uint64_t len_bytes)
{
    int error = posix_fallocate(fd, 0, (off_t)len_bytes);
    if (error != 0)
        errno = error;
    return error == 0 ? 0 : -1;
}

int sink_resize(struct sink *s, uint64_t len_bytes)
{
    int flags = s->beside ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;

    unmap(s);
    if (len_bytes == 0)
        return 0;
    if (len_bytes > INT64_MAX) {
        errno = EFBIG;
        return -1;
    }
    if (s->beside && reserve(s->fd, len_bytes) != 0)
        return -1;
    void *data = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, flags, s->beside ? s->fd : -1, 0);
    if (data == MAP_FAILED)
        return -1;
    s->data = data;
    s->len_bytes = len_bytes;
    return 0;
}

static int write_all(int fd, const char *data, uint64_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return -1;
        if (n > 0) {
            data += n;
            len -= (uint64_t)n;
        }
    }
    return 0;
}

int sink_commit(struct sink *s, uint64_t len_bytes)
{
    if (!s->beside)
        return write_all(s->fd, s->data, len_bytes);
    unmap(s);
    if (ftruncate(s->fd, (off_t)len_bytes) != 0)
        return -1;
    int failed = close(s->fd);
    s->fd = -1;
    if (failed || rename(s->beside, s->path) != 0)
        return -1;
    watch_signals(NULL);
    free(s->beside);
    s->beside = NULL;
    return 0;
}

void sink_close(struct sink *s)
{
    unmap(s);
    if (s->fd > STDOUT_FILENO)
        close(s->fd);
    if (!s->beside)
        return;
    unlink(s->beside);
    watch_signals(NULL);
    free(s->beside);
    s->beside = NULL;
}
