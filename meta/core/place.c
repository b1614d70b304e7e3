/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/place.h"

#include "transport/base/log.h"

_Static_assert(PLACE_STRIPE_MIN % SUMS_CHUNK_BYTES == 0, "stripes begin at chunks");

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

/* The emptiest segment that surely has room; NULL: none is sure. */
static struct incarnation *emptiest(const struct core *c, struct alloc_shape shape)
{
    struct incarnation *best = NULL;
    for (uint32_t k = 0; k < c->members.range_count; k++) {
        struct incarnation *i = c->members.ranges[k];
        if (!eligible(i) || alloc_largest_free(i->alloc) < shape.size + shape.align - 1)
            continue;
        if (best == NULL || alloc_free_bytes(i->alloc) > alloc_free_bytes(best->alloc))
            best = i;
    }
    return best;
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
    struct incarnation *sure = emptiest(c, shape);
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

/* The largest stripes to begin with: a power of two below the length. */
static uint64_t first_stripe(uint64_t len_bytes)
{
    uint64_t stripe = PLACE_STRIPE_MAX;
    while (stripe < len_bytes / STRIPES_MAX + 1)
        stripe *= 2;
    while (stripe >= len_bytes && stripe > PLACE_STRIPE_MIN)
        stripe /= 2;
    return stripe;
}

static int take_stripes(struct core *c, struct session *s, uint64_t len_bytes,
                        struct placement *out)
{
    uint64_t left = len_bytes, stripe = first_stripe(len_bytes);
    while (left > 0) {
        if (out->count == STRIPES_MAX)
            return CENOTE_NO_SPACE;
        uint64_t want = left < stripe ? left : stripe;
        int status = take(c, s, want, &out->pieces[out->count]);
        if (status == CENOTE_OK) {
            out->count++;
            left -= want;
        } else if (status == CENOTE_NO_SPACE && stripe > PLACE_STRIPE_MIN) {
            stripe /= 2;
        } else {
            return status;
        }
    }
    return CENOTE_OK;
}

int place_value(struct core *c, struct session *s, uint64_t len_bytes, struct placement *out)
{
    out->count = 0;
    if (!any_eligible(c))
        return CENOTE_NO_NODES;
    if (len_bytes > EXTENT_PAYLOAD_MAX || len_bytes > c->capacity_bytes)
        return CENOTE_VALUE_SIZE;
    int status = CENOTE_NO_SPACE;
    if (len_bytes <= PLACE_STRIPE_MAX) {
        status = take(c, s, len_bytes, &out->pieces[0]);
        if (status == CENOTE_OK)
            out->count = 1;
    }
    if (status == CENOTE_NO_SPACE && len_bytes > PLACE_STRIPE_MIN)
        status = take_stripes(c, s, len_bytes, out);
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
