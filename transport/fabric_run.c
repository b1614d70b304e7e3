/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a batch: a lane for each node, at most LANES_MAX at a time; all lanes move at once, on the
 * calling thread.
 */
#include <poll.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/fabric_link.h"

#define LANES_MAX 32u

/* Statuses of requests that wait for a lane; nobody outside sees them. */
#define WAITS_FIRST 2
#define WAITS_AGAIN 3 /* on a new channel, as its first one turned out to be dead */

struct lane {
    uint64_t node;
    struct fabric_link *link;
    struct xcopy_req *last; /* requests complete in order: with this one the lane is done */
    uint64_t moved_ms;
    int waits; /* WAITS_* of its requests */
    bool submitted, reused, broken;
};

static bool in_progress(const struct lane *l)
{
    return l->last != NULL && l->last->status == XCOPY_IN_PROGRESS;
}

static bool waits_in(const struct fabric_req *r, const struct lane *l)
{
    return r->node == l->node && r->x.status == l->waits;
}

static size_t make_lanes(const struct fabric_req *reqs, size_t count, struct lane *lanes)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        int status = reqs[i].x.status;
        size_t k = 0;
        if (status != WAITS_FIRST && status != WAITS_AGAIN)
            continue;
        while (k < n && lanes[k].node != reqs[i].node)
            k++;
        if (k == n && n < LANES_MAX)
            lanes[n++] = (struct lane){.node = reqs[i].node, .waits = status};
    }
    return n;
}

static void lane_submit(struct lane *l, struct fabric_req *reqs, size_t count)
{
    struct xcopy_channel *c = l->link->channel;
    for (size_t i = 0; i < count; i++) {
        if (!waits_in(&reqs[i], l))
            continue;
        c->transport->submit(c, &reqs[i].x);
        if (reqs[i].x.status == XCOPY_IN_PROGRESS)
            l->last = &reqs[i].x;
    }
}

static void lane_refuse(const struct lane *l, struct fabric_req *reqs, size_t count, int status)
{
    for (size_t i = 0; i < count; i++) {
        if (!waits_in(&reqs[i], l))
            continue;
        reqs[i].x.may_land = false;
        reqs[i].x.started = false;
        reqs[i].x.status = status;
    }
}

static void quiet(struct lane *l, uint32_t timeout_ms)
{
    struct xcopy_channel *c = l->link->channel;
    log_warn("fabric", "node %llu: nothing moves for %u ms", (unsigned long long)l->node,
             timeout_ms);
    c->transport->cancel(c, CENOTE_TIMED_OUT);
    l->broken = true;
}

/* A lane is quiet when nothing moves although its time had been up before the look: this process
 * may have stood still itself, and then the bytes are there. */
static bool progress_lanes(struct lane *lanes, size_t count, uint32_t timeout_ms, bool *active)
{
    bool moved = false;
    uint64_t now_ms = clock_now_ms();
    *active = false;
    for (size_t i = 0; i < count; i++) {
        struct lane *l = &lanes[i];
        if (!in_progress(l))
            continue;
        if (l->link->channel->transport->progress(l->link->channel)) {
            l->moved_ms = now_ms;
            moved = true;
        } else if (now_ms - l->moved_ms >= timeout_ms) {
            quiet(l, timeout_ms);
        }
        *active |= in_progress(l);
    }
    return moved;
}

static void wait_lanes(const struct lane *lanes, size_t count, uint32_t timeout_ms)
{
    struct pollfd fds[LANES_MAX];
    nfds_t n = 0;
    uint64_t now_ms = clock_now_ms(), wait_ms = timeout_ms;
    for (size_t i = 0; i < count; i++) {
        const struct lane *l = &lanes[i];
        if (!in_progress(l))
            continue;
        uint64_t quiet_ms = now_ms - l->moved_ms;
        uint64_t left_ms = quiet_ms < timeout_ms ? timeout_ms - quiet_ms : 0;
        if (left_ms < wait_ms)
            wait_ms = left_ms;
        const struct xcopy_channel *c = l->link->channel;
        fds[n].fd = c->transport->poll_fd(c, &fds[n].events);
        n++;
    }
    (void)poll(fds, n, wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms);
}

static void drive(struct lane *lanes, size_t count, uint32_t timeout_ms)
{
    bool active;
    for (size_t i = 0; i < count; i++)
        lanes[i].moved_ms = clock_now_ms();
    do {
        if (!progress_lanes(lanes, count, timeout_ms, &active) && active)
            wait_lanes(lanes, count, timeout_ms);
    } while (active);
}

static void submit_lent(struct lane *lanes, size_t lane_count, struct fabric_req *reqs,
                        size_t count)
{
    for (size_t i = 0; i < lane_count; i++) {
        if (lanes[i].link == NULL || lanes[i].submitted)
            continue;
        lane_submit(&lanes[i], reqs, count);
        lanes[i].submitted = true;
    }
}

/* Lanes with an open channel first, to their end. Connecting blocks, for long where a node doesn't
 * answer: nothing may be in flight meanwhile. */
static void run_lanes(struct fabric *f, struct lane *lanes, size_t lane_count,
                      struct fabric_req *reqs, size_t count, uint32_t timeout_ms)
{
    for (size_t i = 0; i < lane_count; i++) {
        struct lane *l = &lanes[i];
        if (l->waits == WAITS_FIRST)
            (void)fabric_link_take(f, l->node, FABRIC_OPEN, timeout_ms, &l->link, &l->reused);
    }
    submit_lent(lanes, lane_count, reqs, count);
    drive(lanes, lane_count, timeout_ms);
    for (size_t i = 0; i < lane_count; i++) {
        struct lane *l = &lanes[i];
        enum fabric_want want = l->waits == WAITS_FIRST ? FABRIC_ANY : FABRIC_CONNECT;
        if (l->link != NULL)
            continue;
        int status = fabric_link_take(f, l->node, want, timeout_ms, &l->link, &l->reused);
        if (status != CENOTE_OK)
            lane_refuse(l, reqs, count, status);
    }
    submit_lent(lanes, lane_count, reqs, count);
    drive(lanes, lane_count, timeout_ms);
}

/* Requests of which nothing was transferred, on a channel that was dead when it was lent, get
 * another one, once. */
static void settle(struct fabric *f, struct lane *l, struct fabric_req *reqs, size_t count)
{
    if (l->link == NULL)
        return;
    struct xcopy_channel *c = l->link->channel;
    bool dead = l->broken, again = l->reused && l->waits == WAITS_FIRST;
    for (size_t i = 0; i < count; i++) {
        if (reqs[i].node != l->node || reqs[i].x.status != CENOTE_NODE_DOWN)
            continue;
        dead = dead || !c->transport->alive(c);
        if (dead && again && !reqs[i].x.started)
            reqs[i].x.status = WAITS_AGAIN;
    }
    fabric_link_give(f, l->link, dead);
}

void fabric_run(struct fabric *f, struct fabric_req *reqs, size_t count, uint32_t timeout_ms)
{
    struct lane lanes[LANES_MAX];
    uint64_t ticket = registry_pin(fabric_registry(f), reqs, count);
    size_t n;
    for (size_t i = 0; i < count; i++)
        reqs[i].x.status = WAITS_FIRST;
    while ((n = make_lanes(reqs, count, lanes)) > 0) {
        run_lanes(f, lanes, n, reqs, count, timeout_ms);
        for (size_t i = 0; i < n; i++)
            settle(f, &lanes[i], reqs, count);
    }
    registry_unpin(fabric_registry(f), reqs, count, ticket);
}
