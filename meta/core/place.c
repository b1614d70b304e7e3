/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/place.h"

#include <assert.h>
#include <string.h>

#include "transport/base/log.h"

/* A stripe that isn't the last has at least this part of what it would have in an empty pool. */
#define SPLIT_MAX    32u
/* Segments that are compared for one stripe; all of them only when none of these has room. */
#define COMPARED_MAX 32u

static bool eligible(const struct incarnation *i)
{
    const struct node *n = i->node;
    return n->peer != NULL && n->state == NODE_ALIVE && n->join == NULL &&
           i->kind == SEGMENT_HOST && !n->settle.wanted;
}

/* Are there so many nodes with a segment that may take something? */
static bool nodes_enough(const struct core *c, uint32_t wanted)
{
    list_each(&c->members.nodes, l)
    {
        const struct node *n = container_of(l, struct node, link);
        uint32_t k = 0;
        while (k < n->segment_count && !eligible(n->segments[k]))
            k++;
        wanted -= k < n->segment_count;
        if (wanted == 0)
            return true;
    }
    return false;
}

/* ---- the replicas of one stripe ---- */

struct chosen {
    const struct node *nodes[REPLICAS_MAX];
    uint32_t count;
};

static bool is_chosen(const struct chosen *chosen, const struct node *n)
{
    for (uint32_t k = 0; k < chosen->count; k++) {
        if (chosen->nodes[k] == n)
            return true;
    }
    return false;
}

