/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory kinds: how donated memory is made, populated and given back. The kind of memory stands in
 * every buffer descriptor from the start, although only host memory exists yet; device memory is
 * another ops table, nothing else.
 */
#ifndef CENOTE_TRANSPORT_MEMORY_H
#define CENOTE_TRANSPORT_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum memory_kind { MEMORY_HOST = 0, MEMORY_HBM = 1 };

enum memory_pages {
    MEMORY_PAGES_THP = 0, /* transparent huge pages, where the kernel has them for shared memory */
    MEMORY_PAGES_SMALL = 1,
    MEMORY_PAGES_2M = 2, /* of those that the machine has set aside */
    MEMORY_PAGES_1G = 3
};

/* How memory is made; zeroed: an anonymous file, anywhere. */
struct memory_how {
    enum memory_pages pages;
    bool bound; /* to one NUMA node, this one */
    unsigned numa_node;
    bool named; /* it lies in this file, which has its length and may hold contents */
    int file;
};

struct memory {
    enum memory_kind kind;
    void *base; /* mapped in this process */
    uint64_t len_bytes;
    int fd; /* a descriptor that another process can map; -1: none */
};

struct memory_ops {
    const char *name;
    enum memory_kind kind;
    /* Reserves len bytes, a multiple of the page; nothing is touched yet. The size of an anonymous
     * file is sealed; a named one becomes the memory's on success. CENOTE_OK, CENOTE_NO_MEMORY,
     * CENOTE_INVALID (no multiple, no such NUMA node), CENOTE_NOT_SUPPORTED; logged. */
    int (*make)(uint64_t len_bytes, const struct memory_how *how, struct memory *out);
    /* Touches [offset, offset + len) so that later accesses don't fault; contents stay.
     * CENOTE_NO_MEMORY when the machine has no more (reported here, instead of by a signal later).
     * Any thread. */
    int (*populate)(struct memory *m, uint64_t offset, uint64_t len_bytes);
    void (*destroy)(struct memory *m);
};

/* NULL for a kind that this build doesn't have. */
const struct memory_ops *memory_ops_of(enum memory_kind kind);

/* Length of a page that is asked for, of the machine's smallest where none is. */
uint64_t memory_page_bytes(enum memory_pages pages);
/* Huge pages of this length that are free; 0 too when the kernel doesn't know such pages. */
uint64_t memory_huge_free(uint64_t page_bytes);

#endif
