/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/clock.h"

#include <criterion/criterion.h>

Test(clock, now__never_goes_back_and_units_agree)
{
    uint64_t first_ns = clock_now_ns();
    uint64_t ms = clock_now_ms();
    uint64_t last_ns = clock_now_ns();
    cr_assert(first_ns <= last_ns);
    cr_assert(first_ns / 1000000 <= ms && ms <= last_ns / 1000000);
}

Test(clock, wall__is_after_2020)
{
    cr_assert(clock_wall_ms() > UINT64_C(1577836800000));
}
