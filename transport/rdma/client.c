/* SPDX-License-Identifier: Apache-2.0 */
/* RDMA, the side that copies: the operations. channel.h tells how it works. */
#include <poll.h>

#include "transport/base/clock.h"
#include "transport/base/testswitch.h"
#include "transport/copy.h"
#include "transport/rdma/channel.h"
#include "transport/transports.h"

static struct rdma_channel *channel_of(struct xcopy_channel *c)
{
    return (struct rdma_channel *)c;
}

static bool is_idle(const struct rdma_channel *ch)
{
    return ch->first_job == ch->next_job && ch->waiting == NULL;
}

static bool rdma_reaches(void *context, const struct xcopy_peer *peer)
{
    return peer->rdma[0] != '\0' && rdma_context_hopes(context);
}

static int rdma_register(void *context, void *addr, uint64_t len_bytes, enum memory_kind kind,
                         void **handle)
{
    struct rdma_context *c = context;
    return rdma_memory_add(c->memory, addr, len_bytes, kind, handle);
}

static void rdma_forget(void *context, void *handle)
{
    struct rdma_context *c = context;
    rdma_memory_drop(c->memory, handle);
}

/* ---- requests -------------------------------------------------------------------------------- */

/* The node can't look at WRITEs when they come. What this end checks keeps honest processes apart
 * (PROTOCOL.md); the session, since a fence names one: what an ended session was granted may belong
 * to others, while nobody has fenced the one that this process has begun meanwhile. */
static int check_write(const struct rdma_channel *ch, const struct xcopy_req *req)
{
    if (req->put_id == 0)
        return CENOTE_INVALID;
    if (req->grant.boot != ch->boot && !test_off(TEST_BOOT))
        return CENOTE_OLD_BOOT;
    if (req->session != ch->session && !test_off(TEST_GRANT))
        return CENOTE_BAD_GRANT;
    return CENOTE_OK;
}

static int check(const struct rdma_channel *ch, const struct xcopy_req *req)
{
    int status = copy_check(req);
    if (status == CENOTE_OK && ch->state == CHANNEL_BROKEN)
        status = CENOTE_NODE_DOWN;
    if (status == CENOTE_OK && req->op == XCOPY_WRITE)
        status = check_write(ch, req);
    return status;
}

