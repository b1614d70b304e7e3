/* SPDX-License-Identifier: Apache-2.0 */
/* What goes wrong on a channel's rails: who hears of it, and what goes on. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/transport/rdma/channelrig.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

static struct channelrig r;
static struct channelvalue x, y;

static void begin(const char *settings, uint64_t len)
{
    channelrig_start(&r, settings, NULL);
    channelvalue_make(&r, &x, 4096, len, true);
    channelvalue_make(&r, &y, 32 * MIB, len, true);
    struct xcopy_req req = channelvalue_write(&x);
    CHECK_STATUS(rig_run(r.c, &req), CENOTE_OK);
    req = channelvalue_write(&y);
    CHECK_STATUS(rig_run(r.c, &req), CENOTE_OK);
    sums_reset(x.v.sums);
    sums_reset(y.v.sums);
}

static void end(void)
{
    channelvalue_free(&r, &x);
    channelvalue_free(&r, &y);
    channelrig_stop(&r);
}

static uint32_t number_of(const struct channel_queue *queue)
{
    return queue->q.qp->qp_num;
}

static struct xcopy_report report(void)
{
    struct xcopy_report out;
    r.node.transport->report(r.node.context, &out);
    return out;
}

/* Submits both, the first of which meets the fault. */
static void run_both(struct xcopy_req *first, struct xcopy_req *second)
{
    r.c->transport->submit(r.c, first);
    r.c->transport->submit(r.c, second);
    rig_finish(r.c, second);
    cr_assert_neq(first->status, XCOPY_IN_PROGRESS);
}

/* ---- each status ----------------------------------------------------------------------------- */

/* What the request at fault is told, when there is no other rail. */
static int told_by(enum ibv_wc_status status)
{
    bool flushed;
    int told = rdma_status_of(status, &flushed);
    return flushed ? CENOTE_NODE_DOWN : told;
}

/* Three READs are with the device, the one in the middle fails. When it's to blame, the others are
 * done again; else the rail is lost, and all it had is to go another way. */
Test(channel_errors, read__every_status_reaches_its_request)
{
    begin("rails=1", 200 * KIB);
    for (int status = IBV_WC_LOC_LEN_ERR; status <= IBV_WC_TM_RNDV_INCOMPLETE; status++) {
        int told = told_by((enum ibv_wc_status)status);
        bool own = told == CENOTE_BAD_ADDRESS || told == CENOTE_STALE;
        struct xcopy_req req[3] = {channelvalue_read(&x), channelvalue_read(&x),
                                   channelvalue_read(&y)};
        for (unsigned i = 0; i < 3; i++) {
            req[i].tail_len = 0;
            r.c->transport->submit(r.c, &req[i]);
        }
        mock_fail_request(number_of(&r.ch->rails[0].read), 1, (enum ibv_wc_status)status, 0);
        rig_finish(r.c, &req[2]);
        CHECK_STATUS(req[0].status, own ? CENOTE_OK : CENOTE_NODE_DOWN);
        CHECK_STATUS(req[1].status, told);
        CHECK_STATUS(req[2].status, own ? CENOTE_OK : CENOTE_NODE_DOWN);
        cr_assert_eq(r.c->transport->alive(r.c), own, "status %d", status);
        rig_disconnect(r.c);
        r.c = rig_connect(&r.node, 1);
        r.ch = (struct rdma_channel *)r.c;
    }
    end();
}

/* ---- links ---------------------------------------------------------------------------------- */

/* Nobody listens to devices while there is no channel; who makes one has heard all. */
Test(channel_errors, connect__after_the_link_was_down)
{
    begin("rails=1", MIB);
    struct xcopy_req req = channelvalue_read(&x);
    mock_set_port_state(channelrig_device(0), 1, IBV_PORT_DOWN);
    rdma_devices_take_events(r.ch->devices);
    CHECK_STATUS(rig_run(r.c, &req), CENOTE_NODE_DOWN);
    rig_disconnect(r.c);
    mock_set_port_state(channelrig_device(0), 1, IBV_PORT_ACTIVE);
    r.c = rig_connect(&r.node, 1);
    r.ch = (struct rdma_channel *)r.c;
    CHECK_STATUS(rig_run(r.c, &req), CENOTE_OK);
    end();
}

/* ---- the only rail --------------------------------------------------------------------------- */

