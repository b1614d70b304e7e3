/* SPDX-License-Identifier: Apache-2.0 */
/* The test vectors of doc/PROTOCOL.md, section "RDMA set-up"; and messages that are none. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/rdma/setup.h"

#define MESSAGE_MAX (SETUP_HEADER_BYTES + SETUP_BODY_MAX)
#define HEX_MAX     256u

/* 10.0.0.1 and 10.0.0.2 */
static const struct rdma_remote_port node_port = {
    .link = RDMA_LINK_ROCE_V2,
    .gid = {.raw = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}},
    .mtu_bytes = 4096};

static const struct setup_open open_write = {
    .tag = 7,
    .port = 0,
    .role = RDMA_ROLE_WRITE,
    .end = {.number = 0x112233, .psn = 0x445566, .mtu_bytes = 1024, .read_depth = 16},
    .from = {.link = RDMA_LINK_ROCE_V2,
             .gid = {.raw = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 2}},
             .mtu_bytes = 1024}};

static struct setup_key key = {.gva = {GVA_FIRST},
                               .len_bytes = UINT64_C(1) << 20,
                               .addr = UINT64_C(0x7f0000000000),
                               .incarnation = 4711,
                               .rkey = 0xa1b2c3d4};

static const struct setup_opened opened = {
    .tag = 7,
    .end = {.number = 0x000102, .psn = 0x030405, .mtu_bytes = 1024, .read_depth = 16},
    .horizon = UINT64_C(0x0000000200000006),
    .key_count = 1,
    .keys = &key};

static uint8_t raw[MESSAGE_MAX];
static struct setup_key keys[SETUP_KEYS_MAX];

static void cr_assert_hex(const uint8_t *bytes, size_t len, const char *hex)
{
    char text[2 * HEX_MAX + 1];
    cr_assert_leq(len, HEX_MAX);
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    cr_assert_str_eq(text, hex);
}

/* Header and body; the status of whichever is refused. */
static int decode(const uint8_t *message, size_t len)
{
    union {
        struct setup_ports ports;
        struct setup_open open;
        struct setup_close close;
    } out;
    struct setup_opened answer = {.keys = keys};
    enum setup_type type;
    uint32_t body_len;
    int status = setup_decode_header(message, &type, &body_len);
    if (status != CENOTE_OK)
        return status;
    if (body_len != len - SETUP_HEADER_BYTES)
        return CENOTE_FRAME_SIZE; /* more would be waited for */
    const uint8_t *body = message + SETUP_HEADER_BYTES;
    switch (type) {
    case SETUP_PORTS:
        return setup_decode_ports(body, body_len, &out.ports);
    case SETUP_OPEN:
        return setup_decode_open(body, body_len, &out.open);
    case SETUP_OPENED:
    case SETUP_KEYS:
        return setup_decode_opened(type, body, body_len, &answer);
    default:
        return setup_decode_close(body, body_len, &out.close);
    }
}

/* ---- vectors --------------------------------------------------------------------------------- */

Test(setup_ports, encode__vector)
{
    struct setup_ports m = {.count = 1, .at = {node_port}}, back;
    size_t len = setup_encode_ports(&m, raw);
    cr_assert_hex(raw, len,
                  "434e5251010020000100000000000000"
                  "030000000010000000000000000000000000ffff0a000001");
    cr_assert_eq(setup_decode_ports(raw + 8, (uint32_t)len - 8, &back), CENOTE_OK);
    cr_assert_eq(back.count, 1);
    cr_assert_eq(back.at[0].link, RDMA_LINK_ROCE_V2);
    cr_assert_eq(back.at[0].mtu_bytes, 4096);
    cr_assert_eq(memcmp(&back.at[0].gid, &node_port.gid, 16), 0);
}

Test(setup_open, encode__vector)
{
    struct setup_open back;
    size_t len = setup_encode_open(&open_write, raw);
    cr_assert_hex(raw, len,
                  "434e5251020030000700000000020000"
                  "33221100665544000004000010000000"
                  "030000000004000000000000000000000000ffff0a000002");
    cr_assert_eq(setup_decode_open(raw + 8, (uint32_t)len - 8, &back), CENOTE_OK);
    cr_assert_eq(back.tag, 7);
    cr_assert_eq(back.role, RDMA_ROLE_WRITE);
    cr_assert_eq(back.end.number, 0x112233);
    cr_assert_eq(back.end.psn, 0x445566);
    cr_assert_eq(back.end.read_depth, 16);
    cr_assert_eq(back.from.mtu_bytes, 1024);
}

