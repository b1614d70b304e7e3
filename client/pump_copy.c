/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pump's copies. A lane wants a channel to its node for itself. There are at most
 * FABRIC_STREAMS_MAX of them to a node, other lanes wait in their order; where none is open, one is
 * connected at a time, while lanes that have one go on.
 */
#include "client/pump_op.h"

#include <assert.h>
#include <stdlib.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/registry.h"

#define RUNNING_FIRST 64u

/* ---- nodes ----------------------------------------------------------------------------------- */

static struct stream_node **node_place(struct pump *p, uint64_t node)
{
    struct stream_node **at = &p->nodes[node % PUMP_NODE_BUCKETS];

    while (*at && (*at)->node != node)
        at = &(*at)->next;
    return at;
}

/* To be looked at in this turn or the next. */
static void node_due(struct pump *p, struct stream_node *n)
{
    if (n->due)
        return;
    n->due = true;
    n->next_due = p->due;
    p->due = n;
}

static struct stream_node *node_of(struct pump *p, uint64_t node)
{
    struct stream_node **at = node_place(p, node);

    if (!*at) {
        *at = calloc(1, sizeof **at);
        if (*at)
            (*at)->node = node;
    }
    return *at;
}

static void node_unneeded(struct pump *p, struct stream_node *n)
{
    struct stream_node **at = node_place(p, n->node);

    if (n->first || n->in_use > 0 || n->connecting || n->due)
        return;
    *at = n->next;
    free(n);
}

static void queue_lane(struct stream_node *n, struct transfer_lane *l)
{
    l->next = NULL;
    l->prev = n->last;
    if (n->last)
        n->last->next = l;
    else
        n->first = l;
    n->last = l;
}

static void unqueue_lane(struct stream_node *n, struct transfer_lane *l)
{
    if (l->prev)
        l->prev->next = l->next;
    else
        n->first = l->next;
    if (l->next)
        l->next->prev = l->prev;
    else
        n->last = l->prev;
    l->next = l->prev = NULL;
}

/* ---- lanes ----------------------------------------------------------------------------------- */

/* The lane's requests have ended, or want another channel. */
static void lane_ended(struct pump *p, struct transfer_lane *l);

static void lane_begin(struct pump *p, struct op *op, struct transfer_lane *l)
{
    struct stream_node *n = node_of(p, l->node);

    l->owner = op;
    l->place = n;
    if (!n) {
        transfer_refuse(&op->transfer, l, CENOTE_NO_MEMORY);
        return;
    }
    l->moved_ms = p->now_ms;
    queue_lane(n, l);
    node_due(p, n);
}

static void copy_over(struct op *op)
{
    registry_unpin(fabric_registry(op->pump->env.fabric), op->step.copies, op->step.copy_count,
                   op->ticket);
    op_done(op, CENOTE_OK, (struct wire_value){NULL});
}

static bool lanes_over(const struct transfer *t)
{
    for (size_t i = 0; i < t->lane_count; i++)
        if (t->lanes[i].state != LANE_OVER)
            return false;
    return true;
}

/* Goes on with nodes for which there was no lane; or the step is carried out. Lanes that couldn't
 * begin are over at once: nobody else would come back for them. */
static void copy_goes_on(struct op *op)
{
    struct transfer *t = &op->transfer;

    while (lanes_over(t)) {
        if (!transfer_goes_on(t)) {
            copy_over(op);
            return;
        }
        for (size_t i = 0; i < t->lane_count; i++)
            lane_begin(op->pump, op, &t->lanes[i]);
    }
}

/* Room for one lane more, and its place in the poll. */
static bool running_fits(struct pump *p)
{
    size_t room = p->running_room ? p->running_room * 2 : RUNNING_FIRST;
    struct transfer_lane **running;
    struct pollfd *fds;

    if (p->running_count < p->running_room)
        return true;
    running = realloc(p->running, room * sizeof(*running));
    p->running = running ? running : p->running;
    fds = realloc(p->fds, (room + 1 + SESSION_LINKS_MAX) * sizeof *fds);
    p->fds = fds ? fds : p->fds;
    if (!running || !fds)
        return false;
    p->running_room = room;
    return true;
}

static void lane_run(struct pump *p, struct transfer_lane *l, struct fabric_link *link, bool reused)
{
    struct op *op = l->owner;
    struct stream_node *n = l->place;

    unqueue_lane(n, l);
    n->in_use++;
    l->ready = false;
    l->waits = true;
    l->index = p->running_count;
    p->running[p->running_count++] = l;
    transfer_lend(&op->transfer, l, link, reused, p->now_ms);
    if (l->state == LANE_RUNS)
        (void)transfer_progress(&op->transfer, l, p->now_ms);
    if (l->state != LANE_RUNS)
        lane_ended(p, l);
}

