/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between nodes and the service, in both directions. */
#include <assert.h>
#include <string.h>

#include "meta/stub/fields.h"
#include "meta/stub/messages.h"

void node_join_params_put(struct wire_buf *b, const struct node_join_params *p)
{
    assert(p->segment_count <= SEGMENTS_MAX);
    wire_put_array(b, 12);
    wire_put_uint(b, p->protocol);
    wire_put_str(b, p->name);
    wire_put_uint(b, p->boot);
    wire_put_str(b, p->host);
    wire_put_str(b, p->zone);
    wire_put_str(b, p->shm);
    wire_put_str(b, p->rdma);
    wire_put_str(b, p->tcp);
    wire_put_bin(b, p->grant_key.b, sizeof(p->grant_key.b));
    wire_put_uint(b, p->highest_reign);
    wire_put_array(b, p->segment_count);
    for (uint32_t i = 0; i < p->segment_count; i++) {
        wire_put_array(b, 4);
        wire_put_uint(b, p->segments[i].len_bytes);
        wire_put_uint(b, p->segments[i].kind);
        wire_put_uint(b, p->segments[i].incarnation);
        wire_put_uint(b, p->segments[i].gva.v);
    }
    wire_put_uint(b, p->life);
}

static bool offered_segment_get(struct wire_value v, struct node_segment *s)
{
    struct fields f = fields_of(v);
    *s = (struct node_segment){0};
    s->len_bytes = fields_uint(&f);
    s->kind = fields_u32(&f);
    s->incarnation = fields_uint(&f);
    s->gva = gva_make(fields_uint(&f));
    return fields_ok(&f);
}

bool node_join_params_get(struct wire_value v, struct node_join_params *p)
{
    struct fields f = fields_of(v);
    p->protocol = fields_u32(&f);
    fields_str(&f, p->name, sizeof(p->name));
    p->boot = fields_uint(&f);
    fields_str(&f, p->host, sizeof(p->host));
    fields_str(&f, p->zone, sizeof(p->zone));
    fields_str(&f, p->shm, sizeof(p->shm));
    fields_str(&f, p->rdma, sizeof(p->rdma));
    fields_str(&f, p->tcp, sizeof(p->tcp));
    fields_fixed(&f, p->grant_key.b, sizeof(p->grant_key.b));
    p->highest_reign = fields_uint(&f);
    struct wire_value segments = fields_list(&f, SEGMENTS_MAX, &p->segment_count);
    for (uint32_t i = 0; fields_ok(&f) && i < p->segment_count; i++)
        fields_require(&f, offered_segment_get(wire_at(segments, i), &p->segments[i]));
    p->life = fields_uint(&f);
    return fields_ok(&f);
}

void node_join_result_put(struct wire_buf *b, const struct node_join_result *r)
{
    assert(r->segment_count <= SEGMENTS_MAX);
    wire_put_array(b, 6);
    wire_put_uint(b, r->node);
    wire_put_uint(b, r->reign);
    wire_put_bin(b, r->pool_key.b, sizeof(r->pool_key.b));
    wire_put_uint(b, r->heartbeat_ms);
    wire_put_array(b, r->segment_count);
    for (uint32_t i = 0; i < r->segment_count; i++) {
        wire_put_array(b, 2);
        wire_put_uint(b, r->segments[i].incarnation);
        wire_put_uint(b, r->segments[i].gva.v);
    }
    wire_put_uint(b, r->life);
}

static bool joined_segment_get(struct wire_value v, struct node_segment *s)
{
    struct fields f = fields_of(v);
    *s = (struct node_segment){0};
    s->incarnation = fields_uint(&f);
    s->gva = fields_gva(&f);
    return fields_ok(&f);
}

bool node_join_result_get(struct wire_value v, struct node_join_result *r)
{
    struct fields f = fields_of(v);
    r->node = fields_uint(&f);
    r->reign = fields_uint(&f);
    fields_fixed(&f, r->pool_key.b, sizeof(r->pool_key.b));
    r->heartbeat_ms = fields_u32(&f);
    struct wire_value segments = fields_list(&f, SEGMENTS_MAX, &r->segment_count);
    for (uint32_t i = 0; fields_ok(&f) && i < r->segment_count; i++)
        fields_require(&f, joined_segment_get(wire_at(segments, i), &r->segments[i]));
    r->life = fields_uint(&f);
    return fields_ok(&f);
}

static void rdma_report_put(struct wire_buf *b, const struct rdma_report *r)
{
    assert(r->rail_count <= RDMA_RAILS_MAX);
    wire_put_array(b, 7);
    wire_put_array(b, r->rail_count);
    for (uint32_t i = 0; i < r->rail_count; i++)
        wire_put_str(b, r->rails[i]);
    wire_put_uint(b, r->connections);
    wire_put_uint(b, r->queue_pairs);
    wire_put_uint(b, r->regions);
    wire_put_uint(b, r->errors);
    wire_put_uint(b, r->fenced);
    wire_put_uint(b, r->rails_lost);
}

