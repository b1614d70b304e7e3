/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/linear/linear.h"
#include "tests/linear/random.h"

#define SMALL 7u

/* Shorthands: at(invoked, returned), then what was done and answered. */
#define PUT(i, r, v)                                                                               \
    {                                                                                              \
        .invoked_ns = i, .returned_ns = r, .value = v, .kind = LINEAR_PUT                          \
    }
#define REPLACE(i, r, v)                                                                           \
    {                                                                                              \
        .invoked_ns = i, .returned_ns = r, .value = v, .kind = LINEAR_REPLACE                      \
    }
#define THERE(i, r, v)                                                                             \
    {                                                                                              \
        .invoked_ns = i, .returned_ns = r, .value = v, .kind = LINEAR_PUT, .outcome = LINEAR_THERE \
    }
#define REMOVE(i, r)                                                                               \
    {                                                                                              \
        .invoked_ns = i, .returned_ns = r, .kind = LINEAR_REMOVE                                   \
    }
#define GONE(i, r)                                                                                 \
    {                                                                                              \
        .invoked_ns = i, .returned_ns = r, .kind = LINEAR_REMOVE, .outcome = LINEAR_MISSING        \
    }
#define GET(i, r, v)                                                                               \
    {                                                                                              \
        .invoked_ns = i, .returned_ns = r, .value = v, .kind = LINEAR_GET                          \
    }
#define MISS(i, r)                                                                                 \
    {                                                                                              \
        .invoked_ns = i, .returned_ns = r, .kind = LINEAR_GET, .outcome = LINEAR_MISSING           \
    }
#define IS(i, r)                                                                                   \
    {                                                                                              \
        .invoked_ns = i, .returned_ns = r, .kind = LINEAR_EXISTS, .outcome = LINEAR_THERE          \
    }
#define IS_NOT(i, r)                                                                               \
    {                                                                                              \
        .invoked_ns = i, .returned_ns = r, .kind = LINEAR_EXISTS, .outcome = LINEAR_MISSING        \
    }
#define LOST(k, i, v)                                                                              \
    {                                                                                              \
        .invoked_ns = i, .value = v, .kind = LINEAR_##k, .outcome = LINEAR_UNKNOWN                 \
    }

#define CHECK(...)                                                                                 \
    check((const struct linear_op[]){__VA_ARGS__},                                                 \
          sizeof((const struct linear_op[]){__VA_ARGS__}) / sizeof(struct linear_op), NULL)

static enum linear_verdict check(const struct linear_op *ops, size_t count,
                                 const struct linear_loss *loss)
{
    struct linear_history h = {ops, count, loss, loss ? 1 : 0};
    struct linear_result r;

    linear_check(&h, &r);
    enum linear_verdict verdict = r.verdict;
    if (verdict == LINEAR_BAD)
        cr_assert(r.window_count > 0 && r.state_count > 0);
    linear_result_free(&r);
    return verdict;
}

/* ---- good ones ------------------------------------------------------------------------------- */

Test(linear, good__one_after_the_other)
{
    cr_assert_eq(CHECK(MISS(1, 2), PUT(3, 4, 7), GET(5, 6, 7), THERE(7, 8, 9), REPLACE(9, 10, 8),
                       GET(11, 12, 8), IS(13, 14), REMOVE(15, 16), GONE(17, 18), IS_NOT(19, 20),
                       PUT(21, 22, 5), GET(23, 24, 5)),
                 LINEAR_GOOD);
    cr_assert_eq(check(NULL, 0, NULL), LINEAR_GOOD);
}

Test(linear, good__overlapping_ones_in_either_order)
{
    cr_assert_eq(CHECK(PUT(1, 10, 7), MISS(2, 3), GET(4, 5, 7)), LINEAR_GOOD);
    cr_assert_eq(CHECK(PUT(1, 2, 7), REPLACE(3, 10, 8), GET(4, 5, 7), GET(6, 7, 8)), LINEAR_GOOD);
    cr_assert_eq(CHECK(REPLACE(1, 10, 7), REPLACE(1, 10, 8), GET(11, 12, 7)), LINEAR_GOOD);
    cr_assert_eq(CHECK(REPLACE(1, 10, 7), REPLACE(1, 10, 8), GET(11, 12, 8)), LINEAR_GOOD);
    cr_assert_eq(CHECK(PUT(1, 10, 7), PUT(1, 10, 8), REMOVE(1, 10), GET(2, 3, 7), GET(4, 5, 8)),
                 LINEAR_GOOD);
}