static void lane_stop(struct pump *p, struct transfer_lane *l)
{
    struct stream_node *n = l->place;
    struct transfer_lane *last = p->running[--p->running_count];

    p->running[l->index] = last;
    last->index = l->index;
    assert(n->in_use > 0);
    n->in_use--;
    node_due(p, n);
}

static void lane_ended(struct pump *p, struct transfer_lane *l)
{
    lane_stop(p, l);
    if (l->state == LANE_WAITS) {
        queue_lane(l->place, l);
        return;
    }
    copy_goes_on(l->owner);
}

static void lane_refuse(struct transfer_lane *l, int status)
{
    struct op *op = l->owner;

    unqueue_lane(l->place, l);
    transfer_refuse(&op->transfer, l, status);
    copy_goes_on(op);
}

/* ---- connecting ------------------------------------------------------------------------------ */

static void run_connect(struct chore *chore, bool too_late)
{
    struct connect_chore *c = (struct connect_chore *)chore;
    struct pump *p = c->pump;
    uint32_t timeout_ms = p->env.machines.timeout_ms;

    c->status = CENOTE_CLOSED;
    if (!too_late)
        c->status = fabric_link_take(p->env.fabric, c->node, FABRIC_CONNECT,
                                     timeout_ms < PUMP_CONNECT_MS ? timeout_ms : PUMP_CONNECT_MS,
                                     &c->link, &c->reused);
    pthread_mutex_lock(&p->lock);
    c->next = p->connected;
    p->connected = c;
    pump_notify(p);
    pthread_mutex_unlock(&p->lock);
}

static void connect_node(struct pump *p, struct stream_node *n)
{
    struct connect_chore *c = calloc(1, sizeof *c);

    if (c) {
        *c = (struct connect_chore){.chore = {.run = run_connect}, .pump = p, .node = n->node};
        n->connecting = chores_post(p->chores, CHORE_NODE, &c->chore);
    }
    if (n->connecting)
        return;
    free(c);
    while (n->in_use == 0 && n->first)
        lane_refuse(n->first, CENOTE_NO_MEMORY);
}

/* A try ends before their patience does. */
static void connect_failed(struct pump *p, struct stream_node *n, int status)
{
    uint64_t now_ms = clock_now_ms();
    struct transfer_lane *next;

    if (status == CENOTE_LIMIT && n->in_use > 0)
        return; /* it has as many as it wants: they are ours, some of them */
    for (struct transfer_lane *l = n->first; l; l = next) {
        next = l->next;
        if (status != CENOTE_TIMED_OUT || now_ms - l->moved_ms >= p->env.machines.timeout_ms)
            lane_refuse(l, status);
    }
}

void copies_connected(struct pump *p, struct connect_chore *list)
{
    while (list) {
        struct connect_chore *c = list;
        struct stream_node *n = node_of(p, c->node);

        list = c->next;
        assert(n && n->connecting);
        n->connecting = false;
        if (c->status != CENOTE_OK)
            connect_failed(p, n, c->status);
        else if (n->first && n->in_use < FABRIC_STREAMS_MAX && running_fits(p))
            lane_run(p, n->first, c->link, c->reused);
        else
            fabric_link_give(p->env.fabric, c->link, false);
        if (n->first)
            node_due(p, n);
        node_unneeded(p, n);
        free(c);
    }
}

/* Channels for those that wait, as many as there are. False: the turn is over before that. */
static bool node_serve(struct pump *p, struct stream_node *n, unsigned *lends)
{
    while (n->first && n->in_use < FABRIC_STREAMS_MAX) {
        struct transfer_lane *l = n->first;
        struct fabric_link *link;
        bool reused;

        if (*lends == 0)
            return false;
        if (!running_fits(p)) {
            lane_refuse(l, CENOTE_NO_MEMORY);
            continue;
        }
        if (l->want == FABRIC_CONNECT ||
            fabric_link_take(p->env.fabric, l->node, FABRIC_OPEN, 0, &link, &reused) != CENOTE_OK) {
            if (!n->connecting)
                connect_node(p, n);
            break;
        }
        (*lends)--;
        lane_run(p, l, link, reused);
    }
    return true;
}

static void serve_nodes(struct pump *p)
{
    struct stream_node *due = p->due;
    unsigned lends = PUMP_LENDS_MAX;

    p->due = NULL;
    while (due) {
        struct stream_node *n = due;

        due = n->next_due;
        n->due = false;
        if (!node_serve(p, n, &lends))
            node_due(p, n);
        node_unneeded(p, n);
    }
}

