/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a get puts its bytes. A regular file is written beside its place and renamed over it when
 * all is verified; anything else (standard output, a pipe) gets the bytes from memory, and only
 * when all is verified. So nobody ever sees a part of a value, or one that failed its checks.
 */
#ifndef CENOTE_CLI_SINK_H
#define CENOTE_CLI_SINK_H

#include <stdbool.h>
#include <stdint.h>

struct sink {
    const char *path;
    const char *name; /* of the path, for people */
    char *beside;     /* the temporary file's name; NULL: from memory */
    int fd;
    void *data; /* len_bytes writable bytes to fill; NULL when empty */
    uint64_t len_bytes;
};

/* path "-": standard output. 0, or -1 with errno. */
int sink_open(const char *path, struct sink *out);
/* Makes room for a value; may be called again. 0, or -1 with errno. */
int sink_resize(struct sink *s, uint64_t len_bytes);
/* The first len bytes are the value: puts it in its place. 0, or -1 with errno. */
int sink_commit(struct sink *s, uint64_t len_bytes);
/* Frees; without a commit the place is as it was. */
void sink_close(struct sink *s);

#endif
