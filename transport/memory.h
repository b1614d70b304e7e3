/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory kinds: how donated memory is made, populated and given back. The kind of memory stands in
 * every buffer descriptor from the start, although only host memory exists yet; device memory is
 * another ops table, nothing else.
 */
#ifndef CENOTE_TRANSPORT_MEMORY_H
#define CENOTE_TRANSPORT_MEMORY_H

#include <stddef.h>
#include <stdint.h>

enum memory_kind { MEMORY_HOST = 0, MEMORY_HBM = 1 };

struct memory {
    enum memory_kind kind;
    void *base; /* mapped in this process */
    uint64_t len_bytes;
    int fd; /* a descriptor that another process can map; -1: none */
};

struct memory_ops {
    const char *name;
    enum memory_kind kind;
    /* Reserves len bytes; nothing is touched yet. The size is sealed. CENOTE_OK, CENOTE_NO_MEMORY,
     * CENOTE_NOT_SUPPORTED. */
    int (*make)(uint64_t len_bytes, struct memory *out);
    /* Touches [offset, offset + len) so that later accesses don't fault. CENOTE_NO_MEMORY when the
     * machine has no more (reported here, instead of by a signal later). Any thread. */
    int (*populate)(struct memory *m, uint64_t offset, uint64_t len_bytes);
    void (*destroy)(struct memory *m);
};

/* NULL for a kind that this build doesn't have. */
const struct memory_ops *memory_ops_of(enum memory_kind kind);

#endif
