/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#include "transport/wire/wire.h"

static void expect(const void *data, size_t len_bytes, const char *json)
{
    struct wire_msg h;
    struct wire_value v;
    cr_assert_eq(wire_scan(data, len_bytes, WIRE_FRAME_MAX, NULL), (int64_t)len_bytes);
    cr_assert_eq(wire_parse_value(data, len_bytes, &h, &v), CENOTE_OK);
    char *text = wire_to_json(v);
    cr_assert_not_null(text);
    cr_assert_str_eq(text, json);
    free(text);
    wire_msg_free(&h);
}
#define EXPECT(literal, json) expect((literal), sizeof(literal) - 1, (json))

Test(wire_json, scalars)
{
    EXPECT("\xc0", "null");
    EXPECT("\xc3", "true");
    EXPECT("\xc2", "false");
    EXPECT("\x07", "7");
    EXPECT("\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615");
    EXPECT("\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808");
    EXPECT("\xcb\x3f\xf8\0\0\0\0\0\0", "1.5");
    EXPECT("\xcb\x7f\xf8\0\0\0\0\0\0", "null"); /* NaN */
    EXPECT("\xcb\xff\xf0\0\0\0\0\0\0", "null"); /* -infinity */
    EXPECT("\xc4\x03\x00\x1f\xff", "\"001fff\"");
}

Test(wire_json, nothing)
{
    char *text = wire_to_json((struct wire_value){NULL});
    cr_assert_str_eq(text, "null");
    free(text);
}

Test(wire_json, strings)
{
    EXPECT("\xa0", "\"\"");
    EXPECT("\xa6"
           "a\"b\\c/",
           "\"a\\\"b\\\\c/\"");
    EXPECT("\xa4\n\x01\0\x7f", "\"\\u000a\\u0001\\u0000\\u007f\"");
    EXPECT("\xa2\xc3\xa9", "\"\xc3\xa9\"");
    EXPECT("\xa3\xe2\x82\xac", "\"\xe2\x82\xac\"");
    EXPECT("\xa4\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"");
}

/* Each byte that belongs to no character becomes one U+FFFD. */
Test(wire_json, invalid_utf8)
{
    EXPECT("\xa1\x80", "\"\\ufffd\"");
    EXPECT("\xa2\xc0\x80", "\"\\ufffd\\ufffd\"");            /* overlong */
    EXPECT("\xa3\xed\xa0\x80", "\"\\ufffd\\ufffd\\ufffd\""); /* surrogate */
    EXPECT("\xa2\xe2\x82", "\"\\ufffd\\ufffd\"");            /* cut short */
    EXPECT("\xa2\xc3x", "\"\\ufffdx\"");                     /* broken off */
    EXPECT("\xa1\xff", "\"\\ufffd\"");
    EXPECT("\xa4\xf4\x90\x80\x80", "\"\\ufffd\\ufffd\\ufffd\\ufffd\""); /* beyond U+10FFFF */
}

Test(wire_json, containers)
{
    EXPECT("\x90", "[]");
    EXPECT("\x80", "{}");
    EXPECT("\x93\x01\x91\xc0\x80", "[1,[null],{}]");
    EXPECT("\x82\xa1"
           "a\x01\xa1"
           "b\x92\x01\x02",
           "{\"a\":1,\"b\":[1,2]}");
}

Test(wire_json, keys_that_are_no_strings)
{
    EXPECT("\x85\x01\xc0\xc0\x01\xc3\x02\x91\x01\x03\x80\x04",
           "{\"1\":null,\"null\":1,\"true\":2,\"[...]\":3,\"{...}\":4}");
    EXPECT("\x81\xc4\x01\xab\x01", "{\"ab\":1}");
}
