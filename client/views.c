/* SPDX-License-Identifier: Apache-2.0 */
#include "client/views.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

/*
 * A slot goes round: FREE, TAKEN (its hold is being made), OPEN, CLOSING, FREE. Each round has a
 * number, and a view's name is slot and round: whoever releases a view twice, or one that he has
 * made up, names a round that is over. Slots change hands by one atomic operation each, without a
 * lock: a warm view takes less time than a lock would.
 *
 * The slot is also the hold's at the transport: one table serves all nodes of all services.
 */
enum phase { PHASE_FREE, PHASE_TAKEN, PHASE_OPEN, PHASE_CLOSING };

#define PHASE_BITS 2u
#define SLOT_BITS  12u

static_assert(1u << SLOT_BITS == XCOPY_HOLDS_MAX, "a name holds its slot");

struct entry {
    _Atomic uint64_t state; /* round << PHASE_BITS | phase */
    struct fabric *fabric;
    struct fabric_link *link;
};

struct views {
    struct entry entries[XCOPY_HOLDS_MAX];
};

/* Where this thread looks first: the slot that it gave back last, or the one behind that it took.
 * Threads begin at different places. */
static _Thread_local uint32_t hint;
static _Thread_local bool hint_set;

static uint32_t hint_of_thread(void)
{
    if (!hint_set) {
        hint = (uint32_t)((uintptr_t)&hint * UINT64_C(0x9e3779b97f4a7c15) >> 32);
        hint_set = true;
    }
    return hint;
}

static uint64_t state_of(uint64_t round, enum phase phase)
{
    return round << PHASE_BITS | (uint64_t)phase;
}

static uint64_t round_of(uint64_t state)
{
    return state >> PHASE_BITS;
}

static enum phase phase_of(uint64_t state)
{
    return (enum phase)(state & ((1u << PHASE_BITS) - 1));
}

struct views *views_new(void)
{
    struct views *v = calloc(1, sizeof *v);

    if (!v)
        return NULL;
    for (uint32_t i = 0; i < XCOPY_HOLDS_MAX; i++)
        atomic_init(&v->entries[i].state, state_of(1, PHASE_FREE));
    return v;
}

void views_free(struct views *v)
{
    if (!v)
        return;
    for (uint32_t i = 0; i < XCOPY_HOLDS_MAX; i++) {
        uint64_t state = atomic_load(&v->entries[i].state);
        assert(phase_of(state) == PHASE_FREE || phase_of(state) == PHASE_OPEN);
        if (phase_of(state) == PHASE_OPEN)
            fabric_unhold(v->entries[i].fabric, v->entries[i].link, i);
    }
    free(v);
}

void views_abandon(struct views *v)
{
    free(v);
}

bool views_take(struct views *v, uint32_t *slot)
{
    uint32_t first = hint_of_thread();

    for (uint32_t i = 0; i < XCOPY_HOLDS_MAX; i++) {
        uint32_t at = (first + i) % XCOPY_HOLDS_MAX;
        uint64_t state = atomic_load_explicit(&v->entries[at].state, memory_order_relaxed);
        if (phase_of(state) != PHASE_FREE)
            continue;
        if (!atomic_compare_exchange_strong(&v->entries[at].state, &state,
                                            state_of(round_of(state), PHASE_TAKEN)))
            continue;
        *slot = at;
        hint = at + 1;
        return true;
    }
    return false;
}

/* The next round begins with this. */
static void give(struct entry *e, uint32_t slot)
{
    uint64_t round = round_of(atomic_load_explicit(&e->state, memory_order_relaxed));

    hint = slot;
    hint_set = true;
    atomic_store_explicit(&e->state, state_of(round + 1, PHASE_FREE), memory_order_release);
}

void views_drop(struct views *v, uint32_t slot)
{
    give(&v->entries[slot], slot);
}

uint64_t views_open(struct views *v, uint32_t slot, struct fabric *fabric, struct fabric_link *link)
{
    struct entry *e = &v->entries[slot];
    uint64_t round = round_of(atomic_load_explicit(&e->state, memory_order_relaxed));

    e->fabric = fabric;
    e->link = link;
    atomic_store_explicit(&e->state, state_of(round, PHASE_OPEN), memory_order_release);
    return round << SLOT_BITS | slot;
}

bool views_release(struct views *v, uint64_t name)
{
    uint32_t slot = (uint32_t)(name % XCOPY_HOLDS_MAX);
    struct entry *e = &v->entries[slot];
    uint64_t open = state_of(name >> SLOT_BITS, PHASE_OPEN);

    if (!atomic_compare_exchange_strong(&e->state, &open,
                                        state_of(name >> SLOT_BITS, PHASE_CLOSING)))
        return false;
    fabric_unhold(e->fabric, e->link, slot);
    give(e, slot);
    return true;
}

uint32_t views_count(const struct views *v)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < XCOPY_HOLDS_MAX; i++)
        count += phase_of(atomic_load_explicit(&v->entries[i].state, memory_order_relaxed)) ==
                 PHASE_OPEN;
    return count;
}
