/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the channel of the RDMA transport costs for each work request that it posts: copies in
 * place, to and from registered memory, with a device that completes everything at once and does
 * nothing else. (What a driver does to post and to poll comes on top.)
 *
 * Usage: cost_channel CASE TIMES
 */
#include <string.h>

#include "tests/contract/rig.h"
#include "tests/cost/measured.h"
#include "tests/support/mockverbs.h"
#include "tests/support/nullverbs.h"
#include "transport/rdma/channel.h"

#define REQUESTS   16u
#define PIECE      73728u /* 122 of them are a block of a large model */
#define PIECES     122u
#define WARM_TURNS 16u

static const struct shape {
    const char *name;
    enum xcopy_op op;
    uint64_t len_bytes, piece_bytes;
    unsigned requests; /* submitted at once */
    uint64_t tail_len;
} shapes[] = {
    {"get", XCOPY_READ, 65536, 65536, REQUESTS, SEAL_BYTES},
    {"put", XCOPY_WRITE, 65536, 65536, REQUESTS, SEAL_BYTES},
    {"block", XCOPY_READ, PIECE *PIECES, PIECE, 1, SEAL_BYTES},
    {"put block", XCOPY_WRITE, PIECE *PIECES, PIECE, 1, SEAL_BYTES},
    {"read 64K", XCOPY_READ, 65536, 65536, 1, 0},
    {"write 64K", XCOPY_WRITE, 65536, 65536, 1, 0},
    {"read 64", XCOPY_READ, 64, 64, 1, 0},
    {"write 64", XCOPY_WRITE, 64, 64, 1, 0},
};

struct world {
    struct rig rig;
    struct xcopy_channel *c;
    struct rig_value v;
    struct cenote_buffer *pieces;
    size_t piece_count;
    void *handle;
    unsigned requests;
    struct xcopy_req template;
    uint8_t tails[REQUESTS][SEAL_BYTES];
};

/* ---- what is counted ------------------------------------------------------------------------- */

static void turn(void *arg)
{
    struct world *w = arg;
    struct xcopy_req reqs[REQUESTS];
    for (unsigned i = 0; i < w->requests; i++) {
        reqs[i] = w->template;
        reqs[i].tail = w->tails[i];
        w->c->transport->submit(w->c, &reqs[i]);
    }
    while (reqs[w->requests - 1].status == XCOPY_IN_PROGRESS)
        w->c->transport->progress(w->c);
    CHECK_STATUS(reqs[w->requests - 1].status, CENOTE_OK);
}

static void begin(struct world *w, const struct shape *shape)
{
    const uint64_t len = shape->len_bytes;
    const struct xcopy_settings one = {.rdma = "rails=1"};
    struct mock_device *made[2];
    rig_start_mocked(&w->rig, made, NULL);
    rig_leave(&w->rig);
    CHECK_STATUS(w->rig.transport->open(&one, &w->rig.context), CENOTE_OK);
    w->c = rig_connect(&w->rig, 1);
    w->requests = shape->requests;
    rig_value_make(&w->v, 1, rig_next_put(), 0, len);
    /* Memory that isn't registered before would be, on the way, and watched for being unmapped: by
     * another thread, for which munmap() waits, and valgrind runs one at a time. */
    CHECK_STATUS(
        w->rig.transport->register_memory(w->rig.context, w->v.data, len, MEMORY_HOST, &w->handle),
        CENOTE_OK);
    rig_put(w->c, &w->v); /* makes the queue pair for WRITEs */
    w->pieces = rig_cut(w->v.data, len, shape->piece_bytes, &w->piece_count);
    w->template = shape->op == XCOPY_READ ? rig_read_req(&w->v, w->pieces, w->piece_count, NULL, 0)
                                          : rig_write_req(&w->v, w->pieces, w->piece_count);
    w->template.tail_len = shape->tail_len;
    w->template.sums = NULL;
    w->template.seal_it = NULL;
}

static void end(struct world *w)
{
    free(w->pieces);
    w->rig.transport->forget_memory(w->rig.context, w->handle);
    rig_value_free(&w->v);
    rig_disconnect(w->c);
    rig_stop(&w->rig);
}

int main(int argc, char **argv)
{
    static struct world w;
    const struct shape *shape = NULL;
    for (size_t i = 0; argc == 3 && i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].name, argv[1]) == 0)
            shape = &shapes[i];
    if (shape == NULL) {
        fprintf(stderr, "usage: cost_channel CASE TIMES\n");
        return 2;
    }
    begin(&w, shape);
    const struct rdma_channel *ch = (const struct rdma_channel *)w.c;
    nullverbs_use(ch->rails[0].port->device->context);
    for (unsigned i = 0; i < WARM_TURNS; i++)
        turn(&w);
    uint64_t requests = nullverbs_requests(), doorbells = nullverbs_doorbells(),
             completions = nullverbs_completions();
    measure(turn, &w, strtoull(argv[2], NULL, 10));
    printf("requests %llu doorbells %llu completions %llu\n",
           (unsigned long long)(nullverbs_requests() - requests),
           (unsigned long long)(nullverbs_doorbells() - doorbells),
           (unsigned long long)(nullverbs_completions() - completions));
    end(&w);
    return 0;
}
