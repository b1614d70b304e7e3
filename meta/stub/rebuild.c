/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/stub/rebuild.h"

#include "meta/stub/fields.h"

void note_put(struct wire_buf *b, const struct note *n)
{
    wire_put_array(b, 3);
    wire_put_uint(b, n->kind);
    wire_put_bin(b, n->key, n->key_len);
    wire_put_bin(b, n->value, n->value_len);
}

bool note_get(struct wire_value v, struct note *n)
{
    struct fields f = fields_of(v);
    n->kind = fields_u32(&f);
    fields_bin(&f, 1, NOTE_KEY_MAX, &n->key, &n->key_len);
    fields_bin(&f, 0, NOTE_VALUE_MAX, &n->value, &n->value_len);
    return fields_ok(&f);
}

void notes_params_put(struct wire_buf *b, uint64_t reign, uint32_t count)
{
    wire_put_array(b, 2);
    wire_put_uint(b, reign);
    wire_put_array(b, count);
}

bool notes_params_get(struct wire_value v, struct notes_params *p)
{
    struct fields f = fields_of(v);
    p->reign = fields_uint(&f);
    p->notes = fields_list(&f, NOTES_MAX, &p->count);
    return fields_ok(&f);
}

bool notes_result_get(struct wire_value v, uint32_t *count)
{
    return wire_array(v, count) && *count <= NOTES_MAX;
}

void settle_params_put(struct wire_buf *b, const struct settle_params *p)
{
    wire_put_array(b, 2);
    wire_put_uint(b, p->reign);
    wire_put_uint(b, p->horizon);
}

bool settle_params_get(struct wire_value v, struct settle_params *p)
{
    struct fields f = fields_of(v);
    p->reign = fields_uint(&f);
    p->horizon = fields_uint(&f);
    return fields_ok(&f);
}

void settle_result_put(struct wire_buf *b, const struct settle_result *r)
{
    wire_put_array(b, 2);
    wire_put_bool(b, r->fenced);
    wire_put_uint(b, r->strays);
}

bool settle_result_get(struct wire_value v, struct settle_result *r)
{
    uint32_t count;
    return wire_array(v, &count) && wire_bool(wire_at(v, 0), &r->fenced) &&
           wire_uint(wire_at(v, 1), &r->strays);
}