/* What the request itself did wrong is told to it, and to no other. */
Test(channel_errors, read__own_fault)
{
    static const struct {
        enum ibv_wc_status status;
        int told;
    } faults[] = {{IBV_WC_REM_ACCESS_ERR, CENOTE_STALE}, {IBV_WC_LOC_PROT_ERR, CENOTE_BAD_ADDRESS}};
    begin("rails=1", MIB);
    for (size_t i = 0; i < 2; i++) {
        struct xcopy_req bad = channelvalue_read(&x), good = channelvalue_read(&y);
        mock_fail_request(number_of(&r.ch->rails[0].read), 0, faults[i].status, 0);
        memset(y.out, 0, MIB);
        run_both(&bad, &good);
        CHECK_STATUS(bad.status, faults[i].told);
        cr_assert(!bad.may_land && !bad.started);
        CHECK_STATUS(good.status, CENOTE_OK);
        cr_assert(channelvalue_came(&y));
        cr_assert(r.c->transport->alive(r.c));
    }
    cr_assert_eq(report().errors, 2);
    end();
}

Test(channel_errors, write__own_fault)
{
    begin("rails=1", MIB);
    struct xcopy_req bad = channelvalue_write(&x), good = channelvalue_write(&y);
    mock_fail_request(number_of(&r.ch->rails[0].write), 2, IBV_WC_REM_ACCESS_ERR, 1000);
    memset(rig_memory(&r.node, y.v.offset), 0, MIB);
    run_both(&bad, &good);
    CHECK_STATUS(bad.status, CENOTE_STALE);
    cr_assert(bad.may_land && bad.started);
    CHECK_STATUS(good.status, CENOTE_OK);
    cr_assert(rig_holds(&r.node, &y.v));
    end();
}

/* Anything else ends the last rail, and the channel with it. */
static void lose_last(enum xcopy_op op, unsigned skip, enum ibv_wc_status status, int told)
{
    begin("rails=1", MIB);
    bool reads = op == XCOPY_READ;
    struct channel_rail *rail = &r.ch->rails[0];
    struct xcopy_req bad = reads ? channelvalue_read(&x) : channelvalue_write(&x);
    struct xcopy_req next = reads ? channelvalue_read(&y) : channelvalue_write(&y);
    mock_hold(true); /* the second is on its way, too */
    mock_fail_request(number_of(reads ? &rail->read : &rail->write), skip, status, 0);
    r.c->transport->submit(r.c, &bad);
    r.c->transport->submit(r.c, &next);
    channelrig_settle(&r);
    mock_hold(false);
    rig_finish(r.c, &next);
    CHECK_STATUS(bad.status, told);
    CHECK_STATUS(next.status, CENOTE_NODE_DOWN);
    cr_assert_eq(bad.may_land, !reads);
    cr_assert_eq(next.may_land, !reads);
    cr_assert(!r.c->transport->alive(r.c));
    CHECK_STATUS(rig_run(r.c, &next), CENOTE_NODE_DOWN);
    cr_assert(!next.may_land && !next.started);
    cr_assert_eq(report().rails_lost, 1);
    end();
}

Test(channel_errors, read__unanswered)
{
    lose_last(XCOPY_READ, 0, IBV_WC_RETRY_EXC_ERR, CENOTE_NODE_DOWN);
}

Test(channel_errors, read__device_fault)
{
    lose_last(XCOPY_READ, 0, IBV_WC_FATAL_ERR, CENOTE_IO);
}

Test(channel_errors, write__device_fault)
{
    lose_last(XCOPY_WRITE, 1, IBV_WC_REM_OP_ERR, CENOTE_IO);
}

/* Nobody answers where a fence has been: so the queue pair is made anew, once. */
Test(channel_errors, write__unanswered_once)
{
    begin("rails=1", MIB);
    struct xcopy_req put = channelvalue_write(&x);
    mock_fail_request(number_of(&r.ch->rails[0].write), 2, IBV_WC_RETRY_EXC_ERR, 0);
    memset(rig_memory(&r.node, x.v.offset), 0, MIB);
    CHECK_STATUS(rig_run(r.c, &put), CENOTE_OK);
    cr_assert(rig_holds(&r.node, &x.v));
    cr_assert(r.c->transport->alive(r.c));
    end();
}

Test(channel_errors, write__unanswered)
{
    begin("rails=1", MIB);
    struct xcopy_req put = channelvalue_write(&x);
    mock_silence(channelrig_device(0), true);
    CHECK_STATUS(rig_run(r.c, &put), CENOTE_NODE_DOWN);
    cr_assert(put.may_land && put.started);
    cr_assert(!r.c->transport->alive(r.c));
    cr_assert_eq(report().errors, 2);
    mock_silence(channelrig_device(0), false);
    end();
}

/* The READ that makes WRITEs visible fails: they aren't. */
Test(channel_errors, write__flush_fails)
{
    begin("rails=1", MIB);
    struct xcopy_req put = channelvalue_write(&x);
    mock_fail_request(number_of(&r.ch->rails[0].write), 4 + 1, IBV_WC_FATAL_ERR, 0);
    CHECK_STATUS(rig_run(r.c, &put), CENOTE_NODE_DOWN);
    cr_assert(put.may_land);
    end();
}

