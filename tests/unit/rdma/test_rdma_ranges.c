/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "transport/rdma/ranges.h"

static struct rdma_ranges t;

static void insert(struct rdma_range *r)
{
    cr_assert(rdma_ranges_reserve(&t, t.count + 1));
    rdma_ranges_insert(&t, r);
}

static struct rdma_range *around(uintptr_t addr)
{
    uintptr_t next;
    return rdma_ranges_around(&t, addr, &next);
}

Test(rdma_ranges, around__bounds)
{
    struct rdma_range a = {100, 200}, b = {200, 300}, c = {400, 500};
    uintptr_t next;

    cr_assert_null(rdma_ranges_around(&t, 5, &next));
    cr_assert_eq(next, UINTPTR_MAX);
    insert(&c);
    insert(&a);
    insert(&b);
    cr_assert_null(rdma_ranges_around(&t, 99, &next));
    cr_assert_eq(next, 100);
    cr_assert_eq(around(100), &a);
    cr_assert_eq(around(199), &a);
    cr_assert_eq(around(200), &b);
    cr_assert_null(rdma_ranges_around(&t, 300, &next));
    cr_assert_eq(next, 400);
    cr_assert_eq(around(499), &c);
    cr_assert_null(rdma_ranges_around(&t, UINTPTR_MAX, &next));
    cr_assert_eq(next, UINTPTR_MAX);
    rdma_ranges_remove(&t, &b);
    cr_assert_null(around(200));
    cr_assert_eq(rdma_ranges_before(&t, 400), 1);
    rdma_ranges_free(&t);
}

Test(rdma_ranges, around__overlaps)
{
    struct rdma_range wide = {100, 1000}, one = {200, 300}, two = {200, 250}, late = {900, 1100};

    insert(&one);
    insert(&late);
    insert(&wide);
    insert(&two);
    cr_assert_not_null(around(220));
    cr_assert_eq(around(270)->end == 300 || around(270) == &wide, 1);
    cr_assert_eq(around(500), &wide, "behind shorter ones that begin later");
    cr_assert_eq(around(1050), &late);
    rdma_ranges_remove(&t, &wide);
    cr_assert_null(around(500));
    cr_assert_eq(around(270), &one);
    rdma_ranges_remove(&t, &two);
    rdma_ranges_remove(&t, &one);
    rdma_ranges_remove(&t, &late);
    cr_assert_eq(t.count, 0);
    rdma_ranges_free(&t);
}

/* Against a plain list. */
Test(rdma_ranges, around__random)
{
    enum { COUNT = 200, SPAN = 5000 };
    static struct rdma_range ranges[COUNT];
    static bool in[COUNT];
    unsigned seed = 1;

    for (unsigned step = 0; step < 5000; step++) {
        unsigned i = (unsigned)rand_r(&seed) % COUNT;
        if (in[i]) {
            rdma_ranges_remove(&t, &ranges[i]);
        } else {
            ranges[i].begin = 1 + (unsigned)rand_r(&seed) % SPAN;
            ranges[i].end = ranges[i].begin + 1 + (unsigned)rand_r(&seed) % 300;
            insert(&ranges[i]);
        }
        in[i] = !in[i];
        uintptr_t addr = (unsigned)rand_r(&seed) % SPAN, next, expected_next = UINTPTR_MAX;
        bool expected = false;
        for (unsigned k = 0; k < COUNT; k++) {
            if (in[k] && ranges[k].begin <= addr && addr < ranges[k].end)
                expected = true;
            if (in[k] && ranges[k].begin > addr && ranges[k].begin < expected_next)
                expected_next = ranges[k].begin;
        }
        struct rdma_range *found = rdma_ranges_around(&t, addr, &next);
        cr_assert_eq(found != NULL, expected);
        cr_assert(found == NULL || (found->begin <= addr && addr < found->end));
        cr_assert_eq(next, expected_next);
    }
    rdma_ranges_free(&t);
}
