/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/stub/directory.h"

#include "meta/stub/fields.h"
#include "meta/stub/messages.h"

void directory_entry_put(struct wire_buf *b, const struct directory_entry *e)
{
    wire_put_array(b, 12);
    wire_put_uint(b, e->gva.v);
    wire_put_uint(b, e->payload_len);
    wire_put_uint(b, e->put_id);
    wire_put_array(b, 2);
    wire_put_uint(b, e->name_space);
    wire_put_str(b, e->space_name);
    wire_put_bin(b, e->key, e->key_len);
    wire_put_bin(b, e->key_hash.b, sizeof(e->key_hash.b));
    wire_put_uint(b, e->len_bytes);
    wire_put_uint(b, e->sum_kind);
    wire_put_uint(b, e->created_ms);
    wire_put_uint(b, e->flags);
    wire_put_array(b, 5);
    wire_put_uint(b, e->stripe);
    wire_put_uint(b, e->stripes);
    wire_put_uint(b, e->replicas);
    wire_put_uint(b, e->offset);
    wire_put_uint(b, e->root);
    wire_put_bin(b, e->kept, e->kept_len);
}

static bool get_space(struct wire_value v, struct directory_entry *e)
{
    struct fields f = fields_of(v);
    e->name_space = fields_u32(&f);
    fields_str(&f, e->space_name, sizeof(e->space_name));
    return fields_ok(&f);
}

static bool get_stripe(struct wire_value v, struct directory_entry *e)
{
    struct fields f = fields_of(v);
    e->stripe = fields_u32(&f);
    e->stripes = fields_u32(&f);
    e->replicas = fields_u32(&f);
    e->offset = fields_uint(&f);
    e->root = fields_uint(&f);
    return fields_ok(&f);
}

static bool is_sane(const struct directory_entry *e)
{
    return e->payload_len <= EXTENT_PAYLOAD_MAX && e->put_id != 0 && e->space_name[0] != '\0' &&
           e->sum_kind <= UINT8_MAX && e->flags <= UINT8_MAX && e->stripes <= STRIPES_MAX &&
           e->stripe < e->stripes && e->replicas > 0 && e->replicas <= REPLICAS_MAX &&
           e->offset <= e->len_bytes && e->payload_len <= e->len_bytes - e->offset;
}

bool directory_entry_get(struct wire_value v, struct directory_entry *e)
{
    struct fields f = fields_of(v);
    uint32_t count;
    e->gva = fields_gva(&f);
    e->payload_len = fields_uint(&f);
    e->put_id = fields_uint(&f);
    struct wire_value space = fields_list(&f, UINT32_MAX, &count);
    fields_bin(&f, 1, CENOTE_KEY_MAX, &e->key, &e->key_len);
    fields_fixed(&f, e->key_hash.b, sizeof(e->key_hash.b));
    e->len_bytes = fields_uint(&f);
    e->sum_kind = fields_u32(&f);
    e->created_ms = fields_uint(&f);
    e->flags = fields_u32(&f);
    struct wire_value stripe = fields_list(&f, UINT32_MAX, &count);
    fields_bin(&f, 0, DIRECTORY_KEPT_MAX, &e->kept, &e->kept_len);
    return fields_ok(&f) && get_space(space, e) && get_stripe(stripe, e) && is_sane(e);
}

void directory_params_put(struct wire_buf *b, uint64_t reign, enum directory_part part,
                          uint32_t count)
{
    wire_put_array(b, 3);
    wire_put_uint(b, reign);
    wire_put_uint(b, part);
    wire_put_array(b, count);
}

bool directory_params_get(struct wire_value v, struct directory_params *p)
{
    struct fields f = fields_of(v);
    p->reign = fields_uint(&f);
    p->part = fields_u32(&f);
    fields_require(&f, p->part <= DIRECTORY_LAST);
    p->entries = fields_list(&f, DIRECTORY_BATCH_MAX, &p->count);
    return fields_ok(&f);
}

