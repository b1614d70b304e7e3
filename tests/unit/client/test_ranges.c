/* SPDX-License-Identifier: Apache-2.0 */
/* Gets of ranges, against a model that has the value in an array. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/get.h"
#include "tests/unit/client/fake_pool.h"

#define CHUNK       SUMS_CHUNK_BYTES
#define VALUE_BYTES (5 * CHUNK + 1234)
#define ITEMS_MAX   64u
#define PIECES_MAX  8u
#define GUARD       0xeeu

static struct fake f;
static uint8_t value[VALUE_BYTES], got[VALUE_BYTES + 2];
static enum cenote_verify verify;
static struct cenote_range_item items[ITEMS_MAX];
static struct cenote_buffer pieces[ITEMS_MAX][PIECES_MAX];

static void begin(void)
{
    fake_begin(&f);
    fake_fill(value, sizeof value, 1);
    verify = CENOTE_VERIFY_FULL;
}

static void end(void)
{
    fake_end(&f);
}

TestSuite(ranges, .init = begin, .fini = end);

static void store(const char *key, size_t len)
{
    cr_assert_eq(fake_put(&f, key, value, len, 0), CENOTE_OK);
    f.calls = f.copies = f.lookups = f.refreshes = 0;
}

static void run(size_t count)
{
    struct machine_env env = fake_env(&f);
    env.verify = verify;
    struct get *g = get_begin_ranges(&env, items, count);

    cr_assert_not_null(g);
    fake_run(&f, get_machine(g));
    get_free(g);
}

static void want(size_t i, const char *key, uint64_t offset, void *at, size_t len)
{
    pieces[i][0] = (struct cenote_buffer){at, len};
    items[i] = (struct cenote_range_item){.key = {key, strlen(key)},
                                          .offset = offset,
                                          .buffers = pieces[i],
                                          .buffer_count = 1,
                                          .status = 99};
}

/* One range, guarded on both sides. */
static int get_range(const char *key, uint64_t offset, size_t len)
{
    memset(got, GUARD, sizeof got);
    want(0, key, offset, got + 1, len);
    run(1);
    cr_assert_eq(got[0], GUARD);
    cr_assert_eq(got[1 + len], GUARD);
    return items[0].status;
}

static void expect_range(const char *key, uint64_t offset, size_t len)
{
    int status = get_range(key, offset, len);
    cr_assert_eq(status, CENOTE_OK, "%zu bytes at %llu: %s", len, (unsigned long long)offset,
                 cenote_status_name(status));
    cr_assert_eq(memcmp(got + 1, value + offset, len), 0, "%zu bytes at %llu are wrong", len,
                 (unsigned long long)offset);
}

/* ---- borders --------------------------------------------------------------------------------- */

/* Places around the borders of chunks, stripes and the value. */
static size_t borders(uint64_t len, uint64_t stripe, uint64_t *out)
{
    const uint64_t at[] = {0, CHUNK, 2 * CHUNK, stripe, 2 * stripe, len};
    size_t n = 0;

    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        for (int d = -1; d <= 1; d++) {
            if ((at[i] > 0 || d >= 0) && at[i] + (uint64_t)d <= len)
                out[n++] = at[i] + (uint64_t)d;
        }
    }
    return n;
}

static void sweep(uint64_t len, uint64_t stripe)
{
    uint64_t at[32];
    size_t n;

    f.stripe_bytes = stripe;
    store("k", len);
    n = borders(len, stripe ? stripe : len, at);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            if (at[k] >= at[i])
                expect_range("k", at[i], at[k] - at[i]);
        }
    }
}

Test(ranges, all_borders__one_chunk)
{
    sweep(1000, 0);
}

Test(ranges, all_borders__many_chunks)
{
    sweep(VALUE_BYTES, 0);
}

Test(ranges, all_borders__chunks_end_with_the_value)
{
    sweep(3 * CHUNK, 0);
}

Test(ranges, all_borders__stripes_of_whole_chunks)
{
    sweep(VALUE_BYTES, 2 * CHUNK);
}

Test(ranges, all_borders__stripes_of_one_chunk)
{
    sweep(VALUE_BYTES, CHUNK);
}

