/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open-addressing hash index: 64-bit hashes to 32-bit references. What a reference means, and
 * whether it is the one that is looked for, the owner knows. Linear probing, at most 3/4 full;
 * removing shifts back what follows, so there are no tombstones. A slot is 8 bytes: the upper half
 * of the hash, by which nearly all wrong slots are told without a look at what they refer to.
 * Growing is done in one go: a pause of about 0.1 s for every 10^6 entries, at each doubling.
 */
#ifndef CENOTE_META_INDEX_H
#define CENOTE_META_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX

struct index_slot {
    uint32_t tag;
    uint32_t ref; /* INDEX_NONE: empty */
};

struct index {
    struct index_slot *slots; /* mask + 1 of them; NULL: none yet */
    uint32_t mask;
    uint32_t used;
    uint64_t (*hash_of)(const void *owner, uint32_t ref);
    const void *owner;
};

/* Makes room for this many entries in all. CENOTE_OK or CENOTE_NO_MEMORY. */
int index_reserve(struct index *x, uint32_t entries);
/* After index_reserve(); the entry must not be there. */
void index_insert(struct index *x, uint64_t hash, uint32_t ref);
/* The entry must be there. */
void index_remove(struct index *x, uint64_t hash, uint32_t ref);
void index_free(struct index *x);

static inline uint32_t index_home(const struct index *x, uint64_t hash)
{
    return (uint32_t)hash & x->mask;
}

/* Begins to fetch the slot from memory: batches of lookups hide the misses behind each other. */
static inline void index_prefetch(const struct index *x, uint64_t hash)
{
    if (x->slots != NULL)
        __builtin_prefetch(&x->slots[index_home(x, hash)]);
}

/* Visits the references that may belong to hash: start with *at = INDEX_NONE; INDEX_NONE: no more.
 */
static inline uint32_t index_next(const struct index *x, uint64_t hash, uint32_t *at)
{
    if (x->slots == NULL)
        return INDEX_NONE;
    *at = *at == INDEX_NONE ? index_home(x, hash) : (*at + 1) & x->mask;
    while (x->slots[*at].ref != INDEX_NONE) {
        if (x->slots[*at].tag == (uint32_t)(hash >> 32))
            return x->slots[*at].ref;
        *at = (*at + 1) & x->mask;
    }
    return INDEX_NONE;
}

#endif
