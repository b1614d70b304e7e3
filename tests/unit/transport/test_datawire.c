/* SPDX-License-Identifier: Apache-2.0 */
/* The test vectors of doc/PROTOCOL.md, section "Data wire". */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "transport/hello.h"
#include "transport/tcp/wire.h"

static const struct hello hello = {
    .who = {.session = UINT64_C(0x1122334455667788),
            .name_space = 3,
            .token = {{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}},
    .boot = UINT64_C(0x0102030405060708)};

static const struct tcp_request write_payload = {.op = TCP_WRITE,
                                                 .id = 1,
                                                 .put_id = UINT64_C(0x0000000200000007),
                                                 .gva = {GVA_FIRST + 4096},
                                                 .payload_len = 6,
                                                 .offset = 0,
                                                 .len_bytes = 6,
                                                 .mac = UINT64_C(0x8877665544332211)};

static void cr_assert_hex(const uint8_t *bytes, size_t len, const char *hex)
{
    char text[2 * HELLO_BYTES + 1];
    cr_assert_leq(len, HELLO_BYTES);
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    cr_assert_str_eq(text, hex);
}

Test(hello, encode__vector)
{
    uint8_t raw[HELLO_BYTES];
    hello_encode(&hello, raw);
    cr_assert_hex(raw, sizeof raw,
                  "434e544401000000887766554433221103000000000000000001020304050607"
                  "08090a0b0c0d0e0f080706050403020100000000000000000000000000000000");
}

Test(hello, decode__what_was_encoded)
{
    uint8_t raw[HELLO_BYTES];
    struct hello back;
    hello_encode(&hello, raw);
    cr_assert_eq(hello_decode(raw, &back), CENOTE_OK);
    cr_assert_eq(back.who.session, hello.who.session);
    cr_assert_eq(back.who.name_space, hello.who.name_space);
    cr_assert_eq(memcmp(&back.who.token, &hello.who.token, TOKEN_BYTES), 0);
    cr_assert_eq(back.boot, hello.boot);
    raw[4] = 2;
    cr_assert_eq(hello_decode(raw, &back), CENOTE_VERSION);
    raw[0] = 0;
    cr_assert_eq(hello_decode(raw, &back), CENOTE_PROTOCOL);
}

Test(hello_answer, encode__vector)
{
    uint8_t raw[HELLO_ANSWER_BYTES];
    struct hello_answer a = {.boot = UINT64_C(0x0102030405060708)}, back;
    hello_answer_encode(&a, raw);
    cr_assert_hex(raw, sizeof raw,
                  "434e544401000000000000000000000008070605040302010000000000000000");
    a.status = CENOTE_DENIED;
    hello_answer_encode(&a, raw);
    cr_assert_eq(hello_answer_decode(raw, &back), CENOTE_OK);
    cr_assert_eq(back.status, CENOTE_DENIED);
    raw[11] = 0; /* a positive status */
    cr_assert_eq(hello_answer_decode(raw, &back), CENOTE_PROTOCOL);
}

Test(tcp_request, encode__vectors)
{
    uint8_t raw[TCP_REQUEST_BYTES];
    struct tcp_request r = write_payload;
    tcp_request_encode(&r, raw);
    cr_assert_hex(raw, sizeof raw,
                  "434e585202000000010000000000000007000000020000000010000000000010"
                  "0600000000000000000000000000000006000000000000001122334455667788");
    r.id = 2;
    r.offset = extent_seal_offset(6);
    r.len_bytes = SEAL_BYTES;
    tcp_request_encode(&r, raw);
    cr_assert_hex(raw, sizeof raw,
                  "434e585202000000020000000000000007000000020000000010000000000010"
                  "0600000000000000100000000000000080000000000000001122334455667788");
    r = write_payload;
    r.op = TCP_READ;
    r.id = 3;
    r.mac = 0;
    tcp_request_encode(&r, raw);
    cr_assert_hex(raw, sizeof raw,
                  "434e585201000000030000000000000007000000020000000010000000000010"
                  "0600000000000000000000000000000006000000000000000000000000000000");
}

Test(tcp_request, decode__refuses)
{
    uint8_t raw[TCP_REQUEST_BYTES];
    struct tcp_request back;
    tcp_request_encode(&write_payload, raw);
    cr_assert_eq(tcp_request_decode(raw, &back), CENOTE_OK);
    cr_assert_eq(back.mac, write_payload.mac);
    for (size_t i = 0; i < 8; i++) { /* magic, op, flags, reserved */
        tcp_request_encode(&write_payload, raw);
        raw[i] ^= 0x40;
        cr_assert_eq(tcp_request_decode(raw, &back), CENOTE_PROTOCOL);
    }
}

Test(tcp_request, in_extent__limits)
{
    struct tcp_request r = write_payload;
    cr_assert(tcp_request_in_extent(&r));
    r.len_bytes = extent_size(6);
    cr_assert(tcp_request_in_extent(&r));
    r.offset = 1;
    cr_assert_not(tcp_request_in_extent(&r));
    r.offset = UINT64_MAX;
    cr_assert_not(tcp_request_in_extent(&r));
    r = write_payload;
    r.payload_len = UINT64_MAX;
    cr_assert_not(tcp_request_in_extent(&r));
}

Test(tcp_response, encode__vectors)
{
    uint8_t raw[TCP_RESPONSE_BYTES];
    struct tcp_response r = {.status = CENOTE_BAD_GRANT, .id = 2}, back;
    tcp_response_encode(&r, raw);
    cr_assert_hex(raw, sizeof raw,
                  "434e5841bfffffff020000000000000000000000000000000000000000000000");
    cr_assert_eq(tcp_response_decode(raw, &back), CENOTE_OK);
    cr_assert_eq(back.status, CENOTE_BAD_GRANT);
    r = (struct tcp_response){.id = 3, .len_bytes = 6};
    tcp_response_encode(&r, raw);
    cr_assert_hex(raw, sizeof raw,
                  "434e584100000000030000000000000006000000000000000000000000000000");
}

Test(seal, encode__vector_of_the_data_wire)
{
    static const struct seal seal = {
        .sum_kind = SUM_XXH3,
        .put_id = UINT64_C(0x0000000200000007),
        .gva = {GVA_FIRST + 4096},
        .incarnation = 4711,
        .key_hash = {{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31}},
        .name_space = 3,
        .stripes = 1,
        .total_len = 6,
        .payload_len = 6,
        .root = UINT64_C(0x6960f7d8c3c80d0b),
        .state = SEAL_STATE_LIVE};
    uint8_t raw[SEAL_BYTES];
    seal_encode(&seal, raw);
    cr_assert_hex(raw, 64,
                  "434e534c01000100070000000200000000100000000000106712000000000000"
                  "101112131415161718191a1b1c1d1e1f03000000000001000000000000000000");
    cr_assert_hex(raw + 64, 64,
                  "060000000000000006000000000000000b0dc8c3d8f760690000000000000000"
                  "000000000000000000000000000000004c4956450000000061d1fb215e78f81d");
}
