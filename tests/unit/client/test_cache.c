/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/cache.h"
#include "transport/base/hash.h"

#define LEASE_END_MS 1000u
#define SMALL_BYTES  (16u << 10)
#define MANY         2000u

static struct cache *cache;

static void begin(void)
{
    hash_init();
    cache = cache_new(CACHE_BYTES_DEFAULT);
    cr_assert_not_null(cache);
}

static void end(void)
{
    cache_free(cache);
}

TestSuite(cache, .init = begin, .fini = end);

static struct cenote_key key(const char *text)
{
    return (struct cenote_key){text, strlen(text)};
}

static struct cache_found answer(uint64_t put_id, uint32_t stripes, uint32_t replicas)
{
    struct cache_found f = {.put_id = put_id,
                            .len_bytes = 100 * stripes,
                            .lease_end_ms = LEASE_END_MS,
                            .sum_kind = SUM_XXH3,
                            .stripe_count = stripes};

    for (uint32_t i = 0; i < stripes; i++) {
        struct stripe *s = &f.stripes[i];
        *s = (struct stripe){
            .offset = 100 * i, .payload_len = 100, .root = put_id + i, .replicas = replicas};
        for (uint32_t r = 0; r < replicas; r++)
            s->gva[r] = gva_make(GVA_FIRST + put_id * 4096 + i * 256 + r);
    }
    return f;
}

static void add(const char *text, uint64_t put_id)
{
    struct cenote_key k = key(text);
    struct cache_found f = answer(put_id, 1, 1);
    cache_add(cache, &k, &f);
}

/* The put id of what is known; 0: nothing. */
static uint64_t known(const char *text, uint64_t now_ms)
{
    struct cenote_key k = key(text);
    struct cache_found f;
    return cache_find(cache, &k, now_ms, &f) ? f.put_id : 0;
}

Test(cache, find__what_was_added)
{
    struct cache_found in = answer(5, CACHE_STRIPES_MAX, REPLICAS_MAX), out;
    struct cenote_key k = key("k");

    cr_assert_not(cache_find(cache, &k, 0, &out));
    cache_add(cache, &k, &in);
    cr_assert(cache_find(cache, &k, 0, &out));
    cr_assert_eq(out.put_id, 5);
    cr_assert_eq(out.len_bytes, in.len_bytes);
    cr_assert_eq(out.lease_end_ms, LEASE_END_MS);
    cr_assert_eq(out.sum_kind, SUM_XXH3);
    cr_assert_eq(out.stripe_count, CACHE_STRIPES_MAX);
    for (uint32_t i = 0; i < out.stripe_count; i++) {
        const struct stripe *a = &in.stripes[i], *b = &out.stripes[i];
        cr_assert(a->offset == b->offset && a->payload_len == b->payload_len &&
                  a->root == b->root && a->replicas == b->replicas);
        cr_assert_eq(memcmp(a->gva, b->gva, sizeof a->gva), 0);
    }
}

Test(cache, find__keys_that_begin_alike)
{
    char a[CENOTE_KEY_MAX], b[CENOTE_KEY_MAX];
    struct cenote_key long_a = {a, sizeof a}, long_b = {b, sizeof b};
    struct cache_found one = answer(1, 1, 1), two = answer(2, 1, 1), out;

    memset(a, 'x', sizeof a);
    memcpy(b, a, sizeof b);
    b[CENOTE_KEY_MAX - 1] = 'y';
    cache_add(cache, &long_a, &one);
    cr_assert_not(cache_find(cache, &long_b, 0, &out));
    cache_add(cache, &long_b, &two);
    cr_assert(cache_find(cache, &long_a, 0, &out) && out.put_id == 1);
    cr_assert(cache_find(cache, &long_b, 0, &out) && out.put_id == 2);
    long_a.len_bytes--;
    cr_assert_not(cache_find(cache, &long_a, 0, &out));
}

Test(cache, find__not_from_the_end_of_the_lease_on)
{
    add("k", 5);
    cr_assert_eq(known("k", LEASE_END_MS - 1), 5);
    cr_assert_eq(known("k", LEASE_END_MS), 0);
    cr_assert_eq(known("k", 0), 0, "it was dropped for good");
}

