/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the two steps of a put. */
#include <assert.h>

#include "meta/stub/fields.h"
#include "meta/stub/messages.h"

static void start_head_put(struct wire_buf *b, uint32_t fields, uint64_t seq, uint32_t flags,
                           uint32_t count)
{
    wire_put_array(b, fields);
    wire_put_uint(b, seq);
    wire_put_uint(b, flags);
    wire_put_array(b, count);
}

void put_start_params_put(struct wire_buf *b, uint64_t seq, uint32_t flags, uint32_t count)
{
    start_head_put(b, 3, seq, flags, count);
}

void put_start_kept_put(struct wire_buf *b, uint64_t seq, uint32_t flags, uint32_t count)
{
    start_head_put(b, 4, seq, flags, count);
}

bool put_start_params_get(struct wire_value v, struct put_start_params *p)
{
    struct fields f = fields_of(v);
    p->seq = fields_uint(&f);
    p->flags = fields_u32(&f);
    p->items = fields_list(&f, CENOTE_BATCH_MAX, &p->count);
    p->keep = wire_at(v, 3);
    return fields_ok(&f);
}

void put_start_key_put(struct wire_buf *b, const void *key, size_t key_len, uint64_t len_bytes)
{
    wire_put_array(b, 2);
    wire_put_bin(b, key, key_len);
    wire_put_uint(b, len_bytes);
}

bool put_start_key_get(struct wire_value v, const uint8_t **key, size_t *key_len,
                       uint64_t *len_bytes)
{
    struct fields f = fields_of(v);
    fields_bin(&f, 1, CENOTE_KEY_MAX, key, key_len);
    *len_bytes = fields_uint(&f);
    return fields_ok(&f);
}

void put_start_item_put(struct wire_buf *b, const struct put_start_item *item)
{
    if (item->status != CENOTE_OK) {
        status_item_put(b, item->status);
        return;
    }
    wire_put_array(b, 4);
    wire_put_uint(b, CENOTE_OK);
    wire_put_uint(b, item->put_id);
    wire_put_bin(b, item->key_hash.b, sizeof(item->key_hash.b));
    wire_put_array(b, item->stripe_count);
}

bool put_start_item_get(struct wire_value v, struct put_start_item *item)
{
    struct fields f = fields_of(v);
    item->status = fields_status(&f);
    if (item->status != CENOTE_OK)
        return true;
    item->put_id = fields_uint(&f);
    fields_fixed(&f, item->key_hash.b, sizeof(item->key_hash.b));
    item->stripes = fields_list(&f, STRIPES_MAX, &item->stripe_count);
    fields_require(&f, item->stripe_count > 0);
    return fields_ok(&f);
}

void granted_stripe_put(struct wire_buf *b, const struct stripe *s)
{
    assert(s->replicas > 0 && s->replicas <= REPLICAS_MAX);
    wire_put_array(b, 3);
    wire_put_uint(b, s->offset);
    wire_put_uint(b, s->payload_len);
    wire_put_array(b, s->replicas);
    for (uint32_t i = 0; i < s->replicas; i++) {
        wire_put_array(b, 3);
        wire_put_uint(b, s->gva[i].v);
        wire_put_uint(b, s->grant[i].boot);
        wire_put_uint(b, s->grant[i].mac);
    }
}

static bool granted_extent_get(struct wire_value v, struct gva *gva, struct write_grant *grant)
{
    struct fields f = fields_of(v);
    *gva = fields_gva(&f);
    grant->boot = fields_uint(&f);
    grant->mac = fields_uint(&f);
    return fields_ok(&f);
}

bool granted_stripe_get(struct wire_value v, struct stripe *s)
{
    struct fields f = fields_of(v);
    s->offset = fields_uint(&f);
    s->payload_len = fields_uint(&f);
    fields_require(&f, s->offset % SUMS_CHUNK_BYTES == 0 && s->payload_len <= EXTENT_PAYLOAD_MAX);
    fields_require(&f, s->offset <= UINT64_MAX - s->payload_len);
    s->root = 0;
    struct wire_value extents = fields_list(&f, REPLICAS_MAX, &s->replicas);
    fields_require(&f, s->replicas > 0);
    for (uint32_t i = 0; fields_ok(&f) && i < s->replicas; i++)
        fields_require(&f, granted_extent_get(wire_at(extents, i), &s->gva[i], &s->grant[i]));
    return fields_ok(&f);
}

void put_end_params_put(struct wire_buf *b, uint64_t seq, uint32_t count)
{
    wire_put_array(b, 2);
    wire_put_uint(b, seq);
    wire_put_array(b, count);
}

bool put_end_params_get(struct wire_value v, struct put_end_params *p)
{
    struct fields f = fields_of(v);
    p->seq = fields_uint(&f);
    p->items = fields_list(&f, CENOTE_BATCH_MAX, &p->count);
    return fields_ok(&f);
}

void put_end_item_put(struct wire_buf *b, uint64_t put_id, uint32_t sum_kind, const uint64_t *roots,
                      uint32_t root_count, const uint8_t *states, uint32_t state_count)
{
    wire_put_array(b, 4);
    wire_put_uint(b, put_id);
    wire_put_uint(b, sum_kind);
    wire_put_array(b, root_count);
    for (uint32_t i = 0; i < root_count; i++)
        wire_put_uint(b, roots[i]);
    wire_put_array(b, state_count);
    for (uint32_t i = 0; i < state_count; i++)
        wire_put_uint(b, states[i]);
}

/* Are all elements numbers up to most? Then whoever reads them one by one can't fail. */
static bool uints_valid(struct wire_value list, uint32_t count, uint64_t most)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t v;
        if (!wire_uint(wire_at(list, i), &v) || v > most)
            return false;
    }
    return true;
}

bool put_end_item_get(struct wire_value v, struct put_end_item *item)
{
    struct fields f = fields_of(v);
    item->put_id = fields_uint(&f);
    item->sum_kind = fields_u32(&f);
    item->roots = fields_list(&f, STRIPES_MAX, &item->root_count);
    item->states = fields_list(&f, STRIPES_MAX * REPLICAS_MAX, &item->state_count);
    return fields_ok(&f) && uints_valid(item->roots, item->root_count, UINT64_MAX) &&
           uints_valid(item->states, item->state_count, EXTENT_UNKNOWN);
}