Test(linear, good__what_happens_at_the_same_time_is_concurrent)
{
    cr_assert_eq(CHECK(PUT(1, 2, 7), MISS(2, 3), GET(4, 5, 7)), LINEAR_GOOD);
}

Test(linear, good__unknown_takes_effect_late_early_or_never)
{
    cr_assert_eq(CHECK(LOST(PUT, 1, 7), MISS(5, 6), MISS(7, 8)), LINEAR_GOOD);
    cr_assert_eq(CHECK(LOST(PUT, 1, 7), MISS(5, 6), GET(7, 8, 7)), LINEAR_GOOD);
    cr_assert_eq(CHECK(PUT(1, 2, 7), LOST(REMOVE, 3, 0), GET(5, 6, 7), MISS(7, 8)), LINEAR_GOOD);
    cr_assert_eq(CHECK(PUT(1, 2, 7), LOST(REMOVE, 3, 0), PUT(5, 6, 8), GET(7, 8, 8)), LINEAR_GOOD);
}

Test(linear, good__a_lost_value_may_be_missed)
{
    const struct linear_loss loss = {10, 20};
    const struct linear_op ops[] = {PUT(1, 2, 7),   GET(3, 4, 7), MISS(11, 12),
                                    GET(13, 14, 7), MISS(15, 16), PUT(17, 18, 8)};
    const struct linear_op removed[] = {PUT(1, 2, 7), MISS(11, 12), REMOVE(13, 14), GONE(15, 16)};
    cr_assert_eq(check(ops, 6, &loss), LINEAR_GOOD);
    cr_assert_eq(check(removed, 4, &loss), LINEAR_GOOD);
}

/* ---- bad ones -------------------------------------------------------------------------------- */

Test(linear, bad__read_of_a_replaced_value)
{
    cr_assert_eq(CHECK(PUT(1, 2, 7), REPLACE(3, 4, 8), GET(5, 6, 7)), LINEAR_BAD);
    cr_assert_eq(CHECK(PUT(1, 2, 7), REPLACE(3, 10, 8), GET(4, 5, 8), GET(6, 7, 7)), LINEAR_BAD);
}

Test(linear, bad__read_of_a_removed_value)
{
    cr_assert_eq(CHECK(PUT(1, 2, 7), REMOVE(3, 4), GET(5, 6, 7)), LINEAR_BAD);
    cr_assert_eq(CHECK(PUT(1, 2, 7), REMOVE(3, 10), MISS(4, 5), GET(6, 7, 7)), LINEAR_BAD);
    cr_assert_eq(CHECK(PUT(1, 2, 7), REMOVE(3, 4), IS(5, 6)), LINEAR_BAD);
}

Test(linear, bad__a_removed_value_comes_back)
{
    cr_assert_eq(CHECK(PUT(1, 2, 7), REMOVE(3, 4), MISS(5, 6), THERE(7, 8, 9)), LINEAR_BAD);
    cr_assert_eq(CHECK(PUT(1, 2, 7), REMOVE(3, 4), REMOVE(5, 6)), LINEAR_BAD);
}

Test(linear, bad__two_puts_of_an_absent_key_succeed)
{
    cr_assert_eq(CHECK(PUT(1, 10, 7), PUT(2, 9, 8)), LINEAR_BAD);
    cr_assert_eq(CHECK(PUT(1, 10, 7), PUT(2, 9, 8), REMOVE(3, 4)), LINEAR_GOOD);
}

Test(linear, bad__a_stored_value_is_missed)
{
    cr_assert_eq(CHECK(PUT(1, 2, 7), MISS(3, 4)), LINEAR_BAD);
    cr_assert_eq(CHECK(PUT(1, 2, 7), IS_NOT(3, 4)), LINEAR_BAD);
    cr_assert_eq(CHECK(PUT(1, 2, 7), GONE(3, 4)), LINEAR_BAD);
    /* Not while it is replaced either. */
    cr_assert_eq(CHECK(PUT(1, 2, 7), REPLACE(3, 10, 8), MISS(4, 5)), LINEAR_BAD);
}

Test(linear, bad__a_lost_update)
{
    cr_assert_eq(CHECK(REPLACE(1, 2, 7), REPLACE(3, 4, 8), GET(5, 6, 8), GET(7, 8, 7)), LINEAR_BAD);
    cr_assert_eq(CHECK(REPLACE(1, 10, 7), REPLACE(1, 10, 8), GET(11, 12, 7), GET(13, 14, 8)),
                 LINEAR_BAD);
}

