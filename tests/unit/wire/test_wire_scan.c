/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#include "transport/wire/wire.h"

static int64_t scan(const void *data, size_t len_bytes)
{
    return wire_scan(data, len_bytes, WIRE_FRAME_MAX, NULL);
}
#define SCAN(literal) scan((literal), sizeof(literal) - 1)

/* One of everything that may occur, in all its encodings, nested. */
static void put_sample(struct wire_buf *b)
{
    static const uint8_t zeros[70000];
    char *text = calloc(1, 70000);
    memset(text, 'x', 69999);
    wire_put_request(b, 77, "method");
    wire_put_array(b, 14);
    wire_put_nil(b);
    wire_put_bool(b, true);
    wire_put_uint(b, 300);
    wire_put_uint(b, UINT32_MAX);
    wire_put_uint(b, UINT64_MAX);
    wire_put_int(b, -3);
    wire_put_int(b, INT64_MIN);
    wire_put_bin(b, zeros, 10);
    wire_put_bin(b, zeros, 300);
    wire_put_bin(b, zeros, sizeof(zeros));
    text[200] = 0;
    wire_put_str(b, text);
    text[200] = 'x';
    wire_put_str(b, text);
    wire_put_map(b, 2);
    for (uint32_t i = 0; i < 4; i++)
        wire_put_uint(b, i);
    wire_put_array(b, 1);
    wire_put_array(b, 0);
    free(text);
    cr_assert(!b->failed);
}

Test(wire_scan, every_type)
{
    cr_assert_eq(SCAN("\x00"), 1);
    cr_assert_eq(SCAN("\x7f"), 1);
    cr_assert_eq(SCAN("\xe0"), 1);
    cr_assert_eq(SCAN("\xff"), 1);
    cr_assert_eq(SCAN("\xc0"), 1);
    cr_assert_eq(SCAN("\xc2"), 1);
    cr_assert_eq(SCAN("\xc3"), 1);
    cr_assert_eq(SCAN("\xcb\0\0\0\0\0\0\0\0"), 9);
    cr_assert_eq(SCAN("\xcc\0"), 2);
    cr_assert_eq(SCAN("\xcd\0\0"), 3);
    cr_assert_eq(SCAN("\xce\0\0\0\0"), 5);
    cr_assert_eq(SCAN("\xcf\0\0\0\0\0\0\0\0"), 9);
    cr_assert_eq(SCAN("\xd0\0"), 2);
    cr_assert_eq(SCAN("\xd1\0\0"), 3);
    cr_assert_eq(SCAN("\xd2\0\0\0\0"), 5);
    cr_assert_eq(SCAN("\xd3\0\0\0\0\0\0\0\0"), 9);
    cr_assert_eq(SCAN("\xa2xy"), 3);
    cr_assert_eq(SCAN("\xd9\x01x"), 3);
    cr_assert_eq(SCAN("\xda\0\x01x"), 4);
    cr_assert_eq(SCAN("\xdb\0\0\0\x01x"), 6);
    cr_assert_eq(SCAN("\xc4\x01x"), 3);
    cr_assert_eq(SCAN("\xc5\0\x01x"), 4);
    cr_assert_eq(SCAN("\xc6\0\0\0\x01x"), 6);
    cr_assert_eq(SCAN("\x90"), 1);
    cr_assert_eq(SCAN("\x92\x01\x02"), 3);
    cr_assert_eq(SCAN("\xdc\0\x01\x02"), 4);
    cr_assert_eq(SCAN("\xdd\0\0\0\x01\x02"), 6);
    cr_assert_eq(SCAN("\x80"), 1);
    cr_assert_eq(SCAN("\x81\x01\x02"), 3);
    cr_assert_eq(SCAN("\xde\0\x01\x02\x03"), 5);
    cr_assert_eq(SCAN("\xdf\0\0\0\x01\x02\x03"), 7);
}

Test(wire_scan, refused_types)
{
    static const uint8_t refused[] = {0xc1, 0xc7, 0xc8, 0xc9, 0xca, 0xd4, 0xd5, 0xd6, 0xd7, 0xd8};
    for (size_t i = 0; i < sizeof(refused); i++) {
        uint8_t frame[32] = {0x92, refused[i]};
        cr_assert_eq(scan(frame, sizeof(frame)), CENOTE_MALFORMED, "type %02x", refused[i]);
        cr_assert_eq(scan(frame + 1, 1), CENOTE_MALFORMED, "type %02x", refused[i]);
    }
}

