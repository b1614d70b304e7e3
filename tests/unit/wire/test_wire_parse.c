/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include <cenote/status.h>

#include "transport/wire/wire.h"

static int parse(const void *frame, size_t len_bytes, struct wire_msg *m)
{
    cr_assert_eq(wire_scan(frame, len_bytes, WIRE_FRAME_MAX, NULL), (int64_t)len_bytes);
    return wire_parse(frame, len_bytes, m);
}
#define PARSE(literal, m) parse((literal), sizeof(literal) - 1, (m))

static struct wire_value value(const void *data, size_t len_bytes, struct wire_msg *holder)
{
    struct wire_value v;
    cr_assert_eq(wire_scan(data, len_bytes, WIRE_FRAME_MAX, NULL), (int64_t)len_bytes);
    cr_assert_eq(wire_parse_value(data, len_bytes, holder, &v), CENOTE_OK);
    return v;
}
#define VALUE(literal, holder) value((literal), sizeof(literal) - 1, (holder))

Test(wire_parse, request)
{
    struct wire_buf b = {0};
    struct wire_msg m;
    uint64_t u;
    wire_put_request(&b, 0xdeadbeef, "lookup");
    wire_put_array(&b, 1);
    wire_put_uint(&b, 5);
    cr_assert_eq(parse(b.data, b.len, &m), CENOTE_OK);
    cr_assert_eq(m.kind, WIRE_REQUEST);
    cr_assert_eq(m.msgid, 0xdeadbeef);
    cr_assert_str_eq(m.method, "lookup");
    cr_assert(wire_uint(wire_at(m.params, 0), &u) && u == 5);
    wire_msg_free(&m);
    wire_msg_free(&m);
    wire_buf_free(&b);
}

/* The arena's memory is used again, also after a message that needed more than it keeps. */
Test(wire_parse, in_an_arena)
{
    enum { MANY = 5000 };
    struct wire_arena *a = wire_arena_new();
    struct wire_buf b = {0};
    struct wire_msg m;
    cr_assert_not_null(a);
    for (uint32_t round = 0; round < 4; round++) {
        uint32_t count = round % 2 == 0 ? 3 : MANY;
        wire_buf_clear(&b);
        wire_put_request(&b, round, "lookup");
        wire_put_array(&b, count);
        for (uint32_t i = 0; i < count; i++)
            wire_put_uint(&b, i + round);
        cr_assert_eq(wire_scan(b.data, b.len, WIRE_FRAME_MAX, NULL), (int64_t)b.len);
        cr_assert_eq(wire_parse_in(a, b.data, b.len, &m), CENOTE_OK);
        cr_assert_eq(m.msgid, round);
        for (uint32_t i = 0; i < count; i++) {
            uint64_t u;
            cr_assert(wire_uint(wire_at(m.params, i), &u) && u == i + round);
        }
    }
    cr_assert_eq(wire_parse_in(a, (const uint8_t *)"\x93\x07\xa1n\x90", 5, &m), CENOTE_MALFORMED);
    wire_buf_free(&b);
    wire_arena_free(a);
    wire_arena_free(NULL);
}

Test(wire_parse, notification)
{
    struct wire_msg m;
    uint32_t count;
    cr_assert_eq(PARSE("\x93\x02\xa1n\x90", &m), CENOTE_OK);
    cr_assert_eq(m.kind, WIRE_NOTIFICATION);
    cr_assert_str_eq(m.method, "n");
    cr_assert(wire_array(m.params, &count) && count == 0);
    wire_msg_free(&m);
}

Test(wire_parse, result)
{
    struct wire_buf b = {0};
    struct wire_msg m;
    bool yes = false;
    wire_put_result(&b, 9);
    wire_put_bool(&b, true);
    cr_assert_eq(parse(b.data, b.len, &m), CENOTE_OK);
    cr_assert_eq(m.kind, WIRE_RESPONSE);
    cr_assert_eq(m.msgid, 9);
    cr_assert_eq(m.error, CENOTE_OK);
    cr_assert(wire_bool(m.result, &yes) && yes);
    wire_msg_free(&m);
    wire_buf_free(&b);
}

Test(wire_parse, error)
{
    struct wire_buf b = {0};
    struct wire_msg m;
    wire_put_error(&b, 9, CENOTE_NO_SPACE, NULL);
    cr_assert_eq(parse(b.data, b.len, &m), CENOTE_OK);
    cr_assert_eq(m.error, CENOTE_NO_SPACE);
    cr_assert(wire_is_nil(m.result));
    wire_msg_free(&m);
    wire_buf_free(&b);
}

