/* SPDX-License-Identifier: Apache-2.0 */
/* The hash index: what it finds while it grows, and how much one step does. */
#include <cenote/status.h>
#include <criterion/criterion.h>
#include <stdlib.h>

#include "meta/core/index.h"
#include "tests/unit/meta/seeded.h"

#define REFS     200000u
/* The longest step: what it moves, and a run of a table that is 3/4 full, with room to spare. */
#define STEP_MAX (INDEX_STEP + 1000u)

struct owner {
    uint64_t hash[REFS];
    bool in[REFS];
    uint32_t count;
};

static bool has(const struct index *x, const struct owner *o, uint32_t ref)
{
    struct index_visit visit = {.hash = o->hash[ref]};
    uint32_t found, times = 0;
    while ((found = index_next(x, &visit)) != INDEX_NONE) {
        cr_assert(o->in[found], "%u was removed, and found", found);
        times += found == ref;
    }
    cr_assert_leq(times, 1);
    return times == 1;
}

static void add(struct index *x, struct owner *o, uint32_t ref)
{
    cr_assert_eq(index_reserve(x, o->count + 1), CENOTE_OK);
    index_insert(x, o->hash[ref], ref);
    o->in[ref] = true;
    o->count++;
}

static void drop(struct index *x, struct owner *o, uint32_t ref)
{
    index_remove(x, o->hash[ref], ref);
    o->in[ref] = false;
    o->count--;
}

static struct owner *owner_new(struct seeded *s, uint64_t homes)
{
    struct owner *o = calloc(1, sizeof(*o));
    cr_assert(o != NULL);
    for (uint32_t ref = 0; ref < REFS; ref++)
        o->hash[ref] = (UINT32_MAX - seeded_below(s, homes)) << 32;
    return o;
}

static void check_all(const struct index *x, const struct owner *o)
{
    for (uint32_t ref = 0; ref < REFS; ref++)
        cr_assert_eq(has(x, o, ref), o->in[ref], "%u of %u", ref, o->count);
}

/* Adds and removes at random, more of the first, and looks at one other each time. */
static void churn(struct seeded *s, uint64_t homes, uint32_t rounds)
{
    struct owner *o = owner_new(s, homes);
    struct index x = {0};
    for (uint32_t n = 0; n < rounds; n++) {
        uint32_t ref = (uint32_t)seeded_below(s, REFS);
        if (!o->in[ref])
            add(&x, o, ref);
        else if (seeded_below(s, 3) == 0)
            drop(&x, o, ref);
        ref = (uint32_t)seeded_below(s, REFS);
        cr_assert_eq(has(&x, o, ref), o->in[ref]);
        if (n % (rounds / 4) == 0)
            check_all(&x, o);
    }
    check_all(&x, o);
    for (uint32_t ref = 0; ref < REFS; ref++)
        if (o->in[ref])
            drop(&x, o, ref);
    cr_assert_eq(x.used, 0);
    index_free(&x);
    free(o);
}

Test(index, churn__finds_what_is_there_and_nothing_else)
{
    struct seeded s = seeded_new("index", 7);
    churn(&s, UINT64_C(1) << 32, 400000);
}

/* Long runs, which go on from the end of the table. */
Test(index, churn__with_hashes_that_meet)
{
    struct seeded s = seeded_new("index", 8);
    churn(&s, 600, 2500);
}

Test(index, reserve__does_a_little_each_time)
{
    struct seeded s = seeded_new("index", 9);
    struct owner *o = owner_new(&s, UINT64_C(1) << 32);
    struct index x = {0};
    uint32_t grown = 0, longest = 0;
    for (uint32_t ref = 0; ref < REFS; ref++) {
        uint32_t before = x.old.slot != NULL ? x.moved : 0, mask = x.now.mask;
        uint32_t old_end = x.old.slot != NULL ? x.old.mask + 1 : 0;
        add(&x, o, ref);
        if (x.now.mask != mask) {
            cr_assert_eq(old_end, 0, "it must have grown by then");
            grown++;
        }
        uint32_t after = x.old.slot != NULL ? x.moved : old_end;
        longest = after - before > longest ? after - before : longest;
    }
    cr_assert_gt(grown, 7);
    cr_assert_leq(longest, STEP_MAX, "%u slots at once", longest);
    check_all(&x, o);
    index_free(&x);
    free(o);
}
