/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "meta/core/pairtree.h"
#include "tests/unit/meta/seeded.h"

#define PAIRS_MAX 4096u
#define FIRSTS    1024u /* so that several pairs share a first number */

/* The model: pairs (a, b) with a below FIRSTS and b below 4, as a table of marks. */
struct model {
    bool in[PAIRS_MAX];
    uint64_t count;
};

static struct pair pair_of(uint64_t index)
{
    return (struct pair){index / 4, index % 4};
}

static void check_near(const struct pairtree *t, const struct model *m, uint64_t index)
{
    struct pairtree_near near = pairtree_find(t, pair_of(index));
    uint64_t below = index + 1;
    while (below > 0 && !m->in[below - 1])
        below--;
    uint64_t above = index + 1;
    while (above < PAIRS_MAX && !m->in[above])
        above++;
    cr_assert_eq(near.has_below, below > 0);
    cr_assert_eq(near.has_above, above < PAIRS_MAX);
    if (near.has_below)
        cr_assert_eq(near.below.a * 4 + near.below.b, below - 1);
    if (near.has_above)
        cr_assert_eq(near.above.a * 4 + near.above.b, above);
}

static void toggle(struct pairtree *t, struct model *m, uint64_t index)
{
    if (m->in[index]) {
        pairtree_remove(t, pair_of(index));
        m->count--;
    } else {
        cr_assert(pairtree_prepare(t));
        pairtree_insert(t, pair_of(index));
        m->count++;
    }
    m->in[index] = !m->in[index];
}

static void replace(struct pairtree *t, struct model *m, uint64_t from, uint64_t to)
{
    if (!m->in[from] || m->in[to])
        return;
    cr_assert(pairtree_prepare(t));
    pairtree_replace(t, pair_of(from), pair_of(to));
    m->in[from] = false;
    m->in[to] = true;
}

Test(pairtree, random__agrees_with_a_table)
{
    struct seeded s = seeded_new("pairtree", 11);
    struct pairtree *t = pairtree_new();
    struct model m = {0};
    /* Tides: mostly filling, then mostly emptying, so that nodes split and merge at all levels. */
    for (uint32_t i = 0; i < 200000; i++) {
        uint64_t index = seeded_below(&s, PAIRS_MAX);
        bool filling = i / 20000 % 2 == 0;
        if (m.in[index] != filling || seeded_below(&s, 4) == 0)
            toggle(t, &m, index);
        uint64_t other = seeded_below(&s, PAIRS_MAX);
        replace(t, &m, other, (other + 1 + seeded_below(&s, 8)) % PAIRS_MAX);
        check_near(t, &m, seeded_below(&s, PAIRS_MAX));
        cr_assert_eq(pairtree_count(t), m.count);
    }
    for (uint64_t i = 0; i < PAIRS_MAX; i++)
        check_near(t, &m, i);
    pairtree_free(t);
}

static void fill_and_empty(uint64_t step)
{
    struct pairtree *t = pairtree_new();
    uint64_t empty_bytes = pairtree_memory_bytes(t);
    struct model m = {0};
    for (uint64_t i = 0; i < PAIRS_MAX; i++)
        toggle(t, &m, i * step % PAIRS_MAX);
    cr_assert_lt(pairtree_memory_bytes(t), PAIRS_MAX * 40 + 65536);
    for (uint64_t i = 0; i < PAIRS_MAX; i += 7)
        check_near(t, &m, i);
    for (uint64_t i = 0; i < PAIRS_MAX; i++)
        toggle(t, &m, i * step % PAIRS_MAX);
    struct pairtree_near near = pairtree_find(t, (struct pair){0, 0});
    cr_assert(!near.has_below && !near.has_above);
    cr_assert_leq(pairtree_memory_bytes(t), empty_bytes + 65536);
    pairtree_free(t);
}

Test(pairtree, fill_and_empty__ascending_descending_scattered)
{
    fill_and_empty(1);
    fill_and_empty(PAIRS_MAX - 1);
    fill_and_empty(1021);
}

Test(pairtree, find__empty)
{
    struct pairtree *t = pairtree_new();
    struct pairtree_near near = pairtree_find(t, (struct pair){5, 5});
    cr_assert(!near.has_below && !near.has_above);
    cr_assert_eq(pairtree_count(t), 0);
    pairtree_free(t);
    pairtree_free(NULL);
}
