/* SPDX-License-Identifier: Apache-2.0 */
/* How requests become work requests: where they are cut, what is signalled, how few doorbells. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/support/nullverbs.h"
#include "tests/unit/transport/rdma/channelrig.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)

static struct channelrig r;
static struct channelvalue x;

/* What a request costs, from its submission on. */
static struct mock_counts run(struct xcopy_req *req)
{
    struct mock_counts before = mock_counts(), after;
    CHECK_STATUS(rig_run(r.c, req), CENOTE_OK);
    channelrig_settle(&r);
    after = mock_counts();
    cr_assert_eq(r.ch->head, r.ch->tail);
    return (struct mock_counts){.requests = after.requests - before.requests,
                                .doorbells = after.doorbells - before.doorbells,
                                .signalled = after.signalled - before.signalled,
                                .reads = after.reads - before.reads,
                                .writes = after.writes - before.writes,
                                .inlined = after.inlined - before.inlined,
                                .full = after.full - before.full};
}

static void begin(const char *settings, void (*change)(void), uint64_t len, bool registered)
{
    channelrig_start(&r, settings, change);
    channelvalue_make(&r, &x, 4096, len, registered);
}

static void end(void)
{
    channelvalue_free(&r, &x);
    channelrig_stop(&r);
}

/* The queue pairs for WRITEs are made by the first one. */
static void put(void)
{
    struct xcopy_req req = channelvalue_write(&x);
    CHECK_STATUS(rig_run(r.c, &req), CENOTE_OK);
    cr_assert(rig_holds(&r.node, &x.v));
}

Test(channel_cut, read__whole_messages)
{
    begin("rails=1", NULL, 3 * MIB + 5000, true);
    put();
    struct xcopy_req req = channelvalue_read(&x);
    struct mock_counts n = run(&req);
    cr_assert(channelvalue_came(&x));
    cr_assert_eq(n.reads, 4 + 1); /* and the tail */
    cr_assert_eq(n.doorbells, 1);
    cr_assert_eq(n.signalled, 3 + 1);
    end();
}

Test(channel_cut, read__summed_as_it_comes)
{
    begin("rails=1", NULL, 3 * MIB, true);
    put();
    struct xcopy_req req = channelvalue_read(&x);
    req.sums = x.sums;
    struct mock_counts n = run(&req);
    cr_assert_eq(sums_root(x.sums), sums_root(x.v.sums));
    cr_assert_eq(n.reads, 12 + 1);
    cr_assert_eq(n.signalled, 12 + 1);
    cr_assert_eq(n.doorbells, 1);
    end();
}

static void short_messages(void)
{
    channelrig_device(0)->ports[0].attr.max_msg_sz = 64 * KIB;
}

Test(channel_cut, read__messages_of_the_port)
{
    begin("rails=1", short_messages, MIB, true);
    put();
    struct xcopy_req req = channelvalue_read(&x);
    struct mock_counts n = run(&req);
    cr_assert(channelvalue_came(&x));
    cr_assert_eq(n.reads, 16 + 1);
    cr_assert_eq(n.signalled, 4 + 1); /* every 256 KiB */
    end();
}

/* A block of 122 pieces of 72 KiB; a message has 1 MiB at most. */
Test(channel_cut, read__scattered)
{
    size_t count;
    begin("rails=1", NULL, 122 * 72 * KIB, true);
    put();
    struct cenote_buffer *to = rig_cut(x.out, x.v.len_bytes, 72 * KIB, &count);
    struct xcopy_req req = channelvalue_read(&x);
    req.local.pieces = to;
    req.local.count = count;
    struct mock_counts n = run(&req);
    cr_assert(channelvalue_came(&x));
    cr_assert_eq(n.reads, 9 + 1);
    cr_assert_eq(n.doorbells, 1);
    free(to);
    end();
}

static void few_pieces(void)
{
    channelrig_device(0)->attr.max_sge = channelrig_device(0)->attr.max_sge_rd = 4;
}

Test(channel_cut, read__few_pieces)
{
    size_t count;
    begin("rails=1", few_pieces, 22 * 2 * KIB, true);
    put();
    struct cenote_buffer *to = rig_cut(x.out, x.v.len_bytes, 2 * KIB, &count);
    struct xcopy_req req = channelvalue_read(&x);
    req.local.pieces = to;
    req.local.count = count;
    struct mock_counts n = run(&req);
    cr_assert(channelvalue_came(&x));
    cr_assert_eq(n.reads, 6 + 1);
    free(to);
    end();
}

/* Short pieces go together through bounce memory, registered or not. */
Test(channel_cut, read__short_pieces)
{
    size_t count;
    begin("rails=1", NULL, 60000, true);
    put();
    struct cenote_buffer *to = rig_cut(x.out, x.v.len_bytes, 100, &count);
    struct xcopy_req req = channelvalue_read(&x);
    req.local.pieces = to;
    req.local.count = count;
    req.sums = x.sums;
    struct mock_counts n = run(&req);
    cr_assert(channelvalue_came(&x));
    cr_assert_eq(sums_root(x.sums), sums_root(x.v.sums));
    cr_assert_eq(n.reads, 1 + 1);
    free(to);
    end();
}