Test(wire_scan, ends_with_its_frame)
{
    cr_assert_eq(SCAN("\x92\x01\x02\x93\x01"), 3);
    cr_assert_eq(SCAN("\xc0\xc1"), 1);
}

Test(wire_scan, truncated_anywhere_is_incomplete)
{
    struct wire_buf b = {0};
    put_sample(&b);
    cr_assert_eq(scan(b.data, b.len), (int64_t)b.len);
    for (size_t i = 0; i < b.len; i++)
        cr_assert_eq(scan(b.data, i), 0, "cut at %zu", i);
    wire_buf_free(&b);
}

Test(wire_scan, byte_by_byte_with_progress)
{
    struct wire_buf b = {0};
    put_sample(&b);
    struct wire_progress p = {0};
    for (size_t i = 0; i < b.len; i++)
        cr_assert_eq(wire_scan(b.data, i, WIRE_FRAME_MAX, &p), 0, "cut at %zu", i);
    cr_assert_eq(wire_scan(b.data, b.len, WIRE_FRAME_MAX, &p), (int64_t)b.len);
    wire_buf_free(&b);
}

/* msgpack-c alone would reserve gigabytes for these. */
Test(wire_scan, lying_counts)
{
    cr_assert_eq(SCAN("\xdd\x0f\xff\xff\xff"), CENOTE_FRAME_SIZE);
    cr_assert_eq(SCAN("\xdd\xff\xff\xff\xff"), CENOTE_FRAME_SIZE);
    cr_assert_eq(SCAN("\xdf\xff\xff\xff\xff"), CENOTE_FRAME_SIZE);
    cr_assert_eq(SCAN("\xdb\xff\xff\xff\xff"), CENOTE_FRAME_SIZE);
    cr_assert_eq(SCAN("\xc6\xff\xff\xff\xff"), CENOTE_FRAME_SIZE);
    cr_assert_eq(SCAN("\x92\xdd\x0f\xff\xff\xff"), CENOTE_FRAME_SIZE);
    /* Counts that fit one by one, but not together. */
    cr_assert_eq(SCAN("\x92\xdd\x00\x07\xff\xff\xdd\x00\x0f\xff\xff"), CENOTE_FRAME_SIZE);
}

Test(wire_scan, frame_limit)
{
    const uint8_t frame[] = {0x93, 0xa2, 'x', 'y', 0x01, 0x02};
    cr_assert_eq(wire_scan(frame, 6, 6, NULL), 6);
    cr_assert_eq(wire_scan(frame, 6, 5, NULL), CENOTE_FRAME_SIZE);
    /* Known before the bytes are there. */
    cr_assert_eq(wire_scan(frame, 2, 5, NULL), CENOTE_FRAME_SIZE);
    cr_assert_eq(wire_scan(frame, 2, 6, NULL), 0);
}

Test(wire_scan, value_limit)
{
    uint8_t *frame = calloc(1, WIRE_VALUES_MAX + 5);
    memcpy(frame, "\xdd\x00\x0f\xff\xff", 5); /* and the array itself */
    cr_assert_eq(scan(frame, WIRE_VALUES_MAX + 5), WIRE_VALUES_MAX - 1 + 5);
    memcpy(frame, "\xdd\x00\x10\x00\x00", 5);
    cr_assert_eq(scan(frame, WIRE_VALUES_MAX + 5), CENOTE_FRAME_SIZE);
    free(frame);
}

Test(wire_scan, depth_limit)
{
    uint8_t frame[WIRE_DEPTH_MAX + 2];
    memset(frame, 0x91, sizeof(frame));
    frame[WIRE_DEPTH_MAX] = 0xc0;
    cr_assert_eq(scan(frame, sizeof(frame)), WIRE_DEPTH_MAX + 1);
    frame[WIRE_DEPTH_MAX] = 0x91;
    frame[WIRE_DEPTH_MAX + 1] = 0xc0;
    cr_assert_eq(scan(frame, sizeof(frame)), CENOTE_MALFORMED);
    frame[WIRE_DEPTH_MAX] = 0x90;
    cr_assert_eq(scan(frame, sizeof(frame)), CENOTE_MALFORMED);
    memset(frame, 0x81, sizeof(frame));
    cr_assert_eq(scan(frame, sizeof(frame)), CENOTE_MALFORMED);
}
