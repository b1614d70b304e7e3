/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that ask for keys, and what they answer about objects. */
#include <assert.h>

#include "meta/stub/fields.h"
#include "meta/stub/messages.h"

void keys_params_put(struct wire_buf *b, uint32_t count)
{
    wire_put_array(b, 1);
    wire_put_array(b, count);
}

void remove_params_put(struct wire_buf *b, uint64_t seq, uint32_t count)
{
    wire_put_array(b, 2);
    wire_put_uint(b, seq);
    wire_put_array(b, count);
}

/* All keys are checked here, so that whoever reads them one by one can't fail. */
static struct wire_value keys_read(struct fields *f, uint32_t *count)
{
    struct wire_value keys = fields_list(f, CENOTE_BATCH_MAX, count);
    for (uint32_t i = 0; fields_ok(f) && i < *count; i++) {
        const uint8_t *key;
        size_t key_len = 0;
        fields_require(f, wire_bin(wire_at(keys, i), &key, &key_len));
        fields_require(f, key_len > 0 && key_len <= CENOTE_KEY_MAX);
    }
    return keys;
}

bool keys_params_get(struct wire_value v, struct keys_params *p)
{
    struct fields f = fields_of(v);
    p->seq = 0;
    p->keys = keys_read(&f, &p->count);
    return fields_ok(&f);
}

bool remove_params_get(struct wire_value v, struct keys_params *p)
{
    struct fields f = fields_of(v);
    p->seq = fields_uint(&f);
    p->keys = keys_read(&f, &p->count);
    return fields_ok(&f);
}

void keep_params_put(struct wire_buf *b, uint64_t seq, uint32_t count)
{
    wire_put_array(b, 4);
    wire_put_uint(b, seq);
    wire_put_array(b, count);
}

bool keep_params_get(struct wire_value v, struct keep_params *p)
{
    struct fields f = fields_of(v);
    p->seq = fields_uint(&f);
    p->keys = keys_read(&f, &p->count);
    p->keep = wire_at(v, f.next++);
    p->fields = fields_u32(&f);
    return fields_ok(&f);
}

int keys_refusal(struct wire_value params, uint32_t at)
{
    struct wire_value keys = wire_at(params, at);
    uint32_t count, fields;
    if (!wire_array(keys, &count))
        return CENOTE_MALFORMED;
    if (count > CENOTE_BATCH_MAX)
        return CENOTE_LIMIT;
    for (uint32_t i = 0; i < count; i++) {
        struct wire_value item = wire_at(keys, i);
        const uint8_t *key;
        size_t key_len;
        if (!wire_bin(wire_array(item, &fields) ? wire_at(item, 0) : item, &key, &key_len))
            return CENOTE_MALFORMED;
        if (key_len == 0 || key_len > CENOTE_KEY_MAX)
            return CENOTE_KEY_SIZE;
    }
    return CENOTE_MALFORMED;
}

void status_item_put(struct wire_buf *b, int status)
{
    assert(status < CENOTE_OK);
    wire_put_array(b, 1);
    wire_put_int(b, status);
}

/* The two items differ in one field. */
static void item_put(struct wire_buf *b, const struct lookup_item *item, uint32_t fields,
                     uint64_t ms)
{
    if (item->status != CENOTE_OK) {
        status_item_put(b, item->status);
        return;
    }
    wire_put_array(b, fields);
    wire_put_uint(b, CENOTE_OK);
    wire_put_uint(b, item->put_id);
    wire_put_uint(b, item->len_bytes);
    wire_put_uint(b, item->sum_kind);
    wire_put_uint(b, ms);
    wire_put_array(b, item->stripe_count);
}

static bool item_get(struct wire_value v, struct lookup_item *item, uint64_t *ms)
{
    struct fields f = fields_of(v);
    item->status = fields_status(&f);
    if (item->status != CENOTE_OK)
        return true;
    item->put_id = fields_uint(&f);
    item->len_bytes = fields_uint(&f);
    item->sum_kind = fields_u32(&f);
    *ms = fields_uint(&f);
    item->stripes = fields_list(&f, STRIPES_MAX, &item->stripe_count);
    fields_require(&f, item->stripe_count > 0);
    return fields_ok(&f);
}

