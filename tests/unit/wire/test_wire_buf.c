/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#include "transport/wire/wire.h"

static void expect(const struct wire_buf *b, const char *bytes, size_t len_bytes)
{
    cr_assert(!b->failed);
    cr_assert_eq(b->len, len_bytes, "%zu bytes, not %zu", b->len, len_bytes);
    cr_assert(memcmp(b->data, bytes, len_bytes) == 0);
}
#define EXPECT(b, literal) expect((b), (literal), sizeof(literal) - 1)

Test(wire_buf, scalars)
{
    struct wire_buf b = {0};
    wire_put_nil(&b);
    wire_put_bool(&b, true);
    wire_put_bool(&b, false);
    wire_put_uint(&b, 0);
    wire_put_uint(&b, 200);
    wire_put_uint(&b, UINT64_MAX);
    wire_put_int(&b, -1);
    wire_put_int(&b, -200);
    EXPECT(&b, "\xc0\xc3\xc2\x00\xcc\xc8\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xd1\xff\x38");
    wire_buf_free(&b);
}

Test(wire_buf, strings_and_containers)
{
    struct wire_buf b = {0};
    wire_put_array(&b, 3);
    wire_put_str(&b, "");
    wire_put_bin(&b, "\x00\x01", 2);
    wire_put_map(&b, 1);
    wire_put_str(&b, "k");
    wire_put_bin(&b, NULL, 0);
    EXPECT(&b, "\x93\xa0\xc4\x02\x00\x01\x81\xa1k\xc4\x00");
    wire_buf_free(&b);
}

Test(wire_buf, heads)
{
    struct wire_buf b = {0};
    wire_put_request(&b, 0x01020304, "ping");
    wire_put_array(&b, 0);
    EXPECT(&b, "\x94\x00\xce\x01\x02\x03\x04\xa4ping\x90");
    wire_buf_clear(&b);
    wire_put_notification(&b, "n");
    EXPECT(&b, "\x93\x02\xa1n");
    wire_buf_clear(&b);
    wire_put_result(&b, 7);
    EXPECT(&b, "\x94\x01\x07\xc0");
    wire_buf_clear(&b);
    wire_put_error(&b, 7, CENOTE_NOT_FOUND, "gone");
    EXPECT(&b, "\x94\x01\x07\x92\xff\xa4gone\xc0");
    wire_buf_clear(&b);
    wire_put_error(&b, 7, CENOTE_NOT_FOUND, NULL);
    EXPECT(&b, "\x94\x01\x07\x92\xff\xabno such key\xc0");
    wire_buf_free(&b);
}

Test(wire_buf, request_head_replaces_the_written_one)
{
    struct wire_buf b = {0};
    uint8_t head[WIRE_REQUEST_HEAD];
    wire_put_request(&b, 0, "m");
    wire_request_head(head, 0);
    cr_assert(memcmp(b.data, head, sizeof(head)) == 0);
    wire_request_head(head, UINT32_MAX - 1);
    memcpy(b.data, head, sizeof(head));
    EXPECT(&b, "\x94\x00\xce\xff\xff\xff\xfe\xa1m");
    wire_buf_free(&b);
}

Test(wire_buf, grows_up_to_the_limit)
{
    struct wire_buf b = {0};
    size_t half_bytes = WIRE_FRAME_MAX / 2;
    uint8_t *data = calloc(1, half_bytes);
    wire_put_bin(&b, data, half_bytes - 5);
    wire_put_bin(&b, data, half_bytes - 5);
    cr_assert(!b.failed);
    cr_assert_eq(b.len, WIRE_FRAME_MAX);
    wire_put_nil(&b);
    cr_assert(b.failed);
    cr_assert_eq(b.len, WIRE_FRAME_MAX);
    wire_buf_clear(&b);
    wire_put_nil(&b);
    EXPECT(&b, "\xc0");
    wire_buf_free(&b);
    cr_assert_null(b.data);
    free(data);
}

Test(wire_buf, refuses_what_can_not_fit)
{
    struct wire_buf b = {0};
    wire_put_bin(&b, "", (size_t)WIRE_FRAME_MAX + 1);
    cr_assert(b.failed);
    wire_put_nil(&b);
    cr_assert_eq(b.len, 0);
    wire_buf_free(&b);
}
