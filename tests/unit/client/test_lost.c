/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lost.h"

#include <criterion/criterion.h>
#include <sched.h>

#include "meta/stub/messages.h"
#include "transport/base/clock.h"

static struct lost lost;
static atomic_bool through;

TestSuite(lost, .timeout = 20);

static void *take_number(void *arg)
{
    lost_wait(&lost, *(uint64_t *)arg);
    atomic_store(&through, true);
    return NULL;
}

Test(lost, wait__nothing_is_in_the_way)
{
    lost_init(&lost);
    lost_wait(&lost, 1000);
    lost_note(&lost, 7);
    lost_wait(&lost, 7 + PROTOCOL_WINDOW / 2);
    lost_again(&lost, 8); /* never lost */
    lost_forget(&lost, 7);
    lost_wait(&lost, 1000);
    lost_destroy(&lost);
}

Test(lost, wait__until_it_is_answered)
{
    uint64_t seq = 8 + PROTOCOL_WINDOW / 2;
    pthread_t thread;

    lost_init(&lost);
    lost_note(&lost, 9);
    lost_note(&lost, 7);
    lost_note(&lost, 7);
    cr_assert_eq(pthread_create(&thread, NULL, take_number, &seq), 0);
    for (uint64_t end_ms = clock_now_ms() + 50; clock_now_ms() < end_ms;)
        sched_yield();
    cr_assert_not(atomic_load(&through));
    lost_forget(&lost, 7);
    pthread_join(thread, NULL);
    lost_destroy(&lost);
}

Test(lost, wait__not_for_ever)
{
    lost_init(&lost);
    lost_note(&lost, 1);
    lost_wait(&lost, 2 + PROTOCOL_WINDOW / 2);
    cr_assert_eq(lost.count, 0);
    lost_destroy(&lost);
}

Test(lost, note__more_than_are_watched)
{
    lost_init(&lost);
    for (uint64_t seq = 1; seq <= LOST_CALLS_MAX + 5; seq++)
        lost_note(&lost, seq);
    cr_assert_eq(lost.count, LOST_CALLS_MAX);
    for (uint64_t seq = 1; seq <= LOST_CALLS_MAX + 5; seq++)
        lost_forget(&lost, seq);
    cr_assert_eq(lost.count, 0);
    lost_destroy(&lost);
}
