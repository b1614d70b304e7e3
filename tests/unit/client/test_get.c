/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/get.h"
#include "tests/unit/client/fake_pool.h"

#define VALUE_BYTES 200000u

static struct fake f;
static uint8_t value[VALUE_BYTES], got[VALUE_BYTES];

static void begin(void)
{
    fake_begin(&f);
    fake_fill(value, sizeof value, 1);
    memset(got, 0, sizeof got);
}

static void end(void)
{
    fake_end(&f);
}

TestSuite(get, .init = begin, .fini = end);

static void store(void)
{
    cr_assert_eq(fake_put(&f, "k", value, sizeof value, 0), CENOTE_OK);
    f.calls = f.copies = f.lookups = f.refreshes = 0;
}

static void damage(unsigned replica, uint64_t offset)
{
    *(fake_at(&f, fake_find(&f, "k")->stripes[0].gva[replica]) + offset) ^= 1;
}

static void damage_seal(unsigned replica)
{
    damage(replica, extent_seal_offset(VALUE_BYTES) + SEAL_STATE_OFFSET);
}

static void expect_value(int status, uint64_t len)
{
    cr_assert_eq(status, CENOTE_OK, "%s", cenote_status_name(status));
    cr_assert_eq(len, sizeof value);
    cr_assert_eq(memcmp(got, value, sizeof value), 0);
}

static void expect_get(void)
{
    uint64_t len = 0;
    int status = fake_get(&f, "k", got, sizeof got, &len);
    expect_value(status, len);
}

Test(get, one_lookup_and_one_copy)
{
    store();
    expect_get();
    cr_assert_eq(f.lookups, 1);
    cr_assert_eq(f.copies, 1);
}

Test(get, missing_key)
{
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_NOT_FOUND);
}

Test(get, empty_value_reads_its_seal)
{
    uint64_t len = 1;
    cr_assert_eq(fake_put(&f, "e", NULL, 0, 0), CENOTE_OK);
    f.copies = 0;
    cr_assert_eq(fake_get(&f, "e", NULL, 0, &len), CENOTE_OK);
    cr_assert_eq(len, 0);
    cr_assert_eq(f.copies, 1);
}

Test(get, buffer_too_small__copies_nothing)
{
    uint64_t len = 0;
    store();
    cr_assert_eq(fake_get(&f, "k", got, sizeof got - 1, &len), CENOTE_BUFFER_SIZE);
    cr_assert_eq(len, sizeof value);
    cr_assert_eq(f.copies, 0);
}

Test(get, stripes_are_scattered_over_pieces)
{
    struct cenote_buffer pieces[4] = {{got, 70000}, {got + 70000, 0}, {got + 70000, 1}, {NULL, 0}};
    struct cenote_get_item item = {.key = {"k", 1}, .buffers = pieces, .buffer_count = 4};
    struct machine_env env = fake_env(&f);

    f.stripe_bytes = SUMS_CHUNK_BYTES;
    store();
    pieces[3] = (struct cenote_buffer){got + 70001, sizeof got - 70001};
    struct get *g = get_begin(&env, &item, 1);
    fake_run(&f, get_machine(g));
    get_free(g);
    expect_value(item.status, item.len_bytes);
    cr_assert_eq(f.copies, 4);
}

Test(get, damaged_byte__other_replica)
{
    f.replicas = 2;
    store();
    damage(0, 77);
    damage(0, 0);
    expect_get();
}

Test(get, damaged_everywhere__corrupt)
{
    f.replicas = 2;
    store();
    damage(0, 77);
    damage(1, 77);
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_CORRUPT);
    cr_assert_eq(f.lookups, GET_ROUNDS_MAX);
    cr_assert_eq(f.copies, 2 * GET_ROUNDS_MAX);
}

Test(get, damaged_byte__verify_seal_does_not_see_it)
{
    struct cenote_buffer piece = {got, sizeof got};
    struct cenote_get_item item = {.key = {"k", 1}, .buffers = &piece, .buffer_count = 1};
    struct machine_env env = fake_env(&f);

    store();
    damage(0, 77);
    env.verify = CENOTE_VERIFY_SEAL;
    struct get *g = get_begin(&env, &item, 1);
    fake_run(&f, get_machine(g));
    get_free(g);
    cr_assert_eq(item.status, CENOTE_OK);
}

