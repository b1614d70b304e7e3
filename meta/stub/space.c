/* SPDX-License-Identifier: Apache-2.0 */
/* Messages about namespaces. */
#include "meta/stub/fields.h"
#include "meta/stub/messages.h"

static void settings_put(struct wire_buf *b, const struct space_settings *s)
{
    wire_put_array(b, 4);
    wire_put_uint(b, s->quota_bytes);
    wire_put_uint(b, s->quota_objects);
    wire_put_uint(b, s->ttl_ms);
    wire_put_uint(b, s->pin_limit_bytes);
}

static void settings_get(struct fields *from, struct space_settings *s)
{
    uint32_t count;
    struct fields f = fields_of(fields_list(from, UINT32_MAX, &count));
    s->quota_bytes = fields_uint(&f);
    s->quota_objects = fields_uint(&f);
    s->ttl_ms = fields_uint(&f);
    s->pin_limit_bytes = fields_uint(&f);
    fields_require(from, fields_ok(&f));
}

void space_item_put(struct wire_buf *b, const struct space_item *item)
{
    wire_put_array(b, 4);
    wire_put_str(b, item->name);
    wire_put_uint(b, item->id);
    settings_put(b, &item->settings);
    wire_put_array(b, 3);
    wire_put_uint(b, item->use.bytes);
    wire_put_uint(b, item->use.objects);
    wire_put_uint(b, item->use.pinned_bytes);
}

bool space_item_get(struct wire_value v, struct space_item *item)
{
    uint32_t count;
    struct fields f = fields_of(v);
    fields_str(&f, item->name, sizeof(item->name));
    item->id = fields_u32(&f);
    settings_get(&f, &item->settings);
    struct fields use = fields_of(fields_list(&f, UINT32_MAX, &count));
    item->use.bytes = fields_uint(&use);
    item->use.objects = fields_uint(&use);
    item->use.pinned_bytes = fields_uint(&use);
    fields_require(&f, fields_ok(&use));
    return fields_ok(&f);
}

void space_set_params_put(struct wire_buf *b, const struct space_params *p)
{
    wire_put_array(b, 4);
    wire_put_uint(b, p->seq);
    wire_put_str(b, p->name);
    settings_put(b, &p->settings);
    wire_put_uint(b, p->flags);
}

bool space_set_params_get(struct wire_value v, struct space_params *p)
{
    struct fields f = fields_of(v);
    p->seq = fields_uint(&f);
    fields_str(&f, p->name, sizeof(p->name));
    settings_get(&f, &p->settings);
    p->flags = fields_u32(&f);
    return fields_ok(&f);
}

void space_remove_params_put(struct wire_buf *b, const struct space_params *p)
{
    wire_put_array(b, 2);
    wire_put_uint(b, p->seq);
    wire_put_str(b, p->name);
}

bool space_remove_params_get(struct wire_value v, struct space_params *p)
{
    struct fields f = fields_of(v);
    *p = (struct space_params){.seq = fields_uint(&f)};
    fields_str(&f, p->name, sizeof(p->name));
    return fields_ok(&f);
}
