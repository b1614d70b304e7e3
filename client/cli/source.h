/* SPDX-License-Identifier: Apache-2.0 */
/* Where a put takes its bytes from: a mapped file, or standard input read into memory. */
#ifndef CENOTE_CLI_SOURCE_H
#define CENOTE_CLI_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

struct source {
    void *data; /* NULL when empty */
    uint64_t len_bytes;
    bool mapped;
};

/* path "-": standard input. 0, or -1 with errno. A mapped file that is cut off while it is read
 * raises SIGBUS, which main.c turns into a message. */
int source_open(const char *path, struct source *out);
void source_close(struct source *s);

#endif