Test(get, void_seal__other_replica)
{
    f.replicas = 2;
    store();
    damage_seal(0);
    expect_get();
}

Test(get, void_seals_while_the_service_still_names_them__corrupt)
{
    store();
    damage_seal(0);
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_CORRUPT);
}

static void remove_after_copies(struct fake *fake)
{
    fake->after_copies = NULL;
    fake_remove(fake, "k");
    fake->now_ms += FAKE_LEASE_MS;
}

Test(get, lease_ran_out_and_key_is_gone__not_found)
{
    store();
    f.after_copies = remove_after_copies;
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(f.lookups, 2);
}

static void take_long(struct fake *fake)
{
    fake->now_ms += FAKE_LEASE_MS;
}

Test(get, lease_ran_out__a_fresh_lookup_confirms_the_bytes)
{
    store();
    f.after_copies = take_long;
    expect_get();
    cr_assert_eq(f.lookups, 2);
    cr_assert_eq(f.copies, 1);
}

static void take_the_margin(struct fake *fake)
{
    fake->now_ms += FAKE_LEASE_MS - FAKE_LEASE_MS / 128 - FAKE_CALL_MS;
}

Test(get, lease_counts_from_before_the_request)
{
    store();
    f.after_copies = take_the_margin;
    expect_get();
    cr_assert_eq(f.lookups, 2);
}

static uint8_t other[VALUE_BYTES];

/* Another value's bytes are where the object says. */
static void reseal(struct fake *fake, struct fake_object *o)
{
    memcpy(fake_at(fake, o->stripes[0].gva[0]), other, sizeof other);
    struct seal seal;
    uint8_t *at = fake_at(fake, o->stripes[0].gva[0]) + extent_seal_offset(sizeof other);
    seal = (struct seal){.sum_kind = SUM_XXH3,
                         .put_id = o->put_id,
                         .gva = o->stripes[0].gva[0],
                         .incarnation = fake_node_of(o->stripes[0].gva[0]) + 11,
                         .stripes = 1,
                         .total_len = sizeof other,
                         .payload_len = sizeof other,
                         .state = SEAL_STATE_LIVE};
    struct sums *s = sums_new(sizeof other);
    sums_update(s, other, sizeof other);
    seal.root = o->stripes[0].root = sums_root(s);
    sums_free(s);
    seal_encode(&seal, at);
}

static void replace_after_copies(struct fake *fake)
{
    struct fake_object *o = fake_find(fake, "k");
    fake->after_copies = NULL;
    fake->now_ms += FAKE_LEASE_MS;
    o->put_id++;
    reseal(fake, o);
}

Test(get, lease_ran_out_and_key_was_replaced__begins_anew)
{
    uint64_t len;
    store();
    fake_fill(other, sizeof other, 2);
    f.after_copies = replace_after_copies;
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, &len), CENOTE_OK);
    cr_assert_eq(memcmp(got, other, sizeof other), 0);
    cr_assert_eq(f.copies, 2);
}

/* The key is replaced between each lookup and its copy. */
static int replace_before_copy(struct fake *fake, struct xcopy_req *x)
{
    struct fake_object *o = fake_find(fake, "k");

    if (x->op != XCOPY_READ || fake->hook[0]-- <= 0)
        return XCOPY_IN_PROGRESS;
    o->put_id++;
    reseal(fake, o);
    return CENOTE_STALE;
}

static void expect_replaced(int (*on_copy)(struct fake *, struct xcopy_req *), int times,
                            unsigned lookups)
{
    store();
    fake_fill(other, sizeof other, 2);
    f.on_copy = on_copy;
    f.hook[0] = times;
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_OK);
    cr_assert_eq(memcmp(got, other, sizeof other), 0);
    cr_assert_eq(f.lookups, lookups);
}

Test(get, replaced_again_and_again__the_newest)
{
    expect_replaced(replace_before_copy, 10, 11);
}

