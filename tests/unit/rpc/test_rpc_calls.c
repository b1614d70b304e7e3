/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>

#include "transport/rpc/calls.h"

Test(rpc_calls, add_and_take)
{
    struct rpc_calls c = {0};
    struct rpc_call calls[3 * RPC_CALLS_BUCKETS];
    const uint32_t n = sizeof(calls) / sizeof(calls[0]);
    for (uint32_t i = 0; i < n; i++) {
        rpc_calls_add(&c, &calls[i]);
        cr_assert_eq(calls[i].msgid, i + 1);
    }
    cr_assert_eq(c.count, n);
    for (uint32_t i = 0; i < n; i += 2)
        cr_assert_eq(rpc_calls_take(&c, i + 1), &calls[i]);
    cr_assert_null(rpc_calls_take(&c, 1));
    for (uint32_t i = 1; i < n; i += 2)
        cr_assert_eq(rpc_calls_take(&c, i + 1), &calls[i]);
    cr_assert_null(rpc_calls_take_any(&c));
    rpc_calls_free(&c);
}

Test(rpc_calls, take_any_takes_all)
{
    struct rpc_calls c = {0};
    struct rpc_call calls[100];
    for (int i = 0; i < 100; i++)
        rpc_calls_add(&c, &calls[i]);
    for (int i = 0; i < 100; i++)
        cr_assert_not_null(rpc_calls_take_any(&c));
    cr_assert_null(rpc_calls_take_any(&c));
    rpc_calls_free(&c);
}

/* msgids run over: 0 and those still in use are left out. */
Test(rpc_calls, msgids_wrap)
{
    struct rpc_calls c = {0};
    struct rpc_call first, last, next;
    rpc_calls_add(&c, &first);
    c.last_msgid = UINT32_MAX - 1;
    rpc_calls_add(&c, &last);
    cr_assert_eq(last.msgid, UINT32_MAX);
    rpc_calls_add(&c, &next);
    cr_assert_eq(next.msgid, 2);
    while (rpc_calls_take_any(&c))
        continue;
    rpc_calls_free(&c);
}

Test(rpc_calls, late_answers_once)
{
    struct rpc_calls c = {0};
    cr_assert(!rpc_calls_was_late(&c, 5));
    rpc_calls_expect_late(&c, 5);
    cr_assert(!rpc_calls_was_late(&c, 0));
    cr_assert(!rpc_calls_was_late(&c, 6));
    cr_assert(rpc_calls_was_late(&c, 5));
    cr_assert(!rpc_calls_was_late(&c, 5));
    rpc_calls_free(&c);
}

Test(rpc_calls, late_answers_bounded)
{
    struct rpc_calls c = {0};
    for (uint32_t i = 1; i <= RPC_LATE_MAX + 1; i++)
        rpc_calls_expect_late(&c, i);
    cr_assert(!rpc_calls_was_late(&c, 1));
    cr_assert(rpc_calls_was_late(&c, 2));
    cr_assert(rpc_calls_was_late(&c, RPC_LATE_MAX + 1));
    rpc_calls_free(&c);
}