Test(ranges, all_borders__seal_only)
{
    verify = CENOTE_VERIFY_SEAL;
    sweep(VALUE_BYTES, 2 * CHUNK);
}

Test(ranges, beyond_the_end__bad_range)
{
    store("k", 1000);
    cr_assert_eq(get_range("k", 1000, 0), CENOTE_OK);
    cr_assert_eq(get_range("k", 1000, 1), CENOTE_BAD_RANGE);
    cr_assert_eq(items[0].value_len_bytes, 1000);
    cr_assert_eq(get_range("k", 1001, 0), CENOTE_BAD_RANGE);
    cr_assert_eq(get_range("k", 0, 1001), CENOTE_BAD_RANGE);
    cr_assert_eq(get_range("k", UINT64_MAX, 2), CENOTE_BAD_RANGE);
    cr_assert_eq(get_range("none", 0, 1), CENOTE_NOT_FOUND);
    cr_assert_eq(f.copies, 0);
}

Test(ranges, empty_value)
{
    store("k", 0);
    cr_assert_eq(get_range("k", 0, 0), CENOTE_OK);
    cr_assert_eq(items[0].value_len_bytes, 0);
    cr_assert_eq(get_range("k", 0, 1), CENOTE_BAD_RANGE);
}

Test(ranges, names_the_value_that_was_read)
{
    store("k", 1000);
    cr_assert_eq(get_range("k", 5, 10), CENOTE_OK);
    cr_assert_eq(items[0].put_id, fake_find(&f, "k")->put_id);
    cr_assert_eq(items[0].value_len_bytes, 1000);
}

/* ---- what is read, and how often ------------------------------------------------------------- */

static uint64_t payload_read;

static int count_payload(struct fake *fake, struct xcopy_req *x)
{
    (void)fake;
    payload_read += x->len_bytes;
    return XCOPY_IN_PROGRESS;
}

Test(ranges, reads_the_chunks_that_it_touches)
{
    store("k", VALUE_BYTES);
    f.on_copy = count_payload;
    expect_range("k", CHUNK + 5, CHUNK);
    cr_assert_eq(payload_read, 2 * CHUNK);
    payload_read = 0;
    verify = CENOTE_VERIFY_SEAL;
    expect_range("k", CHUNK + 5, CHUNK);
    cr_assert_eq(payload_read, CHUNK);
}

Test(ranges, one_lookup_for_a_run_of_one_key)
{
    store("a", VALUE_BYTES);
    store("b", VALUE_BYTES);
    f.keys_asked = 0;
    for (size_t i = 0; i < 10; i++)
        want(i, i < 6 ? "a" : "b", i * 1000, got + i * 1000, 1000);
    run(10);
    for (size_t i = 0; i < 10; i++)
        cr_assert_eq(items[i].status, CENOTE_OK);
    cr_assert_eq(memcmp(got, value, 10000), 0);
    cr_assert_eq(f.lookups, 1);
    cr_assert_eq(f.keys_asked, 2);
}

Test(ranges, parts_that_need_much_memory__come_in_several_steps)
{
    store("k", VALUE_BYTES);
    struct cenote_range_item *many = calloc(CENOTE_BATCH_MAX, sizeof *many);
    static uint8_t bytes[CENOTE_BATCH_MAX];
    static struct cenote_buffer at[CENOTE_BATCH_MAX];
    struct machine_env env = fake_env(&f);

    for (size_t i = 0; i < CENOTE_BATCH_MAX; i++) {
        at[i] = (struct cenote_buffer){&bytes[i], 1};
        many[i] = (struct cenote_range_item){
            .key = {"k", 1}, .offset = i * 80, .buffers = &at[i], .buffer_count = 1};
    }
    struct get *g = get_begin_ranges(&env, many, CENOTE_BATCH_MAX);
    fake_run(&f, get_machine(g));
    get_free(g);
    for (size_t i = 0; i < CENOTE_BATCH_MAX; i++) {
        cr_assert_eq(many[i].status, CENOTE_OK);
        cr_assert_eq(bytes[i], value[i * 80]);
    }
    free(many);
}

/* ---- damage and failures --------------------------------------------------------------------- */

