/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/put.h"
#include "tests/unit/client/fake_pool.h"

#define VALUE_BYTES 150000u

static struct fake f;
static uint8_t value[VALUE_BYTES], got[VALUE_BYTES];

static void begin(void)
{
    fake_begin(&f);
    fake_fill(value, sizeof value, 3);
}

static void end(void)
{
    fake_end(&f);
}

TestSuite(put, .init = begin, .fini = end);

static int put_value(void)
{
    return fake_put(&f, "k", value, sizeof value, 0);
}

static void expect_there(void)
{
    uint64_t len = 0;
    f.on_call = NULL;
    f.on_copy = NULL;
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, &len), CENOTE_OK);
    cr_assert_eq(len, sizeof value);
    cr_assert_eq(memcmp(got, value, sizeof value), 0);
}

Test(put, start_write_commit)
{
    cr_assert_eq(put_value(), CENOTE_OK);
    cr_assert_eq(f.calls, 2);
    cr_assert_eq(f.copies, 1);
    cr_assert_eq(f.refreshes, 1);
    expect_there();
}

Test(put, extent_is_as_the_format_says)
{
    struct seal seal;
    struct fake_object *o;
    uint8_t list[8 * 3];
    struct sums *s = sums_new(sizeof value);

    cr_assert_eq(put_value(), CENOTE_OK);
    o = fake_find(&f, "k");
    uint8_t *extent = fake_at(&f, o->stripes[0].gva[0]);
    cr_assert_eq(memcmp(extent, value, sizeof value), 0);
    sums_update(s, value, sizeof value);
    sums_list(s, list);
    cr_assert_eq(memcmp(extent + extent_sums_offset(sizeof value), list, sizeof list), 0);
    cr_assert_eq(seal_decode(extent + extent_seal_offset(sizeof value), &seal), CENOTE_OK);
    cr_assert_eq(seal.root, sums_root(s));
    cr_assert_eq(seal.root, o->stripes[0].root);
    cr_assert_eq(seal.put_id, o->put_id);
    cr_assert_eq(seal.name_space, FAKE_NAMESPACE);
    cr_assert_eq(seal.incarnation, fake_node_of(seal.gva) + 11);
    cr_assert_eq(seal.total_len, sizeof value);
    cr_assert_eq(seal.state, SEAL_STATE_LIVE);
    sums_free(s);
}

Test(put, key_is_there)
{
    cr_assert_eq(put_value(), CENOTE_OK);
    f.copies = 0;
    cr_assert_eq(put_value(), CENOTE_EXISTS);
    cr_assert_eq(f.copies, 0);
}

Test(put, replace)
{
    uint8_t older = 1;
    cr_assert_eq(fake_put(&f, "k", &older, 1, 0), CENOTE_OK);
    cr_assert_eq(fake_put(&f, "k", value, sizeof value, CENOTE_PUT_REPLACE), CENOTE_OK);
    expect_there();
}

Test(put, stripes_and_replicas)
{
    f.stripe_bytes = SUMS_CHUNK_BYTES;
    f.replicas = 2;
    cr_assert_eq(put_value(), CENOTE_OK);
    cr_assert_eq(f.copies, 6);
    cr_assert_eq(fake_find(&f, "k")->stripe_count, 3);
    expect_there();
}

Test(put, replicas__as_the_flags_say_or_the_client)
{
    cr_assert_eq(fake_put(&f, "k", value, sizeof value, CENOTE_PUT_REPLICAS(3)), CENOTE_OK);
    cr_assert_eq(f.copies, 3);
    f.wanted = 2;
    cr_assert_eq(fake_put(&f, "l", value, sizeof value, 0), CENOTE_OK);
    cr_assert_eq(f.copies, 5);
    cr_assert_eq(
        fake_put(&f, "k", value, sizeof value, CENOTE_PUT_REPLACE | CENOTE_PUT_REPLICAS(3)),
        CENOTE_OK);
    cr_assert_eq(f.copies, 8);
    expect_there();
}

/* ---- copies that fail ------------------------------------------------------------------------ */

