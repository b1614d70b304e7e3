/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/extent.h"

#include <cenote/status.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static const struct seal sample = {
    .sum_kind = SUM_XXH3,
    .put_id = UINT64_C(0x0000000700000001),
    .gva = {GVA_FIRST + 4096},
    .incarnation = UINT64_C(0x1122334455667788),
    .key_hash = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}},
    .name_space = 5,
    .stripe = 1,
    .stripes = 3,
    .stripe_offset = UINT64_C(0x140000000), /* 5 GiB */
    .total_len = UINT64_C(0x3c0000001),
    .payload_len = UINT64_C(0x140000000),
    .root = UINT64_C(0xfedcba9876543210),
    .state = SEAL_STATE_LIVE,
};

/* The format on the wire and in memory: it changes with SEAL_FORMAT only. */
static const char golden[] = "434e534c01000100010000000700000000100000000000108877665544332211"
                             "000102030405060708090a0b0c0d0e0f05000000010003000000004001000000"
                             "010000c00300000000000040010000001032547698badcfe0000000000000000"
                             "000000000000000000000000000000004c49564500000000d4578020790b7451";

static struct seal_want want_of(const struct seal *s)
{
    return (struct seal_want){.put_id = s->put_id,
                              .gva = s->gva,
                              .incarnation = s->incarnation,
                              .payload_len = s->payload_len,
                              .stripe = s->stripe};
}

Test(extent, size__edges)
{
    static const struct {
        uint64_t payload, sums_offset, sums, size;
    } edges[] = {
        {0, 0, 0, 128},
        {1, 16, 0, 144},
        {15, 16, 0, 144},
        {16, 16, 0, 144},
        {17, 32, 0, 160},
        {65536, 65536, 0, 65664},
        {65537, 65552, 16, 65696},
        {131072, 131072, 16, 131216},
        {131073, 131080, 24, 131232},
        {131080, 131080, 24, 131232},
        {131081, 131096, 24, 131248},
    };
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++) {
        uint64_t payload = edges[i].payload;
        cr_assert_eq(extent_size(payload), edges[i].size, "payload %zu", (size_t)payload);
        cr_assert_eq(extent_sums_size(payload), edges[i].sums);
        cr_assert_eq(extent_sums_offset(payload), edges[i].sums_offset);
        cr_assert_eq(extent_seal_offset(payload), edges[i].size - SEAL_BYTES);
    }
}

Test(extent, size__longest_payload)
{
    uint64_t size = extent_size(EXTENT_PAYLOAD_MAX);
    cr_assert_eq(size % EXTENT_ALIGN, 0);
    cr_assert_eq(size, EXTENT_PAYLOAD_MAX + EXTENT_PAYLOAD_MAX / SUMS_CHUNK_BYTES * 8 + SEAL_BYTES);
}

Test(seal, encode__golden)
{
    uint8_t raw[SEAL_BYTES];
    char hex[2 * SEAL_BYTES + 1];
    hash_init();
    seal_encode(&sample, raw);
    for (size_t i = 0; i < SEAL_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", raw[i]);
    cr_assert_str_eq(hex, golden);
}

Test(seal, decode__gives_back_what_was_encoded)
{
    uint8_t raw[SEAL_BYTES], again[SEAL_BYTES];
    struct seal s;
    hash_init();
    seal_encode(&sample, raw);
    cr_assert_eq(seal_decode(raw, &s), CENOTE_OK);
    seal_encode(&s, again);
    cr_assert_arr_eq(raw, again, SEAL_BYTES);
    cr_assert_eq(s.stripe_offset, sample.stripe_offset);
    cr_assert_eq(s.gva.v, sample.gva.v);
}

/* Whatever bit flips: outside the state (and the zeros behind it) nothing passes as a seal, and
 * inside the state nothing passes as live. */
Test(seal, check__no_flipped_bit_is_accepted)
{
    uint8_t raw[SEAL_BYTES];
    struct seal s;
    struct seal_want want = want_of(&sample);
    hash_init();
    seal_encode(&sample, raw);
    for (size_t bit = 0; bit < 8 * SEAL_BYTES; bit++) {
        size_t at = bit / 8;
        bool state = at >= SEAL_STATE_OFFSET && at < SEAL_STATE_OFFSET + 4;
        raw[at] = (uint8_t)(raw[at] ^ (1u << (bit % 8)));
        cr_assert_eq(seal_check(raw, &want, &s), CENOTE_STALE, "bit %zu", bit);
        cr_assert_eq(seal_decode(raw, &s), state ? CENOTE_OK : CENOTE_STALE);
        raw[at] = (uint8_t)(raw[at] ^ (1u << (bit % 8)));
    }
    cr_assert_eq(seal_check(raw, &want, &s), CENOTE_OK);
}

Test(seal, decode__zeros_and_ones)
{
    uint8_t raw[SEAL_BYTES];
    struct seal s;
    hash_init();
    memset(raw, 0, sizeof raw);
    cr_assert_eq(seal_decode(raw, &s), CENOTE_STALE);
    memset(raw, 0xff, sizeof raw);
    cr_assert_eq(seal_decode(raw, &s), CENOTE_STALE);
}

Test(seal, check__voided_by_its_state_word_alone)
{
    uint8_t raw[SEAL_BYTES];
    struct seal s;
    struct seal_want want = want_of(&sample);
    hash_init();
    seal_encode(&sample, raw);
    memcpy(raw + SEAL_STATE_OFFSET, "VOID", 4);
    cr_assert_eq(seal_decode(raw, &s), CENOTE_OK);
    cr_assert_eq(s.state, SEAL_STATE_VOID);
    cr_assert_eq(seal_check(raw, &want, &s), CENOTE_STALE);
}

Test(seal, check__names_something_else)
{
    uint8_t raw[SEAL_BYTES];
    struct seal s;
    struct seal_want good = want_of(&sample), want;
    hash_init();
    seal_encode(&sample, raw);
    cr_assert_eq(seal_check(raw, &good, &s), CENOTE_OK);
    want = good, want.put_id++;
    cr_assert_eq(seal_check(raw, &want, &s), CENOTE_STALE);
    want = good, want.gva.v += 16;
    cr_assert_eq(seal_check(raw, &want, &s), CENOTE_STALE);
    want = good, want.incarnation++;
    cr_assert_eq(seal_check(raw, &want, &s), CENOTE_STALE);
    want = good, want.payload_len--;
    cr_assert_eq(seal_check(raw, &want, &s), CENOTE_STALE);
    want = good, want.stripe++;
    cr_assert_eq(seal_check(raw, &want, &s), CENOTE_STALE);
}
