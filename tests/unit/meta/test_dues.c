/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "meta/core/dues.h"

static bool never(void *arg, struct due due)
{
    (void)arg;
    (void)due;
    return false;
}

/* All but the last one added. */
static bool older(void *arg, struct due due)
{
    return due.ref != *(const uint32_t *)arg;
}

Test(dues, next__in_order_and_only_what_is_due)
{
    struct dues d = {0};
    struct due due;
    uint32_t state = 1, last = 0;
    for (uint32_t i = 0; i < 5000; i++) {
        state = state * 1664525 + 1013904223;
        cr_assert(dues_add(&d, (struct due){state >> 20, i}, never, NULL));
    }
    cr_assert(dues_check(&d));
    while (dues_next(&d, 2000, &due)) {
        cr_assert(due.at >= last && due.at <= 2000);
        last = due.at;
    }
    cr_assert(d.count > 0 && d.heap[0].at > 2000 && dues_check(&d));
    while (dues_next(&d, UINT32_MAX, &due))
        ;
    cr_assert_eq(d.count, 0);
    dues_free(&d);
}

Test(dues, add__what_is_stale_goes)
{
    struct dues d = {0};
    for (uint32_t i = 0; i < 100000; i++) {
        cr_assert(dues_add(&d, (struct due){1000000 - i % 7, i}, older, &i));
        cr_assert_leq(d.count, DUES_LOOKS + 1);
    }
    cr_assert(dues_check(&d));
    dues_free(&d);
}

/* Objects that live for 10,000 turns, with ends far away. */
static bool gone(void *arg, struct due due)
{
    return due.ref + 10000 < *(const uint32_t *)arg;
}

Test(dues, add__never_many_stale_ones)
{
    struct dues d = {0};
    for (uint32_t i = 0; i < 200000; i++)
        cr_assert(dues_add(&d, (struct due){UINT32_MAX - i % 1000, i}, gone, &i));
    cr_assert_leq(d.count, 10000 * 3 / 2);
    cr_assert(dues_check(&d));
    dues_free(&d);
}