/* Errors that are no status: text alone, a number alone, success, a positive number. */
Test(wire_parse, foreign_errors)
{
    struct wire_msg m;
    cr_assert_eq(PARSE("\x94\x01\x09\xa3"
                       "bad\xc0",
                       &m),
                 CENOTE_OK);
    cr_assert_eq(m.error, CENOTE_PROTOCOL);
    wire_msg_free(&m);
    cr_assert_eq(PARSE("\x94\x01\x09\xff\xc0", &m), CENOTE_OK);
    cr_assert_eq(m.error, CENOTE_PROTOCOL);
    wire_msg_free(&m);
    cr_assert_eq(PARSE("\x94\x01\x09\x92\x00\xa0\xc0", &m), CENOTE_OK);
    cr_assert_eq(m.error, CENOTE_PROTOCOL);
    wire_msg_free(&m);
    cr_assert_eq(PARSE("\x94\x01\x09\x92\x05\xa0\xc0", &m), CENOTE_OK);
    cr_assert_eq(m.error, CENOTE_PROTOCOL);
    wire_msg_free(&m);
}

Test(wire_parse, no_messages)
{
    struct wire_msg m;
    cr_assert_eq(PARSE("\xc0", &m), CENOTE_MALFORMED);
    cr_assert_eq(PARSE("\x90", &m), CENOTE_MALFORMED);
    cr_assert_eq(PARSE("\x80", &m), CENOTE_MALFORMED);
    cr_assert_eq(PARSE("\x92\x00\x00", &m), CENOTE_MALFORMED);
    cr_assert_eq(PARSE("\x94\x03\x00\xa1m\x90", &m), CENOTE_MALFORMED);     /* kind */
    cr_assert_eq(PARSE("\x94\xa1x\x00\xa1m\x90", &m), CENOTE_MALFORMED);    /* kind */
    cr_assert_eq(PARSE("\x93\x00\x00\xa1m", &m), CENOTE_MALFORMED);         /* no params */
    cr_assert_eq(PARSE("\x95\x00\x00\xa1m\x90\x90", &m), CENOTE_MALFORMED); /* too many */
    cr_assert_eq(PARSE("\x94\x00\xff\xa1m\x90", &m), CENOTE_MALFORMED);     /* msgid < 0 */
    cr_assert_eq(PARSE("\x94\x00\x00\xc4\x01m\x90", &m), CENOTE_MALFORMED); /* method bin */
    cr_assert_eq(PARSE("\x94\x00\x00\xa0\x90", &m), CENOTE_MALFORMED);      /* empty */
    cr_assert_eq(PARSE("\x94\x00\x00\xa2m\x00\x90", &m), CENOTE_MALFORMED); /* NUL */
    cr_assert_eq(PARSE("\x94\x00\x00\xa1m\x80", &m), CENOTE_MALFORMED);     /* params map */
    cr_assert_eq(PARSE("\x94\x00\x00\xa1m\xc0", &m), CENOTE_MALFORMED);     /* params nil */
    cr_assert_eq(PARSE("\x93\x01\x00\xc0", &m), CENOTE_MALFORMED);          /* no result */
    cr_assert_eq(PARSE("\x94\x02\xa1m\x90\xc0", &m), CENOTE_MALFORMED);     /* too many */
    cr_assert_eq(PARSE("\x94\x00\xcf\0\0\0\x01\0\0\0\0\xa1m\x90", &m), CENOTE_MALFORMED);
}

Test(wire_parse, method_length)
{
    struct wire_buf b = {0};
    struct wire_msg m;
    char name[WIRE_METHOD_MAX + 1] = {0};
    memset(name, 'm', WIRE_METHOD_MAX - 1);
    wire_put_request(&b, 1, name);
    wire_put_array(&b, 0);
    cr_assert_eq(parse(b.data, b.len, &m), CENOTE_OK);
    cr_assert_str_eq(m.method, name);
    wire_msg_free(&m);
    wire_buf_clear(&b);
    name[WIRE_METHOD_MAX - 1] = 'm';
    wire_put_array(&b, 3);
    wire_put_uint(&b, WIRE_NOTIFICATION);
    wire_put_str(&b, name);
    wire_put_array(&b, 0);
    cr_assert_eq(parse(b.data, b.len, &m), CENOTE_MALFORMED);
    wire_buf_free(&b);
}

Test(wire_parse, trailing_and_missing_bytes)
{
    struct wire_msg m;
    struct wire_value v;
    cr_assert_eq(wire_parse((const uint8_t *)"\x93\x02\xa1n\x90\xc0", 6, &m), CENOTE_MALFORMED);
    cr_assert_eq(wire_parse((const uint8_t *)"\x93\x02\xa1n", 4, &m), CENOTE_MALFORMED);
    cr_assert_eq(wire_parse_value((const uint8_t *)"\x01\x01", 2, &m, &v), CENOTE_MALFORMED);
    cr_assert_eq(wire_parse_value((const uint8_t *)"", 0, &m, &v), CENOTE_MALFORMED);
}

