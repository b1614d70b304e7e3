/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/index.h"

#include <assert.h>
#include <sys/mman.h>

#include <cenote/status.h>

#define INDEX_FIRST_SLOTS 1024u
#define INDEX_SLOTS_MAX   (1u << 31)
#define TOMBSTONE         INDEX_NONE
#define HUGE_BYTES        ((size_t)2 << 20)
/* Of the old table, given back to the kernel at once. */
#define RELEASE_SLOTS     (uint32_t)(HUGE_BYTES / sizeof(struct index_slot))

/* ---- memory ---------------------------------------------------------------------------------- */

static size_t slots_bytes(const struct index_slots *s)
{
    return ((size_t)s->mask + 1) * sizeof(*s->slot);
}

/* In huge pages where it is large: a lookup among many objects would miss the TLB each time. */
static void *map_aligned(size_t len)
{
    size_t slack = len >= HUGE_BYTES ? HUGE_BYTES : 0;
    uint8_t *at =
        mmap(NULL, len + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    if (slack == 0)
        return at;
    size_t before = -(uintptr_t)at & (HUGE_BYTES - 1);
    if (before > 0)
        munmap(at, before);
    if (before < slack)
        munmap(at + before + len, slack - before);
    (void)madvise(at + before, len, MADV_HUGEPAGE); /* or not: then it is slower */
    return at + before;
}

static bool slots_make(struct index_slots *s, uint32_t count)
{
    s->mask = count - 1;
    s->shift = 32 - (uint32_t)__builtin_ctz(count);
    s->slot = map_aligned(slots_bytes(s));
    return s->slot != NULL;
}

static void slots_free(struct index_slots *s)
{
    if (s->slot != NULL)
        munmap(s->slot, slots_bytes(s));
    *s = (struct index_slots){0};
}

/* ---- one table ------------------------------------------------------------------------------- */

static void place(struct index_slots *s, struct index_slot slot)
{
    uint32_t at = index_home(s, slot.tag);
    while (s->slot[at].entry != 0)
        at = (at + 1) & s->mask;
    s->slot[at] = slot;
}

/* Where the reference is; INDEX_NONE: not here. */
static uint32_t find(const struct index_slots *s, uint32_t tag, uint32_t ref)
{
    uint32_t at = index_home(s, tag);
    while (s->slot[at].entry != ref + 1) {
        if (s->slot[at].entry == 0)
            return INDEX_NONE;
        at = (at + 1) & s->mask;
    }
    return at;
}

/* An entry may move into the hole when the hole lies on its way from home to where it is. */
static bool fits_hole(const struct index_slots *s, uint32_t home, uint32_t hole, uint32_t at)
{
    return ((at - home) & s->mask) >= ((at - hole) & s->mask);
}

static void take_out(struct index *x, uint32_t hole)
{
    struct index_slots *s = &x->now;
    for (uint32_t at = (hole + 1) & s->mask; s->slot[at].entry != 0; at = (at + 1) & s->mask) {
        if (fits_hole(s, index_home(s, s->slot[at].tag), hole, at)) {
            s->slot[hole] = s->slot[at];
            hole = at;
        }
    }
    s->slot[hole].entry = 0;
}

/* ---- growing --------------------------------------------------------------------------------- */

static void release(struct index *x, uint32_t from)
{
    uint32_t first = from / RELEASE_SLOTS * RELEASE_SLOTS;
    uint32_t end = x->moved / RELEASE_SLOTS * RELEASE_SLOTS;
    if (end > first)
        madvise(&x->old.slot[first], (end - first) * sizeof(*x->old.slot), MADV_DONTNEED);
}

/* Moves at least count slots, and all of the last one's run. */
static void move(struct index *x, uint32_t count)
{
    struct index_slots *old = &x->old;
    uint32_t at = x->moved, from = x->moved;
    if (old->slot == NULL)
        return;
    for (; at <= old->mask && (at - from < count || old->slot[at].entry != 0); at++) {
        struct index_slot slot = old->slot[at];
        if (slot.entry != 0 && slot.entry != TOMBSTONE)
            place(&x->now, slot);
        old->slot[at].entry = 0;
    }
    x->moved = at;
    release(x, from);
    if (at > old->mask)
        slots_free(old);
}

int index_reserve(struct index *x, uint32_t entries)
{
    uint64_t slots = x->now.slot == NULL ? INDEX_FIRST_SLOTS : (uint64_t)x->now.mask + 1;
    while (entries > slots / 4 * 3)
        slots *= 2;
    if (x->now.slot != NULL && slots == (uint64_t)x->now.mask + 1) {
        move(x, INDEX_STEP);
        return CENOTE_OK;
    }
    struct index_slots bigger;
    if (slots > INDEX_SLOTS_MAX || !slots_make(&bigger, (uint32_t)slots))
        return CENOTE_NO_MEMORY;
    move(x, UINT32_MAX); /* done long ago, unless it grows by leaps */
    x->old = x->now;
    x->now = bigger;
    x->moved = 0;
    move(x, INDEX_STEP);
    return CENOTE_OK;
}

/* ---- entries --------------------------------------------------------------------------------- */

void index_insert(struct index *x, uint64_t hash, uint32_t ref)
{
    assert(x->now.slot != NULL && x->used < x->now.mask && ref < TOMBSTONE - 1);
    place(&x->now, (struct index_slot){.tag = index_tag(hash), .entry = ref + 1});
    x->used++;
}

void index_remove(struct index *x, uint64_t hash, uint32_t ref)
{
    assert(x->now.slot != NULL && x->used > 0);
    uint32_t tag = index_tag(hash), at = find(&x->now, tag, ref);
    if (at != INDEX_NONE) {
        take_out(x, at);
    } else {
        assert(index_in_old(x, tag));
        at = find(&x->old, tag, ref);
        assert(at != INDEX_NONE);
        x->old.slot[at].entry = TOMBSTONE;
    }
    x->used--;
}

void index_free(struct index *x)
{
    slots_free(&x->now);
    slots_free(&x->old);
    x->moved = x->used = 0;
}