/* The device takes no work request, or makes no completions. */
static void fail_verb(enum mock_verb verb, unsigned skip)
{
    begin("rails=1", MIB);
    struct xcopy_req get = channelvalue_read(&x);
    mock_fail_verb(verb, skip, 1, EIO);
    CHECK_STATUS(rig_run(r.c, &get), CENOTE_NODE_DOWN);
    cr_assert(!r.c->transport->alive(r.c));
    end();
}

Test(channel_errors, post_send__fails)
{
    fail_verb(MOCK_POST_SEND, 0);
}

Test(channel_errors, poll_cq__fails)
{
    fail_verb(MOCK_POLL_CQ, 0);
}

Test(channel_errors, device__removed)
{
    for (unsigned told = 0; told < 2; told++) {
        begin("rails=1", MIB);
        struct xcopy_req get = channelvalue_read(&x);
        mock_hold(true);
        r.c->transport->submit(r.c, &get);
        channelrig_settle(&r);
        mock_remove(channelrig_device(0), told == 1);
        mock_hold(false);
        rig_finish(r.c, &get);
        CHECK_STATUS(get.status, CENOTE_NODE_DOWN);
        cr_assert(!r.c->transport->alive(r.c));
        end();
    }
}

/* Whatever fails while a channel is made, at either end: an error, or one rail less, nothing left
 * behind (rig_stop() counts), and the next one works. */
Test(channel_errors, connect__verbs_fail)
{
    static const enum mock_verb verbs[] = {MOCK_CREATE_COMP_CHANNEL, MOCK_CREATE_CQ, MOCK_CREATE_QP,
                                           MOCK_MODIFY_QP};
    static const int errors[] = {ENOMEM, EIO, EINVAL};
    begin("rails=2", 100000);
    struct xcopy_credentials who = rig_who(1);
    for (unsigned i = 0; i < 4 * 3 * 12; i++) {
        struct xcopy_channel *c;
        mock_fail_verb(verbs[i % 4], i / 12, 1, errors[i / 4 % 3]);
        int status = r.c->transport->connect(r.node.context, &r.node.peer, &who, 1000, &c);
        mock_fail_verb(verbs[i % 4], 0, 0, 0);
        cr_assert(status <= CENOTE_OK && status != CENOTE_TIMED_OUT);
        if (status == CENOTE_OK)
            rig_disconnect(c);
    }
    struct xcopy_req get = channelvalue_read(&x);
    CHECK_STATUS(rig_run(r.c, &get), CENOTE_OK);
    cr_assert(channelvalue_came(&x));
    end();
}

/* The queue pairs for WRITEs can't be had: that is told, and READs go on. */
Test(channel_errors, write__no_queue_pair)
{
    begin("rails=1,qps=2", 100000);
    rig_disconnect(r.c);
    struct xcopy_channel *other;
    r.c = rig_connect(&r.node, 1);
    r.ch = (struct rdma_channel *)r.c;
    other = rig_connect(&r.node, 1); /* takes the second */
    struct xcopy_req put = channelvalue_write(&x), get = channelvalue_read(&y);
    run_both(&put, &get);
    CHECK_STATUS(put.status, CENOTE_LIMIT);
    cr_assert(!put.may_land && !put.started);
    CHECK_STATUS(get.status, CENOTE_OK);
    cr_assert(channelvalue_came(&y));
    rig_disconnect(other);
    CHECK_STATUS(rig_run(r.c, &put), CENOTE_OK); /* it asks again */
    end();
}

/* ---- cancelling ------------------------------------------------------------------------------ */

/* Nothing touches a buffer afterwards, though requests were on their way. */
Test(channel_errors, cancel__held)
{
    begin("rails=2", 4 * MIB);
    struct xcopy_req get = channelvalue_read(&x), put = channelvalue_write(&y);
    mock_hold(true);
    r.c->transport->submit(r.c, &get);
    r.c->transport->submit(r.c, &put);
    channelrig_settle(&r);
    mock_step(5);
    channelrig_settle(&r);
    r.c->transport->cancel(r.c, CENOTE_TIMED_OUT);
    CHECK_STATUS(get.status, CENOTE_TIMED_OUT);
    CHECK_STATUS(put.status, CENOTE_TIMED_OUT);
    cr_assert(put.may_land && put.started && !get.may_land);
    mock_forbid(x.out, 4 * MIB);
    mock_forbid(y.v.data, 4 * MIB);
    mock_hold(false);
    mock_permit(x.out);
    mock_permit(y.v.data);
    for (unsigned i = 0; i < CHANNEL_STAGES; i++)
        cr_assert(r.ch->stages[i].slot == NULL);
    cr_assert(!r.c->transport->alive(r.c));
    end();
}

