/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/meta/extent_model.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool overlaps(const struct watched *x, uint64_t gva, uint64_t size)
{
    return x->gva < gva + size && gva < x->gva + x->size;
}

static void take_over(struct extent_model *m, uint64_t now_ms, uint64_t gva, uint64_t size)
{
    for (uint32_t i = 0; i < m->count;) {
        struct watched *x = &m->extents[i];
        if (!overlaps(x, gva, size)) {
            i++;
            continue;
        }
        if (!x->writer_done || !x->is_void || x->held || now_ms < x->lease_until_ms) {
            printf("extent %llx of put %llx was reused too early:%s%s%s%s\n",
                   (unsigned long long)x->gva, (unsigned long long)x->put_id,
                   x->writer_done ? "" : " it may be written", x->is_void ? "" : " its seal lives",
                   x->held ? " it is held" : "", now_ms < x->lease_until_ms ? " it is leased" : "");
            m->faults++;
        }
        m->reuses++;
        *x = m->extents[--m->count];
    }
}

static void add(struct extent_model *m, const struct watched *x)
{
    if (m->count == m->room) {
        m->room = m->room * 2 + 64;
        m->extents = realloc(m->extents, m->room * sizeof(*m->extents));
        assert(m->extents != NULL);
    }
    m->extents[m->count++] = *x;
}

void model_granted(struct extent_model *m, uint64_t now_ms, uint64_t session, uint64_t put_id,
                   const struct stripe *stripes, uint32_t count)
{
    struct watched x = {.put_id = put_id, .session = session, .stripes = count};
    for (uint32_t i = 0; i < count; i++) {
        x.size = extent_size(stripes[i].payload_len);
        x.stripe = i;
        for (uint32_t k = 0; k < stripes[i].replicas; k++, x.index++) {
            x.gva = stripes[i].gva[k].v;
            take_over(m, now_ms, x.gva, x.size);
            add(m, &x);
        }
    }
}

static struct watched *find(struct extent_model *m, uint64_t put_id, uint32_t index)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (m->extents[i].put_id == put_id && m->extents[i].index == index)
            return &m->extents[i];
    return NULL;
}

/* The put may have been aborted, and its extent be another's already. */
void model_writer_done(struct extent_model *m, uint64_t put_id, uint32_t index)
{
    struct watched *x = find(m, put_id, index);
    if (x != NULL)
        x->writer_done = true;
}

void model_visible(struct extent_model *m, uint64_t put_id, uint32_t index)
{
    struct watched *x = find(m, put_id, index);
    if (x != NULL)
        x->visible = true;
}

void model_held(struct extent_model *m, uint64_t gva, bool held)
{
    for (uint32_t i = 0; i < m->count; i++)
        if (m->extents[i].gva == gva)
            m->extents[i].held = held;
}

static void lease(struct extent_model *m, uint64_t put_id, uint64_t gva, uint64_t until_ms)
{
    for (uint32_t i = 0; i < m->count; i++) {
        struct watched *x = &m->extents[i];
        if (x->gva != gva)
            continue;
        if (x->put_id == put_id && x->visible && !x->is_void) {
            x->lease_until_ms = until_ms;
            return;
        }
    }
    printf("a lookup answers %llx for put %llx, which doesn't lie there\n", (unsigned long long)gva,
           (unsigned long long)put_id);
    m->faults++;
}

void model_leased(struct extent_model *m, uint64_t put_id, const struct stripe *stripes,
                  uint32_t count, uint64_t until_ms)
{
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < stripes[i].replicas; k++)
            lease(m, put_id, stripes[i].gva[k].v, until_ms);
}

void model_superseded(struct extent_model *m, uint64_t now_ms, uint64_t put_id)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct watched *x = &m->extents[i];
        if (x->put_id != put_id || x->is_void || now_ms >= x->lease_until_ms)
            continue;
        printf("put %llx is superseded while readers still accept it\n",
               (unsigned long long)put_id);
        m->faults++;
    }
}

static bool on_node(const struct end *node, const struct watched *x)
{
    for (uint32_t i = 0; i < node->joined.segment_count; i++)
        if (gva_covers(node->joined.segments[i].gva, GVA_ALIGN, gva_make(x->gva), x->size))
            return true;
    return false;
}

void model_replied(struct extent_model *m, const struct end *node, const struct call *call)
{
    struct fence_params fence;
    uint64_t reign;
    uint32_t count;
    struct wire_value extents;
    if (strcmp(call->method, METHOD_FENCE) == 0) {
        bool good = fence_params_get(call->msg.params, &fence);
        assert(good);
        for (uint32_t i = 0; i < m->count; i++) {
            struct watched *x = &m->extents[i];
            if (x->session == fence.session && x->put_id <= fence.horizon && on_node(node, x))
                x->writer_done = true;
        }
        return;
    }
    if (strcmp(call->method, METHOD_VOID) != 0)
        return;
    bool good = void_params_get(call->msg.params, &reign, &count, &extents);
    assert(good);
    for (uint32_t k = 0; k < count; k++) {
        struct gva gva;
        uint64_t len;
        good = void_extent_get(wire_at(extents, k), &gva, &len);
        assert(good);
        for (uint32_t i = 0; i < m->count; i++) {
            struct watched *x = &m->extents[i];
            if (x->gva != gva.v)
                continue;
            if (!x->writer_done || x->size != extent_size(len)) {
                printf("void of %llx, put %llx of session %llx, while it may be written\n",
                       (unsigned long long)gva.v, (unsigned long long)x->put_id,
                       (unsigned long long)x->session);
                m->faults++;
            }
            x->is_void = true;
        }
    }
}
