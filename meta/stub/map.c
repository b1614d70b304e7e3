/* SPDX-License-Identifier: Apache-2.0 */
/* The map of the pool: its nodes and the address ranges that they serve. */
#include "meta/stub/fields.h"
#include "meta/stub/messages.h"

void map_node_put(struct wire_buf *b, const struct map_node *n)
{
    wire_put_array(b, 9);
    wire_put_uint(b, n->node);
    wire_put_str(b, n->name);
    wire_put_uint(b, n->boot);
    wire_put_str(b, n->host);
    wire_put_str(b, n->zone);
    wire_put_str(b, n->shm);
    wire_put_str(b, n->rdma);
    wire_put_str(b, n->tcp);
    wire_put_uint(b, n->state);
}

bool map_node_get(struct wire_value v, struct map_node *n)
{
    struct fields f = fields_of(v);
    n->node = fields_uint(&f);
    fields_str(&f, n->name, sizeof(n->name));
    n->boot = fields_uint(&f);
    fields_str(&f, n->host, sizeof(n->host));
    fields_str(&f, n->zone, sizeof(n->zone));
    fields_str(&f, n->shm, sizeof(n->shm));
    fields_str(&f, n->rdma, sizeof(n->rdma));
    fields_str(&f, n->tcp, sizeof(n->tcp));
    n->state = fields_u32(&f);
    fields_require(&f, n->state <= NODE_DEAD);
    return fields_ok(&f);
}

void map_range_put(struct wire_buf *b, const struct map_range *r)
{
    wire_put_array(b, 5);
    wire_put_uint(b, r->gva.v);
    wire_put_uint(b, r->len_bytes);
    wire_put_uint(b, r->incarnation);
    wire_put_uint(b, r->node);
    wire_put_uint(b, r->kind);
}

bool map_range_get(struct wire_value v, struct map_range *r)
{
    struct fields f = fields_of(v);
    r->gva = fields_gva(&f);
    r->len_bytes = fields_uint(&f);
    fields_require(&f, gva_covers(gva_make(GVA_FIRST), GVA_END - GVA_FIRST, r->gva, r->len_bytes));
    r->incarnation = fields_uint(&f);
    r->node = fields_uint(&f);
    r->kind = fields_u32(&f);
    return fields_ok(&f);
}
