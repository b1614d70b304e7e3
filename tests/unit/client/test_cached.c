/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gets that begin with what the cache knows, by the machine and by the warm way: each case runs in
 * both. The fake pool's clock is the test's.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/get.h"
#include "tests/unit/client/fake_pool.h"

#define VALUE_BYTES 5000u

static struct fake f;
static uint8_t first[VALUE_BYTES], second[VALUE_BYTES], got[VALUE_BYTES];

static void begin(void)
{
    hash_init();
    fake_begin(&f);
    f.cache = cache_new(CACHE_BYTES_DEFAULT);
    cr_assert_not_null(f.cache);
    fake_fill(first, sizeof first, 1);
    fake_fill(second, sizeof second, 2);
}

static void end(void)
{
    fake_end(&f);
}

TestSuite(cached, .init = begin, .fini = end);
TestSuite(warm, .init = begin, .fini = end);

#define CASE(name)                                                                                 \
    static void case_##name(void);                                                                 \
    Test(cached, name)                                                                             \
    {                                                                                              \
        case_##name();                                                                             \
    }                                                                                              \
    Test(warm, name)                                                                               \
    {                                                                                              \
        f.warm = true;                                                                             \
        case_##name();                                                                             \
    }                                                                                              \
    static void case_##name(void)

static void store(const uint8_t *value, unsigned flags)
{
    cr_assert_eq(fake_put(&f, "k", value, VALUE_BYTES, flags), CENOTE_OK);
}

static int get(void)
{
    memset(got, 0, sizeof got);
    return fake_get(&f, "k", got, sizeof got, NULL);
}

static void expect(const uint8_t *value, unsigned lookups, unsigned copies)
{
    f.lookups = f.copies = 0;
    int status = get();
    cr_assert_eq(status, CENOTE_OK, "%s", cenote_status_name(status));
    cr_assert_eq(memcmp(got, value, sizeof got), 0);
    cr_assert_eq(f.lookups, lookups, "%u lookups", f.lookups);
    cr_assert_eq(f.copies, copies, "%u copies", f.copies);
}

/* One get that asks, so that the next needn't. */
static void store_and_learn(void)
{
    store(first, 0);
    expect(first, 1, 1);
}

CASE(known_key__no_lookup)
{
    unsigned calls;

    store_and_learn();
    calls = f.calls;
    expect(first, 0, 1);
    expect(first, 0, 1);
    cr_assert_eq(f.calls, calls);
}

CASE(empty_value)
{
    cr_assert_eq(fake_put(&f, "e", NULL, 0, 0), CENOTE_OK);
    f.lookups = 0;
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(fake_get(&f, "e", NULL, 0, NULL), CENOTE_OK);
    cr_assert_eq(f.lookups, 1);
}

CASE(missing_key__asked_each_time)
{
    cr_assert_eq(get(), CENOTE_NOT_FOUND);
    cr_assert_eq(get(), CENOTE_NOT_FOUND);
    cr_assert_eq(f.lookups, 2);
}

CASE(verify_seal__no_lookup_either)
{
    struct cenote_buffer piece = {got, sizeof got};
    struct cenote_get_item item = {.key = {"k", 1}, .buffers = &piece, .buffer_count = 1};
    struct machine_env env = fake_env(&f);

    store_and_learn();
    f.lookups = 0;
    env.verify = CENOTE_VERIFY_SEAL;
    if (f.warm) {
        cr_assert(warm_get(&env, &fake_warm, &f, &item));
    } else {
        struct get *g = get_begin(&env, &item, 1);
        fake_run(&f, get_machine(g));
        get_free(g);
    }
    cr_assert_eq(item.status, CENOTE_OK);
    cr_assert_eq(f.lookups, 0);
}

/* ---- the lease's end ------------------------------------------------------------------------- */

/* Another client replaced the value when the lease was over; the node could not be told to void
 * the old seal, and serves it still. */
static void replace_without_void(void)
{
    strcpy(fake_find(&f, "k")->key, "gone");
    store(second, 0);
}

