/* SPDX-License-Identifier: Apache-2.0 */
/* Writing: the smallest encoding of each value, into a growing, bounded buffer. (msgpack-c reads.
 * Its packer would call back for every head and every body.) */
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "transport/wire/wire.h"
#include <cenote/status.h>

#define BUF_FIRST_BYTES 256u

static bool buf_reserve(struct wire_buf *b, size_t more_bytes)
{
    if (more_bytes > WIRE_FRAME_MAX - b->len)
        return false;
    size_t want = b->len + more_bytes;
    if (want <= b->cap)
        return true;
    size_t cap = b->cap ? b->cap : BUF_FIRST_BYTES;
    while (cap < want)
        cap *= 2;
    uint8_t *data = realloc(b->data, cap);
    if (!data)
        return false;
    b->data = data;
    b->cap = cap;
    return true;
}

static uint8_t *buf_take_slowly(struct wire_buf *b, size_t len_bytes)
{
    assert(b->len <= WIRE_FRAME_MAX);
    if (b->failed || (len_bytes > b->cap - b->len && !buf_reserve(b, len_bytes)) ||
        len_bytes > WIRE_FRAME_MAX - b->len) {
        if (!b->failed)
            b->too_long = len_bytes > WIRE_FRAME_MAX - b->len;
        b->failed = true;
        return NULL;
    }
    uint8_t *at = b->data + b->len;
    b->len += len_bytes;
    return at;
}

/* Where len_bytes more are to be written; NULL: failed. Each value of each answer comes by here. A
 * buffer's room ends where a frame's length does, at the latest. */
static inline uint8_t *buf_take(struct wire_buf *b, size_t len_bytes)
{
    if (__builtin_expect(b->failed || len_bytes > b->cap - b->len || b->cap > WIRE_FRAME_MAX, 0))
        return buf_take_slowly(b, len_bytes);
    uint8_t *at = b->data + b->len;
    b->len += len_bytes;
    return at;
}

static void put_byte(struct wire_buf *b, uint8_t byte)
{
    uint8_t *at = buf_take(b, 1);
    if (at)
        at[0] = byte;
}

/* A first byte and a big-endian number of 1, 2, 4 or 8 bytes. */
static void put_number(struct wire_buf *b, uint8_t tag, uint64_t v, unsigned size_bytes)
{
    uint8_t *at = buf_take(b, 1 + size_bytes);
    if (!at)
        return;
    uint64_t big_endian = htobe64(v << (64 - 8 * size_bytes));
    at[0] = tag;
    memcpy(at + 1, &big_endian, size_bytes);
}

/* The head of bytes or of a container; 8-bit counts exist where tag8 isn't 0. */
static void put_count(struct wire_buf *b, uint64_t count, uint8_t tag8, uint8_t tag16)
{
    if (tag8 != 0 && count <= UINT8_MAX)
        put_number(b, tag8, count, 1);
    else if (count <= UINT16_MAX)
        put_number(b, tag16, count, 2);
    else
        put_number(b, (uint8_t)(tag16 + 1), count, 4);
}

static void put_bytes(struct wire_buf *b, const void *data, size_t len_bytes)
{
    uint8_t *at = buf_take(b, len_bytes);
    if (at && len_bytes > 0)
        memcpy(at, data, len_bytes);
}

void wire_buf_free(struct wire_buf *b)
{
    free(b->data);
    *b = (struct wire_buf){0};
}

void wire_buf_clear(struct wire_buf *b)
{
    b->len = 0;
    b->failed = b->too_long = false;
}

void wire_put_nil(struct wire_buf *b)
{
    put_byte(b, 0xc0);
}

void wire_put_bool(struct wire_buf *b, bool v)
{
    put_byte(b, v ? 0xc3 : 0xc2);
}

void wire_put_uint(struct wire_buf *b, uint64_t v)
{
    if (v < 0x80)
        put_byte(b, (uint8_t)v);
    else if (v <= UINT8_MAX)
        put_number(b, 0xcc, v, 1);
    else if (v <= UINT16_MAX)
        put_number(b, 0xcd, v, 2);
    else if (v <= UINT32_MAX)
        put_number(b, 0xce, v, 4);
    else
        put_number(b, 0xcf, v, 8);
}

