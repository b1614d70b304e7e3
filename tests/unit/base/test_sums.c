/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/sums.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define LONGEST (5u * SUMS_CHUNK_BYTES + 77u)

static const size_t lens[] = {0, 1, 240, 241, 65535, 65536, 65537, 99999, 131072, 131073, LONGEST};
#define LENS (sizeof lens / sizeof *lens)

static uint8_t payload[LONGEST];
static uint8_t copy[LONGEST];

static void fill(void)
{
    uint32_t x = 1;
    for (size_t i = 0; i < sizeof payload; i++) {
        x = x * 1664525u + 1013904223u;
        payload[i] = (uint8_t)(x >> 24);
    }
}

/* What libxxhash says of each chunk by itself, and of the list of these sums. */
static void expect(const struct sums *s, size_t len)
{
    uint64_t want[8], got[8];
    size_t n = (size_t)sums_chunks(len);
    for (size_t i = 0; i < n; i++) {
        size_t at = i * SUMS_CHUNK_BYTES;
        size_t size = len - at < SUMS_CHUNK_BYTES ? len - at : SUMS_CHUNK_BYTES;
        want[i] = htole64(XXH3_64bits(payload + at, size));
    }
    sums_list(s, got);
    cr_assert_arr_eq(got, want, n * sizeof *want, "length %zu", len);
    cr_assert_eq(sums_root(s), XXH3_64bits(want, n * sizeof *want), "length %zu", len);
}

Test(sums, update__in_one_piece)
{
    fill();
    for (size_t i = 0; i < LENS; i++) {
        struct sums *s = sums_new(lens[i]);
        cr_assert_not_null(s);
        sums_update(s, payload, lens[i]);
        expect(s, lens[i]);
        sums_free(s);
    }
}

static void feed_copying(struct sums *s, size_t len, size_t piece)
{
    for (size_t at = 0; at < len; at += piece) {
        size_t n = len - at < piece ? len - at : piece;
        sums_copy(s, copy + at, payload + at, n);
    }
}

Test(sums, copy__in_odd_pieces)
{
    static const size_t pieces[] = {61, 1000, 4096, 40000, 65535, 65536, 65537, 100001, LONGEST};
    fill();
    for (size_t i = 0; i < LENS; i++) {
        struct sums *s = sums_new(lens[i]);
        for (size_t j = 0; j < sizeof pieces / sizeof *pieces; j++) {
            memset(copy, 0, sizeof copy);
            sums_reset(s);
            feed_copying(s, lens[i], pieces[j]);
            expect(s, lens[i]);
            cr_assert_arr_eq(copy, payload, lens[i]);
        }
        sums_free(s);
    }
}

/* Random cuts, copied or summed in place at random. */
Test(sums, mixed__random_pieces)
{
    unsigned seed = 20260131;
    fill();
    struct sums *s = sums_new(LONGEST);
    for (int round = 0; round < 200; round++) {
        sums_reset(s);
        for (size_t at = 0; at < LONGEST;) {
            size_t n = (size_t)rand_r(&seed) % 90000;
            n = n < LONGEST - at ? n : LONGEST - at;
            if (rand_r(&seed) % 2 != 0)
                sums_copy(s, copy + at, payload + at, n);
            else
                sums_update(s, payload + at, n);
            at += n;
        }
        expect(s, LONGEST);
    }
    sums_free(s);
}

Test(sums, reset__forgets_half_a_chunk)
{
    fill();
    struct sums *s = sums_new(70000);
    sums_update(s, payload + 5, 1234);
    sums_reset(s);
    sums_update(s, payload, 70000);
    expect(s, 70000);
    sums_free(s);
}

Test(sums, new__out_of_memory)
{
    cr_assert_null(sums_new(UINT64_MAX));
    cr_assert_null(sums_new((UINT64_C(1) << 49) + 1));
    sums_free(NULL);
}

Test(sums, chunks__no_overflow)
{
    cr_assert_eq(sums_chunks(UINT64_MAX), UINT64_C(1) << 48);
}
