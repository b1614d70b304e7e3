/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/record.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "meta/stub/messages.h"
#include "transport/base/bytes.h"

#define RECORD_FORMAT        3u
/* Older ones, still read: 2 has no RECORD_KEPT, 1 no number of replicas either (there was one). */
#define RECORD_FORMAT_SINGLE 1u

/* Of a stripe: length, root, and the address of each replica. */
static size_t stripe_bytes(uint32_t replicas)
{
    return 16 + (size_t)replicas * 8;
}

/* KEPT: how it is kept follows at the end. */
enum record_flags { RECORD_REPLACE = 1, RECORD_FENCE = 2, RECORD_KEPT = 4 };

static void put_kept(struct bytes *b, const struct kept *kept)
{
    const struct keep *k = &kept->keep;
    bytes_put_u64(b, k->ttl_ms);
    bytes_put_u64(b, kept->ttl_from_ms);
    bytes_put_u8(b, (uint8_t)k->pin);
    bytes_put_u64(b, k->pin_ms);
    bytes_put_u64(b, kept->pin_from_ms);
    bytes_put_u8(b, (uint8_t)k->group_len);
    bytes_put(b, k->group, k->group_len);
}

static void get_kept(struct bytes *b, struct kept *kept)
{
    struct keep *k = &kept->keep;
    k->ttl_ms = bytes_get_u64(b);
    kept->ttl_from_ms = bytes_get_u64(b);
    k->pin = bytes_get_u8(b);
    k->pin_ms = bytes_get_u64(b);
    kept->pin_from_ms = bytes_get_u64(b);
    k->group_len = bytes_get_u8(b);
    if (k->group_len <= KEEP_GROUP_MAX)
        bytes_get(b, k->group, k->group_len);
}

uint32_t kept_encode(const struct kept *kept, uint8_t out[KEPT_MAX])
{
    struct bytes b = bytes_over(out, KEPT_MAX);
    if (!keep_asks(&kept->keep))
        return 0;
    put_kept(&b, kept);
    assert(bytes_ok(&b));
    return (uint32_t)(b.at - out);
}

bool kept_decode(const void *data, size_t len, struct kept *out)
{
    struct bytes b = bytes_over_const(data, len);
    *out = (struct kept){0};
    if (len == 0)
        return true;
    get_kept(&b, out);
    return bytes_ok(&b) && bytes_left(&b) == 0 && keep_check(&out->keep) == CENOTE_OK;
}

static uint32_t encode(const struct object *o, uint8_t state, uint8_t flags, uint64_t created_ms,
                       const void *key, uint32_t key_len, const struct kept *kept, uint8_t *out)
{
    struct bytes b = bytes_over(out, RECORD_MAX);
    if (kept != NULL)
        flags |= RECORD_KEPT;
    bytes_put_u8(&b, RECORD_FORMAT);
    bytes_put_u8(&b, state);
    bytes_put_u8(&b, o->sum_kind);
    bytes_put_u8(&b, (uint8_t)(flags | (o->replace ? RECORD_REPLACE : 0)));
    bytes_put_u32(&b, o->name_space);
    bytes_put_u64(&b, o->session);
    bytes_put_u64(&b, object_len(o));
    bytes_put_u64(&b, created_ms);
    bytes_put(&b, o->key_hash.b, sizeof(o->key_hash.b));
    bytes_put_u16(&b, o->stripes);
    bytes_put_u8(&b, o->replicas);
    bytes_put_u16(&b, (uint16_t)key_len);
    bytes_put(&b, key, key_len);
    const struct piece *piece = object_extents(o) == 1 ? &o->one : o->pieces;
    for (uint32_t i = 0; i < o->stripes; i++) {
        bytes_put_u64(&b, piece->payload_len);
        bytes_put_u64(&b, piece->root);
        for (uint32_t k = 0; k < o->replicas; k++, piece++)
            bytes_put_u64(&b, piece->gva.v);
    }
    if (kept != NULL)
        put_kept(&b, kept);
    assert(bytes_ok(&b));
    return (uint32_t)(b.at - out);
}

