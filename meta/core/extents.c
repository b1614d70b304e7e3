/* SPDX-License-Identifier: Apache-2.0 */
/* Extents on their way to be void: the calls at their nodes. */
#include <assert.h>

#include "meta/core/reuse.h"
#include "transport/base/log.h"

/* After a node has refused: how long it is left alone. */
#define CALL_RETRY_MS 1000u

static struct gva extent_gva(const struct extent_work *x)
{
    return object_piece(x->ending->object, x->piece)->gva;
}

static uint64_t extent_bytes(const struct extent_work *x)
{
    return alloc_rounding(object_piece(x->ending->object, x->piece)->payload_len).size;
}

/* Its seal is of no interest any more. */
static void extent_is_void(struct extent_work *x)
{
    assert(x->is_void || x->ending->live > 0);
    x->ending->live -= !x->is_void;
    x->is_void = true;
}

/* It may free the ending. */
static void extent_done(struct extent_work *x)
{
    struct ending *e = x->ending;
    assert(x->step != EXTENT_DONE && e->left > 0);
    link_remove(&x->link);
    x->step = EXTENT_DONE;
    extent_is_void(x);
    e->left--;
    if (e->left == 0 || e->live == 0)
        ending_consider(e);
}

static void extent_void(struct extent_work *x, struct incarnation *i)
{
    link_remove(&x->link);
    x->step = EXTENT_VOIDING;
    list_append(&i->voids, &x->link);
}

struct incarnation *extent_incarnation(const struct extent_work *x)
{
    const struct piece *p = object_piece(x->ending->object, x->piece);
    return members_find(x->ending->core, p->gva, alloc_rounding(p->payload_len).size);
}

void extent_begin(struct extent_work *x)
{
    struct ending *e = x->ending;
    struct incarnation *i = extent_incarnation(x);
    if (i == NULL) {
        x->step = EXTENT_DONE;
        x->is_void = true;
        e->left--;
        e->live--;
        e->live_seal |= piece_there(object_piece(e->object, x->piece));
    } else if (x->may_write) {
        struct fence *f = sessions_fence(e->core, e->session, i->node);
        assert(f != NULL); /* there since the session got the extent */
        x->step = EXTENT_FENCING;
        list_append(&f->waiting, &x->link);
        fence_due(f);
    } else {
        extent_void(x, i);
    }
}

/* A connection that broke is no refusal: the node comes back, or dies. */
static void refused(struct node *n, const char *method, int status)
{
    if (status == CENOTE_UNAVAILABLE)
        return;
    log_error("meta", "node %s refuses %s: %s", n->name, method, cenote_status_text(status));
    n->again_ms = n->core->now_ms + CALL_RETRY_MS;
}

/* Nothing but nil says that a fence is done. */
static int answered(int status, struct wire_value result)
{
    return status == CENOTE_OK && !wire_is_nil(result) ? CENOTE_PROTOCOL : status;
}

/* ---- fences ---- */

static void fenced(void *arg, int status, struct wire_value result)
{
    struct fence *f = arg;
    struct core *c = f->core;
    struct node *n = f->node;
    f->in_flight = false;
    if (n == NULL) {
        fence_orphan(f);
        return;
    }
    status = answered(status, result);
    if (status != CENOTE_OK) {
        refused(n, METHOD_FENCE, status);
        fence_due(f); /* sent again by a tick */
        return;
    }
    c->sessions.fenced++;
    list_each_safe(&f->waiting, l, after)
    {
        struct extent_work *x = container_of(l, struct extent_work, link);
        struct incarnation *i = extent_incarnation(x);
        if (x->ending->object->put_id <= f->horizon)
            extent_void(x, i);
    }
    if (!list_empty(&f->waiting))
        fence_due(f);
    reuse_drive(c, n);
}

