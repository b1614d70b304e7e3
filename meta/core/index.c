/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#define INDEX_FIRST_SLOTS 1024u
#define INDEX_SLOTS_MAX   (1u << 31)

static void place(struct index *x, uint64_t hash, uint32_t ref)
{
    uint32_t at = index_home(x, hash);
    while (x->slots[at].ref != INDEX_NONE)
        at = (at + 1) & x->mask;
    x->slots[at] = (struct index_slot){.tag = (uint32_t)(hash >> 32), .ref = ref};
}

static int resize(struct index *x, uint32_t slots)
{
    struct index_slot *old = x->slots;
    uint32_t old_slots = old == NULL ? 0 : x->mask + 1;
    struct index_slot *fresh = malloc((size_t)slots * sizeof(*fresh));
    if (fresh == NULL)
        return CENOTE_NO_MEMORY;
    memset(fresh, 0xff, (size_t)slots * sizeof(*fresh));
    x->slots = fresh;
    x->mask = slots - 1;
    for (uint32_t i = 0; i < old_slots; i++)
        if (old[i].ref != INDEX_NONE)
            place(x, x->hash_of(x->owner, old[i].ref), old[i].ref);
    free(old);
    return CENOTE_OK;
}

int index_reserve(struct index *x, uint32_t entries)
{
    uint64_t slots = x->slots == NULL ? INDEX_FIRST_SLOTS : (uint64_t)x->mask + 1;
    while (entries > slots / 4 * 3)
        slots *= 2;
    if (slots > INDEX_SLOTS_MAX)
        return CENOTE_NO_MEMORY;
    return x->slots != NULL && slots == x->mask + 1 ? CENOTE_OK : resize(x, (uint32_t)slots);
}

void index_insert(struct index *x, uint64_t hash, uint32_t ref)
{
    assert(x->slots != NULL && x->used < x->mask);
    place(x, hash, ref);
    x->used++;
}

/* An entry may move into the hole when the hole lies on its way from home to where it is. */
static bool fits_hole(const struct index *x, uint32_t home, uint32_t hole, uint32_t at)
{
    return ((at - home) & x->mask) >= ((at - hole) & x->mask);
}

void index_remove(struct index *x, uint64_t hash, uint32_t ref)
{
    assert(x->slots != NULL && x->used > 0);
    uint32_t hole = index_home(x, hash);
    while (x->slots[hole].ref != ref) {
        assert(x->slots[hole].ref != INDEX_NONE);
        hole = (hole + 1) & x->mask;
    }
    for (uint32_t at = (hole + 1) & x->mask; x->slots[at].ref != INDEX_NONE;
         at = (at + 1) & x->mask) {
        uint64_t other = x->hash_of(x->owner, x->slots[at].ref);
        if (fits_hole(x, index_home(x, other), hole, at)) {
            x->slots[hole] = x->slots[at];
            hole = at;
        }
    }
    x->slots[hole].ref = INDEX_NONE;
    x->used--;
}

void index_free(struct index *x)
{
    free(x->slots);
    x->slots = NULL;
    x->mask = x->used = 0;
}
