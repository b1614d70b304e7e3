/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An ordered set of pairs of 64-bit numbers, as a B+ tree: what the allocator keeps its free ranges
 * in, once by address and once by size. A pair costs 16 bytes and the slack of its node (about 22
 * in all); an operation touches one node of 512 bytes a level, and 10^7 pairs make six levels.
 *
 * Memory is asked for in one place only: pairtree_prepare. Changes that it covers can't fail, so
 * that a caller who changes two trees prepares both and then changes both, or neither.
 *
 * One thread at a time.
 */
#ifndef CENOTE_META_PAIRTREE_H
#define CENOTE_META_PAIRTREE_H

#include <stdbool.h>
#include <stdint.h>

struct pair {
    uint64_t a; /* decides the order */
    uint64_t b; /* decides it among equal a */
};

static inline bool pair_less(struct pair x, struct pair y)
{
    return ((unsigned __int128)x.a << 64 | x.b) < ((unsigned __int128)y.a << 64 | y.b);
}

struct pairtree;

/* An empty set. NULL: out of memory. */
struct pairtree *pairtree_new(void);
void pairtree_free(struct pairtree *t);

/* Makes sure that the next two insertions or replacements can't fail (removals never do).
 * False: out of memory; nothing has changed. */
bool pairtree_prepare(struct pairtree *t);

/* p must not be there. */
void pairtree_insert(struct pairtree *t, struct pair p);
/* p must be there. */
void pairtree_remove(struct pairtree *t, struct pair p);
/* Removal of one and insertion of the other; cheap where the order stays. */
void pairtree_replace(struct pairtree *t, struct pair old, struct pair now);

/* The neighbourhood of a pair that need not be in the set. */
struct pairtree_near {
    bool has_below;
    bool has_above;
    struct pair below; /* the greatest one that is <= the pair asked for */
    struct pair above; /* the smallest one that is > it */
};
struct pairtree_near pairtree_find(const struct pairtree *t, struct pair p);

uint64_t pairtree_count(const struct pairtree *t);
/* What the tree itself occupies. */
uint64_t pairtree_memory_bytes(const struct pairtree *t);

#endif