CASE(lease_is_over_and_the_node_still_serves__asks)
{
    store_and_learn();
    f.now_ms += FAKE_LEASE_MS;
    replace_without_void();
    expect(second, 1, 1);
}

/* The answer is as old as its question, and the service's clock may be faster. */
CASE(lease_counts_from_the_question_less_the_drift)
{
    uint64_t asked_ms;

    store(first, 0);
    asked_ms = f.now_ms;
    expect(first, 1, 1);
    f.now_ms = asked_ms + FAKE_LEASE_MS - FAKE_LEASE_MS / 128 - 1 - FAKE_CALL_MS - 1;
    expect(first, 0, 1);
    f.now_ms = asked_ms + FAKE_LEASE_MS - FAKE_LEASE_MS / 128 - 1;
    expect(first, 1, 1);
}

static void clock_jumps(struct fake *fake)
{
    fake->after_copies = NULL;
    fake->now_ms += FAKE_LEASE_MS;
    replace_without_void();
}

/* What was read before the jump may be anybody's. */
CASE(clock_jumps_while_copying__asks)
{
    store_and_learn();
    f.after_copies = clock_jumps;
    unsigned lookups = f.lookups;
    cr_assert_eq(get(), CENOTE_OK);
    cr_assert_eq(memcmp(got, second, sizeof got), 0);
    cr_assert_eq(f.lookups, lookups + 1);
}

static void copy_takes_the_lease(struct fake *fake)
{
    fake->after_copies = NULL;
    fake->now_ms += FAKE_LEASE_MS;
}

CASE(lease_ends_while_copying__the_same_put_is_confirmed)
{
    store_and_learn();
    f.after_copies = copy_takes_the_lease;
    expect(first, 1, f.warm ? 2 : 1); /* the machine keeps what it has read; the warm get doesn't */
    expect(first, 0, 1);
}

/* ---- changes --------------------------------------------------------------------------------- */

CASE(replaced__the_new_value)
{
    store_and_learn();
    store(second, CENOTE_PUT_REPLACE);
    expect(second, 1, 2); /* the void seal first */
    expect(second, 0, 1);
}

CASE(removed__not_found)
{
    store_and_learn();
    fake_remove(&f, "k");
    cr_assert_eq(get(), CENOTE_NOT_FOUND);
    store(second, 0);
    expect(second, 1, 1);
}

static void replace_after_copy(struct fake *fake)
{
    fake->after_copies = NULL;
    store(second, CENOTE_PUT_REPLACE);
}

/* The get began before the replace was answered: it may return the older value, once. */
CASE(replaced_after_the_seal_was_read__still_linear)
{
    store_and_learn();
    f.after_copies = replace_after_copy;
    expect(first, 0, 1 + 1);
    expect(second, 1, 2);
}

static uint8_t *byte_of(const char *key)
{
    return fake_at(&f, fake_find(&f, key)->stripes[0].gva[0]);
}

CASE(damaged__never_returned)
{
    store_and_learn();
    *byte_of("k") ^= 1;
    cr_assert_eq(get(), CENOTE_CORRUPT);
    *byte_of("k") ^= 1;
    expect(first, 1, 1);
}

CASE(longer_value__fresh_length)
{
    static uint8_t longer[VALUE_BYTES + 1];
    uint64_t len = 0;

    store_and_learn();
    cr_assert_eq(fake_put(&f, "k", longer, sizeof longer, CENOTE_PUT_REPLACE), CENOTE_OK);
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, &len), CENOTE_BUFFER_SIZE);
    cr_assert_eq(len, sizeof longer);
}

CASE(buffer_too_small__said_of_the_newest)
{
    uint64_t len = 0;

    store_and_learn();
    f.lookups = 0;
    cr_assert_eq(fake_get(&f, "k", got, 10, &len), CENOTE_BUFFER_SIZE);
    cr_assert_eq(len, VALUE_BYTES);
    cr_assert_eq(f.lookups, 1);
}

