/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/place.h"

#include "transport/base/log.h"

/* A stripe that isn't the last has at least this part of what it would have in an empty pool. */
#define SPLIT_MAX    32u
/* Segments that are compared for one stripe; all of them only when none of these has room. */
#define COMPARED_MAX 32u

static bool eligible(const struct incarnation *i)
{
    const struct node *n = i->node;
    return n->peer != NULL && n->state == NODE_ALIVE && n->join == NULL && i->kind == SEGMENT_HOST;
}

static bool any_eligible(const struct core *c)
{
    for (uint32_t k = 0; k < c->members.range_count; k++)
        if (eligible(c->members.ranges[k]))
            return true;
    return false;
}

/* The emptiest of some segments, beginning at another one each time, that surely has room; NULL:
 * none is sure. */
static struct incarnation *emptiest_of(struct members *m, struct alloc_shape shape, uint32_t count)
{
    struct incarnation *best = NULL;
    for (uint32_t k = 0; k < count; k++) {
        m->place_at = m->place_at + 1 < m->range_count ? m->place_at + 1 : 0;
        struct incarnation *i = m->ranges[m->place_at];
        if (!eligible(i) || alloc_largest_free(i->alloc) < shape.size + shape.align - 1)
            continue;
        if (best == NULL || alloc_free_bytes(i->alloc) > alloc_free_bytes(best->alloc))
            best = i;
    }
    return best;
}

static struct incarnation *emptiest(struct members *m, struct alloc_shape shape)
{
    uint32_t some = m->range_count < COMPARED_MAX ? m->range_count : COMPARED_MAX;
    struct incarnation *best = emptiest_of(m, shape, some);
    return best == NULL && some < m->range_count ? emptiest_of(m, shape, m->range_count) : best;
}

static int take_from(struct core *c, struct session *s, struct incarnation *i,
                     struct alloc_shape shape, struct piece *out)
{
    uint64_t offset;
    if (sessions_fence(c, s, i->node) == NULL)
        return CENOTE_NO_MEMORY;
    int status = alloc_take(i->alloc, shape.size, shape.align, &offset);
    if (status == CENOTE_OK)
        out->gva = gva_add(i->gva, offset);
    return status;
}

static int take(struct core *c, struct session *s, uint64_t payload_len, struct piece *out)
{
    struct alloc_shape shape = alloc_rounding(payload_len);
    struct incarnation *sure = emptiest(&c->members, shape);
    out->payload_len = payload_len;
    out->root = 0;
    if (sure != NULL)
        return take_from(c, s, sure, shape, out);
    for (uint32_t k = 0; k < c->members.range_count; k++) {
        struct incarnation *i = c->members.ranges[k];
        if (!eligible(i) || alloc_largest_free(i->alloc) < shape.size)
            continue;
        int status = take_from(c, s, i, shape, out);
        if (status != CENOTE_NO_SPACE)
            return status;
    }
    return CENOTE_NO_SPACE;
}

/* The longest payload that surely fits somewhere, in whole chunks. */
static uint64_t longest_stripe(const struct core *c)
{
    uint64_t largest = 0;
    for (uint32_t k = 0; k < c->members.range_count; k++) {
        const struct incarnation *i = c->members.ranges[k];
        if (eligible(i) && alloc_largest_free(i->alloc) > largest)
            largest = alloc_largest_free(i->alloc);
    }
    uint64_t payload = alloc_payload_within(largest);
    return payload - payload % SUMS_CHUNK_BYTES;
}

/* As long as stripes may be; longer for the few values that STRIPES_MAX / 2 of these can't hold. */
static uint64_t stripe_limit(uint64_t len_bytes)
{
    uint64_t limit = PLACE_STRIPE_MAX;
    while (limit < len_bytes / (STRIPES_MAX / 2) + 1)
        limit *= 2;
    return limit;
}

static int take_stripes(struct core *c, struct session *s, uint64_t len_bytes,
                        struct placement *out)
{
    uint64_t left = len_bytes, limit = stripe_limit(len_bytes);
    uint64_t whole = len_bytes < limit ? len_bytes : limit;
    uint64_t least = (whole + SPLIT_MAX - 1) / SPLIT_MAX;
    do {
        uint64_t want = left < limit ? left : limit;
        if (out->count == STRIPES_MAX)
            return CENOTE_NO_SPACE;
        int status = take(c, s, want, &out->pieces[out->count]);
        if (status == CENOTE_NO_SPACE) {
            want = longest_stripe(c);
            if (want == 0 || want < least)
                return CENOTE_NO_SPACE;
            status = take(c, s, want, &out->pieces[out->count]);
        }
        if (status != CENOTE_OK)
            return status;
        out->count++;
        left -= want;
    } while (left > 0);
    return CENOTE_OK;
}

int place_value(struct core *c, struct session *s, uint64_t len_bytes, struct placement *out)
{
    out->count = 0;
    if (!any_eligible(c))
        return CENOTE_NO_NODES;
    if (len_bytes > EXTENT_PAYLOAD_MAX || len_bytes > c->capacity_bytes)
        return CENOTE_VALUE_SIZE;
    int status = take_stripes(c, s, len_bytes, out);
    if (status != CENOTE_OK)
        place_undo(c, out->pieces, out->count);
    return status;
}

void place_undo(struct core *c, const struct piece *pieces, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        uint64_t size = alloc_rounding(pieces[k].payload_len).size;
        struct incarnation *i = members_find(c, pieces[k].gva, size);
        if (i != NULL && alloc_give(i->alloc, pieces[k].gva.v - i->gva.v, size) != CENOTE_OK)
            log_error("meta", "the extent at %llx could not be given back",
                      (unsigned long long)pieces[k].gva.v);
    }
}
