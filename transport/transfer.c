/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/transfer.h"

#include <assert.h>

/* Statuses of requests that wait for a lane; nobody outside sees them. */
#define WAITS_FIRST 2
#define WAITS_AGAIN 3 /* on a new channel, as its first one turned out to be dead */

void transfer_begin(struct transfer *t, struct fabric *f, struct fabric_req *reqs, size_t count,
                    struct transfer_lane *lanes, size_t lane_room)
{
    assert(lane_room > 0);
    *t = (struct transfer){.fabric = f,
                           .reqs = reqs,
                           .count = count,
                           .lanes = lanes,
                           .lane_room = lane_room,
                           .slice_bytes = UINT64_MAX};
    for (size_t i = 0; i < count; i++)
        reqs[i].x.status = WAITS_FIRST;
}

static void make_lanes(struct transfer *t)
{
    t->lane_count = 0;
    for (size_t i = 0; i < t->count; i++) {
        size_t k = 0;
        if (t->reqs[i].x.status != WAITS_FIRST)
            continue;
        while (k < t->lane_count && t->lanes[k].node != t->reqs[i].node)
            k++;
        if (k == t->lane_count && k < t->lane_room)
            t->lanes[t->lane_count++] =
                (struct transfer_lane){.node = t->reqs[i].node, .want = FABRIC_ANY};
    }
}

bool transfer_goes_on(struct transfer *t)
{
    for (size_t i = 0; i < t->lane_count; i++)
        if (t->lanes[i].state != LANE_OVER)
            return true;
    make_lanes(t);
    return t->lane_count > 0;
}

static bool waits_in(const struct fabric_req *r, const struct transfer_lane *l)
{
    return r->node == l->node && r->x.status == (l->again ? WAITS_AGAIN : WAITS_FIRST);
}

/* ---- one lane -------------------------------------------------------------------------------- */

static bool is_busy(const struct transfer *t, const struct transfer_lane *l)
{
    return l->sliced ? l->at < t->count : l->last != NULL && l->last->status == XCOPY_IN_PROGRESS;
}

/* What was copied before the lane got another channel has been counted. */
static void count_moved(struct transfer *t, struct transfer_lane *l, const uint64_t copied[2])
{
    const struct xcopy_transport *by = l->link->channel->transport;
    if (!CENOTE_METRICS)
        return;
    for (unsigned op = 0; op < 2; op++) {
        fabric_count_moved(t->fabric, by, (enum xcopy_op)op, copied[op] - l->counted_bytes[op]);
        l->counted_bytes[op] = copied[op];
    }
}

/* The lane's requests have completed, or its channel is lost: gives the channel back. */
static void settle(struct transfer *t, struct transfer_lane *l)
{
    struct xcopy_channel *c = l->link->channel;
    bool dead = l->broken, again = l->reused && !l->again, more = false;
    uint64_t copied[2] = {0};
    for (size_t i = 0; i < t->count; i++) {
        struct fabric_req *r = &t->reqs[i];
        if (r->node == l->node && r->x.status == CENOTE_OK)
            copied[r->x.op] += r->x.len_bytes;
        if (r->node != l->node || r->x.status != CENOTE_NODE_DOWN)
            continue;
        dead = dead || !c->transport->alive(c);
        if (dead && again && !r->x.started) {
            r->x.status = WAITS_AGAIN;
            more = true;
        }
    }
    count_moved(t, l, copied);
    fabric_link_give(t->fabric, l->link, dead);
    l->state = more ? LANE_WAITS : LANE_OVER;
    l->want = FABRIC_CONNECT;
    l->again = more;
    l->link = NULL;
    l->last = NULL;
    l->at = 0;
    l->broken = false;
}

static void submit_all(struct transfer *t, struct transfer_lane *l)
{
    struct xcopy_channel *c = l->link->channel;
    for (size_t i = 0; i < t->count; i++) {
        struct xcopy_req *x = &t->reqs[i].x;
        if (!waits_in(&t->reqs[i], l))
            continue;
        c->transport->submit(c, x);
        if (x->status == XCOPY_IN_PROGRESS)
            l->last = x;
    }
}