void lookup_item_put(struct wire_buf *b, const struct lookup_item *item)
{
    item_put(b, item, 6, item->lease_ms);
}

bool lookup_item_get(struct wire_value v, struct lookup_item *item)
{
    item->created_ms = 0;
    return item_get(v, item, &item->lease_ms);
}

void stat_item_put(struct wire_buf *b, const struct lookup_item *item)
{
    item_put(b, item, 7, item->created_ms);
}

bool stat_item_get(struct wire_value v, struct lookup_item *item)
{
    item->lease_ms = 0;
    return item_get(v, item, &item->created_ms);
}

bool stat_keep_get(struct wire_value v, struct keep *keep)
{
    struct wire_value field = wire_at(v, 6);
    uint32_t count;
    return wire_array(field, &count) && keep_get(field, keep) == CENOTE_OK;
}

void located_stripe_put(struct wire_buf *b, const struct stripe *s)
{
    assert(s->replicas <= REPLICAS_MAX);
    wire_put_array(b, 4);
    wire_put_uint(b, s->offset);
    wire_put_uint(b, s->payload_len);
    wire_put_uint(b, s->root);
    wire_put_array(b, s->replicas);
    for (uint32_t i = 0; i < s->replicas; i++)
        wire_put_uint(b, s->gva[i].v);
}

bool located_stripe_get(struct wire_value v, struct stripe *s)
{
    struct fields f = fields_of(v);
    s->offset = fields_uint(&f);
    s->payload_len = fields_uint(&f);
    fields_require(&f, s->offset % SUMS_CHUNK_BYTES == 0 && s->payload_len <= EXTENT_PAYLOAD_MAX);
    fields_require(&f, s->offset <= UINT64_MAX - s->payload_len);
    s->root = fields_uint(&f);
    struct fields extents = fields_of(fields_list(&f, REPLICAS_MAX, &s->replicas));
    for (uint32_t i = 0; fields_ok(&f) && i < s->replicas; i++) {
        s->gva[i] = fields_gva(&extents);
        s->grant[i] = (struct write_grant){0};
        fields_require(&f, fields_ok(&extents));
    }
    return fields_ok(&f);
}

void list_params_put(struct wire_buf *b, const struct list_params *p)
{
    wire_put_array(b, 3);
    wire_put_bin(b, p->prefix, p->prefix_len);
    if (p->cursor)
        wire_put_bin(b, p->cursor, p->cursor_len);
    else
        wire_put_nil(b);
    wire_put_uint(b, p->limit);
}

bool list_params_get(struct wire_value v, struct list_params *p)
{
    struct fields f = fields_of(v);
    fields_bin(&f, 0, CENOTE_KEY_MAX, &p->prefix, &p->prefix_len);
    p->cursor = NULL;
    p->cursor_len = 0;
    if (!fields_nil(&f))
        fields_bin(&f, 1, WIRE_FRAME_MAX, &p->cursor, &p->cursor_len);
    p->limit = fields_u32(&f);
    fields_require(&f, p->limit >= 1 && p->limit <= LIST_LIMIT_MAX);
    return fields_ok(&f);
}

void list_entry_put(struct wire_buf *b, const void *key, size_t key_len, uint64_t len_bytes,
                    uint64_t put_id)
{
    wire_put_array(b, 3);
    wire_put_bin(b, key, key_len);
    wire_put_uint(b, len_bytes);
    wire_put_uint(b, put_id);
}

bool list_entry_get(struct wire_value v, const uint8_t **key, size_t *key_len, uint64_t *len_bytes,
                    uint64_t *put_id)
{
    struct fields f = fields_of(v);
    fields_bin(&f, 1, CENOTE_KEY_MAX, key, key_len);
    *len_bytes = fields_uint(&f);
    *put_id = fields_uint(&f);
    return fields_ok(&f);
}