static void send_fence(struct fence *f)
{
    struct node *n = f->node;
    f->horizon = 0;
    list_each(&f->waiting, l)
    {
        uint64_t put_id = container_of(l, struct extent_work, link)->ending->object->put_id;
        f->horizon = put_id > f->horizon ? put_id : f->horizon;
    }
    struct fence_params params = {
        .reign = f->core->ids.reign, .session = f->session_id, .horizon = f->horizon};
    struct wire_buf b = {0};
    wire_put_request(&b, 0, METHOD_FENCE);
    fence_params_put(&b, &params);
    f->in_flight = true;
    if (b.failed)
        fenced(f, CENOTE_NO_MEMORY, (struct wire_value){NULL});
    else
        n->line.call(n->line.arg, b.data, b.len, 0, fenced, f);
    wire_buf_free(&b);
}

/* ---- holds ---- */

static void count_held(struct node *n, const struct extent_work *x, int sign)
{
    n->held_extents += (uint32_t)sign;
    n->core->reuse.held_extents += (uint64_t)sign;
    n->core->reuse.held_bytes += extent_bytes(x) * (uint64_t)sign;
}

static void extent_let_go(struct node *n, struct extent_work *x)
{
    if (x->asked_held == 0)
        return;
    x->asked_held = 0;
    count_held(n, x, -1);
}

/* The node said so. */
static void extent_held(struct node *n, struct extent_work *x)
{
    uint32_t k = x->asked_held < HELD_PAUSES ? x->asked_held : HELD_PAUSES - 1;
    struct held *h = &n->held[k];
    struct ending *e = x->ending;
    bool first = !x->is_void;
    if (x->asked_held == 0)
        count_held(n, x, 1);
    if (x->asked_held < HELD_PAUSES)
        x->asked_held++;
    link_remove(&x->link);
    x->step = EXTENT_HELD;
    if (list_empty(&h->extents))
        h->again_ms = n->core->now_ms + (HELD_FIRST_MS << k);
    list_append(&h->extents, &x->link);
    extent_is_void(x);
    if (first && e->live == 0)
        ending_consider(e);
}

static void ask_held(struct core *c, struct node *n)
{
    for (uint32_t k = 0; k < HELD_PAUSES; k++) {
        struct link *l;
        if (c->now_ms < n->held[k].again_ms)
            continue;
        while ((l = list_first(&n->held[k].extents)) != NULL) {
            struct extent_work *x = container_of(l, struct extent_work, link);
            extent_void(x, extent_incarnation(x));
        }
    }
}

/* Those of one incarnation, which has ended. */
static void held_ended(struct node *n, const struct incarnation *i, struct list *over)
{
    for (uint32_t k = 0; k < HELD_PAUSES; k++) {
        list_each_safe(&n->held[k].extents, l, after)
        {
            struct extent_work *x = container_of(l, struct extent_work, link);
            if (!gva_covers(i->gva, i->len_bytes, extent_gva(x), 1))
                continue;
            link_remove(&x->link);
            list_append(over, &x->link);
        }
    }
}

/* ---- voids ---- */

/* One extent that the node doesn't take must not keep the others for ever: they are tried in ever
 * smaller batches, from another segment each time. */
static void void_sizes(struct node *n, int status)
{
    if (status == CENOTE_BAD_RANGE) {
        n->void_batch = n->void_batch > 1 ? n->void_batch / 2 : 1;
        n->void_segment++;
    } else if (status == CENOTE_OK && n->void_batch < VOID_BATCH_MAX) {
        n->void_batch *= 2;
    }
}

