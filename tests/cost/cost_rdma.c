/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation of the RDMA channel, many times, to be counted: over the mock of verbs, whose own
 * instructions aren't (test_cost.py names its functions). One rail, registered memory.
 * Usage: cost_rdma CASE TIMES     (cases: see below; of "many" a turn is MANY requests)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/contract/rig.h"
#include "tests/cost/measured.h"
#include "tests/support/mockverbs.h"

#define SESSION      3u
#define WARM_TURNS   4u
#define LAYERS       61u
#define LARGE_BYTES  (UINT64_C(128) << 10)
#define SMALL_BYTES  (UINT64_C(16) << 10)
#define GAP_BYTES    4096u
#define BLOCK_BYTES  (LAYERS * (LARGE_BYTES + SMALL_BYTES))
#define MEMORY_BYTES (BLOCK_BYTES + 2 * LAYERS * GAP_BYTES)
#define MANY         16u

static const struct shape {
    const char *name;
    enum xcopy_op op;
    uint64_t len_bytes;
    unsigned requests; /* submitted at once */
    bool block;        /* 122 buffers */
} shapes[] = {
    {"read64", XCOPY_READ, 64, 1, false},
    {"write64", XCOPY_WRITE, 64, 1, false},
    {"read64many", XCOPY_READ, 64, MANY, false},
    {"read64K", XCOPY_READ, 64 << 10, 1, false},
    {"write64K", XCOPY_WRITE, 64 << 10, 1, false},
    {"readblock", XCOPY_READ, BLOCK_BYTES, 1, true},
    {"writeblock", XCOPY_WRITE, BLOCK_BYTES, 1, true},
};

struct cost {
    struct rig rig;
    struct mock_device *mocks[2];
    const struct shape *shape;
    struct xcopy_channel *channel;
    uint8_t *memory;
    void *registered;
    struct cenote_buffer pieces[2 * LAYERS];
    size_t piece_count;
    struct rig_value value;
    struct xcopy_req like, reqs[MANY];
};
static struct cost cost;

static void one_rail(void)
{
    mock_set_port_state(cost.mocks[1], 1, IBV_PORT_DOWN);
}

static void lay_out(struct cost *c)
{
    uint8_t *at = c->memory;
    if (!c->shape->block) {
        c->pieces[c->piece_count++] = (struct cenote_buffer){at, c->shape->len_bytes};
        return;
    }
    for (unsigned i = 0; i < 2 * LAYERS; i++) {
        uint64_t len_bytes = i % 2 == 0 ? LARGE_BYTES : SMALL_BYTES;
        c->pieces[c->piece_count++] = (struct cenote_buffer){at, len_bytes};
        at += len_bytes + GAP_BYTES;
    }
}

static void set_up(struct cost *c)
{
    struct rig *r = &c->rig;
    rig_start_mocked(r, c->mocks, one_rail);
    c->memory = calloc(1, MEMORY_BYTES);
    CHECK(c->memory != NULL);
    CHECK_STATUS(r->transport->register_memory(r->context, c->memory, MEMORY_BYTES, MEMORY_HOST,
                                               &c->registered),
                 CENOTE_OK);
    c->channel = rig_connect(r, SESSION);
    rig_value_make(&c->value, SESSION, rig_next_put(), 0, c->shape->len_bytes);
    rig_plant(r, &c->value); /* a put would have memory registered on the way and watched */
    lay_out(c);
    c->like = c->shape->op == XCOPY_WRITE
                  ? rig_write_req(&c->value, c->pieces, c->piece_count)
                  : rig_read_req(&c->value, c->pieces, c->piece_count, NULL, 0);
    c->like.sums = NULL;
    c->like.seal_it = NULL;
    c->like.tail_len = 0;
}

static void tear_down(struct cost *c)
{
    rig_disconnect(c->channel);
    c->rig.transport->forget_memory(c->rig.context, c->registered);
    rig_value_free(&c->value);
    free(c->memory);
    rig_stop(&c->rig);
}

/* Posts, and takes the completions. */
static void turn(void *arg)
{
    struct cost *c = arg;
    const struct xcopy_transport *t = c->rig.transport;
    unsigned count = c->shape->requests;
    for (unsigned i = 0; i < count; i++) {
        c->reqs[i] = c->like;
        t->submit(c->channel, &c->reqs[i]);
    }
    while (c->reqs[count - 1].status == XCOPY_IN_PROGRESS)
        t->progress(c->channel);
    CHECK_STATUS(c->reqs[count - 1].status, CENOTE_OK);
}

static void tell(const struct mock_counts *before, uint64_t times)
{
    struct mock_counts after = mock_counts();
    printf("doorbells %.2f requests %.2f completions %.2f polls %.2f\n",
           (double)(after.doorbells - before->doorbells) / (double)times,
           (double)(after.requests - before->requests) / (double)times,
           (double)(after.signalled - before->signalled) / (double)times,
           (double)(after.polls + after.empty_polls - before->polls - before->empty_polls) /
               (double)times);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 3 && i < sizeof shapes / sizeof shapes[0]; i++)
        if (strcmp(shapes[i].name, argv[1]) == 0)
            cost.shape = &shapes[i];
    if (cost.shape == NULL) {
        fprintf(stderr, "usage: cost_rdma CASE TIMES\n");
        return 2;
    }
    uint64_t times = strtoull(argv[2], NULL, 10);
    set_up(&cost);
    for (unsigned i = 0; i < WARM_TURNS; i++)
        turn(&cost);
    struct mock_counts before = mock_counts();
    measure(turn, &cost, times);
    tell(&before, times);
    tear_down(&cost);
    return 0;
}