void wire_put_int(struct wire_buf *b, int64_t v)
{
    if (v >= 0)
        wire_put_uint(b, (uint64_t)v);
    else if (v >= -32)
        put_byte(b, (uint8_t)v);
    else if (v >= INT8_MIN)
        put_number(b, 0xd0, (uint64_t)v, 1);
    else if (v >= INT16_MIN)
        put_number(b, 0xd1, (uint64_t)v, 2);
    else if (v >= INT32_MIN)
        put_number(b, 0xd2, (uint64_t)v, 4);
    else
        put_number(b, 0xd3, (uint64_t)v, 8);
}

void wire_put_str(struct wire_buf *b, const char *text)
{
    size_t len_bytes = strlen(text);
    if (len_bytes > WIRE_FRAME_MAX) {
        b->failed = b->too_long = true;
        return;
    }
    if (len_bytes < 32)
        put_byte(b, (uint8_t)(0xa0 | len_bytes));
    else
        put_count(b, len_bytes, 0xd9, 0xda);
    put_bytes(b, text, len_bytes);
}

void wire_put_bin(struct wire_buf *b, const void *data, size_t len_bytes)
{
    if (len_bytes > WIRE_FRAME_MAX) {
        b->failed = b->too_long = true;
        return;
    }
    put_count(b, len_bytes, 0xc4, 0xc5);
    put_bytes(b, data, len_bytes);
}

void wire_put_array(struct wire_buf *b, uint32_t count)
{
    if (count < 16)
        put_byte(b, (uint8_t)(0x90 | count));
    else
        put_count(b, count, 0, 0xdc);
}

void wire_put_map(struct wire_buf *b, uint32_t count)
{
    if (count < 16)
        put_byte(b, (uint8_t)(0x80 | count));
    else
        put_count(b, count, 0, 0xde);
}

void wire_put_encoded(struct wire_buf *b, const struct wire_buf *values)
{
    uint8_t *at = values->failed ? NULL : buf_take(b, values->len);
    b->failed |= values->failed;
    b->too_long |= values->too_long;
    if (at != NULL && values->len > 0)
        memcpy(at, values->data, values->len);
}

void wire_put_request(struct wire_buf *b, uint32_t msgid, const char *method)
{
    uint8_t *at = buf_take(b, WIRE_REQUEST_HEAD);
    assert(strlen(method) < WIRE_METHOD_MAX);
    if (at)
        wire_request_head(at, msgid);
    wire_put_str(b, method);
}

void wire_put_notification(struct wire_buf *b, const char *method)
{
    assert(strlen(method) < WIRE_METHOD_MAX);
    wire_put_array(b, 3);
    wire_put_uint(b, WIRE_NOTIFICATION);
    wire_put_str(b, method);
}

void wire_put_result(struct wire_buf *b, uint32_t msgid)
{
    wire_put_array(b, 4);
    wire_put_uint(b, WIRE_RESPONSE);
    wire_put_uint(b, msgid);
    wire_put_nil(b);
}

void wire_put_error(struct wire_buf *b, uint32_t msgid, int status, const char *text)
{
    assert(status < 0);
    wire_put_array(b, 4);
    wire_put_uint(b, WIRE_RESPONSE);
    wire_put_uint(b, msgid);
    wire_put_array(b, 2);
    wire_put_int(b, status);
    wire_put_str(b, text ? text : cenote_status_text(status));
    wire_put_nil(b);
}

void wire_request_head(uint8_t out[WIRE_REQUEST_HEAD], uint32_t msgid)
{
    out[0] = 0x94; /* array of four */
    out[1] = WIRE_REQUEST;
    out[2] = 0xce; /* unsigned, 32 bits, big-endian */
    for (int i = 0; i < 4; i++)
        out[3 + i] = (uint8_t)(msgid >> (24 - 8 * i));
}
