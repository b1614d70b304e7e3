/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/put_wait.h"

#include <assert.h>
#include <string.h>

#include "meta/core/evict.h"
#include "meta/core/put_phases.h"
#include "meta/core/use.h"
#include "transport/base/testswitch.h"

/* How often what is evicted for a call doubles. */
#define DOUBLINGS 16u

struct put_wait {
    struct link link; /* in evict.waiting */
    struct start *start;
    uint64_t until_ms; /* patient time */
    uint64_t since_ms; /* likewise */
    uint64_t asked_ms; /* likewise: since then it relies on what is on its way */
    uint64_t enough;   /* evict.given_bytes when it is worth another try */
    uint32_t size;     /* of this struct */
    int status;        /* CENOTE_NO_SPACE or CENOTE_QUOTA */
    uint32_t doublings;
    uint8_t keys[];
};

static struct put_wait *first(const struct core *c)
{
    list_each(&c->evict.waiting, l)
    {
        struct put_wait *w = container_of(l, struct put_wait, link);
        if (w->status == CENOTE_NO_SPACE)
            return w;
    }
    return NULL;
}

bool put_wait_first(const struct core *c)
{
    const struct put_wait *w = c->evict.waiting_count > 0 ? first(c) : NULL;
    if (test_off(TEST_WAIT_ORDER))
        return false;
    return w != NULL && c->patient_ms - w->since_ms >= PUT_OVERTAKE_MS;
}

static void leave(struct core *c, struct put_wait *w)
{
    link_remove(&w->link);
    c->evict.waiting_count--;
    c->evict.waiting_bytes -= w->size;
    pool_give(&c->small, w, w->size);
}

void put_wait_free(struct core *c)
{
    struct link *l;
    while ((l = list_first(&c->evict.waiting)) != NULL)
        leave(c, container_of(l, struct put_wait, link));
}

static int line_up(struct start *s, int status)
{
    struct core *c = s->core;
    size_t size = sizeof(struct put_wait);
    for (uint32_t i = 0; i < s->count; i++)
        size += s->items[i].key_len;
    if (c->evict.waiting_count >= PUT_WAIT_MAX || c->evict.waiting_bytes + size > PUT_WAIT_BYTES)
        return CENOTE_LIMIT;
    struct put_wait *w = pool_take(&c->small, size);
    if (w == NULL)
        return CENOTE_NO_MEMORY;
    uint8_t *at = w->keys;
    for (uint32_t i = 0; i < s->count; i++) {
        struct start_item *item = &s->items[i];
        memcpy(at, item->key, item->key_len);
        item->key = at;
        at += item->key_len;
    }
    w->start = s;
    w->status = status;
    w->size = (uint32_t)size;
    w->since_ms = w->asked_ms = c->patient_ms;
    w->enough = c->evict.given_bytes + s->missing_bytes;
    w->until_ms = c->patient_ms + PUT_WAIT_MS;
    list_append(&c->evict.waiting, &w->link);
    c->evict.waiting_count++;
    c->evict.waiting_bytes += size;
    c->evict.waited++;
    return CENOTE_OK;
}

/* What isn't on its way yet. */
static uint64_t short_by(const struct core *c, uint64_t wanted)
{
    uint64_t coming = c->evict.coming_bytes + c->evict.leaving_bytes;
    return wanted > coming ? wanted - coming : 0;
}

/* Has it relied on that in vain? */
static bool stuck(const struct core *c, struct put_wait *w)
{
    if (c->patient_ms - w->asked_ms < PUT_STUCK_MS)
        return false;
    w->asked_ms = c->patient_ms;
    return true;
}

/* Is there memory that will be offered soon? A node that has joined populates it; after a start of
 * the service the nodes come back one by one. */
static bool offers_come(const struct core *c)
{
    bool starting = c->patient_ms - c->started_ms < c->options.suspect_ms;
    for (uint32_t i = 0; i < c->members.range_count; i++) {
        const struct incarnation *in = c->members.ranges[i];
        bool here =
            in->node->peer != NULL && in->node->state == NODE_ALIVE && !in->node->settle.wanted;
        if (in->kind == SEGMENT_HOST && alloc_upto(in->alloc) < in->len_bytes && (here || starting))
            return true;
    }
    return false;
}