Test(get, replaced_for_ever__timed_out)
{
    store();
    uint64_t begun_ms = f.now_ms;
    f.on_copy = replace_before_copy;
    f.hook[0] = 1000000;
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_TIMED_OUT);
    cr_assert_lt(f.now_ms, begun_ms + 11000);
}

/* A node is back in the last round, and the value is replaced just then. */
static int back_and_replaced(struct fake *fake, struct xcopy_req *x)
{
    if (fake->hook[1]++ < (int)GET_ROUNDS_MAX - 1)
        return CENOTE_NODE_DOWN;
    return replace_before_copy(fake, x);
}

Test(get, void_seal_in_the_last_round__asks_once_more)
{
    expect_replaced(back_and_replaced, 1, GET_ROUNDS_MAX + 1);
}

static int back_and_damaged(struct fake *fake, struct xcopy_req *x)
{
    (void)x;
    return fake->hook[1]++ < (int)GET_ROUNDS_MAX - 1 ? CENOTE_NODE_DOWN : XCOPY_IN_PROGRESS;
}

Test(get, damaged_in_the_last_round__corrupt_when_seen_twice)
{
    store();
    damage(0, 77);
    f.on_copy = back_and_damaged;
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_CORRUPT);
    cr_assert_eq(f.lookups, GET_ROUNDS_MAX + 1);
}

static int node_is_down(struct fake *fake, struct xcopy_req *x)
{
    return (int)fake_node_of(x->gva) == fake->hook[0] ? fake->hook[1] : XCOPY_IN_PROGRESS;
}

Test(get, node_down__other_replica)
{
    f.replicas = 2;
    store();
    f.on_copy = node_is_down;
    f.hook[0] = (int)fake_node_of(fake_find(&f, "k")->stripes[0].gva[0]);
    f.hook[1] = CENOTE_NODE_DOWN;
    expect_get();
    f.hook[0] = (int)fake_node_of(fake_find(&f, "k")->stripes[0].gva[1]);
    memset(got, 0, sizeof got);
    expect_get();
}

Test(get, node_down__no_other)
{
    store();
    f.on_copy = node_is_down;
    f.hook[0] = (int)fake_node_of(fake_find(&f, "k")->stripes[0].gva[0]);
    f.hook[1] = CENOTE_NODE_DOWN;
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_NODE_DOWN);
    cr_assert_eq(f.refreshes, GET_ROUNDS_MAX - 1);
}

Test(get, node_silent__asked_once)
{
    store();
    f.on_copy = node_is_down;
    f.hook[0] = (int)fake_node_of(fake_find(&f, "k")->stripes[0].gva[0]);
    f.hook[1] = CENOTE_TIMED_OUT;
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_TIMED_OUT);
    cr_assert_eq(f.lookups, 1);
}

/* A node that hangs costs the first get its time; the others ask it last, until it moves again. */
Test(get, node_silent__remembered)
{
    f.replicas = 2;
    store();
    f.on_copy = node_is_down;
    for (unsigned r = 0; r < 2; r++) {
        unsigned before = f.copies;
        f.hook[0] = (int)fake_node_of(fake_find(&f, "k")->stripes[0].gva[r]);
        f.hook[1] = CENOTE_TIMED_OUT;
        expect_get();
        expect_get();
        expect_get();
        cr_assert(f.copies - before <= 4);
        f.now_ms += SLOW_FOR_MS;
    }
    f.hook[0] = -1;
    unsigned before = f.copies;
    expect_get();
    expect_get();
    cr_assert_eq(f.copies - before, 2);
}

static int old_boot_once(struct fake *fake, struct xcopy_req *x)
{
    (void)x;
    return fake->hook[0]++ == 0 ? CENOTE_OLD_BOOT : XCOPY_IN_PROGRESS;
}

Test(get, node_lives_another_life__refreshes_the_map)
{
    store();
    f.on_copy = old_boot_once;
    expect_get();
    cr_assert_eq(f.refreshes, 1);
}