uint32_t record_encode(const struct object *o, uint8_t state, bool fence, uint64_t created_ms,
                       const void *key, uint32_t key_len, uint8_t out[RECORD_MAX])
{
    return encode(o, state, fence ? RECORD_FENCE : 0, created_ms, key, key_len, NULL, out);
}

uint32_t record_encode_kept(const struct object *o, uint8_t state, const struct kept *kept,
                            uint64_t created_ms, const void *key, uint32_t key_len,
                            uint8_t out[RECORD_MAX])
{
    bool asks = kept != NULL && keep_asks(&kept->keep);
    return encode(o, state, 0, created_ms, key, key_len, asks ? kept : NULL, out);
}

int record_decode(const void *data, uint32_t len, struct record *out)
{
    struct bytes b = bytes_over_const(data, len);
    uint8_t *key = NULL, *body = NULL;
    uint8_t format = bytes_get_u8(&b);
    out->state = bytes_get_u8(&b);
    out->sum_kind = bytes_get_u8(&b);
    uint8_t flags = bytes_get_u8(&b);
    out->replace = (flags & RECORD_REPLACE) != 0;
    out->fence = (flags & RECORD_FENCE) != 0;
    out->name_space = bytes_get_u32(&b);
    out->session = bytes_get_u64(&b);
    out->len_bytes = bytes_get_u64(&b);
    out->created_ms = bytes_get_u64(&b);
    bytes_get(&b, out->key_hash.b, sizeof(out->key_hash.b));
    out->stripes = bytes_get_u16(&b);
    out->replicas = format == RECORD_FORMAT_SINGLE ? 1 : bytes_get_u8(&b);
    out->key_len = bytes_get_u16(&b);
    bytes_take(&b, out->key_len, &key);
    bytes_take(&b, out->stripes * stripe_bytes(out->replicas), &body);
    out->key = key;
    out->body = body;
    out->kept = (struct kept){0};
    bool known = format >= RECORD_FORMAT_SINGLE && format <= RECORD_FORMAT;
    if (format == RECORD_FORMAT && (flags & RECORD_KEPT) != 0)
        get_kept(&b, &out->kept);
    bool sane = known && keep_check(&out->kept.keep) == CENOTE_OK && out->state >= OBJECT_PENDING &&
                out->state <= OBJECT_REMOVED &&
                (out->key_len > 0 || out->state >= OBJECT_ABORTING) &&
                out->key_len <= CENOTE_KEY_MAX && out->stripes > 0 && out->stripes <= STRIPES_MAX &&
                out->replicas > 0 && out->replicas <= REPLICAS_MAX;
    return bytes_ok(&b) && bytes_left(&b) == 0 && sane ? CENOTE_OK : CENOTE_IO;
}

struct piece record_piece(const struct record *r, uint32_t i)
{
    assert(i < r->stripes * r->replicas);
    size_t len = stripe_bytes(r->replicas);
    struct bytes b = bytes_over_const(r->body + i / r->replicas * len, len);
    struct piece p;
    p.payload_len = bytes_get_u64(&b);
    p.root = bytes_get_u64(&b);
    for (uint32_t k = 0; k <= i % r->replicas; k++)
        p.gva = gva_make(bytes_get_u64(&b));
    return p;
}

struct record_key record_key(uint64_t id)
{
    struct record_key k;
    uint64_t big_endian = htobe64(id);
    memcpy(k.b, &big_endian, sizeof(k.b));
    return k;
}

bool record_key_read(const void *key, uint32_t key_len, uint64_t *id)
{
    const uint8_t *b = key;
    uint64_t v = 0;
    if (key_len != sizeof(struct record_key))
        return false;
    for (unsigned i = 0; i < key_len; i++)
        v = v << 8 | b[i];
    *id = v;
    return true;
}
