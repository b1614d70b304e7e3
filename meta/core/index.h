/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open-addressing hash index: 64-bit hashes to 32-bit references. What a reference means, and
 * whether it is the one that is looked for, the owner knows. Linear probing, at most 3/4 full;
 * removing shifts back what follows. A slot is 8 bytes: the upper half of the hash, by which nearly
 * all wrong slots are told without a look at what they refer to. It tells an entry's home as well:
 * its uppermost bits say which line of the cache, its lowest ones where in there. So moving needs
 * the slots only and goes through both tables in order, and an owner can put neighbours side by
 * side.
 *
 * It grows without a pause. A table of twice the slots takes all that is new, and each further
 * index_reserve() moves some more of the old one, run by run: a run ends at an empty slot, so what
 * has its home before the mark (moved) has moved, and the rest is found as ever. Nothing is put
 * into the old table any more, and what is removed from it leaves a tombstone. The memory comes
 * from the kernel, zeroed page by page when it is touched, and goes back to it piece by piece.
 */
#ifndef CENOTE_META_INDEX_H
#define CENOTE_META_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_NONE UINT32_MAX
/* Slots of the old table that one index_reserve() moves, and the rest of the last one's run. */
#define INDEX_STEP 16u

#define INDEX_LINE_SLOTS 8u

struct index_slot {
    uint32_t tag;
    uint32_t entry; /* the reference + 1; 0: empty; INDEX_NONE: a tombstone */
};

struct index_slots {
    struct index_slot *slot; /* mask + 1 of them; NULL: none */
    uint32_t mask;
    uint32_t shift; /* from a tag to its home */
};

struct index {
    struct index_slots now;
    struct index_slots old; /* while it grows */
    uint32_t moved;         /* slots of old, from the first one, that are in now */
    uint32_t used;
};

/* Makes room for this many entries in all, one more than the last time or less (else it may take a
 * while). CENOTE_OK or CENOTE_NO_MEMORY. */
int index_reserve(struct index *x, uint32_t entries);
/* After index_reserve(); the entry must not be there. */
void index_insert(struct index *x, uint64_t hash, uint32_t ref);
/* The entry must be there. */
void index_remove(struct index *x, uint64_t hash, uint32_t ref);
void index_free(struct index *x);

static inline uint32_t index_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static inline uint32_t index_home(const struct index_slots *s, uint32_t tag)
{
    return (tag >> s->shift & ~(INDEX_LINE_SLOTS - 1)) | (tag & (INDEX_LINE_SLOTS - 1));
}

/* May the old table have it? */
static inline bool index_in_old(const struct index *x, uint32_t tag)
{
    return x->old.slot != NULL && index_home(&x->old, tag) >= x->moved;
}

/* Begins to fetch the slot from memory: batches of lookups hide the misses behind each other. */
static inline void index_prefetch(const struct index *x, uint64_t hash)
{
    uint32_t tag = index_tag(hash);
    if (x->now.slot != NULL)
        __builtin_prefetch(&x->now.slot[index_home(&x->now, tag)]);
    if (index_in_old(x, tag))
        __builtin_prefetch(&x->old.slot[index_home(&x->old, tag)]);
}

/* A visit of the references that may belong to a hash. */
struct index_visit {
    uint64_t hash;
    const struct index_slots *in; /* NULL: not begun */
    uint32_t at;
};

/* The next one; INDEX_NONE: no more. */
static inline uint32_t index_next(const struct index *x, struct index_visit *v)
{
    uint32_t tag = index_tag(v->hash);
    if (v->in == NULL) {
        if (x->now.slot == NULL)
            return INDEX_NONE;
        v->in = &x->now;
        v->at = index_home(v->in, tag);
    }
    for (;;) {
        const struct index_slot *slot = &v->in->slot[v->at];
        if (slot->entry == 0) {
            if (v->in == &x->old || !index_in_old(x, tag))
                return INDEX_NONE;
            v->in = &x->old;
            v->at = index_home(v->in, tag);
            continue;
        }
        v->at = (v->at + 1) & v->in->mask;
        if (slot->tag == tag && slot->entry != INDEX_NONE)
            return slot->entry - 1;
    }
}

#endif
