/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of addresses in order; who has them looks after the lock. They may overlap. */
#ifndef CENOTE_TRANSPORT_RDMA_RANGES_H
#define CENOTE_TRANSPORT_RDMA_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first member of what is kept. */
struct rdma_range {
    uintptr_t begin, end;
};

/* In the order of their beginnings. reach: how far this one or one before it reaches, so that a
 * search knows when to stop walking back; without overlaps it never walks. */
struct rdma_place {
    uintptr_t begin, reach;
    struct rdma_range *range;
};

struct rdma_ranges {
    struct rdma_place *at;
    size_t count, capacity;
};

/* Room for so many in all. False: no memory. */
bool rdma_ranges_reserve(struct rdma_ranges *t, size_t count);
/* There is room. */
void rdma_ranges_insert(struct rdma_ranges *t, struct rdma_range *range);
/* It is there. */
void rdma_ranges_remove(struct rdma_ranges *t, const struct rdma_range *range);
/* The range that has this address; NULL: none, and *next is where the next one begins, or
 * UINTPTR_MAX. */
struct rdma_range *rdma_ranges_around(const struct rdma_ranges *t, uintptr_t addr, uintptr_t *next);
/* How many begin before this address: those are the first ones. */
size_t rdma_ranges_before(const struct rdma_ranges *t, uintptr_t addr);
void rdma_ranges_free(struct rdma_ranges *t);

#endif
