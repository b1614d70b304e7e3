/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a batch on the calling thread: a transfer, and what has to be waited for. */
#include <poll.h>
#include <sched.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/transfer.h"

/* A lane is quiet when nothing moves although its time had been up before the look: this process
 * may have stood still itself, and then the bytes are there. */
static bool progress_lanes(struct transfer *t, uint32_t timeout_ms, bool *active)
{
    bool moved = false;
    uint64_t now_ms = clock_now_ms();
    *active = false;
    for (size_t i = 0; i < t->lane_count; i++) {
        struct transfer_lane *l = &t->lanes[i];
        if (l->state != LANE_RUNS)
            continue;
        if (transfer_progress(t, l, now_ms)) {
            moved = true;
        } else if (l->state == LANE_RUNS && now_ms - l->moved_ms >= timeout_ms) {
            log_warn("fabric", "node %llu: nothing moves for %u ms", (unsigned long long)l->node,
                     timeout_ms);
            transfer_cancel_lane(t, l, CENOTE_TIMED_OUT);
        }
        *active |= l->state == LANE_RUNS;
    }
    return moved;
}

static void wait_lanes(struct transfer *t, uint32_t timeout_ms)
{
    struct pollfd fds[TRANSFER_LANES_MAX];
    nfds_t n = 0;
    uint64_t now_ms = clock_now_ms(), wait_ms = timeout_ms;
    for (size_t i = 0; i < t->lane_count; i++) {
        struct transfer_lane *l = &t->lanes[i];
        if (l->state != LANE_RUNS)
            continue;
        uint64_t quiet_ms = now_ms - l->moved_ms;
        uint64_t left_ms = quiet_ms < timeout_ms ? timeout_ms - quiet_ms : 0;
        if (left_ms < wait_ms)
            wait_ms = left_ms;
        fds[n].fd = transfer_poll_fd(l, &fds[n].events);
        if (fds[n].fd < 0)
            return;
        n++;
    }
    (void)poll(fds, n, wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms);
}

static uint32_t longest_spin_us(const struct transfer *t)
{
    uint32_t longest = 0;
    for (size_t i = 0; i < t->lane_count; i++) {
        const struct transfer_lane *l = &t->lanes[i];
        if (l->state == LANE_RUNS && l->link->channel->spin_us > longest)
            longest = l->link->channel->spin_us;
    }
    return longest;
}

static bool has_one_processor(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) != 0 || CPU_COUNT(&set) == 1;
}

/* Looks again and again, for as long as that is likely to be cheaper than to wait: whether anything
 * moved. Who the news must come from may need this processor. */
static bool spin_lanes(struct transfer *t, uint32_t timeout_ms, bool *active)
{
    uint32_t spin_us = longest_spin_us(t);
    if (spin_us == 0)
        return false;
    uint64_t until_ns = clock_now_ns() + spin_us * UINT64_C(1000);
    bool yields = has_one_processor();
    do {
        if (progress_lanes(t, timeout_ms, active))
            return true;
        if (yields)
            sched_yield();
    } while (*active && clock_now_ns() < until_ns);
    return false;
}

static void drive(struct transfer *t, uint32_t timeout_ms)
{
    bool active;
    do {
        if (progress_lanes(t, timeout_ms, &active) || !active)
            continue;
        if (!spin_lanes(t, timeout_ms, &active) && active)
            wait_lanes(t, timeout_ms);
    } while (active);
}

static void lend_open(struct transfer *t, uint32_t timeout_ms)
{
    for (size_t i = 0; i < t->lane_count; i++) {
        struct transfer_lane *l = &t->lanes[i];
        struct fabric_link *link;
        bool reused;
        if (l->state == LANE_WAITS && l->want == FABRIC_ANY &&
            fabric_link_take(t->fabric, l->node, FABRIC_OPEN, timeout_ms, &link, &reused) ==
                CENOTE_OK)
            transfer_lend(t, l, link, reused, clock_now_ms());
    }
}

static void connect_waiting(struct transfer *t, uint32_t timeout_ms)
{
    struct fabric_link *links[TRANSFER_LANES_MAX];
    bool reused[TRANSFER_LANES_MAX];
    for (size_t i = 0; i < t->lane_count; i++) {
        struct transfer_lane *l = &t->lanes[i];
        links[i] = NULL;
        if (l->state != LANE_WAITS)
            continue;
        int status =
            fabric_link_take(t->fabric, l->node, l->want, timeout_ms, &links[i], &reused[i]);
        if (status != CENOTE_OK)
            transfer_refuse(t, l, status);
    }
    for (size_t i = 0; i < t->lane_count; i++)
        if (links[i] != NULL)
            transfer_lend(t, &t->lanes[i], links[i], reused[i], clock_now_ms());
}

/* Lanes with an open channel first, to their end. Connecting blocks, for long where a node doesn't
 * answer: nothing may be in flight meanwhile. */
void fabric_run(struct fabric *f, struct fabric_req *reqs, size_t count, uint32_t timeout_ms)
{
    struct transfer_lane lanes[TRANSFER_LANES_MAX];
    struct transfer t;
    uint64_t ticket = registry_pin(fabric_registry(f), reqs, count);
    transfer_begin(&t, f, reqs, count, lanes, TRANSFER_LANES_MAX);
    while (transfer_goes_on(&t)) {
        lend_open(&t, timeout_ms);
        drive(&t, timeout_ms);
        connect_waiting(&t, timeout_ms);
        drive(&t, timeout_ms);
    }
    registry_unpin(fabric_registry(f), reqs, count, ticket);
}