Test(get, one_stripe_fails_over_alone)
{
    f.replicas = 2;
    f.stripe_bytes = SUMS_CHUNK_BYTES;
    store();
    *fake_at(&f, fake_find(&f, "k")->stripes[2].gva[0]) ^= 1;
    *fake_at(&f, fake_find(&f, "k")->stripes[3].gva[1]) ^= 1;
    expect_get();
    cr_assert(f.copies <= 6);
}

Test(get, address_on_no_map__refreshes_then_gives_up)
{
    struct locate *empty = locate_new("");
    struct locate *full = f.map;

    store();
    f.map = empty;
    expect_get();
    cr_assert_eq(f.refreshes, 1);
    f.map = full;
    locate_free(empty);

    f.map = locate_new("");
    memset(f.nodes_on_map, 0, sizeof f.nodes_on_map);
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_NODE_DOWN);
    locate_free(f.map);
    f.map = full;
}

/* ---- calls that fail ------------------------------------------------------------------------- */

static int fail_first(struct fake *fake, const char *method, bool *lost)
{
    (void)method;
    (void)lost;
    return fake->hook[0]-- > 0 ? fake->hook[1] : CENOTE_OK;
}

static void fail_lookups(int times, int status)
{
    store();
    f.on_call = fail_first;
    f.hook[0] = times;
    f.hook[1] = status;
}

Test(get, service_away__fails_at_once)
{
    fail_lookups(1000, CENOTE_UNAVAILABLE);
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_UNAVAILABLE);
    cr_assert_eq(f.calls, 1);
}

Test(get, answer_lost__asks_again)
{
    fail_lookups(3, CENOTE_UNKNOWN);
    expect_get();
    cr_assert_eq(f.waits, 2);
}

Test(get, answers_lost_for_ever__unavailable_in_time)
{
    uint64_t begun_ms = f.now_ms;
    fail_lookups(1000, CENOTE_UNKNOWN);
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_UNAVAILABLE);
    cr_assert(f.now_ms - begun_ms <= 10100);
}

Test(get, session_ended__asks_in_the_next)
{
    fail_lookups(1, CENOTE_NO_SESSION);
    expect_get();
}

Test(get, sessions_end_for_ever)
{
    fail_lookups(1000, CENOTE_NO_SESSION);
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_UNAVAILABLE);
}

Test(get, refused)
{
    fail_lookups(1, CENOTE_DENIED);
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_DENIED);
}

/* ---- batches --------------------------------------------------------------------------------- */

#define MANY 1100u

static char keys[MANY][8];
static struct cenote_buffer pieces[MANY];
static struct cenote_get_item items[MANY];
static uint8_t bytes[MANY][4];

static void get_many(void)
{
    struct machine_env env = fake_env(&f);

    for (unsigned i = 0; i < MANY; i++) {
        snprintf(keys[i], sizeof keys[i], "%u", i);
        pieces[i] = (struct cenote_buffer){bytes[i], sizeof bytes[i]};
        items[i] = (struct cenote_get_item){
            .key = {keys[i], strlen(keys[i])}, .buffers = &pieces[i], .buffer_count = 1};
    }
    struct get *g = get_begin(&env, items, MANY);
    fake_run(&f, get_machine(g));
    get_free(g);
}

static void expect_many(void)
{
    for (unsigned i = 0; i < MANY; i++) {
        uint32_t number;
        if (i % 3 != 0) {
            cr_assert_eq(items[i].status, CENOTE_NOT_FOUND);
            continue;
        }
        memcpy(&number, bytes[i], sizeof number);
        cr_assert_eq(items[i].status, CENOTE_OK);
        cr_assert_eq(number, i);
    }
}

static void store_many(void)
{
    for (unsigned i = 0; i < MANY; i += 3) {
        char key[8];
        snprintf(key, sizeof key, "%u", i);
        cr_assert_eq(fake_put(&f, key, &i, sizeof i, 0), CENOTE_OK);
    }
    f.lookups = 0;
}

Test(get, batch_goes_window_by_window)
{
    store_many();
    get_many();
    expect_many();
    cr_assert_eq(f.lookups, 3);
}

Test(get, batch_with_answers_too_long__asks_in_parts)
{
    store_many();
    f.answer_max = 100;
    get_many();
    expect_many();
}
