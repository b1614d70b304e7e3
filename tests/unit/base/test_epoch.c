/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pthread.h>

#include "transport/base/epoch.h"

static struct epoch *e;

static void begin(void)
{
    e = epoch_new();
    cr_assert_not_null(e);
}

static void end(void)
{
    epoch_free(e);
}

TestSuite(epoch, .init = begin, .fini = end);

Test(epoch, passed__nobody_inside)
{
    for (unsigned i = 0; i < 5; i++)
        cr_assert(epoch_passed(e, epoch_mark(e)));
}

Test(epoch, passed__waits_for_who_was_inside)
{
    unsigned ticket = epoch_enter(e);
    uint64_t mark = epoch_mark(e);

    cr_assert_not(epoch_passed(e, mark));
    cr_assert_not(epoch_passed(e, mark));
    epoch_leave(e, ticket);
    cr_assert(epoch_passed(e, mark));
}

/* At any turn that one enters, and at any turn that the other has reached meanwhile. */
Test(epoch, passed__whatever_the_turn)
{
    for (unsigned before = 0; before < 4; before++) {
        for (unsigned i = 0; i < before; i++)
            (void)epoch_passed(e, epoch_mark(e) - 1);
        unsigned ticket = epoch_enter(e);
        (void)epoch_passed(e, epoch_mark(e));
        uint64_t mark = epoch_mark(e);
        cr_assert_not(epoch_passed(e, mark));
        epoch_leave(e, ticket);
        cr_assert(epoch_passed(e, mark));
    }
}

Test(epoch, passed__who_came_later_is_not_waited_for)
{
    unsigned first = epoch_enter(e);
    uint64_t mark = epoch_mark(e);

    cr_assert_not(epoch_passed(e, mark)); /* the turn has changed */
    unsigned later = epoch_enter(e);
    epoch_leave(e, first);
    cr_assert(epoch_passed(e, mark));
    cr_assert_not(epoch_passed(e, epoch_mark(e)));
    epoch_leave(e, later);
}

Test(epoch, enter__several_times)
{
    unsigned outer = epoch_enter(e), inner = epoch_enter(e);
    uint64_t mark = epoch_mark(e);

    epoch_leave(e, outer);
    cr_assert_not(epoch_passed(e, mark));
    epoch_leave(e, inner);
    cr_assert(epoch_passed(e, mark));
}

Test(epoch, passed__older_marks_are_passed_too)
{
    unsigned ticket = epoch_enter(e);
    uint64_t older = epoch_mark(e), newer;

    (void)epoch_passed(e, older);
    newer = epoch_mark(e);
    cr_assert(newer >= older);
    epoch_leave(e, ticket);
    cr_assert(epoch_passed(e, newer));
    cr_assert(epoch_passed(e, older));
}

static void *leave(void *ticket)
{
    epoch_leave(e, *(unsigned *)ticket);
    return NULL;
}

Test(epoch, leave__on_another_thread)
{
    unsigned ticket = epoch_enter(e);
    uint64_t mark = epoch_mark(e);
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, leave, &ticket), 0);
    epoch_wait(e, mark);
    pthread_join(thread, NULL);
}

Test(epoch, free__nothing)
{
    epoch_free(NULL);
}
