/* SPDX-License-Identifier: Apache-2.0 */
/* The allocator against a naive model: one byte of memory tells whether one byte is free. */
#include <cenote/status.h>
#include <criterion/criterion.h>
#include <string.h>

#include "meta/core/alloc.h"
#include "tests/unit/meta/seeded.h"

#define LENGTH     65536u
#define OPERATIONS 300000u

enum { GONE, FREE, USED }; /* GONE: not yet available */

struct model {
    struct seeded s;
    struct alloc *a;
    uint64_t upto;
    uint64_t used;
    uint8_t state[LENGTH];
};

static bool all(const struct model *m, uint64_t offset, uint64_t size, uint8_t state)
{
    for (uint64_t i = offset; i < offset + size; i++)
        if (m->state[i] != state)
            return false;
    return true;
}

static void mark(struct model *m, uint64_t offset, uint64_t size, uint8_t state)
{
    memset(m->state + offset, state, size);
    m->used = state == USED ? m->used + size : m->used - size;
}

/* Walks both; returns the smallest free range of at least size bytes, the first of several. */
static struct alloc_range walk(const struct model *m, uint64_t size)
{
    struct alloc_range best = {0, UINT64_MAX};
    uint64_t at = 0;
    uint64_t largest = 0;
    struct alloc_range r;
    while (alloc_next_free(m->a, at, &r)) {
        cr_assert_neq((int)r.size, 0);
        cr_assert(r.offset == 0 || r.offset > at || at == 0, "free ranges that touch");
        for (uint64_t i = at; i < r.offset; i++)
            cr_assert_eq(m->state[i], USED);
        cr_assert(all(m, r.offset, r.size, FREE));
        largest = r.size > largest ? r.size : largest;
        if (r.size >= size && r.size < best.size)
            best = r;
        at = r.offset + r.size;
    }
    cr_assert(all(m, at, m->upto - at, USED));
    cr_assert_eq(alloc_largest_free(m->a), largest);
    return best;
}

static uint64_t some_size(struct model *m)
{
    uint64_t limit = UINT64_C(1) << seeded_below(&m->s, seeded_below(&m->s, 50) == 0 ? 16 : 6);
    return 1 + seeded_below(&m->s, limit);
}

static void try_take(struct model *m)
{
    uint64_t size = some_size(m);
    uint64_t align = UINT64_C(1) << seeded_below(&m->s, 7);
    uint64_t offset;
    int rc = alloc_take(m->a, size, align, &offset);
    if (rc == CENOTE_OK) {
        cr_assert_eq(offset % align, 0);
        cr_assert(offset + size <= m->upto && all(m, offset, size, FREE));
        mark(m, offset, size, USED);
    } else {
        cr_assert_eq(rc, CENOTE_NO_SPACE);
        cr_assert_lt(alloc_largest_free(m->a), size + align - 1);
    }
}

static void try_best_fit(struct model *m)
{
    uint64_t size = some_size(m);
    struct alloc_range best = walk(m, size);
    uint64_t offset;
    int rc = alloc_take(m->a, size, 1, &offset);
    cr_assert_eq(rc, best.size == UINT64_MAX ? CENOTE_NO_SPACE : CENOTE_OK);
    if (rc != CENOTE_OK)
        return;
    cr_assert_eq(offset, best.offset);
    mark(m, offset, size, USED);
}

/* Half of the time exactly a run of what is asked for, else anything. */
static struct alloc_range some_range(struct model *m, uint8_t state)
{
    uint64_t offset = seeded_below(&m->s, m->upto);
    uint64_t size = some_size(m);
    if (seeded_below(&m->s, 2) == 0) {
        uint64_t run = 0;
        while (offset + run < m->upto && run < size && m->state[offset + run] == state)
            run++;
        size = run > 0 ? run : size;
    }
    return (struct alloc_range){offset, size};
}

static void try_change(struct model *m, bool give)
{
    uint8_t from = give ? USED : FREE;
    struct alloc_range r = some_range(m, from);
    int rc = give ? alloc_give(m->a, r.offset, r.size) : alloc_reserve(m->a, r.offset, r.size);
    if (r.offset + r.size > m->upto) {
        cr_assert_eq(rc, CENOTE_BAD_RANGE);
    } else if (!all(m, r.offset, r.size, from)) {
        cr_assert_eq(rc, CENOTE_INVALID);
    } else {
        cr_assert_eq(rc, CENOTE_OK);
        mark(m, r.offset, r.size, give ? FREE : USED);
    }
}

static void extend(struct model *m)
{
    uint64_t upto = m->upto + seeded_below(&m->s, LENGTH - m->upto + 1);
    cr_assert_eq(alloc_extend(m->a, upto), CENOTE_OK);
    memset(m->state + m->upto, FREE, upto - m->upto);
    m->upto = upto;
}

/* Replaces the allocator by one rebuilt from what the model says is in use, in any order. */
static void rebuild(struct model *m)
{
    static struct alloc_range used[LENGTH];
    uint64_t count = 0;
    for (uint64_t at = 0; at < m->upto; at++) {
        if (m->state[at] != USED)
            continue;
        /* A run of used bytes is one extent or several. */
        if (count > 0 && used[count - 1].offset + used[count - 1].size == at &&
            seeded_below(&m->s, 8) != 0)
            used[count - 1].size++;
        else
            used[count++] = (struct alloc_range){at, 1};
    }
    for (uint64_t i = count; i > 1; i--) {
        uint64_t j = seeded_below(&m->s, i);
        struct alloc_range r = used[i - 1];
        used[i - 1] = used[j];
        used[j] = r;
    }
    alloc_free_all(m->a);
    m->a = alloc_new(LENGTH);
    uint64_t bad;
    cr_assert_eq(alloc_extend(m->a, m->upto), CENOTE_OK);
    cr_assert_eq(alloc_rebuild(m->a, used, count, &bad), CENOTE_OK);
    walk(m, 1);
}

static void step(struct model *m, uint64_t operation)
{
    if (operation % 1024 == 0) {
        try_best_fit(m);
        return;
    }
    /* Tides, so that the range is nearly full at times and nearly empty at others. */
    uint64_t filling = operation / 30000 % 2 == 0 ? 6 : 3;
    uint64_t dice = seeded_below(&m->s, 10);
    if (operation % 5000 == 7)
        extend(m);
    else if (operation % 10000 == 9)
        rebuild(m);
    else if (dice < filling)
        try_take(m);
    else if (dice < filling + 1)
        try_change(m, false);
    else
        try_change(m, true);
}

Test(alloc, random__agrees_with_a_map_of_bytes)
{
    static struct model m;
    m.s = seeded_new("alloc model", 7);
    m.a = alloc_new(LENGTH);
    cr_assert_eq(alloc_extend(m.a, 1000), CENOTE_OK);
    m.upto = 1000;
    memset(m.state, FREE, m.upto);
    for (uint64_t i = 1; i <= OPERATIONS; i++) {
        step(&m, i);
        cr_assert_eq(alloc_used_bytes(m.a), m.used);
        cr_assert_eq(alloc_free_bytes(m.a), m.upto - m.used);
    }
    walk(&m, 1);
    alloc_free_all(m.a);
}
