/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Views, by the machine alone, with a cache, and by the warm way: each case runs in all three. The
 * fake pool's clock is the test's.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/client/fake_pool.h"

#define VALUE_BYTES 200000u
#define ALL         (-1)

static struct fake f;
static uint8_t first[VALUE_BYTES], second[VALUE_BYTES];
static struct view_result seen;

static void begin(void)
{
    hash_init();
    fake_begin(&f);
    fake_fill(first, sizeof first, 1);
    fake_fill(second, sizeof second, 2);
}

static void begin_cached(void)
{
    begin();
    f.cache = cache_new(CACHE_BYTES_DEFAULT);
    cr_assert_not_null(f.cache);
}

/* Whatever happened: nothing is held that nobody knows of. */
static void end(void)
{
    cr_assert_eq(f.held, 0, "%u extents are held still", f.held);
    cr_assert_eq(f.copies, f.hook[3], "a view copies nothing");
    fake_end(&f);
}

TestSuite(plain, .init = begin, .fini = end);
TestSuite(cached, .init = begin_cached, .fini = end);
TestSuite(warm, .init = begin_cached, .fini = end);

#define CASE(name)                                                                                 \
    static void case_##name(void);                                                                 \
    Test(plain, name)                                                                              \
    {                                                                                              \
        case_##name();                                                                             \
    }                                                                                              \
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
    f.hook[3] = (int)f.copies;
}

static int view(enum cenote_verify verify)
{
    f.lookups = f.holds = 0;
    return fake_view(&f, "k", verify, &seen);
}

static void expect_verified(const uint8_t *value, enum cenote_verify verify)
{
    int status = view(verify);
    cr_assert_eq(status, CENOTE_OK, "%s", cenote_status_text(status));
    cr_assert_eq(seen.len_bytes, VALUE_BYTES);
    cr_assert_eq(seen.put_id, fake_find(&f, "k")->put_id);
    cr_assert_eq(f.held, 1);
    if (value)
        cr_assert_eq(memcmp(seen.data, value, VALUE_BYTES), 0);
    fake_release(&f);
}

static void expect(const uint8_t *value)
{
    expect_verified(value, CENOTE_VERIFY_FULL);
}

static void expect_status(int wanted)
{
    int status = view(CENOTE_VERIFY_FULL);
    cr_assert_eq(status, wanted, "%s", cenote_status_text(status));
    cr_assert_eq(f.held, 0);
}

static void damage(unsigned replica)
{
    fake_at(&f, fake_find(&f, "k")->stripes[0].gva[replica])[VALUE_BYTES / 2] ^= 1;
}

CASE(value__looked_at_where_it_lies)
{
    store(first, 0);
    for (unsigned i = 0; i < 3; i++) {
        expect(first);
        cr_assert_eq(seen.data, fake_at(&f, fake_find(&f, "k")->stripes[0].gva[0]));
        cr_assert_eq(f.lookups, f.cache && i > 0 ? 0 : 1);
        cr_assert_eq(f.holds, 1);
    }
}

CASE(missing_key)
{
    expect_status(CENOTE_NOT_FOUND);
    cr_assert_eq(f.holds, 0);
}

CASE(empty_value)
{
    cr_assert_eq(fake_put(&f, "k", NULL, 0, 0), CENOTE_OK);
    f.hook[3] = (int)f.copies;
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(view(CENOTE_VERIFY_FULL), CENOTE_OK);
        cr_assert(seen.data != NULL && seen.len_bytes == 0);
        fake_release(&f);
    }
}

CASE(striped__not_supported)
{
    f.stripe_bytes = SUMS_CHUNK_BYTES;
    store(first, 0);
    expect_status(CENOTE_NOT_SUPPORTED);
    expect_status(CENOTE_NOT_SUPPORTED);
    cr_assert_eq(f.holds, 0);
}

/* hook[0]: the node, from 1 on, that can't; ALL: none can. hook[1]: how it says so. */
static int node_cannot(struct fake *fake, struct fabric_hold *h)
{
    bool it = fake->hook[0] == ALL || h->node == (uint64_t)fake->hook[0];
    return it ? fake->hook[1] : XCOPY_IN_PROGRESS;
}

static void cannot(int node, int status)
{
    f.on_hold = node_cannot;
    f.hook[0] = node;
    f.hook[1] = status;
}

/* The value is replaced between lookup and hold. */
static int replaced(struct fake *fake)
{
    struct fake_object *o = fake_find(fake, "k");
    uint8_t *at = fake_at(fake, o->stripes[0].gva[0]) + extent_seal_offset(VALUE_BYTES);
    struct seal seal;
    cr_assert_eq(seal_decode(at, &seal), CENOTE_OK);
    seal.put_id = ++o->put_id;
    seal_encode(&seal, at);
    return XCOPY_IN_PROGRESS;
}

/* A node is back in the last round, and the value is replaced in it. hook[0]: holds; hook[1]: those
 * of a lookup from the cache, which finds it replaced as well. */
static int back_and_replaced(struct fake *fake, struct fabric_hold *h)
{
    (void)h;
    int round = fake->hook[0]++ - fake->hook[1] + 1;
    if (round >= 1 && round < (int)VIEW_ROUNDS_MAX)
        return CENOTE_NODE_DOWN;
    return round > (int)VIEW_ROUNDS_MAX ? XCOPY_IN_PROGRESS : replaced(fake);
}