void directory_sum_put(struct wire_buf *b, const struct directory_sum *s)
{
    wire_put_array(b, 2);
    wire_put_uint(b, s->entries);
    wire_put_uint(b, s->digest);
}

bool directory_sum_get(struct wire_value v, struct directory_sum *s)
{
    struct fields f = fields_of(v);
    s->entries = fields_uint(&f);
    s->digest = fields_uint(&f);
    return fields_ok(&f);
}

void directory_read_params_put(struct wire_buf *b, const struct directory_read_params *p)
{
    wire_put_array(b, 4);
    wire_put_uint(b, p->reign);
    wire_put_uint(b, p->cursor);
    wire_put_uint(b, p->limit);
    wire_put_bool(b, p->live);
}

bool directory_read_params_get(struct wire_value v, struct directory_read_params *p)
{
    struct fields f = fields_of(v);
    p->reign = fields_uint(&f);
    p->cursor = fields_uint(&f);
    p->limit = fields_u32(&f);
    fields_require(&f, fields_ok(&f) && wire_bool(wire_at(v, 3), &p->live));
    fields_require(&f, p->limit > 0 && p->limit <= DIRECTORY_BATCH_MAX);
    return fields_ok(&f);
}

void directory_read_result_begin(struct wire_buf *b, uint32_t count)
{
    wire_put_array(b, 4);
    wire_put_array(b, count);
}

void directory_read_result_end(struct wire_buf *b, uint64_t cursor, const struct directory_sum *sum,
                               uint64_t left_out)
{
    if (cursor == 0)
        wire_put_nil(b);
    else
        wire_put_uint(b, cursor);
    directory_sum_put(b, sum);
    wire_put_uint(b, left_out);
}

bool directory_read_result_get(struct wire_value v, struct directory_read_result *r)
{
    struct fields f = fields_of(v);
    r->entries = fields_list(&f, DIRECTORY_BATCH_MAX, &r->count);
    r->cursor = fields_nil(&f) ? 0 : fields_uint(&f);
    fields_require(&f, fields_ok(&f) && directory_sum_get(wire_at(v, 2), &r->sum) &&
                           wire_uint(wire_at(v, 3), &r->left_out));
    return fields_ok(&f);
}

void directory_look_params_put(struct wire_buf *b, uint64_t reign, uint32_t count)
{
    wire_put_array(b, 2);
    wire_put_uint(b, reign);
    wire_put_array(b, count);
}

bool directory_look_params_get(struct wire_value v, struct directory_look_params *p)
{
    struct fields f = fields_of(v);
    p->reign = fields_uint(&f);
    p->names = fields_list(&f, DIRECTORY_BATCH_MAX, &p->count);
    fields_require(&f, p->count > 0);
    return fields_ok(&f);
}

void directory_name_put(struct wire_buf *b, struct gva gva, uint64_t put_id)
{
    wire_put_array(b, 2);
    wire_put_uint(b, gva.v);
    wire_put_uint(b, put_id);
}

bool directory_name_get(struct wire_value v, struct gva *gva, uint64_t *put_id)
{
    struct fields f = fields_of(v);
    *gva = fields_gva(&f);
    *put_id = fields_uint(&f);
    return fields_ok(&f);
}

void directory_look_result_put(struct wire_buf *b, const uint8_t *states, uint32_t count)
{
    wire_put_array(b, 1);
    wire_put_array(b, count);
    for (uint32_t i = 0; i < count; i++)
        wire_put_uint(b, states[i]);
}

bool directory_look_result_get(struct wire_value v, uint8_t *states, uint32_t count)
{
    struct fields f = fields_of(v);
    uint32_t given, state;
    struct wire_value list = fields_list(&f, DIRECTORY_BATCH_MAX, &given);
    if (!fields_ok(&f) || given != count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!wire_u32(wire_at(list, i), &state) || state > DIRECTORY_NO_SEAL)
            return false;
        states[i] = (uint8_t)state;
    }
    return true;
}