/* Long and short pieces by turns, an empty one between. */
Test(channel_cut, both__mixed_pieces)
{
    struct cenote_buffer pieces[6];
    begin("rails=1", NULL, 20000, true);
    const size_t lens[] = {5000, 10, 0, 90, 9000, 5900};
    for (size_t i = 0, at = 0; i < 6; at += lens[i++])
        pieces[i] = (struct cenote_buffer){x.v.data + at, lens[i]};
    struct xcopy_req req = channelvalue_write(&x);
    req.local.pieces = pieces;
    req.local.count = 6;
    run(&req);
    cr_assert(rig_holds(&r.node, &x.v));
    for (size_t i = 0, at = 0; i < 6; at += lens[i++])
        pieces[i] = (struct cenote_buffer){x.out + at, lens[i]};
    req = channelvalue_read(&x);
    req.local.pieces = pieces;
    req.local.count = 6;
    struct mock_counts n = run(&req);
    cr_assert(channelvalue_came(&x));
    cr_assert_eq(n.reads, 3 + 1);
    end();
}

/* Payload into the work request, the tail too, and one READ behind: one doorbell. */
Test(channel_cut, write__small)
{
    begin("rails=1", NULL, 100, false);
    put();
    struct xcopy_req req = channelvalue_write(&x);
    sums_reset(x.v.sums);
    struct mock_counts n = run(&req);
    cr_assert_eq(n.writes, 2);
    cr_assert_eq(n.inlined, 2);
    cr_assert_eq(n.reads, 1);
    cr_assert_eq(n.doorbells, 1);
    cr_assert_eq(n.signalled, 1);
    end();
}

/* The device is busy while this thread sums: payload first, then tail and flush. */
Test(channel_cut, write__large)
{
    begin("rails=1", NULL, 3 * MIB, true);
    put();
    struct xcopy_req req = channelvalue_write(&x);
    sums_reset(x.v.sums);
    struct mock_counts n = run(&req);
    cr_assert_eq(n.writes, 12 + 1);
    cr_assert_eq(n.reads, 1);
    cr_assert_eq(n.doorbells, 2);
    end();
}

/* 64 small READs at once: tails behind all payloads, one fence, few completions. */
Test(channel_cut, read__many)
{
    enum { N = 60 };
    struct channelvalue values[N];
    struct xcopy_req reqs[N];
    channelrig_start(&r, "rails=1,depth=256", NULL);
    for (unsigned i = 0; i < N; i++) {
        channelvalue_make(&r, &values[i], 4096 * (i + 1), 64, false);
        rig_plant(&r.node, &values[i].v);
        reqs[i] = channelvalue_read(&values[i]);
    }
    struct mock_counts before = mock_counts();
    for (unsigned i = 0; i < N; i++)
        r.c->transport->submit(r.c, &reqs[i]);
    rig_finish(r.c, &reqs[N - 1]);
    struct mock_counts after = mock_counts();
    for (unsigned i = 0; i < N; i++) {
        CHECK_STATUS(reqs[i].status, CENOTE_OK);
        cr_assert(channelvalue_came(&values[i]));
        channelvalue_free(&r, &values[i]);
    }
    cr_assert_eq(after.reads - before.reads, 2 * N);
    cr_assert_eq(after.doorbells - before.doorbells, 4);
    cr_assert_eq(after.signalled - before.signalled, 4);
    channelrig_stop(&r);
}

/* Queue pairs with few places: never more than they take. */
Test(channel_cut, both__back_pressure)
{
    size_t count;
    begin("rails=1,depth=16", NULL, 8 * MIB, true);
    struct cenote_buffer *from = rig_cut(x.v.data, x.v.len_bytes, 4 * KIB, &count);
    struct cenote_buffer *to = rig_cut(x.out, x.v.len_bytes, 4 * KIB, &count);
    mock_run(1);
    struct xcopy_req req = channelvalue_write(&x);
    req.local.pieces = from;
    req.local.count = count;
    struct mock_counts n = run(&req);
    cr_assert_eq(n.full, 0);
    cr_assert(rig_holds(&r.node, &x.v));
    req = channelvalue_read(&x);
    req.local.pieces = to;
    req.local.count = count;
    req.sums = x.sums;
    n = run(&req);
    mock_rest();
    cr_assert_eq(n.full, 0);
    cr_assert(channelvalue_came(&x));
    free(from);
    free(to);
    end();
}