static int fail_copies(struct fake *fake, struct xcopy_req *x)
{
    if (x->op != XCOPY_WRITE || fake->hook[0]-- <= 0)
        return XCOPY_IN_PROGRESS;
    x->may_land = fake->hook[2];
    return fake->hook[1];
}

static void fail_writes(int times, int status, bool may_land)
{
    f.on_copy = fail_copies;
    f.hook[0] = times;
    f.hook[1] = status;
    f.hook[2] = may_land;
}

Test(put, one_replica_fails__commits_the_other)
{
    f.replicas = 2;
    fail_writes(1, CENOTE_NODE_DOWN, true);
    cr_assert_eq(put_value(), CENOTE_OK);
    cr_assert_eq(fake_find(&f, "k")->extent_states[0], EXTENT_UNKNOWN);
    cr_assert_eq(fake_find(&f, "k")->extent_states[1], EXTENT_VISIBLE);
    expect_there();
}

static int refuse_other_sessions(struct fake *fake, struct xcopy_req *x)
{
    fake->session++; /* another thread begins a new one */
    return x->session == (uint64_t)fake->hook[0] ? CENOTE_FENCED : CENOTE_OK;
}

Test(put, session_ends_before_the_copy__writes_as_who_was_granted)
{
    f.session = 41;
    f.hook[0] = 41;
    f.on_copy = refuse_other_sessions;
    cr_assert_eq(put_value(), CENOTE_ABORTED);
    cr_assert_eq(f.commits, 0);
}

Test(put, one_replica_not_begun__drained)
{
    f.replicas = 2;
    fail_writes(1, CENOTE_NODE_DOWN, false);
    cr_assert_eq(put_value(), CENOTE_OK);
    cr_assert_eq(fake_find(&f, "k")->extent_states[0], EXTENT_DRAINED);
    expect_there();
}

Test(put, node_down__another_put)
{
    fail_writes(1, CENOTE_NODE_DOWN, true);
    cr_assert_eq(put_value(), CENOTE_OK);
    cr_assert_eq(f.aborts, 1);
    cr_assert_eq(f.objects[0].state, FAKE_ABORTED);
    cr_assert_eq(f.objects[0].extent_states[0], EXTENT_UNKNOWN);
    expect_there();
}

Test(put, nodes_down)
{
    fail_writes(1000, CENOTE_NODE_DOWN, false);
    cr_assert_eq(put_value(), CENOTE_NODE_DOWN);
    cr_assert_eq(f.starts, PUT_ROUNDS_MAX);
    cr_assert_eq(f.aborts, PUT_ROUNDS_MAX);
    cr_assert_eq(f.commits, 0);
    cr_assert_eq(f.objects[0].extent_states[0], EXTENT_DRAINED);
}

Test(put, one_stripe_of_many_fails__aborts_all_of_it)
{
    f.stripe_bytes = SUMS_CHUNK_BYTES;
    fail_writes(1, CENOTE_TIMED_OUT, true);
    cr_assert_eq(put_value(), CENOTE_TIMED_OUT);
    cr_assert_eq(f.objects[0].extent_states[0], EXTENT_UNKNOWN);
    cr_assert_eq(f.objects[0].extent_states[1], EXTENT_VISIBLE);
    cr_assert_eq(f.objects[0].extent_states[2], EXTENT_VISIBLE);
    cr_assert_eq(f.commits, 0);
}

/* The service has ended the put. */
static int fence(struct fake *fake, struct xcopy_req *x)
{
    (void)x;
    fake->objects[fake->object_count - 1].state = FAKE_ABORTED;
    return CENOTE_FENCED;
}

Test(put, fenced__aborted)
{
    f.on_copy = fence;
    cr_assert_eq(put_value(), CENOTE_ABORTED);
    cr_assert_eq(f.starts, 1);
}

/* The service still has the put: the fence was for an earlier one of the same session. */
Test(put, fenced_with_another__another_put)
{
    fail_writes(1, CENOTE_FENCED, false);
    cr_assert_eq(put_value(), CENOTE_OK);
    cr_assert_eq(f.starts, 2);
    expect_there();
}

