/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small structs that come and go with each call: kept for the next one, by size. With thousands of
 * calls in flight they are given back in bursts that malloc's own caches don't hold. Every item is
 * malloced by itself, so it may as well be freed with free(); sanitizers see plain mallocs.
 */
#ifndef CENOTE_META_POOL_H
#define CENOTE_META_POOL_H

#include <stddef.h>
#include <stdint.h>

#define POOL_UNIT_BYTES 64u
#define POOL_CLASSES    16u   /* larger items aren't kept */
#define POOL_KEEP       4096u /* items of each class */

struct pool_item;

struct pool {
    struct pool_item *free[POOL_CLASSES];
    uint32_t count[POOL_CLASSES];
};

/* Zero-filled; NULL: no memory. */
void *pool_take(struct pool *p, size_t size);
/* What was taken with this size. NULL is accepted. */
void pool_give(struct pool *p, void *item, size_t size);
/* Frees what is kept. */
void pool_free(struct pool *p);

#endif
