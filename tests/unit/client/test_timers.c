/* SPDX-License-Identifier: Apache-2.0 */
#include "client/timers.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define MANY 500u

Test(timers, none)
{
    struct timers t = {0};
    struct timer one = {0};
    cr_assert_null(timers_first(&t));
    timers_set(&t, &one, TIMER_NEVER);
    cr_assert_null(timers_first(&t));
    timers_free(&t);
}

Test(timers, moved_and_taken_out)
{
    struct timers t = {0};
    struct timer a = {0}, b = {0};
    cr_assert(timers_reserve(&t, 2));
    timers_set(&t, &a, 10);
    timers_set(&t, &b, 20);
    cr_assert_eq(timers_first(&t), &a);
    timers_set(&t, &a, 30);
    cr_assert_eq(timers_first(&t), &b);
    timers_set(&t, &b, TIMER_NEVER);
    cr_assert_eq(timers_first(&t), &a);
    timers_set(&t, &a, TIMER_NEVER);
    cr_assert_null(timers_first(&t));
    timers_free(&t);
}

/* Against the plainest of all implementations. */
Test(timers, any_order)
{
    static struct timer all[MANY];
    struct timers t = {0};
    unsigned random = 12345;

    cr_assert(timers_reserve(&t, MANY));
    for (unsigned round = 0; round < 20 * MANY; round++) {
        random = random * 1103515245u + 12345u;
        unsigned i = (random >> 8) % MANY;
        timers_set(&t, &all[i], random % 5 == 0 ? TIMER_NEVER : (random >> 4) % 1000);
        uint64_t least = TIMER_NEVER;
        for (unsigned k = 0; k < MANY; k++)
            if (all[k].place != 0 && all[k].due_ms < least)
                least = all[k].due_ms;
        const struct timer *first = timers_first(&t);
        cr_assert_eq(first ? first->due_ms : TIMER_NEVER, least);
    }
    timers_free(&t);
}