static void voided(void *arg, int status, struct wire_value result)
{
    struct node *n = arg;
    struct core *c = n->core;
    n->calls--;
    n->void_in_flight = false;
    if (n->gone) {
        node_release(n);
        return;
    }
    bool held[VOID_BATCH_MAX];
    if (status == CENOTE_OK && !void_result_get(result, held, n->void_count))
        status = CENOTE_PROTOCOL;
    if (status != CENOTE_OK)
        refused(n, METHOD_VOID, status);
    void_sizes(n, status);
    struct list over = {0};
    for (uint32_t k = 0; k < n->segment_count; k++)
        list_move_all(status == CENOTE_OK ? &over : &n->segments[k]->voids,
                      &n->segments[k]->voiding);
    struct link *l;
    while ((l = list_first(&over)) != NULL) {
        struct extent_work *x = container_of(l, struct extent_work, link);
        if (held[x->call_index]) {
            extent_held(n, x);
            continue;
        }
        extent_let_go(n, x);
        extent_done(x);
    }
    if (status == CENOTE_OK)
        reuse_drive(c, n);
}

static struct incarnation *void_segment(const struct node *n, uint32_t k)
{
    return n->segments[(n->void_segment + k) % n->segment_count];
}

static uint32_t collect_voids(struct node *n, struct wire_buf *extents)
{
    uint32_t count = 0;
    for (uint32_t k = 0; k < n->segment_count; k++) {
        struct incarnation *i = void_segment(n, k);
        while (count < n->void_batch && !list_empty(&i->voids)) {
            struct extent_work *x = container_of(list_pop(&i->voids), struct extent_work, link);
            const struct piece *p = object_piece(x->ending->object, x->piece);
            list_append(&i->voiding, &x->link);
            x->call_index = (uint16_t)count;
            void_extent_put(extents, p->gva, p->payload_len);
            count++;
        }
    }
    return count;
}

static uint32_t count_voids(const struct node *n)
{
    uint32_t count = 0;
    for (uint32_t k = 0; k < n->segment_count; k++) {
        const struct list *voids = &void_segment(n, k)->voids;
        for (struct link *l = list_first(voids); l != NULL && count < n->void_batch;
             l = list_next(voids, l))
            count++;
    }
    return count;
}

static void send_voids(struct core *c, struct node *n)
{
    uint32_t count = count_voids(n);
    if (count == 0)
        return;
    struct wire_buf b = {0};
    wire_put_request(&b, 0, METHOD_VOID);
    void_params_put(&b, c->ids.reign, count);
    uint32_t collected = collect_voids(n, &b);
    assert(collected == count);
    n->void_in_flight = true;
    n->void_count = count;
    n->calls++;
    if (b.failed) {
        voided(n, CENOTE_NO_MEMORY, (struct wire_value){NULL});
    } else {
        n->line.call(n->line.arg, b.data, b.len, 0, voided, n);
    }
    wire_buf_free(&b);
}

void reuse_drive(struct core *c, struct node *n)
{
    if (n->peer == NULL || n->state == NODE_DEAD || n->join != NULL || c->now_ms < n->again_ms)
        return;
    struct list due = {0};
    struct link *l;
    list_move_all(&due, &n->due);
    while ((l = list_pop(&due)) != NULL) {
        struct fence *f = container_of(l, struct fence, due);
        if (!list_empty(&f->waiting))
            send_fence(f);
    }
    ask_held(c, n);
    if (!n->void_in_flight)
        send_voids(c, n);
}

void reuse_incarnation_ended(struct core *c, struct incarnation *i)
{
    struct list over = {0};
    (void)c;
    held_ended(i->node, i, &over);
    list_move_all(&over, &i->voids);
    list_move_all(&over, &i->voiding);
    list_each(&i->node->fences, l)
    {
        struct fence *f = container_of(l, struct fence, by_node);
        list_each_safe(&f->waiting, w, after)
        {
            struct extent_work *x = container_of(w, struct extent_work, link);
            if (!gva_covers(i->gva, i->len_bytes, extent_gva(x), 1))
                continue;
            link_remove(&x->link);
            list_append(&over, &x->link);
        }
    }
    struct link *l;
    while ((l = list_first(&over)) != NULL) {
        struct extent_work *x = container_of(l, struct extent_work, link);
        x->ending->live_seal |= !x->is_void;
        extent_let_go(i->node, x);
        extent_done(x);
    }
}