Test(linear, bad__a_refused_put_of_an_absent_key)
{
    cr_assert_eq(CHECK(THERE(1, 2, 7)), LINEAR_BAD);
    cr_assert_eq(CHECK(THERE(1, 2, 7), LOST(PUT, 1, 8)), LINEAR_GOOD);
}

Test(linear, bad__a_value_that_nobody_wrote)
{
    cr_assert_eq(CHECK(PUT(1, 2, 7), GET(3, 4, 9)), LINEAR_BAD);
    cr_assert_eq(CHECK(GET(3, 4, 9), PUT(5, 6, 9)), LINEAR_BAD);
}

Test(linear, bad__unknown_takes_effect_twice)
{
    cr_assert_eq(CHECK(PUT(1, 2, 7), LOST(REMOVE, 3, 0), PUT(5, 6, 8), MISS(7, 8)), LINEAR_BAD);
    cr_assert_eq(CHECK(LOST(PUT, 1, 7), GET(2, 3, 7), REMOVE(4, 5), GET(6, 7, 7)), LINEAR_BAD);
}

Test(linear, bad__a_loss_excuses_no_other_value)
{
    const struct linear_loss loss = {10, 20};
    const struct linear_op early[] = {PUT(1, 2, 7), MISS(8, 9)};
    const struct linear_op later[] = {PUT(21, 22, 7), MISS(23, 24)};
    const struct linear_op stale[] = {PUT(1, 2, 7), MISS(11, 12), PUT(13, 14, 8), GET(15, 16, 7)};
    const struct linear_op gone[] = {PUT(1, 2, 7), MISS(11, 12), GONE(13, 14), GET(15, 16, 7)};
    cr_assert_eq(check(early, 2, &loss), LINEAR_BAD);
    cr_assert_eq(check(later, 2, &loss), LINEAR_BAD);
    cr_assert_eq(check(stale, 4, &loss), LINEAR_BAD);
    cr_assert_eq(check(gone, 4, &loss), LINEAR_BAD);
}

Test(linear, malformed__is_not_judged)
{
    cr_assert_eq(CHECK(PUT(5, 4, 7)), LINEAR_MALFORMED);
    cr_assert_eq(CHECK(PUT(1, 2, 0)), LINEAR_MALFORMED);
    cr_assert_eq(
        CHECK({.invoked_ns = 1, .returned_ns = 2, .kind = LINEAR_GET, .outcome = LINEAR_UNKNOWN}),
        LINEAR_MALFORMED);
    cr_assert_eq(CHECK({.invoked_ns = 1,
                        .returned_ns = 2,
                        .value = 1,
                        .kind = LINEAR_REPLACE,
                        .outcome = LINEAR_THERE}),
                 LINEAR_MALFORMED);
}

Test(linear, limits__are_told)
{
    struct linear_op ops[LINEAR_UNKNOWN_MAX + 1];
    size_t count = LINEAR_OPEN_MAX + 1;

    for (size_t i = 0; i < count; i++)
        ops[i] = (struct linear_op)MISS(1, 2);
    cr_assert_eq(check(ops, count, NULL), LINEAR_LIMIT);
    cr_assert_eq(check(ops, count - 1, NULL), LINEAR_GOOD);
    count = LINEAR_UNKNOWN_MAX + 1;
    for (size_t i = 0; i < count; i++)
        ops[i] = (struct linear_op)LOST(REMOVE, 1, 0);
    cr_assert_eq(check(ops, count, NULL), LINEAR_LIMIT);
    cr_assert_eq(check(ops, count - 1, NULL), LINEAR_GOOD);
}

/* ---- what is told ---------------------------------------------------------------------------- */

Test(linear, failure__names_the_answer_and_a_window_without_the_rest)
{
    const struct linear_op ops[] = {
        PUT(1, 2, 7),   GET(3, 4, 7),   REPLACE(5, 6, 8), GET(7, 8, 8),   REPLACE(10, 20, 9),
        GET(11, 12, 8), GET(12, 13, 8), GET(13, 30, 9),   GET(21, 22, 9), REPLACE(23, 40, 5),
        GET(24, 25, 8), GET(26, 27, 9), GET(50, 51, 5)};
    struct linear_history h = {ops, sizeof ops / sizeof *ops, NULL, 0};
    struct linear_result r;

    linear_check(&h, &r);
    cr_assert_eq(r.verdict, LINEAR_BAD);
    cr_assert_eq(r.culprit, 10);
    cr_assert_eq(r.before_count, 0); /* whatever it was */
    cr_assert_eq(r.window_count, 3);
    cr_assert_eq(r.window[0], 8); /* 9 was read */
    cr_assert_eq(r.window[1], 9); /* being replaced by 5 */
    cr_assert_eq(r.window[2], 10);
    linear_result_free(&r);
}

