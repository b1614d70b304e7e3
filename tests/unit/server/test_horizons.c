/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "server/node/horizons.h"

Test(horizons, of__none)
{
    struct horizons *h = horizons_new();
    cr_assert_eq(horizons_of(h, 7), 0);
    horizons_free(h);
}

Test(horizons, raise__goes_up_only)
{
    struct horizons *h = horizons_new();
    horizons_raise(h, 7, 100);
    horizons_raise(h, 7, 50);
    cr_assert_eq(horizons_of(h, 7), 100);
    horizons_raise(h, 7, 101);
    cr_assert_eq(horizons_of(h, 7), 101);
    cr_assert_eq(horizons_of(h, 8), 0);
    horizons_free(h);
}

Test(horizons, raise__zero_is_nothing)
{
    struct horizons *h = horizons_new();
    for (uint64_t session = 1; session < 3 * HORIZONS_MAX; session++)
        horizons_raise(h, session, 0);
    cr_assert_eq(horizons_of(h, 1), 0);
    horizons_free(h);
}

Test(horizons, raise__full_pushes_out_the_lowest_into_the_floor)
{
    struct horizons *h = horizons_new();
    for (uint64_t session = 1; session <= HORIZONS_MAX; session++)
        horizons_raise(h, session, 1000 + session);
    cr_assert_eq(horizons_of(h, 1u << 30), 0, "nothing was pushed out yet");
    horizons_raise(h, HORIZONS_MAX + 1, 9000000);
    cr_assert_eq(horizons_of(h, HORIZONS_MAX + 1), 9000000);
    cr_assert_eq(horizons_of(h, 1), 1001, "its horizon is the floor now");
    cr_assert_eq(horizons_of(h, 1u << 30), 1001);
    for (uint64_t session = 2; session <= HORIZONS_MAX; session++)
        cr_assert_eq(horizons_of(h, session), 1000 + session);
    horizons_free(h);
}

static uint64_t next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Whatever is pushed out: who was refused stays refused. */
Test(horizons, raise__nobody_is_ever_admitted_again)
{
    enum { SESSIONS = 3 * HORIZONS_MAX };
    static uint64_t highest[SESSIONS];
    uint64_t seed = 20261121;
    struct horizons *h = horizons_new();
    for (uint64_t put_id = 1; put_id < 10 * SESSIONS; put_id++) {
        uint64_t session = next(&seed) % SESSIONS;
        horizons_raise(h, session, put_id);
        highest[session] = put_id;
        uint64_t other = next(&seed) % SESSIONS;
        cr_assert_geq(horizons_of(h, other), highest[other]);
    }
    for (uint64_t session = 0; session < SESSIONS; session++)
        cr_assert_geq(horizons_of(h, session), highest[session]);
    horizons_free(h);
}