static bool rdma_report_get(struct wire_value v, struct rdma_report *r)
{
    struct fields f = fields_of(v);
    struct fields rails = fields_of(fields_list(&f, RDMA_RAILS_MAX, &r->rail_count));
    for (uint32_t i = 0; fields_ok(&f) && i < r->rail_count; i++) {
        fields_str(&rails, r->rails[i], sizeof(r->rails[i]));
        fields_require(&f, fields_ok(&rails));
    }
    r->connections = fields_uint(&f);
    r->queue_pairs = fields_uint(&f);
    r->regions = fields_uint(&f);
    r->errors = fields_uint(&f);
    r->fenced = fields_uint(&f);
    r->rails_lost = fields_uint(&f);
    return fields_ok(&f);
}

void node_heartbeat_params_put(struct wire_buf *b, const struct node_heartbeat_params *p)
{
    assert(p->segment_count <= SEGMENTS_MAX);
    wire_put_array(b, 4);
    wire_put_array(b, p->segment_count);
    for (uint32_t i = 0; i < p->segment_count; i++)
        wire_put_uint(b, p->populated_bytes[i]);
    wire_put_uint(b, p->holds);
    if (p->has_directory)
        directory_sum_put(b, &p->directory);
    else
        wire_put_nil(b);
    if (p->has_rdma)
        rdma_report_put(b, &p->rdma);
    else
        wire_put_nil(b);
}

bool node_heartbeat_params_get(struct wire_value v, struct node_heartbeat_params *p)
{
    struct fields f = fields_of(v);
    struct fields populated = fields_of(fields_list(&f, SEGMENTS_MAX, &p->segment_count));
    for (uint32_t i = 0; fields_ok(&f) && i < p->segment_count; i++) {
        p->populated_bytes[i] = fields_uint(&populated);
        fields_require(&f, fields_ok(&populated));
    }
    p->holds = fields_uint(&f);
    p->has_directory = !fields_nil(&f);
    fields_require(&f, !p->has_directory || directory_sum_get(wire_at(v, 2), &p->directory));
    struct wire_value rdma = wire_at(v, 3);
    p->has_rdma = !wire_is_nil(rdma);
    fields_require(&f, !p->has_rdma || rdma_report_get(rdma, &p->rdma));
    return fields_ok(&f);
}

void fence_params_put(struct wire_buf *b, const struct fence_params *p)
{
    wire_put_array(b, 3);
    wire_put_uint(b, p->reign);
    wire_put_uint(b, p->session);
    wire_put_uint(b, p->horizon);
}

bool fence_params_get(struct wire_value v, struct fence_params *p)
{
    struct fields f = fields_of(v);
    p->reign = fields_uint(&f);
    p->session = fields_uint(&f);
    p->horizon = fields_uint(&f);
    return fields_ok(&f);
}

void void_params_put(struct wire_buf *b, uint64_t reign, uint32_t count)
{
    wire_put_array(b, 2);
    wire_put_uint(b, reign);
    wire_put_array(b, count);
}

bool void_params_get(struct wire_value v, uint64_t *reign, uint32_t *count,
                     struct wire_value *extents)
{
    struct fields f = fields_of(v);
    *reign = fields_uint(&f);
    *extents = fields_list(&f, VOID_BATCH_MAX, count);
    return fields_ok(&f);
}

void void_extent_put(struct wire_buf *b, struct gva gva, uint64_t payload_len)
{
    wire_put_array(b, 2);
    wire_put_uint(b, gva.v);
    wire_put_uint(b, payload_len);
}

bool void_extent_get(struct wire_value v, struct gva *gva, uint64_t *payload_len)
{
    struct fields f = fields_of(v);
    *gva = fields_gva(&f);
    *payload_len = fields_uint(&f);
    fields_require(&f, *payload_len <= EXTENT_PAYLOAD_MAX);
    return fields_ok(&f);
}

void void_result_put(struct wire_buf *b, const bool *held, uint32_t count)
{
    uint32_t held_count = 0;
    for (uint32_t i = 0; i < count; i++)
        held_count += held[i];
    if (held_count == 0) {
        wire_put_nil(b);
        return;
    }
    wire_put_array(b, held_count);
    for (uint32_t i = 0; i < count; i++)
        if (held[i])
            wire_put_uint(b, i);
}

bool void_result_get(struct wire_value v, bool *held, uint32_t count)
{
    uint32_t held_count;
    uint64_t index, next = 0;
    memset(held, 0, count * sizeof *held);
    if (wire_is_nil(v))
        return true;
    if (!wire_array(v, &held_count) || held_count == 0 || held_count > count)
        return false;
    for (uint32_t i = 0; i < held_count; i++) {
        if (!wire_uint(wire_at(v, i), &index) || index < next || index >= count)
            return false;
        held[index] = true;
        next = index + 1;
    }
    return true;
}

void extent_damaged_params_put(struct wire_buf *b, uint64_t put_id, struct gva gva)
{
    wire_put_array(b, 2);
    wire_put_uint(b, put_id);
    wire_put_uint(b, gva.v);
}

bool extent_damaged_params_get(struct wire_value v, uint64_t *put_id, struct gva *gva)
{
    struct fields f = fields_of(v);
    *put_id = fields_uint(&f);
    *gva = fields_gva(&f);
    return fields_ok(&f);
}