/* ---- against the definition ------------------------------------------------------------------ */

/* Tries all orders, of all choices of the unknown ones. */
static bool explained(const struct linear_op *ops, size_t count, uint32_t done, uint64_t value)
{
    bool all = true;

    for (size_t i = 0; i < count; i++)
        all = all && ((done >> i & 1) != 0 || ops[i].outcome == LINEAR_UNKNOWN);
    if (all)
        return true;
    for (size_t i = 0; i < count; i++) {
        const struct linear_op *op = &ops[i];
        bool first = (done >> i & 1) == 0;
        for (size_t j = 0; first && j < count; j++)
            first = (done >> j & 1) != 0 || ops[j].outcome == LINEAR_UNKNOWN ||
                    ops[j].returned_ns >= op->invoked_ns;
        uint64_t next = value;
        bool fits = false;
        switch (op->kind) {
        case LINEAR_PUT:
            fits = (value != 0) == (op->outcome == LINEAR_THERE);
            next = op->outcome == LINEAR_THERE ? value : op->value;
            break;
        case LINEAR_REPLACE:
            fits = true;
            next = op->value;
            break;
        case LINEAR_REMOVE:
            fits = (value == 0) == (op->outcome == LINEAR_MISSING);
            next = 0;
            break;
        case LINEAR_GET:
            fits = op->outcome == LINEAR_MISSING ? value == 0 : value == op->value;
            break;
        case LINEAR_EXISTS:
            fits = (op->outcome == LINEAR_MISSING) == (value == 0);
            break;
        case LINEAR_KINDS:
            break;
        }
        if (first && fits && explained(ops, count, done | 1u << i, next))
            return true;
    }
    return false;
}

Test(linear, verdict__is_that_of_trying_all_orders)
{
    uint64_t seed = 20;
    size_t good = 0, bad = 0;

    for (int i = 0; i < 6000; i++) {
        struct linear_op ops[SMALL];
        struct random_shape shape = {1 + (uint32_t)(random_next(&seed) % 4), 25,
                                     1 + (uint32_t)(random_next(&seed) % 8)};
        random_history(&seed, &shape, ops, SMALL);
        for (uint64_t faults = random_next(&seed) % 3; faults > 0; faults--)
            random_fault(&seed, ops, SMALL);
        bool expected = explained(ops, SMALL, 0, 0);
        cr_assert_eq(check(ops, SMALL, NULL) == LINEAR_GOOD, expected, "history %d", i);
        good += expected;
        bad += !expected;
    }
    cr_assert(good > 1000 && bad > 1000, "%zu good, %zu bad", good, bad);
}

/* ---- at length ------------------------------------------------------------------------------- */

#define LONG 4000u

Test(linear, random__sound_histories_pass_and_spoilt_ones_fail)
{
    uint64_t seed = 7;
    struct linear_op *ops = calloc(LONG, sizeof *ops);
    size_t faults = 0, found = 0;

    for (int i = 0; i < 60; i++) {
        struct random_shape shape = {2 + (uint32_t)(random_next(&seed) % 9), i % 3 == 0,
                                     1 + (uint32_t)i % 6};
        size_t count = i % 3 == 0 ? LONG / 8 : LONG;
        random_history(&seed, &shape, ops, count);
        cr_assert_eq(check(ops, count, NULL), LINEAR_GOOD, "history %d", i);
        if (!random_fault(&seed, ops, count))
            continue;
        faults++;
        found += check(ops, count, NULL) == LINEAR_BAD;
    }
    cr_log_info("%zu of %zu faults were found", found, faults);
    cr_assert(found * 2 >= faults, "%zu of %zu faults were found", found, faults);
    free(ops);
}

Test(linear, speed__a_quarter_of_a_million_operations)
{
    const size_t count = 250000;
    struct random_shape shape = {8, 0, 4};
    struct linear_op *ops = calloc(count, sizeof *ops);
    uint64_t seed = 3;
    clock_t begin = clock();

    random_history(&seed, &shape, ops, count);
    cr_assert_eq(check(ops, count, NULL), LINEAR_GOOD);
    double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
    cr_log_info("%zu operations in %.2f s", count, seconds);
    cr_assert(seconds < 20, "%.1f s", seconds);
    free(ops);
}