/* So that nothing is evicted for want of memory that is about to be there. */
static bool too_early(const struct core *c, uint64_t since_ms)
{
    return c->patient_ms - since_ms < PUT_OFFER_MS && offers_come(c);
}

/* Can nothing change in its favour? */
static bool hopeless(const struct core *c, const struct start *s, int status)
{
    if (c->pending > 0 || (status == CENOTE_NO_SPACE && c->reuse.bytes > 0))
        return false;
    return evict_barren(c, status == CENOTE_QUOTA ? s->session->space : NULL) ||
           (c->evict.coming_bytes + c->evict.leaving_bytes == 0 && !puts_start_possible(s));
}

void put_wait(struct start *s, int status)
{
    struct core *c = s->core;
    bool early = status == CENOTE_NO_SPACE && too_early(c, c->patient_ms);
    if (status == CENOTE_NO_SPACE && !early)
        (void)evict_for_space(c, s->session->space, s->missing_bytes, EVICT_LOOKS_CALL);
    status = !early && hopeless(c, s, status) ? CENOTE_NO_SPACE : line_up(s, status);
    if (status == CENOTE_NO_MEMORY)
        puts_start_refuse(s, status);
    else if (status != CENOTE_OK)
        puts_start_finally(s);
}

/* True: it waits no more. */
static bool try(struct core *c, struct put_wait *w, bool last)
{
    struct start *s = w->start;
    if (s->session->ended) {
        puts_start_refuse(s, CENOTE_NO_SESSION);
    } else if (last) {
        puts_start_finally(s);
    } else {
        w->status = puts_start_try(s); /* if it went on, s may be gone */
        if (w->status != CENOTE_OK) {
            w->enough = c->evict.given_bytes + s->missing_bytes;
            return false;
        }
    }
    leave(c, w);
    return true;
}

void put_wait_run(struct core *c)
{
    struct evict *e = &c->evict;
    if (e->waking)
        return;
    e->waking = true;
    list_each_safe(&e->waiting, l, after)
    {
        struct put_wait *w = container_of(l, struct put_wait, link);
        if (w->status == CENOTE_NO_SPACE && (e->given_bytes < w->enough || !try(c, w, false)))
            break;
    }
    e->waking = false;
}

/* What a call that still waits has evicted for it: true: there is no hope. */
static bool ask_for_more(struct core *c, struct put_wait *w, uint64_t *wanted)
{
    struct start *s = w->start;
    if (w->status == CENOTE_QUOTA)
        return hopeless(c, s, w->status); /* each try evicts */
    if (too_early(c, w->since_ms))
        return false;
    if (c->evict.coming_bytes + c->evict.leaving_bytes == 0 && w->doublings < DOUBLINGS)
        w->doublings++;
    *wanted += s->missing_bytes << w->doublings;
    uint64_t more = stuck(c, w) ? s->missing_bytes << w->doublings : short_by(c, *wanted);
    if (more > 0)
        (void)evict_for_space(c, s->session->space, more, EVICT_LOOKS_CALL);
    return hopeless(c, s, w->status);
}

void put_wait_tick(struct core *c)
{
    struct evict *e = &c->evict;
    bool blocked = false;
    uint64_t wanted = 0;
    if (e->waking)
        return;
    e->waking = true;
    list_each_safe(&e->waiting, l, after)
    {
        struct put_wait *w = container_of(l, struct put_wait, link);
        struct start *s = w->start;
        bool behind = blocked && w->status == CENOTE_NO_SPACE;
        if (!s->session->ended && !s->wanted(s)) {
            leave(c, w);
            s->forget(s);
        } else if (!s->session->ended && behind && c->patient_ms < w->until_ms) {
            wanted += s->missing_bytes;
        } else if (!try(c, w, false)) {
            if (ask_for_more(c, w, &wanted) || c->patient_ms >= w->until_ms)
                (void)try(c, w, true);
            else
                blocked = blocked || w->status == CENOTE_NO_SPACE;
        }
    }
    e->waking = false;
}