/* ---- nodes ----------------------------------------------------------------------------------- */

static int fail_with(struct fake *fake, struct xcopy_req *x)
{
    return (int)fake_node_of(x->gva) == fake->hook[0] && fake->hook[2]-- > 0 ? fake->hook[1]
                                                                             : XCOPY_IN_PROGRESS;
}

static void fail_copies(unsigned replica, int status, int times)
{
    f.on_copy = fail_with;
    f.hook[0] = (int)fake_node_of(fake_find(&f, "k")->stripes[0].gva[replica]);
    f.hook[1] = status;
    f.hook[2] = times;
}

CASE(node_is_down__asks_and_says_so)
{
    store_and_learn();
    fail_copies(0, CENOTE_NODE_DOWN, 1000);
    f.lookups = 0;
    cr_assert_eq(get(), CENOTE_NODE_DOWN);
    cr_assert(f.lookups >= 1);
}

/* The node was started again: same memory, another boot, and a map that is out of date. */
CASE(node_lives_another_life__one_more_lookup)
{
    store_and_learn();
    fail_copies(0, CENOTE_OLD_BOOT, f.warm ? 2 : 1);
    f.lookups = f.refreshes = 0;
    cr_assert_eq(get(), CENOTE_OK);
    cr_assert_eq(memcmp(got, first, sizeof got), 0);
    cr_assert_eq(f.lookups, 1);
    cr_assert_eq(f.refreshes, 1);
    expect(first, 0, 1);
}

CASE(node_is_down__other_replica_without_asking)
{
    f.replicas = 2;
    store_and_learn();
    fail_copies(0, CENOTE_NODE_DOWN, 1000);
    expect(first, 0, f.warm ? 1 + 2 : 2);
    fail_copies(1, CENOTE_NODE_DOWN, 1000);
    f.lookups = 0;
    cr_assert_eq(get(), CENOTE_OK);
    cr_assert_eq(f.lookups, 0);
}

/* A node that doesn't answer is waited for once, also if the service names it again. */
CASE(node_is_silent__waited_for_once)
{
    store_and_learn();
    fail_copies(0, CENOTE_TIMED_OUT, 1000);
    f.lookups = f.copies = 0;
    cr_assert_eq(get(), CENOTE_TIMED_OUT);
    cr_assert_eq(f.lookups, 1);
    cr_assert(f.copies <= 2);
}

static int silent_until_replaced(struct fake *fake, struct xcopy_req *x)
{
    if (x->op != XCOPY_READ || fake->hook[2]-- <= 0)
        return XCOPY_IN_PROGRESS;
    fake->now_ms += 20000;
    replace_without_void();
    return CENOTE_TIMED_OUT;
}

CASE(node_is_silent_and_the_value_is_new_elsewhere__the_new_value)
{
    store_and_learn();
    f.on_copy = silent_until_replaced;
    f.hook[2] = 1;
    f.lookups = 0;
    cr_assert_eq(get(), CENOTE_OK);
    cr_assert_eq(memcmp(got, second, sizeof got), 0);
    cr_assert_eq(f.lookups, 1);
}

CASE(address_on_no_map__refreshes)
{
    struct locate *full = f.map;

    store_and_learn();
    f.map = locate_new("here");
    f.refreshes = 0;
    expect(first, 0, 1);
    cr_assert_eq(f.refreshes, 1);
    locate_free(f.map);
    f.map = full;
}

/* ---- stripes and batches --------------------------------------------------------------------- */

Test(cached, stripes_up_to_a_few)
{
    static uint8_t value[5 * SUMS_CHUNK_BYTES], back[sizeof value];

    f.warm = true;
    f.stripe_bytes = SUMS_CHUNK_BYTES;
    for (unsigned stripes = 1; stripes <= CACHE_STRIPES_MAX + 1; stripes++) {
        char key[8];
        size_t len = stripes * SUMS_CHUNK_BYTES;
        snprintf(key, sizeof key, "s%u", stripes);
        fake_fill(value, len, stripes);
        cr_assert_eq(fake_put(&f, key, value, len, 0), CENOTE_OK);
        cr_assert_eq(fake_get(&f, key, back, sizeof back, NULL), CENOTE_OK);
        f.lookups = 0;
        memset(back, 0, sizeof back);
        cr_assert_eq(fake_get(&f, key, back, sizeof back, NULL), CENOTE_OK);
        cr_assert_eq(memcmp(back, value, len), 0);
        cr_assert_eq(f.lookups, stripes > CACHE_STRIPES_MAX);
    }
}