static uint8_t *byte_of(unsigned replica, uint64_t offset)
{
    struct fake_object *o = fake_find(&f, "k");
    uint32_t i = 0;

    while (i + 1 < o->stripe_count && o->stripes[i + 1].offset <= offset)
        i++;
    return fake_at(&f, o->stripes[i].gva[replica]) + (offset - o->stripes[i].offset);
}

Test(ranges, damaged_byte__ranges_that_touch_its_chunk)
{
    store("k", VALUE_BYTES);
    *byte_of(0, 2 * CHUNK + 77) ^= 1;
    want(0, "k", 2 * CHUNK - 10, got, 10);
    want(1, "k", 2 * CHUNK - 10, got + 100, 11);
    want(2, "k", 3 * CHUNK - 1, got + 200, 1);
    want(3, "k", 3 * CHUNK, got + 300, CHUNK);
    run(4);
    cr_assert_eq(items[0].status, CENOTE_OK);
    cr_assert_eq(items[1].status, CENOTE_CORRUPT);
    cr_assert_eq(items[2].status, CENOTE_CORRUPT);
    cr_assert_eq(items[3].status, CENOTE_OK);
    cr_assert_eq(memcmp(got, value + 2 * CHUNK - 10, 10), 0);
    cr_assert_eq(memcmp(got + 300, value + 3 * CHUNK, CHUNK), 0);
}

Test(ranges, damaged_list_of_sums__corrupt)
{
    store("k", VALUE_BYTES);
    *(fake_at(&f, fake_find(&f, "k")->stripes[0].gva[0]) + extent_sums_offset(VALUE_BYTES) + 8) ^=
        1;
    cr_assert_eq(get_range("k", 0, 10), CENOTE_CORRUPT);
    /* Who has all bytes needs no list. */
    cr_assert_eq(get_range("k", 0, VALUE_BYTES), CENOTE_OK);
}

/* Sum and byte both changed, so that they agree: only the root tells. */
Test(ranges, forged_chunk_and_sum__corrupt)
{
    uint8_t sum[8];
    struct sums *s = sums_new(CHUNK);

    store("k", VALUE_BYTES);
    *byte_of(0, 5) ^= 1;
    sums_update(s, byte_of(0, 0), CHUNK);
    sums_list(s, sum);
    sums_free(s);
    memcpy(fake_at(&f, fake_find(&f, "k")->stripes[0].gva[0]) + extent_sums_offset(VALUE_BYTES),
           sum, sizeof sum);
    cr_assert_eq(get_range("k", 0, 10), CENOTE_CORRUPT);
}

Test(ranges, damaged_byte__other_replica)
{
    f.replicas = 2;
    f.stripe_bytes = 2 * CHUNK;
    store("k", VALUE_BYTES);
    *byte_of(0, 10) ^= 1;
    *byte_of(1, 3 * CHUNK) ^= 1;
    expect_range("k", 9, 4 * CHUNK);
}

Test(ranges, void_seal__corrupt)
{
    store("k", VALUE_BYTES);
    *(fake_at(&f, fake_find(&f, "k")->stripes[0].gva[0]) + extent_seal_offset(VALUE_BYTES) +
      SEAL_STATE_OFFSET) ^= 1;
    cr_assert_eq(get_range("k", 0, 10), CENOTE_CORRUPT);
}

static int node_is_down(struct fake *fake, struct xcopy_req *x)
{
    return (int)fake_node_of(x->gva) == fake->hook[0] ? CENOTE_NODE_DOWN : XCOPY_IN_PROGRESS;
}

Test(ranges, node_down__failover_by_stripe)
{
    f.replicas = 2;
    f.stripe_bytes = CHUNK;
    store("k", VALUE_BYTES);
    f.on_copy = node_is_down;
    for (f.hook[0] = 0; f.hook[0] < (int)FAKE_NODES; f.hook[0]++)
        expect_range("k", 10, VALUE_BYTES - 20);
}

Test(ranges, node_down__no_other)
{
    store("k", VALUE_BYTES);
    f.on_copy = node_is_down;
    f.hook[0] = (int)fake_node_of(fake_find(&f, "k")->stripes[0].gva[0]);
    cr_assert_eq(get_range("k", 1, 1), CENOTE_NODE_DOWN);
}

static void take_long(struct fake *fake)
{
    fake->now_ms += FAKE_LEASE_MS;
}