/* Unregistered bytes: bounce memory goes round. */
Test(channel_cut, both__bounced)
{
    size_t count;
    begin("rails=1", NULL, 20 * MIB, false);
    struct cenote_buffer *from = rig_cut(x.v.data, x.v.len_bytes, 60000, &count);
    struct cenote_buffer *to = rig_cut(x.out, x.v.len_bytes, 60000, &count);
    mock_run(2);
    struct xcopy_req req = channelvalue_write(&x);
    req.local.pieces = from;
    req.local.count = count;
    run(&req);
    cr_assert(rig_holds(&r.node, &x.v));
    req = channelvalue_read(&x);
    req.local.pieces = to;
    req.local.count = count;
    req.sums = x.sums;
    run(&req);
    mock_rest();
    cr_assert(channelvalue_came(&x));
    cr_assert_eq(sums_root(x.sums), sums_root(x.v.sums));
    for (unsigned i = 0; i < CHANNEL_STAGES; i++)
        cr_assert(r.ch->stages[i].slot == NULL);
    free(from);
    free(to);
    end();
}

/* 5 GiB and one byte, in a key that covers them: nothing is cut off in 32 bits. */
Test(channel_cut, both__above_4_gib)
{
    const uint64_t len = (UINT64_C(5) << 30) + 1;
    uint8_t *memory =
        mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct cenote_buffer whole = {memory, len};
    uint8_t tail[SEAL_BYTES];
    void *handle;
    cr_assert_neq(memory, MAP_FAILED);
    begin("rails=1", NULL, 100, false);
    put();
    const struct xcopy_transport *t = r.node.transport;
    CHECK_STATUS(t->register_memory(r.node.context, memory, len, MEMORY_HOST, &handle), CENOTE_OK);
    struct channel_rail *rail = &r.ch->rails[0];
    struct setup_key key = rail->read.keys[0];
    key.len_bytes = UINT64_C(8) << 30;
    CHECK_STATUS(channel_keys_set(&rail->read, &key, 1), CENOTE_OK);
    CHECK_STATUS(channel_keys_set(&rail->write, &key, 1), CENOTE_OK);
    nullverbs_use(rail->port->device->context);
    for (unsigned op = 0; op < 2; op++) {
        uint64_t before = nullverbs_bytes();
        struct xcopy_req req = op == 0 ? rig_read_req(&x.v, &whole, 1, tail, sizeof tail)
                                       : rig_write_req(&x.v, &whole, 1);
        req.payload_len = req.len_bytes = len;
        req.sums = NULL;
        req.seal_it = NULL;
        req.tail = tail;
        req.tail_len = sizeof tail;
        CHECK_STATUS(rig_run(r.c, &req), CENOTE_OK);
        cr_assert_eq(nullverbs_bytes() - before,
                     len + sizeof tail + (op == 0 ? 0 : CHANNEL_FLUSH_BYTES));
    }
    t->forget_memory(r.node.context, handle);
    munmap(memory, len);
    end();
}

/* Two rails share a large request; the tail waits for both. */
Test(channel_cut, both__two_rails)
{
    begin("rails=2", NULL, 4 * MIB, true);
    put();
    mock_hold(true);
    struct mock_counts before = mock_counts();
    struct xcopy_req req = channelvalue_read(&x);
    r.c->transport->submit(r.c, &req);
    channelrig_settle(&r);
    cr_assert_eq(mock_counts().requests - before.requests, 16);
    cr_assert_eq(r.ch->rails[0].load_bytes, 2 * MIB);
    cr_assert_eq(r.ch->rails[1].load_bytes, 2 * MIB);
    mock_step(15);
    channelrig_settle(&r);
    cr_assert_eq(mock_counts().requests - before.requests, 16);
    mock_step(1);
    channelrig_settle(&r);
    cr_assert_eq(mock_counts().requests - before.requests, 17);
    CHECK_STATUS(req.status, XCOPY_IN_PROGRESS);
    mock_hold(false);
    rig_finish(r.c, &req);
    cr_assert(channelvalue_came(&x));
    req = channelvalue_write(&x);
    sums_reset(x.v.sums);
    struct mock_counts n = run(&req);
    cr_assert_eq(n.writes, 16 + 1);
    cr_assert_eq(n.reads, 2 + 1); /* behind the payload on each rail, and behind the tail */
    end();
}

/* No byte of the tail before the last of the payload, on one queue pair. */
Test(channel_cut, both__order)
{
    begin("rails=1", NULL, MIB, true);
    put();
    mock_hold(true);
    struct xcopy_req req = channelvalue_read(&x);
    r.c->transport->submit(r.c, &req);
    channelrig_settle(&r);
    const struct channel_queue *read = &r.ch->rails[0].read;
    cr_assert_eq(read->posted, 2);
    cr_assert_eq(read->fenced_from, r.ch->head - 1);
    mock_step(1);
    cr_assert(memcmp(x.out, x.v.data, MIB) == 0);
    CHECK_STATUS(req.status, XCOPY_IN_PROGRESS);
    mock_hold(false);
    rig_finish(r.c, &req);
    cr_assert(channelvalue_came(&x));
    end();
}