/* ---- several rails --------------------------------------------------------------------------- */

/* One rail falls silent in the midst of transfers: requests don't notice. */
static void lose_one(enum xcopy_op op, bool registered)
{
    channelrig_start(&r, "rails=2", NULL);
    channelvalue_make(&r, &x, 4096, 8 * MIB, registered);
    bool reads = op == XCOPY_READ;
    struct xcopy_req req = channelvalue_write(&x);
    if (reads) {
        CHECK_STATUS(rig_run(r.c, &req), CENOTE_OK);
        req = channelvalue_read(&x);
        req.sums = x.sums;
    }
    mock_hold(true);
    r.c->transport->submit(r.c, &req);
    channelrig_settle(&r);
    mock_step(9);
    channelrig_settle(&r);
    mock_silence(channelrig_device(1), true);
    mock_hold(false);
    rig_finish(r.c, &req);
    CHECK_STATUS(req.status, CENOTE_OK);
    cr_assert_eq(report().rails_lost, 1);
    cr_assert_eq(r.ch->rails_live, 1);
    if (reads)
        cr_assert(channelvalue_came(&x));
    if (reads)
        cr_assert_eq(sums_root(x.sums), sums_root(x.v.sums));
    cr_assert(rig_holds(&r.node, &x.v));
    cr_assert(!r.c->transport->alive(r.c)); /* one that has both rails takes its place */
    mock_silence(channelrig_device(1), false);
    channelvalue_free(&r, &x);
    channelrig_stop(&r);
}

Test(channel_errors, failover__read)
{
    lose_one(XCOPY_READ, true);
}

Test(channel_errors, failover__read_bounced)
{
    lose_one(XCOPY_READ, false);
}

Test(channel_errors, failover__write)
{
    lose_one(XCOPY_WRITE, true);
}

Test(channel_errors, failover__write_bounced)
{
    lose_one(XCOPY_WRITE, false);
}

/* The link of one rail goes down: the other carries on at once, without a time-out. */
Test(channel_errors, failover__link_down)
{
    begin("rails=2", 4 * MIB);
    struct xcopy_req get = channelvalue_read(&x);
    mock_hold(true);
    r.c->transport->submit(r.c, &get);
    channelrig_settle(&r);
    mock_set_port_state(channelrig_device(0), 1, IBV_PORT_DOWN);
    mock_hold(false);
    rig_finish(r.c, &get);
    CHECK_STATUS(get.status, CENOTE_OK);
    cr_assert(channelvalue_came(&x));
    cr_assert_eq(r.ch->rails_live, 1);
    end();
}

/* A channel made while a link is down has fewer rails, and is none the worse. */
Test(channel_errors, connect__link_down)
{
    begin("rails=2", 4 * MIB);
    mock_set_port_state(channelrig_device(0), 1, IBV_PORT_DOWN);
    cr_assert(!r.c->transport->alive(r.c));
    rig_disconnect(r.c);
    r.c = rig_connect(&r.node, 1);
    r.ch = (struct rdma_channel *)r.c;
    cr_assert_eq(r.ch->rails_live, 1);
    cr_assert(r.c->transport->alive(r.c));
    struct xcopy_req get = channelvalue_read(&x);
    CHECK_STATUS(rig_run(r.c, &get), CENOTE_OK);
    cr_assert(channelvalue_came(&x));
    end();
}

/* ---- fences ---------------------------------------------------------------------------------- */

/* Of two WRITEs under way one is fenced and the other begins again; a READ goes on. */
Test(channel_errors, fence__in_flight)
{
    struct rig_fence f;
    begin("rails=2", 4 * MIB);
    struct xcopy_req old = channelvalue_write(&x), fresh = channelvalue_write(&y);
    fresh.put_id = rig_next_put();
    y.v.put_id = fresh.put_id;
    mock_hold(true);
    r.c->transport->submit(r.c, &old);
    r.c->transport->submit(r.c, &fresh);
    channelrig_settle(&r);
    mock_step(7);
    rig_fence_begin(&r.node, &f, 1, old.put_id);
    cr_assert(rig_fence_ended(&f, 5000));
    memset(rig_memory(&r.node, 0), 0, 16 * MIB);
    mock_hold(false);
    rig_finish(r.c, &fresh);
    CHECK_STATUS(old.status, CENOTE_FENCED);
    cr_assert(old.may_land);
    CHECK_STATUS(fresh.status, CENOTE_OK);
    for (size_t i = 0; i < 16 * MIB; i += 4096)
        cr_assert_eq(rig_memory(&r.node, 0)[i], 0);
    cr_assert(memcmp(rig_memory(&r.node, y.v.offset), y.v.data, 4 * MIB) == 0);
    cr_assert(r.c->transport->alive(r.c));
    rig_fence_free(&f);
    end();
}