Test(ranges, lease_ran_out__a_fresh_lookup_confirms_the_bytes)
{
    f.stripe_bytes = CHUNK;
    store("k", VALUE_BYTES);
    f.after_copies = take_long;
    expect_range("k", 2 * CHUNK + 1, CHUNK);
    cr_assert_eq(f.lookups, 2);
    cr_assert_eq(f.copies, 2);
}

/* ---- at random ------------------------------------------------------------------------------- */

static uint32_t dice(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % below);
}

static size_t scatter(uint64_t *state, uint8_t *at, size_t len, struct cenote_buffer *out)
{
    size_t count = 0;

    for (size_t done = 0; count < PIECES_MAX - 1 && done < len; count++) {
        size_t n = dice(state, (uint32_t)(len - done) + 1);
        out[count] = (struct cenote_buffer){at + done, n};
        at += n;
        len -= n;
    }
    out[count++] = (struct cenote_buffer){at, len};
    return count;
}

Test(ranges, at_random)
{
    const char *text = getenv("CENOTE_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 4711, state = seed;

    printf("CENOTE_SEED=%llu\n", (unsigned long long)seed);
    f.replicas = 2;
    for (unsigned round = 0; round < 40; round++) {
        uint64_t len = dice(&state, VALUE_BYTES + 1), stripe = (1 + dice(&state, 3)) * CHUNK;
        size_t count = 1 + dice(&state, 4), at = 0;

        if (round > 0)
            fake_remove(&f, "k");
        memset(f.used, 0, sizeof f.used);
        f.stripe_bytes = (len / stripe + 1) * 2 > FAKE_EXTENTS ? 0 : stripe;
        cr_assert_eq(fake_put(&f, "k", value, len, 0), CENOTE_OK);
        memset(got, GUARD, sizeof got);
        for (size_t i = 0; i < count; i++) {
            uint64_t offset = dice(&state, (uint32_t)len + 1);
            size_t n = dice(&state, (uint32_t)(len - offset) + 1) / count;
            want(i, "k", offset, got + at, n);
            items[i].buffer_count = scatter(&state, got + at, n, pieces[i]);
            at += n;
        }
        run(count);
        at = 0;
        for (size_t i = 0; i < count; i++) {
            size_t n = 0;
            for (size_t k = 0; k < items[i].buffer_count; k++)
                n += items[i].buffers[k].len_bytes;
            cr_assert_eq(items[i].status, CENOTE_OK, "round %u", round);
            cr_assert_eq(memcmp(got + at, value + items[i].offset, n), 0, "round %u", round);
            at += n;
        }
        cr_assert_eq(got[at], GUARD);
    }
}

/* ---- with what is known ---------------------------------------------------------------------- */

Test(ranges, known_key__no_lookup)
{
    f.cache = cache_new(CACHE_BYTES_DEFAULT);
    store("k", VALUE_BYTES);
    cr_assert_eq(fake_get(&f, "k", got, sizeof got, NULL), CENOTE_OK);
    f.lookups = 0;
    expect_range("k", CHUNK - 5, 10);
    cr_assert_eq(f.lookups, 0);
    /* What doesn't fit, and what reads no seal, is the service's to say. */
    cr_assert_eq(get_range("k", VALUE_BYTES, 1), CENOTE_BAD_RANGE);
    cr_assert_eq(f.lookups, 1);
    expect_range("k", 7, 0);
    cr_assert_eq(f.lookups, 2);
    fake_remove(&f, "k");
    cr_assert_eq(get_range("k", 0, 0), CENOTE_NOT_FOUND);
    cr_assert_eq(get_range("k", 0, 10), CENOTE_NOT_FOUND);
}

Test(ranges, a_range_makes_its_key_known__if_it_touches_all_stripes)
{
    f.cache = cache_new(CACHE_BYTES_DEFAULT);
    f.stripe_bytes = 2 * CHUNK;
    store("k", VALUE_BYTES);
    expect_range("k", 5, 10);
    cr_assert_eq(f.lookups, 1);
    expect_range("k", 5, VALUE_BYTES - 10);
    cr_assert_eq(f.lookups, 2);
    expect_range("k", 2 * CHUNK, 100);
    cr_assert_eq(f.lookups, 2);
}
