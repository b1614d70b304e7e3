/* SPDX-License-Identifier: Apache-2.0 */
#include <cenote/status.h>
#include <criterion/criterion.h>

#include "client/retry.h"

static struct retry r;

Test(retry, again__never_sent_fails_at_once)
{
    retry_begin(&r, 100, 1000, false);
    cr_assert_not(retry_again(&r, 100, CENOTE_UNAVAILABLE));
}

Test(retry, again__patient_goes_on_until_the_deadline)
{
    uint64_t now_ms = 100;
    unsigned tries = 0;

    retry_begin(&r, now_ms, 1000, true);
    while (retry_again(&r, now_ms, CENOTE_UNAVAILABLE)) {
        cr_assert_geq(r.not_before_ms, now_ms);
        cr_assert_lt(r.not_before_ms, 1100);
        now_ms = r.not_before_ms;
        tries++;
    }
    cr_assert(tries >= 5 && tries <= 10, "%u", tries);
    cr_assert_not(r.lost);
}

Test(retry, again__after_a_lost_answer_it_waits_for_the_service)
{
    retry_begin(&r, 100, 1000, false);
    cr_assert(retry_again(&r, 100, CENOTE_UNKNOWN));
    cr_assert_eq(r.not_before_ms, 100);
    cr_assert(retry_again(&r, 100, CENOTE_UNAVAILABLE));
    cr_assert_eq(r.not_before_ms, 100 + RETRY_PAUSE_MIN_MS);
    cr_assert(r.lost);
}

Test(retry, again__after_a_lost_answer_memory_may_come_back)
{
    retry_begin(&r, 100, 1000, false);
    cr_assert_not(retry_again(&r, 100, CENOTE_NO_MEMORY));
    cr_assert(retry_again(&r, 100, CENOTE_UNKNOWN));
    cr_assert(retry_again(&r, 100, CENOTE_NO_MEMORY));
    cr_assert_eq(r.not_before_ms, 100 + RETRY_PAUSE_MIN_MS);
    cr_assert_not(retry_again(&r, 1090, CENOTE_NO_MEMORY));
}

Test(retry, again__not_after_time_outs_and_refusals)
{
    retry_begin(&r, 100, 1000, true);
    cr_assert_not(retry_again(&r, 100, CENOTE_DENIED));
    cr_assert_not(r.lost);
    cr_assert_not(retry_again(&r, 100, CENOTE_TIMED_OUT));
    cr_assert(r.lost);
}

Test(retry, again__a_few_sessions)
{
    retry_begin(&r, 100, 1000, false);
    for (unsigned i = 0; i < RETRY_SESSIONS_MAX; i++)
        cr_assert(retry_again(&r, 100, CENOTE_NO_SESSION));
    cr_assert_not(retry_again(&r, 100, CENOTE_NO_SESSION));
}