/* ---- operations ------------------------------------------------------------------------------ */

/* Lanes for all nodes at once, if there is memory for that. */
static void make_room(struct op *op)
{
    size_t want = op->step.copy_count;

    want = want < TRANSFER_LANES_MAX ? want : TRANSFER_LANES_MAX;
    if (want > 1 && op->lanes == &op->lane) {
        struct transfer_lane *lanes = calloc(TRANSFER_LANES_MAX, sizeof *lanes);
        op->lanes = lanes ? lanes : &op->lane;
    }
}

void copy_begin(struct op *op)
{
    struct pump *p = op->pump;
    struct transfer *t = &op->transfer;

    make_room(op);
    op->ticket = registry_pin(fabric_registry(p->env.fabric), op->step.copies, op->step.copy_count);
    transfer_begin(t, p->env.fabric, op->step.copies, op->step.copy_count, op->lanes,
                   op->lanes == &op->lane ? 1 : TRANSFER_LANES_MAX);
    t->slice_bytes = PUMP_SLICE_BYTES;
    op_trace_step(op);
    op->doing = OP_COPYING;
    op_set_timer(op);
    copy_goes_on(op);
}

/* A node that kept somebody waiting until his time was over is slow, whatever else may be. */
void copy_cancel(struct op *op, int status)
{
    struct pump *p = op->pump;
    struct transfer *t = &op->transfer;

    for (size_t i = 0; i < t->lane_count; i++) {
        struct transfer_lane *l = &t->lanes[i];
        bool quiet = status == CENOTE_TIMED_OUT && p->now_ms - l->moved_ms >= PUMP_SUSPECT_MS;
        bool running = l->state == LANE_RUNS;

        if (l->state == LANE_WAITS) {
            unqueue_lane(l->place, l);
            node_due(p, l->place);
        }
        transfer_cancel_lane(t, l, quiet ? CENOTE_TIMED_OUT : CENOTE_CANCELLED);
        if (running)
            lane_stop(p, l);
    }
    transfer_cancel(t, CENOTE_CANCELLED);
    copy_over(op);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static void lane_move(struct pump *p, struct transfer_lane *l)
{
    struct op *op = l->owner;
    uint32_t timeout_ms = p->env.machines.timeout_ms;

    if (!transfer_progress(&op->transfer, l, p->now_ms) && l->state == LANE_RUNS &&
        p->now_ms - l->moved_ms >= timeout_ms) {
        log_warn("pump", "node %llu: nothing moves for %u ms", (unsigned long long)l->node,
                 timeout_ms);
        transfer_cancel_lane(&op->transfer, l, CENOTE_TIMED_OUT);
    }
    if (l->state != LANE_RUNS)
        lane_ended(p, l);
}

/* Backwards: one that ends is replaced by the last, which has had its turn. */
void copies_move(struct pump *p)
{
    for (size_t i = p->running_count; i-- > 0;) {
        struct transfer_lane *l = p->running[i];
        bool quiet = p->now_ms - l->moved_ms >= p->env.machines.timeout_ms;
        if (l->ready || !l->waits || quiet)
            lane_move(p, l);
    }
    serve_nodes(p);
}

size_t copies_poll(struct pump *p, struct pollfd *fds, uint64_t *wait_ms)
{
    uint32_t timeout_ms = p->env.machines.timeout_ms;

    p->busy = p->due != NULL;
    for (size_t i = 0; i < p->running_count; i++) {
        struct transfer_lane *l = p->running[i];
        uint64_t quiet_ms = p->now_ms - l->moved_ms;
        uint64_t left_ms = quiet_ms < timeout_ms ? timeout_ms - quiet_ms : 0;

        fds[i].fd = transfer_poll_fd(l, &fds[i].events);
        l->waits = fds[i].fd >= 0;
        p->busy = p->busy || !l->waits;
        if (left_ms < *wait_ms)
            *wait_ms = left_ms;
    }
    return p->running_count;
}

void copies_polled(struct pump *p, const struct pollfd *fds, size_t count)
{
    assert(count == p->running_count);
    for (size_t i = 0; i < count; i++)
        p->running[i]->ready = fds[i].revents != 0;
}

void copies_free(struct pump *p)
{
    assert(p->running_count == 0);
    for (size_t i = 0; i < PUMP_NODE_BUCKETS; i++) {
        while (p->nodes[i]) {
            struct stream_node *n = p->nodes[i];
            assert(!n->first && n->in_use == 0);
            p->nodes[i] = n->next;
            free(n);
        }
    }
    free(p->running);
    free(p->fds);
}
