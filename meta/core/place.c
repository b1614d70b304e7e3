/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/place.h"

#include <assert.h>
#include <string.h>

#include "transport/base/log.h"

_Static_assert(PLACE_STRIPE_MIN % SUMS_CHUNK_BYTES == 0, "stripes begin at chunks");

static bool eligible(const struct incarnation *i)
{
    const struct node *n = i->node;
    return n->peer != NULL && n->state == NODE_ALIVE && n->join == NULL && i->kind == SEGMENT_HOST;
}

/* Nodes with a segment that may take something. */
static uint32_t eligible_nodes(const struct core *c)
{
    uint32_t count = 0;
    list_each(&c->members.nodes, l)
    {
        const struct node *n = container_of(l, struct node, link);
        uint32_t k = 0;
        while (k < n->segment_count && !eligible(n->segments[k]))
            k++;
        count += k < n->segment_count;
    }
    return count;
}

/* ---- the replicas of one stripe ---- */

struct chosen {
    const struct node *nodes[REPLICAS_MAX];
    uint32_t count;
};

static bool same_label(const char *a, const char *b)
{
    return a[0] != '\0' && strcmp(a, b) == 0;
}

/* What would be lost together: PLACE_SAME_NODE is never taken, of the others the least. */
enum closeness { PLACE_APART, PLACE_SAME_HOST, PLACE_SAME_ZONE, PLACE_SAME_NODE };

static enum closeness closeness(const struct chosen *chosen, const struct node *n)
{
    enum closeness most = PLACE_APART;
    for (uint32_t k = 0; k < chosen->count; k++) {
        const struct node *other = chosen->nodes[k];
        enum closeness own = other == n                         ? PLACE_SAME_NODE
                             : same_label(other->zone, n->zone) ? PLACE_SAME_ZONE
                             : same_label(other->host, n->host) ? PLACE_SAME_HOST
                                                                : PLACE_APART;
        most = own > most ? own : most;
    }
    return most;
}

/* Of the segments that surely have room the farthest, of these the emptiest; NULL: none is sure. */
static struct incarnation *best_sure(const struct core *c, struct alloc_shape shape,
                                     const struct chosen *chosen)
{
    struct incarnation *best = NULL;
    enum closeness least = PLACE_SAME_NODE;
    for (uint32_t k = 0; k < c->members.range_count; k++) {
        struct incarnation *i = c->members.ranges[k];
        if (!eligible(i) || alloc_largest_free(i->alloc) < shape.size + shape.align - 1)
            continue;
        enum closeness own = closeness(chosen, i->node);
        bool emptier = best != NULL && alloc_free_bytes(i->alloc) > alloc_free_bytes(best->alloc);
        if (own < least || (own == least && emptier)) {
            best = i;
            least = own;
        }
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

/* One more replica. The node that took it joins the chosen ones. */
static int take_one(struct core *c, struct session *s, struct alloc_shape shape,
                    struct chosen *chosen, struct piece *out)
{
    struct incarnation *sure = best_sure(c, shape, chosen);
    if (sure != NULL) {
        chosen->nodes[chosen->count++] = sure->node;
        return take_from(c, s, sure, shape, out);
    }
    for (uint32_t k = 0; k < c->members.range_count; k++) {
        struct incarnation *i = c->members.ranges[k];
        if (!eligible(i) || alloc_largest_free(i->alloc) < shape.size ||
            closeness(chosen, i->node) == PLACE_SAME_NODE)
            continue;
        int status = take_from(c, s, i, shape, out);
        if (status == CENOTE_OK)
            chosen->nodes[chosen->count++] = i->node;
        if (status != CENOTE_NO_SPACE)
            return status;
    }
    return CENOTE_NO_SPACE;
}

/* All replicas of one stripe, or nothing. */
static int take(struct core *c, struct session *s, uint64_t payload_len, uint32_t replicas,
                struct piece *out)
{
    struct alloc_shape shape = alloc_rounding(payload_len);
    struct chosen chosen = {.count = 0};
    for (uint32_t k = 0; k < replicas; k++) {
        out[k] = (struct piece){.payload_len = payload_len};
        int status = take_one(c, s, shape, &chosen, &out[k]);
        if (status == CENOTE_OK)
            continue;
        place_undo(c, out, k);
        return status;
    }
    return CENOTE_OK;
}

/* ---- stripes ---- */

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

static int take_stripe(struct core *c, struct session *s, uint64_t payload_len,
                       struct placement *out)
{
    int status = take(c, s, payload_len, out->replicas, &out->pieces[out->stripes * out->replicas]);
    out->stripes += status == CENOTE_OK;
    return status;
}

static int take_stripes(struct core *c, struct session *s, uint64_t len_bytes,
                        struct placement *out)
{
    uint64_t left = len_bytes, stripe = first_stripe(len_bytes);
    while (left > 0) {
        if (out->stripes == STRIPES_MAX)
            return CENOTE_NO_SPACE;
        uint64_t want = left < stripe ? left : stripe;
        int status = take_stripe(c, s, want, out);
        if (status == CENOTE_OK) {
            left -= want;
        } else if (status == CENOTE_NO_SPACE && stripe > PLACE_STRIPE_MIN) {
            stripe /= 2;
        } else {
            return status;
        }
    }
    return CENOTE_OK;
}

int place_value(struct core *c, struct session *s, uint64_t len_bytes, uint32_t replicas,
                struct placement *out)
{
    assert(replicas > 0 && replicas <= REPLICAS_MAX);
    out->stripes = 0;
    out->replicas = replicas;
    if (eligible_nodes(c) < replicas)
        return CENOTE_NO_NODES;
    if (len_bytes > EXTENT_PAYLOAD_MAX || len_bytes > c->capacity_bytes / replicas)
        return CENOTE_VALUE_SIZE;
    int status = CENOTE_NO_SPACE;
    if (len_bytes <= PLACE_STRIPE_MAX)
        status = take_stripe(c, s, len_bytes, out);
    if (status == CENOTE_NO_SPACE && len_bytes > PLACE_STRIPE_MIN)
        status = take_stripes(c, s, len_bytes, out);
    if (status != CENOTE_OK)
        place_undo(c, out->pieces, out->stripes * replicas);
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
