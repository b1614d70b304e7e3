/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include <cenote/status.h>

#include "client/slow.h"

Test(slow, for_a_while)
{
    struct slow *s = slow_new();
    cr_assert_not(slow_is(s, 1, 0));
    slow_learn(s, 1, CENOTE_TIMED_OUT, 100);
    slow_learn(s, 2, CENOTE_NODE_DOWN, 100);
    cr_assert(slow_is(s, 1, 100 + SLOW_FOR_MS - 1));
    cr_assert_not(slow_is(s, 1, 100 + SLOW_FOR_MS));
    cr_assert_not(slow_is(s, 2, 100));
    slow_free(s);
    slow_free(NULL);
}

Test(slow, until_it_moves)
{
    struct slow *s = slow_new();
    for (uint64_t node = 1; node <= 3; node++)
        slow_learn(s, node, CENOTE_TIMED_OUT, node);
    slow_learn(s, 1, CENOTE_TIMED_OUT, 50);
    slow_learn(s, 2, CENOTE_OK, 60);
    slow_learn(s, 9, CENOTE_OK, 60);
    cr_assert(slow_is(s, 1, 3 + SLOW_FOR_MS));
    cr_assert_not(slow_is(s, 2, 60));
    cr_assert(slow_is(s, 3, 60));
    slow_free(s);
}

Test(slow, the_oldest_goes)
{
    struct slow *s = slow_new();
    for (uint64_t node = 0; node <= SLOW_NODES_MAX; node++)
        slow_learn(s, node, CENOTE_TIMED_OUT, 1);
    cr_assert_not(slow_is(s, 0, 1));
    cr_assert(slow_is(s, 1, 1));
    cr_assert(slow_is(s, SLOW_NODES_MAX, 1));
    slow_free(s);
}