CASE(another_seal_in_the_last_round__asks_once_more)
{
    store(first, 0);
    f.on_hold = back_and_replaced;
    expect(first);
    cr_assert_eq(f.lookups, VIEW_ROUNDS_MAX + 1);
}

/* What the cache knew is no round, and no doubt of one. */
Test(cached, another_seal_behind_the_cache_and_in_the_last_round)
{
    store(first, 0);
    expect(first);
    f.on_hold = back_and_replaced;
    f.hook[1] = 1;
    expect(first);
    cr_assert_eq(f.lookups, VIEW_ROUNDS_MAX + 1);
}

CASE(no_shared_memory__not_supported)
{
    f.replicas = 2;
    store(first, 0);
    cannot(ALL, CENOTE_NOT_SUPPORTED);
    expect_status(CENOTE_NOT_SUPPORTED);
    cr_assert_eq(f.holds, 2);
    cr_assert_eq(f.lookups, 1);
}

CASE(one_replica_by_shared_memory)
{
    f.replicas = 3;
    store(first, 0);
    for (int node = 1; node <= (int)FAKE_NODES; node++) {
        cannot(node, CENOTE_NOT_SUPPORTED);
        expect(first);
    }
}

CASE(node_down__the_other_replica)
{
    f.replicas = 3;
    store(first, 0);
    expect(first);
    for (int node = 1; node <= (int)FAKE_NODES; node++) {
        cannot(node, CENOTE_NODE_DOWN);
        expect(first);
    }
}

CASE(all_down)
{
    f.replicas = 2;
    store(first, 0);
    expect(first);
    cannot(ALL, CENOTE_NODE_DOWN);
    expect_status(CENOTE_NODE_DOWN);
}

CASE(damaged__the_other_replica)
{
    f.replicas = 2;
    store(first, 0);
    damage(0);
    expect(first);
    expect(first);
}

CASE(damaged_everywhere)
{
    f.replicas = 2;
    store(first, 0);
    damage(0);
    damage(1);
    expect_status(CENOTE_CORRUPT);
    cr_assert_eq(f.held, 0);
}

CASE(verify_seal__sums_nothing)
{
    store(first, 0);
    damage(0);
    expect_verified(NULL, CENOTE_VERIFY_SEAL);
    expect_verified(NULL, CENOTE_VERIFY_SEAL);
    expect_status(CENOTE_CORRUPT); /* that it was looked at says nothing about the sums */
}

/* Once is enough, also when the lookup is made anew; what is replaced is another matter. */
CASE(sums__remembered)
{
    store(first, 0);
    expect(first);
    damage(0);
    if (!f.cache) {
        expect_status(CENOTE_CORRUPT);
        return;
    }
    expect(NULL);
    f.now_ms += 2 * FAKE_LEASE_MS;
    expect(NULL);
    cr_assert_eq(f.lookups, 1);
    store(second, PUT_START_REPLACE);
    damage(0);
    expect_status(CENOTE_CORRUPT);
}

CASE(removed__not_found)
{
    store(first, 0);
    expect(first);
    fake_remove(&f, "k");
    expect_status(CENOTE_NOT_FOUND);
}

CASE(replaced__the_new_value)
{
    store(first, 0);
    expect(first);
    store(second, PUT_START_REPLACE);
    expect(second);
}

static void remove_it(struct fake *fake)
{
    fake->after_copies = NULL;
    fake_remove(fake, "k");
}

/* The seal was right when the hold was there: what comes after that doesn't count. */
CASE(removed_behind_the_hold__is_a_view)
{
    store(first, 0);
    f.after_copies = remove_it;
    cr_assert_eq(view(CENOTE_VERIFY_FULL), CENOTE_OK);
    cr_assert_eq(memcmp(seen.data, first, VALUE_BYTES), 0);
    fake_release(&f);
    expect_status(CENOTE_NOT_FOUND);
}

static void take_long(struct fake *fake)
{
    if (fake->hook[2]-- > 0)
        fake->now_ms += 2 * FAKE_LEASE_MS;
}

CASE(lease_ran_out__asks_again)
{
    store(first, 0);
    expect(first);
    f.after_copies = take_long;
    f.hook[2] = 1;
    expect(first);
    cr_assert_eq(f.lookups, f.cache ? 1 : 2);
    f.hook[2] = 1000;
    expect_status(CENOTE_TIMED_OUT);
}

/* A node that is away from the service may not have heard of the remove. */
CASE(lease_is_over_and_the_key_is_gone)
{
    store(first, 0);
    expect(first);
    fake_find(&f, "k")->state = FAKE_ABORTED;
    f.now_ms += FAKE_LEASE_MS;
    expect_status(CENOTE_NOT_FOUND);
}

CASE(unknown_address__map_is_refreshed)
{
    store(first, 0);
    locate_forget_version(f.map);
    f.refreshes = 0;
    locate_free(f.map);
    f.map = locate_new("here");
    expect(first);
    cr_assert_eq(f.refreshes, 1);
}

static int unavailable(struct fake *fake, const char *method, bool *lost)
{
    (void)fake;
    (void)method;
    (void)lost;
    return CENOTE_UNAVAILABLE;
}

CASE(service_away)
{
    store(first, 0);
    expect(first);
    f.on_call = unavailable;
    if (f.cache)
        expect(first);
    f.now_ms += FAKE_LEASE_MS;
    expect_status(CENOTE_UNAVAILABLE);
}
