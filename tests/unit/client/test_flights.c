/* SPDX-License-Identifier: Apache-2.0 */
#include "client/flights.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

static unsigned woken, released;

static void wake(void *arg)
{
    (*(unsigned *)arg)++;
}

static void release(struct flight *f)
{
    released++;
    free(f);
}

static struct flights *make(void)
{
    struct flights *fs = flights_new(wake, &woken);
    cr_assert_not_null(fs);
    return fs;
}

static int submit(struct flights *fs, uint64_t user_data, uint64_t *id)
{
    struct flight *f = calloc(1, sizeof *f);
    f->user_data = user_data;
    f->release = release;
    int status = flights_submit(fs, f, id);
    if (status != CENOTE_OK)
        free(f);
    return status;
}

static struct flight *take(struct flights *fs)
{
    struct flight *submitted, *to_cancel;
    flights_take(fs, &submitted, &to_cancel);
    return submitted;
}

static bool readable(const struct flights *fs)
{
    struct pollfd p = {.fd = flights_fd(fs), .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

Test(flights, from_submission_to_fetching)
{
    struct flights *fs = make();
    struct cenote_completion done[2];
    uint64_t id = 0;

    cr_assert_eq(submit(fs, 42, &id), CENOTE_OK);
    cr_assert_neq(id, 0);
    cr_assert_eq(woken, 1);
    struct flight *f = take(fs);
    cr_assert_eq(f->id, id);
    cr_assert_null(take(fs));
    cr_assert_not(readable(fs));
    cr_assert_eq(flights_fetch(fs, done, 2, 0), 0);
    flights_land(fs, f, CENOTE_NOT_FOUND);
    flights_leave(fs, f);
    cr_assert(readable(fs));
    cr_assert_eq(flights_fetch(fs, done, 2, 0), 1);
    cr_assert(done[0].id == id && done[0].user_data == 42 && done[0].status == CENOTE_NOT_FOUND);
    cr_assert_not(readable(fs));
    cr_assert_eq(released, 1);
    flights_free(fs);
}

Test(flights, descriptor__readable_until_the_last_is_fetched)
{
    struct flights *fs = make();
    struct cenote_completion done[2];
    uint64_t id;

    for (uint64_t i = 0; i < 3; i++)
        submit(fs, i, &id);
    for (struct flight *f = take(fs), *next; f; f = next) {
        next = f->next;
        flights_land(fs, f, CENOTE_OK);
        flights_leave(fs, f);
    }
    cr_assert_eq(flights_fetch(fs, done, 2, 0), 2);
    cr_assert(readable(fs));
    cr_assert_eq(flights_fetch(fs, done, 2, 0), 1);
    cr_assert_eq(done[0].user_data, 2);
    cr_assert_not(readable(fs));
    flights_free(fs);
}

Test(flights, cancel)
{
    struct flights *fs = make();
    struct cenote_completion done;
    struct flight *submitted, *to_cancel;
    uint64_t a, b, c;

    submit(fs, 1, &a);
    submit(fs, 2, &b);
    cr_assert_eq(flights_cancel(fs, b + (UINT64_C(1) << 16)), CENOTE_NOT_FOUND);
    cr_assert_eq(flights_cancel(fs, b), CENOTE_OK);
    cr_assert_eq(flights_cancel(fs, b), CENOTE_OK);
    cr_assert_eq(flights_take(fs, &submitted, &to_cancel), 2);
    cr_assert_eq(to_cancel->id, b);
    cr_assert_null(to_cancel->next_cancelled);
    struct flight *first = submitted, *second = submitted->next;
    /* The other one completes before the driver hears of the cancelling. */
    cr_assert_eq(flights_cancel(fs, a), CENOTE_OK);
    flights_land(fs, first, CENOTE_OK);
    cr_assert_eq(flights_cancel(fs, a), CENOTE_NOT_FOUND);
    flights_take(fs, &submitted, &to_cancel);
    cr_assert_null(to_cancel);
    flights_leave(fs, first);
    flights_land(fs, second, CENOTE_CANCELLED);
    /* Fetched while the driver still has it: its place isn't free. */
    cr_assert_eq(flights_fetch(fs, &done, 1, 0), 1);
    cr_assert_eq(flights_fetch(fs, &done, 1, 0), 1);
    cr_assert_eq(done.status, CENOTE_CANCELLED);
    cr_assert_eq(released, 1);
    cr_assert_eq(flights_cancel(fs, b), CENOTE_NOT_FOUND);
    cr_assert_eq(flights_take(fs, &submitted, &to_cancel), 1);
    flights_leave(fs, second);
    cr_assert_eq(released, 2);
    submit(fs, 3, &c);
    cr_assert(c != a && c != b);
    struct flight *third = take(fs);
    flights_land(fs, third, CENOTE_OK);
    flights_leave(fs, third);
    flights_free(fs); /* what nobody fetched goes too */
    cr_assert_eq(released, 3);
}

Test(flights, limit)
{
    struct flights *fs = make();
    struct cenote_completion done;
    uint64_t id = 7, last = 0;

    for (uint32_t i = 0; i < CENOTE_FLIGHTS_MAX; i++)
        cr_assert_eq(submit(fs, i, &last), CENOTE_OK);
    cr_assert_eq(submit(fs, 0, &id), CENOTE_LIMIT);
    cr_assert_eq(id, 7);
    struct flight *f = take(fs);
    for (struct flight *next; f; f = next) {
        next = f->next;
        flights_land(fs, f, CENOTE_OK);
        flights_leave(fs, f);
    }
    cr_assert_eq(submit(fs, 0, &id), CENOTE_LIMIT); /* they count until they are fetched */
    cr_assert_eq(flights_fetch(fs, &done, 1, 0), 1);
    cr_assert_eq(submit(fs, 0, &id), CENOTE_OK);
    f = take(fs);
    flights_land(fs, f, CENOTE_OK);
    flights_leave(fs, f);
    flights_free(fs);
}

static void *land_soon(void *arg)
{
    struct flights *fs = arg;
    struct flight *f = take(fs);
    const struct pollfd none = {.fd = -1};
    (void)poll((struct pollfd *)(uintptr_t)&none, 1, 20);
    flights_land(fs, f, CENOTE_OK);
    flights_leave(fs, f);
    return NULL;
}

Test(flights, fetch__waits, .timeout = 20)
{
    struct flights *fs = make();
    struct cenote_completion done;
    pthread_t thread;
    uint64_t id;

    cr_assert_eq(flights_fetch(fs, &done, 1, 5), 0);
    submit(fs, 1, &id);
    cr_assert_eq(pthread_create(&thread, NULL, land_soon, fs), 0);
    cr_assert_eq(flights_fetch(fs, &done, 1, 10000), 1);
    pthread_join(thread, NULL);
    flights_free(fs);
}

/* ---- parts ----------------------------------------------------------------------------------- */

static struct flight *told;

static void part_landed(struct flight *f)
{
    told = f;
}

static struct flight *submit_part(struct flights *fs)
{
    struct flight *f = calloc(1, sizeof *f);
    f->release = release;
    f->part_landed = part_landed;
    flights_submit_part(fs, f);
    return f;
}

Test(flights, parts__have_no_completion)
{
    struct flights *fs = make();
    struct flight *f = submit_part(fs), *submitted, *to_cancel;
    struct cenote_completion done;

    flights_cancel_part(fs, f);
    flights_cancel_part(fs, f);
    cr_assert_eq(woken, 2); /* submitted, cancelled */
    cr_assert_eq(flights_take(fs, &submitted, &to_cancel), 1);
    cr_assert(submitted == f && to_cancel == f && !f->next_cancelled);
    flights_land(fs, f, CENOTE_CANCELLED);
    cr_assert_eq(told, f);
    cr_assert_not(readable(fs));
    cr_assert_eq(flights_fetch(fs, &done, 1, 0), 0);
    flights_cancel_part(fs, f); /* too late */
    cr_assert_eq(woken, 2);
    flights_discard(fs, f);
    cr_assert_eq(released, 0);
    flights_leave(fs, f);
    cr_assert_eq(released, 1);
    cr_assert_eq(flights_take(fs, &submitted, &to_cancel), 0);
    flights_free(fs);
}

Test(flights, parts__the_driver_leaves_first)
{
    struct flights *fs = make();
    struct flight *f = submit_part(fs);

    cr_assert_eq(take(fs), f);
    flights_land(fs, f, CENOTE_OK);
    flights_leave(fs, f);
    cr_assert_eq(released, 0);
    flights_discard(fs, f);
    cr_assert_eq(released, 1);
    flights_free(fs);
}

Test(flights, parts__do_not_count)
{
    struct flights *fs = make();
    struct flight *f = submit_part(fs);
    uint64_t id;

    for (unsigned i = 0; i < CENOTE_FLIGHTS_MAX; i++)
        cr_assert_eq(submit(fs, i, &id), CENOTE_OK);
    cr_assert_eq(submit(fs, 0, &id), CENOTE_LIMIT);
    for (struct flight *next, *all = take(fs); all; all = next) {
        next = all->next;
        flights_land(fs, all, CENOTE_OK);
        flights_leave(fs, all);
    }
    flights_discard(fs, f);
    flights_free(fs);
    cr_assert_eq(released, CENOTE_FLIGHTS_MAX + 1);
}
