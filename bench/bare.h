/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tcp is measured against: one blocking sendmsg()/recvmsg() pair over a loopback connection,
 * with nothing of a protocol but the order that says which bytes. The other end is a process of its
 * own, as a node is, and its memory is shared memory in pages of the same size as a segment's.
 */
#ifndef CENOTE_BENCH_BARE_H
#define CENOTE_BENCH_BARE_H

#include <cenote/cenote.h>
#include <stdbool.h>
#include <sys/types.h>

struct bare {
    int fd;
    pid_t pid;
};

/* Forks, so call it before there are threads. memory: a shared mapping, which the peer inherits. */
bool bare_start(struct bare *b, void *memory);
/* Pulls the bytes behind an offset of the memory into the buffers; true when all have come. */
bool bare_get(struct bare *b, uint64_t offset, const struct cenote_buffer *to, size_t count);
/* Pushes them there; true when the peer has said that all have come: without that the last
 * megabytes would still lie in the socket. */
bool bare_put(struct bare *b, uint64_t offset, const struct cenote_buffer *from, size_t count);
/* Ends the peer; nothing happens when it wasn't started (fd is -1). */
void bare_stop(struct bare *b);

#endif