/* Nothing is posted before progress(): what is submitted together goes with one doorbell. */
static void rdma_submit(struct xcopy_channel *c, struct xcopy_req *req)
{
    struct rdma_channel *ch = channel_of(c);
    int status = check(ch, req);
    req->may_land = false;
    req->started = false;
    req->next = NULL;
    req->status = status == CENOTE_OK ? XCOPY_IN_PROGRESS : status;
    if (status != CENOTE_OK)
        return;
    if (ch->waiting_last != NULL)
        ch->waiting_last->next = req;
    else
        ch->waiting = req;
    ch->waiting_last = req;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* How long it took until something came, of late; the channel's user may spin so long. */
static void learn_wait(struct rdma_channel *ch, bool moved)
{
    if (!moved) {
        if (ch->quiet_turns++ == 0)
            ch->quiet_ns = clock_now_ns();
        return;
    }
    if (ch->quiet_turns == 0)
        return;
    uint64_t took_ns = clock_now_ns() - ch->quiet_ns, limit_ns = CHANNEL_SPIN_US * UINT64_C(4000);
    took_ns = took_ns < limit_ns ? took_ns : limit_ns;
    ch->wait_ns = ch->wait_ns - ch->wait_ns / 8 + took_ns / 8;
    ch->quiet_turns = 0;
    uint64_t spin_us = 2 * ch->wait_ns / 1000 + 1;
    ch->base.spin_us = spin_us < CHANNEL_SPIN_US ? (uint32_t)spin_us : 0;
}

static bool look_around(struct rdma_channel *ch)
{
    bool news = channel_look(ch);
    channel_check_rails(ch);
    return news;
}

static bool rdma_progress(struct xcopy_channel *c)
{
    struct rdma_channel *ch = channel_of(c);
    if (ch->state == CHANNEL_BROKEN)
        return false;
    ch->turn_bytes = CHANNEL_TURN_BYTES;
    bool moved = channel_admit(ch);
    moved |= channel_poll(ch);
    moved |= channel_retire(ch);
    if (ch->look || (ch->quiet_turns % CHANNEL_LOOK_TURNS == CHANNEL_LOOK_TURNS - 1) ||
        channel_awaits(ch))
        moved |= look_around(ch);
    if (ch->state == CHANNEL_HEALS)
        moved |= channel_heal(ch);
    if (ch->state == CHANNEL_RUNS) {
        moved |= channel_post(ch);
        moved |= channel_finish_jobs(ch);
    }
    if (is_idle(ch))
        stage_rest(ch);
    learn_wait(ch, moved);
    return moved;
}

/* An event has been asked for earlier, and is taken: its descriptor falls silent. */
static void take_event(struct rdma_channel *ch, struct channel_rail *rail)
{
    struct ibv_cq *cq;
    void *arg;
    if (!rail->armed || ch->devices->verbs->get_cq_event(rail->events, &cq, &arg) != 0)
        return;
    rail->events_taken++;
    rail->armed = false;
}

/* Asks for an event with the next completion, then looks for one that came before. */
static bool arm(struct rdma_channel *ch)
{
    bool armed = true;
    for (unsigned i = 0; i < ch->rail_count; i++) {
        struct channel_rail *rail = &ch->rails[i];
        if (rail->read.listed + rail->write.listed == 0)
            continue;
        take_event(ch, rail);
        if (!rail->armed && ibv_req_notify_cq(rail->cq, 0) != 0)
            armed = false;
        rail->armed = true;
    }
    return armed && !channel_poll(ch);
}

static int rdma_poll_fd(struct xcopy_channel *c, short *events)
{
    struct rdma_channel *ch = channel_of(c);
    *events = 0;
    bool goes_on = ch->due && ch->state == CHANNEL_RUNS;
    if (ch->state == CHANNEL_BROKEN || is_idle(ch) || goes_on || !arm(ch))
        return -1;
    ch->look = true;
    *events = POLLIN;
    return ch->epoll;
}

static void rdma_cancel(struct xcopy_channel *c, int status)
{
    channel_break(channel_of(c), status);
}

/* News wait at an idle channel: a fence may have taken its queue pairs for WRITEs, which the next
 * WRITE makes anew. One that has lost a rail gives way to one that may have it again. */
static bool rdma_alive(const struct xcopy_channel *c)
{
    struct rdma_channel *ch = (struct rdma_channel *)(uintptr_t)c;
    if (ch->state == CHANNEL_BROKEN || !is_idle(ch))
        return ch->state != CHANNEL_BROKEN;
    look_around(ch);
    if (ch->state == CHANNEL_HEALS)
        channel_heal(ch);
    return ch->state != CHANNEL_BROKEN && ch->rails_live == ch->rails_begun;
}

static void rdma_disconnect(struct xcopy_channel *c)
{
    channel_free(channel_of(c));
}

static void rdma_abandon(struct xcopy_channel *c)
{
    channel_abandon(channel_of(c));
}

const struct xcopy_transport xcopy_rdma = {
    .name = "rdma",
    .id = CENOTE_TRANSPORT_RDMA,
    .caps = 0,
    .open = rdma_context_open,
    .close = rdma_context_close,
    .abandon_context = rdma_context_abandon,
    .reaches = rdma_reaches,
    .connect = channel_connect,
    .disconnect = rdma_disconnect,
    .abandon = rdma_abandon,
    .register_memory = rdma_register,
    .forget_memory = rdma_forget,
    .submit = rdma_submit,
    .progress = rdma_progress,
    .poll_fd = rdma_poll_fd,
    .cancel = rdma_cancel,
    .alive = rdma_alive,
    .report = rdma_context_report,
};