void transfer_lend(struct transfer *t, struct transfer_lane *l, struct fabric_link *link,
                   bool reused, uint64_t now_ms)
{
    assert(l->state == LANE_WAITS);
    l->state = LANE_RUNS;
    l->link = link;
    l->reused = reused;
    l->moved_ms = now_ms;
    l->sliced =
        t->slice_bytes != UINT64_MAX && (link->channel->transport->caps & XCOPY_CAP_IMMEDIATE) != 0;
    if (!l->sliced)
        submit_all(t, l);
    if (!is_busy(t, l))
        settle(t, l);
}

void transfer_refuse(struct transfer *t, struct transfer_lane *l, int status)
{
    assert(l->state == LANE_WAITS);
    for (size_t i = 0; i < t->count; i++) {
        if (!waits_in(&t->reqs[i], l))
            continue;
        t->reqs[i].x.may_land = false;
        t->reqs[i].x.started = false;
        t->reqs[i].x.status = status;
    }
    l->state = LANE_OVER;
}

/* ---- slices ---------------------------------------------------------------------------------- */

/* Copies at most limit bytes of a request by a part request of its own, and returns how many. Only
 * the last one has the tail; nothing is in flight between two. */
static uint64_t copy_slice(struct transfer_lane *l, struct xcopy_req *x, uint64_t limit)
{
    struct xcopy_channel *c = l->link->channel;
    struct xcopy_req part = *x;
    uint64_t left = x->len_bytes - l->sliced_bytes, n = left < limit ? left : limit;

    part.offset += l->sliced_bytes;
    part.local.skip_bytes += l->sliced_bytes;
    part.len_bytes = n;
    if (n < left) {
        part.tail_len = 0;
        part.seal_it = NULL;
    }
    c->transport->submit(c, &part);
    assert(part.status != XCOPY_IN_PROGRESS);
    if (part.status == CENOTE_OK && n < left) {
        l->sliced_bytes += n;
        return n;
    }
    x->may_land = part.may_land;
    x->started = part.started || l->sliced_bytes > 0;
    x->status = part.status;
    l->sliced_bytes = 0;
    l->at++;
    return n;
}

static void copy_slices(struct transfer *t, struct transfer_lane *l)
{
    uint64_t left = t->slice_bytes;
    while (l->at < t->count && left > 0) {
        uint64_t n = 0;
        if (waits_in(&t->reqs[l->at], l))
            n = copy_slice(l, &t->reqs[l->at].x, left);
        else
            l->at++;
        left -= n;
    }
}

/* ---- progress -------------------------------------------------------------------------------- */

bool transfer_progress(struct transfer *t, struct transfer_lane *l, uint64_t now_ms)
{
    struct xcopy_channel *c = l->link->channel;
    bool moved = true;
    assert(l->state == LANE_RUNS);
    if (l->sliced)
        copy_slices(t, l);
    else
        moved = c->transport->progress(c);
    if (moved)
        l->moved_ms = now_ms;
    if (!is_busy(t, l))
        settle(t, l);
    return moved;
}

int transfer_poll_fd(struct transfer_lane *l, short *events)
{
    struct xcopy_channel *c = l->link->channel;
    *events = 0;
    return l->sliced ? -1 : c->transport->poll_fd(c, events);
}

static void cancel_running(struct transfer *t, struct transfer_lane *l, int status)
{
    struct xcopy_channel *c = l->link->channel;
    bool part = l->sliced_bytes > 0;
    if (!l->sliced) {
        c->transport->cancel(c, status);
        l->broken = true;
    }
    for (size_t i = l->at; l->sliced && i < t->count; i++) {
        struct xcopy_req *x = &t->reqs[i].x;
        if (!waits_in(&t->reqs[i], l))
            continue;
        x->may_land = false;
        x->started = i == l->at && part;
        x->status = status;
    }
    l->at = t->count;
}

void transfer_cancel_lane(struct transfer *t, struct transfer_lane *l, int status)
{
    if (l->state == LANE_RUNS) {
        cancel_running(t, l, status);
        settle(t, l);
    }
    if (l->state == LANE_WAITS)
        transfer_refuse(t, l, status);
}

void transfer_cancel(struct transfer *t, int status)
{
    for (size_t i = 0; i < t->lane_count; i++)
        transfer_cancel_lane(t, &t->lanes[i], status);
    for (size_t i = 0; i < t->count; i++) {
        struct xcopy_req *x = &t->reqs[i].x;
        if (x->status != WAITS_FIRST)
            continue;
        x->may_land = x->started = false;
        x->status = status;
    }
}
