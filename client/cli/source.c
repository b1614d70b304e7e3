/* SPDX-License-Identifier: Apache-2.0 */
#include "client/cli/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_FIRST_BYTES 65536u

static int map_file(int fd, uint64_t len, struct source *out)
{
    void *data = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);

    if (data == MAP_FAILED)
        return -1;
    madvise(data, len, MADV_SEQUENTIAL);
    *out = (struct source){.data = data, .len_bytes = len, .mapped = true};
    return 0;
}

/* Until the end of the stream, into memory that grows by doubling. */
static int read_stream(int fd, struct source *out)
{
    size_t room = 0, len = 0;
    char *data = NULL;

    for (;;) {
        if (len == room) {
            size_t more = room ? room * 2 : READ_FIRST_BYTES;
            char *grown = more > room ? realloc(data, more) : NULL;
            if (!grown)
                goto fail;
            data = grown;
            room = more;
        }
        ssize_t n = read(fd, data + len, room - len);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            goto fail;
        len += n > 0 ? (size_t)n : 0;
    }
    *out = (struct source){.data = data, .len_bytes = len};
    return 0;

fail:
    free(data);
    return -1;
}

static int open_fd(int fd, struct source *out)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return -1;
    if (S_ISREG(st.st_mode) && st.st_size > 0 && lseek(fd, 0, SEEK_CUR) == 0 &&
        map_file(fd, (uint64_t)st.st_size, out) == 0)
        return 0;
    return read_stream(fd, out);
}

int source_open(const char *path, struct source *out)
{
    int fd, failed, saved;

    if (strcmp(path, "-") == 0)
        return open_fd(STDIN_FILENO, out);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    failed = open_fd(fd, out);
    saved = errno;
    close(fd);
    errno = saved;
    return failed;
}

void source_close(struct source *s)
{
    if (s->mapped)
        munmap(s->data, s->len_bytes);
    else
        free(s->data);
}