Test(setup_opened, encode__vector)
{
    struct setup_opened back = {.keys = keys};
    size_t len = setup_encode_opened(SETUP_OPENED, &opened, raw);
    cr_assert_hex(raw, len,
                  "434e5251030050000700000000000000"
                  "02010000050403000004000010000000"
                  "06000000020000000100000000000000"
                  "00000000000000100000100000000000"
                  "00000000007f00006712000000000000"
                  "d4c3b2a100000000");
    cr_assert_eq(setup_decode_opened(SETUP_OPENED, raw + 8, (uint32_t)len - 8, &back), CENOTE_OK);
    cr_assert_eq(back.status, CENOTE_OK);
    cr_assert_eq(back.horizon, opened.horizon);
    cr_assert_eq(back.key_count, 1);
    cr_assert_eq(memcmp(&keys[0].gva, &key.gva, 8), 0);
    cr_assert_eq(keys[0].len_bytes, key.len_bytes);
    cr_assert_eq(keys[0].addr, key.addr);
    cr_assert_eq(keys[0].incarnation, 4711);
    cr_assert_eq(keys[0].rkey, key.rkey);
}

Test(setup_opened, encode__refusal_and_keys)
{
    struct setup_opened refusal = {.tag = 8, .status = CENOTE_LIMIT}, back = {.keys = keys};
    size_t len = setup_encode_opened(SETUP_OPENED, &refusal, raw);
    cr_assert_hex(raw, len,
                  "434e52510300280008000000efffffff"
                  "00000000000000000000000000000000"
                  "00000000000000000000000000000000");
    cr_assert_eq(setup_decode_opened(SETUP_OPENED, raw + 8, (uint32_t)len - 8, &back), CENOTE_OK);
    cr_assert_eq(back.status, CENOTE_LIMIT);
    len = setup_encode_opened(SETUP_KEYS, &opened, raw);
    cr_assert_hex(raw, len,
                  "434e5251040030000700000001000000"
                  "00000000000000100000100000000000"
                  "00000000007f00006712000000000000"
                  "d4c3b2a100000000");
    cr_assert_eq(setup_decode_opened(SETUP_KEYS, raw + 8, (uint32_t)len - 8, &back), CENOTE_OK);
    cr_assert_eq(back.tag, 7);
    cr_assert_eq(back.key_count, 1);
}

Test(setup_close, encode__vectors)
{
    struct setup_close m = {.tag = 7}, back;
    size_t len = setup_encode_close(SETUP_CLOSE, &m, raw);
    cr_assert_hex(raw, len, "434e5251050008000700000000000000");
    cr_assert_eq(setup_decode_close(raw + 8, (uint32_t)len - 8, &back), CENOTE_OK);
    cr_assert_eq(back.tag, 7);
    len = setup_encode_close(SETUP_CLOSED, &m, raw);
    cr_assert_hex(raw, len, "434e5251060008000700000000000000");
    len = setup_encode_close(SETUP_ASK, &m, raw);
    cr_assert_hex(raw, len, "434e5251070008000700000000000000");
}

Test(setup_opened, encode__as_many_keys_as_there_may_be)
{
    static struct setup_key many[SETUP_KEYS_MAX];
    struct setup_opened m = opened, back = {.keys = keys};
    for (uint32_t i = 0; i < SETUP_KEYS_MAX; i++) {
        many[i] = key;
        many[i].rkey = i;
    }
    m.keys = many;
    m.key_count = SETUP_KEYS_MAX;
    size_t len = setup_encode_opened(SETUP_OPENED, &m, raw);
    cr_assert_leq(len, MESSAGE_MAX);
    cr_assert_eq(setup_decode_opened(SETUP_OPENED, raw + 8, (uint32_t)len - 8, &back), CENOTE_OK);
    cr_assert_eq(back.key_count, SETUP_KEYS_MAX);
    cr_assert_eq(keys[SETUP_KEYS_MAX - 1].rkey, SETUP_KEYS_MAX - 1);
    cr_assert_eq(decode(raw, len), CENOTE_OK);
}

/* ---- what is refused ------------------------------------------------------------------------- */

Test(setup_decode_header, refuses)
{
    enum setup_type type;
    uint32_t len;
    for (unsigned at = 0; at < SETUP_HEADER_BYTES; at++) {
        setup_encode_open(&open_write, raw);
        raw[at] ^= 0x80; /* magic, type, reserved, length */
        cr_assert_eq(setup_decode_header(raw, &type, &len), CENOTE_PROTOCOL, "byte %u", at);
    }
    setup_encode_open(&open_write, raw);
    raw[4] = 0;
    cr_assert_eq(setup_decode_header(raw, &type, &len), CENOTE_PROTOCOL);
    raw[4] = SETUP_ASK + 1;
    cr_assert_eq(setup_decode_header(raw, &type, &len), CENOTE_PROTOCOL);
}