/* One replica is looked for. */
struct search {
    struct alloc_shape shape;
    struct chosen chosen; /* have the stripe already */
    struct chosen before; /* have the stripe before it: others let both be read at once */
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

/* Less is better. */
static unsigned badness(const struct search *s, const struct node *n)
{
    return 2 * closeness(&s->chosen, n) + is_chosen(&s->before, n);
}

/* Of some segments that surely have room, beginning at another one each time, the farthest from
 * what is chosen, of these one that hasn't the stripe before, of these the emptiest; NULL: none is
 * sure. */
static struct incarnation *best_of(struct members *m, const struct search *s, uint32_t count)
{
    struct incarnation *best = NULL;
    unsigned least = 2 * PLACE_SAME_NODE;
    for (uint32_t k = 0; k < count; k++) {
        m->place_at = m->place_at + 1 < m->range_count ? m->place_at + 1 : 0;
        struct incarnation *i = m->ranges[m->place_at];
        if (!eligible(i) || alloc_largest_free(i->alloc) < s->shape.size + s->shape.align - 1)
            continue;
        unsigned own = badness(s, i->node);
        bool emptier = best != NULL && alloc_free_bytes(i->alloc) > alloc_free_bytes(best->alloc);
        if (own < least || (own == least && emptier)) {
            best = i;
            least = own;
        }
    }
    return best;
}

/* All are looked at when none of some is apart from what is chosen. */
static struct incarnation *best_sure(struct members *m, const struct search *s)
{
    uint32_t some = m->range_count < COMPARED_MAX ? m->range_count : COMPARED_MAX;
    struct incarnation *best = best_of(m, s, some);
    bool apart = best != NULL && closeness(&s->chosen, best->node) == PLACE_APART;
    return apart || some == m->range_count ? best : best_of(m, s, m->range_count);
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
static int take_one(struct core *c, struct session *session, struct search *s, struct piece *out)
{
    struct chosen *chosen = &s->chosen;
    struct incarnation *sure = best_sure(&c->members, s);
    if (sure != NULL) {
        chosen->nodes[chosen->count++] = sure->node;
        return take_from(c, session, sure, s->shape, out);
    }
    for (uint32_t k = 0; k < c->members.range_count; k++) {
        struct incarnation *i = c->members.ranges[k];
        if (!eligible(i) || alloc_largest_free(i->alloc) < s->shape.size ||
            is_chosen(chosen, i->node))
            continue;
        int status = take_from(c, session, i, s->shape, out);
        if (status == CENOTE_OK)
            chosen->nodes[chosen->count++] = i->node;
        if (status != CENOTE_NO_SPACE)
            return status;
    }
    return CENOTE_NO_SPACE;
}

/* All replicas of one stripe, or nothing. before: who has the stripe before it; becomes this one's
 * when it was taken. */
static int take(struct core *c, struct session *session, uint64_t payload_len, uint32_t replicas,
                struct chosen *before, struct piece *out)
{
    struct search s = {.shape = alloc_rounding(payload_len), .before = *before};
    for (uint32_t k = 0; k < replicas; k++) {
        out[k] = (struct piece){.payload_len = payload_len};
        int status = take_one(c, session, &s, &out[k]);
        if (status == CENOTE_OK)
            continue;
        place_undo(c, out, k);
        return status;
    }
    *before = s.chosen;
    return CENOTE_OK;
}

/* ---- stripes ---- */

static uint64_t largest_of(const struct node *n)
{
    uint64_t largest = 0;
    for (uint32_t k = 0; k < n->segment_count; k++) {
        const struct incarnation *i = n->segments[k];
        if (eligible(i) && alloc_largest_free(i->alloc) > largest)
            largest = alloc_largest_free(i->alloc);
    }
    return largest;
}

/* Puts a size among the largest ones, descending; the least of them leaves. */
static void rank(uint64_t *largest, uint32_t count, uint64_t size)
{
    for (uint32_t k = 0; k < count; k++) {
        if (size <= largest[k])
            continue;
        uint64_t other = largest[k];
        largest[k] = size;
        size = other;
    }
}

/* The longest payload that surely fits on so many nodes, in whole chunks. */
static uint64_t longest_stripe(const struct core *c, uint32_t replicas)
{
    uint64_t largest[REPLICAS_MAX] = {0};
    list_each(&c->members.nodes, l)
        rank(largest, replicas, largest_of(container_of(l, struct node, link)));
    uint64_t payload = alloc_payload_within(largest[replicas - 1]);
    return payload - payload % SUMS_CHUNK_BYTES;
}

/* As long as stripes may be: short where there are nodes to share the work, and longer for the few
 * values that STRIPES_MAX / 2 of these can't hold. */
static uint64_t stripe_limit(const struct core *c, uint64_t len_bytes, uint32_t replicas)
{
    uint64_t limit = c->options.stripe_bytes;
    if (limit == 0 || len_bytes <= limit || !nodes_enough(c, replicas + 1))
        limit = PLACE_STRIPE_MAX;
    while (limit < len_bytes / (STRIPES_MAX / 2) + 1)
        limit *= 2;
    return limit;
}

static int take_stripes(struct core *c, struct session *s, uint64_t len_bytes,
                        struct placement *out)
{
    struct chosen before = {.count = 0};
    uint64_t left = len_bytes, limit = stripe_limit(c, len_bytes, out->replicas);
    uint64_t whole = len_bytes < limit ? len_bytes : limit;
    uint64_t least = (whole + SPLIT_MAX - 1) / SPLIT_MAX;
    do {
        uint64_t want = left < limit ? left : limit;
        if (out->stripes == STRIPES_MAX)
            return CENOTE_NO_SPACE;
        struct piece *pieces = &out->pieces[out->stripes * out->replicas];
        int status = take(c, s, want, out->replicas, &before, pieces);
        if (status == CENOTE_NO_SPACE) {
            want = longest_stripe(c, out->replicas);
            if (want == 0 || want < least)
                return CENOTE_NO_SPACE;
            status = take(c, s, want, out->replicas, &before, pieces);
        }
        if (status != CENOTE_OK)
            return status;
        out->stripes++;
        left -= want;
    } while (left > 0);
    return CENOTE_OK;
}

int place_value(struct core *c, struct session *s, uint64_t len_bytes, uint32_t replicas,
                struct placement *out)
{
    assert(replicas > 0 && replicas <= REPLICAS_MAX);
    out->stripes = 0;
    out->replicas = replicas;
    if (!nodes_enough(c, replicas))
        return CENOTE_NO_NODES;
    if (len_bytes > EXTENT_PAYLOAD_MAX || len_bytes > c->capacity_bytes / replicas)
        return CENOTE_VALUE_SIZE;
    int status = take_stripes(c, s, len_bytes, out);
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