#define MANY 600u

static void get_many(unsigned count, int *statuses)
{
    static char keys[MANY][8];
    static struct cenote_buffer pieces[MANY];
    static struct cenote_get_item items[MANY];
    static uint32_t numbers[MANY];
    struct machine_env env = fake_env(&f);

    for (uint32_t i = 0; i < count; i++) {
        snprintf(keys[i], sizeof keys[i], "%u", i);
        pieces[i] = (struct cenote_buffer){&numbers[i], sizeof numbers[i]};
        items[i] = (struct cenote_get_item){
            .key = {keys[i], strlen(keys[i])}, .buffers = &pieces[i], .buffer_count = 1};
    }
    struct get *g = get_begin(&env, items, count);
    fake_run(&f, get_machine(g));
    get_free(g);
    for (uint32_t i = 0; i < count; i++) {
        statuses[i] = items[i].status;
        cr_assert(statuses[i] != CENOTE_OK || numbers[i] == i);
    }
}

Test(cached, batch__asks_for_what_is_not_known)
{
    static int statuses[MANY];

    for (uint32_t i = 0; i < MANY; i++) {
        char key[8];
        snprintf(key, sizeof key, "%u", i);
        cr_assert_eq(fake_put(&f, key, &i, sizeof i, 0), CENOTE_OK);
    }
    get_many(MANY, statuses);
    f.lookups = 0;
    get_many(MANY, statuses);
    cr_assert_eq(f.lookups, 0);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(statuses[i], CENOTE_OK);

    fake_remove(&f, "3");
    fake_remove(&f, "599");
    get_many(MANY, statuses);
    cr_assert_eq(f.lookups, 2, "one in each window");
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(statuses[i], i == 3 || i == 599 ? CENOTE_NOT_FOUND : CENOTE_OK);
}

/* ---- what the warm get leaves to the machine ------------------------------------------------- */

static bool refuse(void *arg, struct fabric_req *req)
{
    (void)arg;
    (void)req;
    return false;
}

static uint64_t now(void *arg)
{
    (void)arg;
    return f.now_ms;
}

Test(warm, not_readable_at_once__stays_known)
{
    const struct warm_ops ops = {.read = refuse, .now_ms = now};
    struct cenote_buffer piece = {got, sizeof got};
    struct cenote_get_item item = {
        .key = {"k", 1}, .buffers = &piece, .buffer_count = 1, .status = 99};
    struct machine_env env = fake_env(&f);

    store_and_learn();
    cr_assert_not(warm_get(&env, &ops, NULL, &item));
    cr_assert_eq(item.status, 99);
    expect(first, 0, 1);
}

Test(warm, pieces)
{
    struct cenote_buffer pieces[3] = {{got, 1000}, {NULL, 0}, {got + 1000, sizeof got - 1000}};
    struct cenote_get_item item = {.key = {"k", 1}, .buffers = pieces, .buffer_count = 3};
    struct machine_env env = fake_env(&f);

    store_and_learn();
    memset(got, 0, sizeof got);
    cr_assert(warm_get(&env, &fake_warm, &f, &item));
    cr_assert_eq(item.len_bytes, VALUE_BYTES);
    cr_assert_eq(memcmp(got, first, sizeof got), 0);
}

Test(warm, no_cache)
{
    struct cenote_get_item item = {.key = {"k", 1}};
    struct machine_env env = fake_env(&f);

    env.cache = NULL;
    cr_assert_not(warm_get(&env, &fake_warm, &f, &item));
}