Test(wire_value, integers)
{
    struct wire_msg h;
    uint64_t u = 1;
    uint32_t u32 = 1;
    uint16_t u16 = 1;
    int32_t i32 = 1;
    struct wire_value v = VALUE("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", &h);
    cr_assert(wire_uint(v, &u) && u == UINT64_MAX);
    cr_assert(!wire_u32(v, &u32) && !wire_u16(v, &u16) && !wire_i32(v, &i32));
    wire_msg_free(&h);
    v = VALUE("\xce\xff\xff\xff\xff", &h);
    cr_assert(wire_u32(v, &u32) && u32 == UINT32_MAX && !wire_u16(v, &u16) && !wire_i32(v, &i32));
    wire_msg_free(&h);
    v = VALUE("\xcd\xff\xff", &h);
    cr_assert(wire_u16(v, &u16) && u16 == UINT16_MAX && wire_i32(v, &i32) && i32 == 65535);
    wire_msg_free(&h);
    v = VALUE("\xd2\x80\x00\x00\x00", &h);
    cr_assert(wire_i32(v, &i32) && i32 == INT32_MIN && !wire_uint(v, &u) && !wire_u32(v, &u32));
    wire_msg_free(&h);
    v = VALUE("\xd3\xff\xff\xff\xff\x7f\xff\xff\xff", &h);
    cr_assert(!wire_i32(v, &i32) && i32 == INT32_MIN);
    wire_msg_free(&h);
    v = VALUE("\xd3\x00\x00\x00\x00\x00\x00\x00\x05", &h); /* a positive one, encoded signed */
    cr_assert(wire_uint(v, &u) && u == 5);
    wire_msg_free(&h);
}

Test(wire_value, strings)
{
    struct wire_msg h;
    const uint8_t *data;
    size_t len_bytes;
    char text[4] = "old";
    uint8_t two[2];
    struct wire_value v = VALUE("\xa3xyz", &h);
    cr_assert(wire_str(v, text, sizeof(text)));
    cr_assert_str_eq(text, "xyz");
    cr_assert(!wire_str(v, text, 3));
    cr_assert(wire_bin(v, &data, &len_bytes) && len_bytes == 3 && memcmp(data, "xyz", 3) == 0);
    cr_assert(!wire_fixed(v, two, 3));
    wire_msg_free(&h);
    v = VALUE("\xc4\x02xy", &h);
    cr_assert(wire_bin(v, &data, &len_bytes) && len_bytes == 2 && memcmp(data, "xy", 2) == 0);
    cr_assert(!wire_str(v, text, sizeof(text)));
    cr_assert(wire_fixed(v, two, 2) && two[1] == 'y');
    cr_assert(!wire_fixed(v, two, 1) && !wire_fixed(v, two, 3));
    wire_msg_free(&h);
    v = VALUE("\xa2x\0", &h);
    cr_assert(!wire_str(v, text, sizeof(text)));
    wire_msg_free(&h);
    v = VALUE("\xa0", &h);
    cr_assert(wire_str(v, text, sizeof(text)) && text[0] == 0 && !wire_str(v, text, 0));
    cr_assert(wire_bin(v, &data, &len_bytes) && len_bytes == 0);
    wire_msg_free(&h);
}

Test(wire_value, strings_point_into_the_frame)
{
    static const char frame[] = "\xa3xyz";
    struct wire_msg h;
    const uint8_t *data;
    size_t len_bytes;
    struct wire_value v = value(frame, 4, &h);
    cr_assert(wire_bin(v, &data, &len_bytes));
    cr_assert_eq((const char *)data, frame + 1);
    wire_msg_free(&h);
}

Test(wire_value, arrays)
{
    struct wire_msg h;
    uint32_t count;
    uint64_t u;
    struct wire_value v = VALUE("\x92\x91\x07\x08", &h);
    cr_assert(wire_array(v, &count) && count == 2);
    cr_assert(wire_uint(wire_at(wire_at(v, 0), 0), &u) && u == 7);
    cr_assert(wire_uint(wire_at(v, 1), &u) && u == 8);
    cr_assert_null(wire_at(v, 2).node);
    cr_assert_null(wire_at(wire_at(v, 1), 0).node);
    wire_msg_free(&h);
}

/* Everything refuses everything else, and nothing. */
Test(wire_value, wrong_types)
{
    static const char *const others[] = {"\x81\x01\x02", "\xcb\x3f\xf0\0\0\0\0\0\0", NULL};
    static const size_t lens[] = {3, 9, 0};
    for (int i = 0; i < 3; i++) {
        struct wire_msg h = {0};
        struct wire_value v = {NULL};
        if (others[i])
            v = value(others[i], lens[i], &h);
        bool b;
        uint64_t u;
        int32_t s;
        uint32_t count;
        char text[8];
        const uint8_t *data;
        size_t len_bytes;
        cr_assert(!wire_is_nil(v) && !wire_bool(v, &b) && !wire_uint(v, &u) && !wire_i32(v, &s));
        cr_assert(!wire_bin(v, &data, &len_bytes) && !wire_str(v, text, sizeof(text)));
        cr_assert(!wire_fixed(v, text, 0) && !wire_array(v, &count));
        cr_assert_null(wire_at(v, 0).node);
        wire_msg_free(&h);
    }
}