/* Each byte in turn gets a value that its field can't have. */
static void cr_assert_refused(size_t len, unsigned at, uint8_t value)
{
    uint8_t was = raw[SETUP_HEADER_BYTES + at];
    raw[SETUP_HEADER_BYTES + at] = value;
    cr_assert_eq(decode(raw, len), CENOTE_PROTOCOL, "body byte %u", at);
    raw[SETUP_HEADER_BYTES + at] = was;
    cr_assert_eq(decode(raw, len), CENOTE_OK);
}

Test(setup_decode_ports, refuses)
{
    struct setup_ports m = {.count = 1, .at = {node_port}};
    size_t len = setup_encode_ports(&m, raw);
    cr_assert_refused(len, 0, 0);  /* no port */
    cr_assert_refused(len, 0, 2);  /* more than there are */
    cr_assert_refused(len, 3, 1);  /* 2^24 more */
    cr_assert_refused(len, 4, 1);  /* reserved */
    cr_assert_refused(len, 8, 0);  /* link */
    cr_assert_refused(len, 8, 4);  /* link */
    cr_assert_refused(len, 9, 1);  /* reserved */
    cr_assert_refused(len, 12, 1); /* MTU */
    m.count = XCOPY_RAILS_MAX;
    for (unsigned i = 1; i < m.count; i++)
        m.at[i] = node_port;
    len = setup_encode_ports(&m, raw);
    cr_assert_refused(len, 0, XCOPY_RAILS_MAX + 1);
}

Test(setup_decode_open, refuses)
{
    size_t len = setup_encode_open(&open_write, raw);
    cr_assert_refused(len, 4, XCOPY_RAILS_MAX); /* port */
    cr_assert_refused(len, 5, 0);               /* role */
    cr_assert_refused(len, 5, 3);
    cr_assert_refused(len, 6, 1);  /* reserved */
    cr_assert_refused(len, 11, 1); /* number of 25 bits */
    cr_assert_refused(len, 15, 1); /* psn of 25 bits */
    cr_assert_refused(len, 17, 0); /* MTU */
    cr_assert_refused(len, 21, 1); /* reserved */
    cr_assert_refused(len, 22, 1);
    cr_assert_refused(len, 24, 9); /* link */
}

Test(setup_decode_opened, refuses)
{
    size_t len = setup_encode_opened(SETUP_OPENED, &opened, raw);
    cr_assert_refused(len, 7, 0x7f); /* a positive status */
    cr_assert_refused(len, 7, 0x80); /* a refusal with a queue pair */
    cr_assert_refused(len, 16, 1);   /* MTU */
    cr_assert_refused(len, 32, 0);   /* fewer keys than bytes */
    cr_assert_refused(len, 35, 0x80);
    cr_assert_refused(len, 36, 1);    /* reserved */
    cr_assert_refused(len, 47, 0x20); /* no GVA */
    cr_assert_refused(len, 50, 0);    /* an empty piece */
    cr_assert_refused(len, 55, 0x20); /* a piece beyond the GVAs */
    struct setup_key wrapping = key;
    struct setup_opened m = opened;
    wrapping.addr = UINT64_MAX - 5;
    m.keys = &wrapping;
    len = setup_encode_opened(SETUP_KEYS, &m, raw);
    cr_assert_eq(decode(raw, len), CENOTE_PROTOCOL);
    len = setup_encode_opened(SETUP_KEYS, &opened, raw);
    cr_assert_refused(len, 4, 0);  /* fewer keys than bytes */
    cr_assert_refused(len, 7, 1);  /* 2^24 more */
    cr_assert_refused(len, 44, 1); /* reserved */
}

Test(setup_decode, refuses_what_is_cut_short)
{
    const struct setup_close close = {.tag = 7};
    const struct setup_ports ports = {.count = 1, .at = {node_port}};
    size_t lens[] = {setup_encode_ports(&ports, raw), setup_encode_open(&open_write, raw),
                     setup_encode_opened(SETUP_OPENED, &opened, raw),
                     setup_encode_opened(SETUP_KEYS, &opened, raw),
                     setup_encode_close(SETUP_CLOSE, &close, raw)};
    for (unsigned kind = 0; kind < sizeof lens / sizeof lens[0]; kind++) {
        for (size_t len = 0; len < lens[kind] - SETUP_HEADER_BYTES; len++) {
            setup_encode_ports(&ports, raw);
            if (kind == 1)
                setup_encode_open(&open_write, raw);
            if (kind == 2 || kind == 3)
                setup_encode_opened(kind == 2 ? SETUP_OPENED : SETUP_KEYS, &opened, raw);
            if (kind == 4)
                setup_encode_close(SETUP_CLOSE, &close, raw);
            raw[6] = (uint8_t)len;
            cr_assert_eq(decode(raw, SETUP_HEADER_BYTES + len), CENOTE_PROTOCOL, "kind %u, %zu",
                         kind, len);
        }
    }
}