Test(put, address_on_no_map__drained)
{
    memset(f.nodes_on_map, 0, sizeof f.nodes_on_map);
    cr_assert_eq(put_value(), CENOTE_NODE_DOWN);
    cr_assert_eq(f.copies, 0);
    cr_assert_eq(f.objects[0].extent_states[0], EXTENT_DRAINED);
}

/* The caller writes into his buffer during the put: replicas differ, one is kept. */
static int scribble(struct fake *fake, struct xcopy_req *x)
{
    (void)x;
    value[5] = (uint8_t)++fake->hook[0];
    return XCOPY_IN_PROGRESS;
}

Test(put, buffer_changes_between_replicas__keeps_those_that_agree)
{
    f.replicas = 2;
    f.on_copy = scribble;
    cr_assert_eq(put_value(), CENOTE_OK);
    cr_assert_eq(fake_find(&f, "k")->extent_states[0], EXTENT_VISIBLE);
    cr_assert_eq(fake_find(&f, "k")->extent_states[1], EXTENT_DRAINED);
    value[5] = 1;
    expect_there();
}

/* ---- calls that fail ------------------------------------------------------------------------- */

struct fault {
    const char *method;
    int times, status;
    bool lost;
};
static struct fault fault;

static int fail_method(struct fake *fake, const char *method, bool *lost)
{
    (void)fake;
    if (strcmp(method, fault.method) != 0 || fault.times-- <= 0)
        return CENOTE_OK;
    *lost = fault.lost;
    return fault.status;
}

static void fail_calls(const char *method, int times, int status, bool lost)
{
    fault = (struct fault){method, times, status, lost};
    f.on_call = fail_method;
}

Test(put, start__service_away)
{
    fail_calls(METHOD_PUT_START, 1000, CENOTE_UNAVAILABLE, false);
    cr_assert_eq(put_value(), CENOTE_UNAVAILABLE);
    cr_assert_eq(f.calls, 1);
}

Test(put, start__answer_lost)
{
    fail_calls(METHOD_PUT_START, 2, CENOTE_UNKNOWN, true);
    cr_assert_eq(put_value(), CENOTE_OK);
    cr_assert_eq(f.starts, 3);
    cr_assert_eq(f.object_count, 1); /* one put, asked for three times */
    expect_there();
}

Test(put, start__session_ended)
{
    fail_calls(METHOD_PUT_START, 1, CENOTE_NO_SESSION, false);
    cr_assert_eq(put_value(), CENOTE_OK);
    cr_assert_eq(f.seq, 3);
    expect_there();
}

Test(put, start__sessions_end_for_ever)
{
    fail_calls(METHOD_PUT_START, 1000, CENOTE_NO_SESSION, false);
    cr_assert_eq(put_value(), CENOTE_UNAVAILABLE);
}

Test(put, commit__answer_lost_after_effect)
{
    fail_calls(METHOD_PUT_COMMIT, 1, CENOTE_UNKNOWN, true);
    cr_assert_eq(put_value(), CENOTE_OK);
    cr_assert_eq(f.commits, 2);
    expect_there();
}

Test(put, commit__answer_lost_before_effect)
{
    fail_calls(METHOD_PUT_COMMIT, 2, CENOTE_UNKNOWN, false);
    cr_assert_eq(put_value(), CENOTE_OK);
    expect_there();
}

Test(put, commit__service_comes_back_in_time)
{
    fail_calls(METHOD_PUT_COMMIT, 5, CENOTE_UNAVAILABLE, false);
    cr_assert_eq(put_value(), CENOTE_OK);
    cr_assert_gt(f.waits, 2);
    expect_there();
}

Test(put, commit__service_stays_away)
{
    fail_calls(METHOD_PUT_COMMIT, 1000, CENOTE_UNAVAILABLE, false);
    cr_assert_eq(put_value(), CENOTE_UNAVAILABLE);
}

Test(put, commit__answers_stay_lost)
{
    fail_calls(METHOD_PUT_COMMIT, 1000, CENOTE_UNKNOWN, true);
    cr_assert_eq(put_value(), CENOTE_UNKNOWN);
}