Test(cache, find__a_clock_that_went_back_is_no_help)
{
    add("k", 5);
    cr_assert_eq(known("k", UINT64_MAX), 0);
    cr_assert_eq(known("k", LEASE_END_MS - 1), 0);
}

Test(cache, add__the_newer_put_stays)
{
    add("k", 5);
    add("k", 7);
    cr_assert_eq(known("k", 0), 7);
    add("k", 6);
    cr_assert_eq(known("k", 0), 7);
}

Test(cache, add__the_longer_lease_stays)
{
    struct cenote_key k = key("k");
    struct cache_found f = answer(5, 1, 1), out;

    cache_add(cache, &k, &f);
    f.lease_end_ms += 10;
    cache_add(cache, &k, &f);
    f.lease_end_ms -= 5;
    cache_add(cache, &k, &f);
    cr_assert(cache_find(cache, &k, LEASE_END_MS + 9, &out));
    cr_assert_not(cache_find(cache, &k, LEASE_END_MS + 10, &out));
}

Test(cache, drop__only_the_put_that_is_meant)
{
    struct cenote_key k = key("k");

    cache_drop(cache, &k, 5);
    add("k", 5);
    cache_drop(cache, &k, 4);
    cr_assert_eq(known("k", 0), 5);
    cache_drop(cache, &k, 5);
    cr_assert_eq(known("k", 0), 0);
    add("k", 6);
    cache_drop(cache, &k, 0);
    cr_assert_eq(known("k", 0), 0);
}

Test(cache, clear)
{
    char text[16];

    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%u", i);
        add(text, i + 1);
    }
    cache_clear(cache);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%u", i);
        cr_assert_eq(known(text, 0), 0);
    }
}

static unsigned count_known(void)
{
    char text[16];
    unsigned count = 0;

    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%u", i);
        count += known(text, 0) != 0;
    }
    return count;
}

/* The table takes part of the limit; an entry of a short key and one replica has over 100 bytes. */
Test(cache, add__bounded)
{
    char text[16];

    cache_free(cache);
    cache = cache_new(SMALL_BYTES);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%u", i);
        add(text, i + 1);
    }
    unsigned count = count_known();
    cr_assert(count > SMALL_BYTES / 256 && count < SMALL_BYTES / 100, "%u are known", count);
}

Test(cache, add__what_is_used_stays_longest)
{
    char text[16];
    unsigned kept = 0;

    cache_free(cache);
    cache = cache_new(SMALL_BYTES);
    add("used", 1);
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "%u", i);
        add(text, i + 1);
        kept += known("used", 0) == 1;
    }
    cr_assert_eq(kept, MANY);
}

Test(cache, add__no_room_at_all)
{
    cache_free(cache);
    cache = cache_new(1);
    add("k", 5);
    cr_assert_eq(known("k", 0), 0);
    cache_clear(cache);
}

static uint32_t notes(const char *text)
{
    struct cenote_key k = key(text);
    struct cache_found f;
    return cache_find(cache, &k, 0, &f) ? f.verified : UINT32_MAX;
}

Test(cache, verify__notes_stay_with_their_put)
{
    struct cenote_key k = key("k");
    struct cache_found f = answer(5, 1, 2);

    cache_verify(cache, &k, 5, 1);
    cache_add(cache, &k, &f);
    cr_assert_eq(notes("k"), 0);
    cache_verify(cache, &k, 4, 1);
    cr_assert_eq(notes("k"), 0);
    cache_verify(cache, &k, 5, 2);
    cr_assert_eq(notes("k"), 2);
    cache_verify(cache, &k, 5, 1);
    cr_assert_eq(notes("k"), 3);

    f.lease_end_ms++; /* the same put, looked up again */
    cache_add(cache, &k, &f);
    cr_assert_eq(notes("k"), 3);
    f.lease_end_ms++; /* one replica was lost: bits mean others now */
    f.stripes[0].gva[0] = f.stripes[0].gva[1];
    f.stripes[0].replicas = 1;
    cache_add(cache, &k, &f);
    cr_assert_eq(notes("k"), 0);
    cache_verify(cache, &k, 5, 1);
    f = answer(6, 1, 1);
    cache_add(cache, &k, &f);
    cr_assert_eq(notes("k"), 0);
}
