/* SPDX-License-Identifier: Apache-2.0 */
/* Writing: msgpack-c's packer over a growing, bounded buffer. */
#include <assert.h>
#include <msgpack.h>
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

/* msgpack-c's write callback. */
static int buf_write(void *arg, const char *data, size_t len_bytes)
{
    struct wire_buf *b = arg;
    assert(b->len <= WIRE_FRAME_MAX);
    if (b->failed || !buf_reserve(b, len_bytes)) {
        b->failed = true;
        return -1;
    }
    if (len_bytes > 0)
        memcpy(b->data + b->len, data, len_bytes);
    b->len += len_bytes;
    return 0;
}

static msgpack_packer packer_over(struct wire_buf *b)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, b, buf_write);
    return pk;
}

void wire_buf_free(struct wire_buf *b)
{
    free(b->data);
    *b = (struct wire_buf){0};
}

void wire_buf_clear(struct wire_buf *b)
{
    b->len = 0;
    b->failed = false;
}

void wire_put_nil(struct wire_buf *b)
{
    msgpack_packer pk = packer_over(b);
    msgpack_pack_nil(&pk);
}

void wire_put_bool(struct wire_buf *b, bool v)
{
    msgpack_packer pk = packer_over(b);
    if (v)
        msgpack_pack_true(&pk);
    else
        msgpack_pack_false(&pk);
}

void wire_put_uint(struct wire_buf *b, uint64_t v)
{
    msgpack_packer pk = packer_over(b);
    msgpack_pack_uint64(&pk, v);
}

void wire_put_int(struct wire_buf *b, int64_t v)
{
    msgpack_packer pk = packer_over(b);
    msgpack_pack_int64(&pk, v);
}

void wire_put_str(struct wire_buf *b, const char *text)
{
    msgpack_packer pk = packer_over(b);
    size_t len_bytes = strlen(text);
    if (len_bytes > WIRE_FRAME_MAX)
        b->failed = true;
    else
        msgpack_pack_str_with_body(&pk, text, len_bytes);
}

void wire_put_bin(struct wire_buf *b, const void *data, size_t len_bytes)
{
    msgpack_packer pk = packer_over(b);
    if (len_bytes > WIRE_FRAME_MAX)
        b->failed = true;
    else
        msgpack_pack_bin_with_body(&pk, data, len_bytes);
}

void wire_put_array(struct wire_buf *b, uint32_t count)
{
    msgpack_packer pk = packer_over(b);
    msgpack_pack_array(&pk, count);
}

void wire_put_map(struct wire_buf *b, uint32_t count)
{
    msgpack_packer pk = packer_over(b);
    msgpack_pack_map(&pk, count);
}

void wire_put_encoded(struct wire_buf *b, const struct wire_buf *values)
{
    b->failed |= values->failed;
    (void)buf_write(b, (const char *)values->data, values->len);
}

void wire_put_request(struct wire_buf *b, uint32_t msgid, const char *method)
{
    msgpack_packer pk = packer_over(b);
    assert(strlen(method) < WIRE_METHOD_MAX);
    msgpack_pack_array(&pk, 4);
    wire_put_uint(b, WIRE_REQUEST);
    msgpack_pack_fix_uint32(&pk, msgid);
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