Test(put, commit__times_out)
{
    fail_calls(METHOD_PUT_COMMIT, 1, CENOTE_TIMED_OUT, true);
    cr_assert_eq(put_value(), CENOTE_UNKNOWN);
}

Test(put, commit__session_ended_before)
{
    fail_calls(METHOD_PUT_COMMIT, 1, CENOTE_NO_SESSION, false);
    cr_assert_eq(put_value(), CENOTE_ABORTED);
    cr_assert_eq(f.commits, 0);
}

static int lose_then_end(struct fake *fake, const char *method, bool *lost)
{
    if (strcmp(method, METHOD_PUT_COMMIT) != 0)
        return CENOTE_OK;
    *lost = fake->hook[0] == 0;
    return fake->hook[0]++ == 0 ? CENOTE_UNKNOWN : CENOTE_NO_SESSION;
}

Test(put, commit__answer_lost_and_session_ended)
{
    f.on_call = lose_then_end;
    cr_assert_eq(put_value(), CENOTE_UNKNOWN);
    expect_there();
}

static int abort_put(struct fake *fake, const char *method, bool *lost)
{
    (void)lost;
    if (strcmp(method, METHOD_PUT_COMMIT) == 0)
        fake->objects[0].state = FAKE_ABORTED;
    return CENOTE_OK;
}

Test(put, commit__service_had_aborted)
{
    f.on_call = abort_put;
    cr_assert_eq(put_value(), CENOTE_ABORTED);
}

/* ---- batches --------------------------------------------------------------------------------- */

#define MANY 600u

static char keys[MANY][8];
static uint32_t numbers[MANY];
static struct cenote_buffer pieces[MANY];
static struct cenote_put_item items[MANY];

static void put_many(void)
{
    struct machine_env env = fake_env(&f);

    for (uint32_t i = 0; i < MANY; i++) {
        numbers[i] = i % 300; /* every key comes twice, in two windows */
        snprintf(keys[i], sizeof keys[i], "%u", i % 300);
        pieces[i] = (struct cenote_buffer){&numbers[i], sizeof numbers[i]};
        items[i] = (struct cenote_put_item){
            .key = {keys[i], strlen(keys[i])}, .buffers = &pieces[i], .buffer_count = 1};
    }
    struct put *p = put_begin(&env, items, MANY, 0);
    fake_run(&f, put_machine(p));
    put_free(p);
}

static void expect_many(void)
{
    for (uint32_t i = 0; i < MANY; i++) {
        uint32_t number = MANY;
        cr_assert_eq(items[i].status, i < 300 ? CENOTE_OK : CENOTE_EXISTS);
        cr_assert_eq(fake_get(&f, keys[i], &number, sizeof number, NULL), CENOTE_OK);
        cr_assert_eq(number, i % 300);
    }
}

Test(put, batch_goes_window_by_window)
{
    put_many();
    cr_assert_eq(f.starts, 3);
    expect_many();
}

Test(put, batch_with_answers_too_long__asks_in_parts)
{
    f.answer_max = 50;
    put_many();
    f.answer_max = 0;
    expect_many();
}

Test(put, same_key_twice_in_one_window__second_exists)
{
    uint32_t a = 1, b = 2, number;
    struct cenote_buffer one = {&a, sizeof a}, two = {&b, sizeof b};
    struct cenote_put_item both[2] = {{.key = {"k", 1}, .buffers = &one, .buffer_count = 1},
                                      {.key = {"k", 1}, .buffers = &two, .buffer_count = 1}};
    struct machine_env env = fake_env(&f);
    struct put *p = put_begin(&env, both, 2, 0);

    fake_run(&f, put_machine(p));
    put_free(p);
    cr_assert_eq(both[0].status, CENOTE_OK);
    cr_assert_eq(both[1].status, CENOTE_EXISTS);
    cr_assert_eq(fake_get(&f, "k", &number, sizeof number, NULL), CENOTE_OK);
    cr_assert_eq(number, 1);
}
