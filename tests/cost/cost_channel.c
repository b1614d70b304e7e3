/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the channel of the RDMA transport costs for each work request that it posts: copies in
 * place, to and from registered memory, with a device that completes everything at once and does
 * nothing else. (What a driver does to post and to poll comes on top.)
 *
 * Usage: cost_channel get|put|block TIMES
 */
#include <string.h>

#include "tests/contract/rig.h"
#include "tests/cost/measured.h"
#include "tests/support/mockverbs.h"
#include "tests/support/nullverbs.h"
#include "transport/rdma/channel.h"

#define REQUESTS   16u
#define LEN        65536u
#define PIECE      73728u /* 122 of them are a block of a large model */
#define PIECES     122u
#define WARM_TURNS 16u

struct world {
    struct rig rig;
    struct xcopy_channel *c;
    struct rig_value v;
    struct cenote_buffer *pieces;
    size_t piece_count;
    uint8_t *memory;
    void *handle;
    enum xcopy_op op;
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

/* The queue pair for WRITEs, by a request that is short: what is long and unregistered would be
 * registered on the way, and watched (rdma/watch.h), which valgrind can't have: it stops all threads
 * while one unmaps, and this one waits for another. */
static void make_writer(struct world *w)
{
    struct xcopy_req tail = rig_write_req(&w->v, NULL, 0);
    tail.len_bytes = 0;
    tail.sums = NULL;
    tail.seal_it = NULL;
    CHECK_STATUS(rig_run(w->c, &tail), CENOTE_OK);
}

static void begin(struct world *w, const char *what)
{
    bool block = strcmp(what, "block") == 0;
    uint64_t len = block ? (uint64_t)PIECE * PIECES : LEN;
    const struct xcopy_settings one = {.rdma = "rails=1"};
    struct mock_device *made[2];
    rig_start_mocked(&w->rig, made, NULL);
    rig_leave(&w->rig);
    CHECK_STATUS(w->rig.transport->open(&one, &w->rig.context), CENOTE_OK);
    w->c = rig_connect(&w->rig, 1);
    w->op = strcmp(what, "put") == 0 ? XCOPY_WRITE : XCOPY_READ;
    w->requests = block ? 1 : REQUESTS;
    rig_value_make(&w->v, 1, rig_next_put(), 0, len);
    make_writer(w);
    w->memory = malloc(len);
    CHECK(w->memory != NULL);
    CHECK_STATUS(
        w->rig.transport->register_memory(w->rig.context, w->memory, len, MEMORY_HOST, &w->handle),
        CENOTE_OK);
    w->pieces = rig_cut(w->memory, len, block ? PIECE : LEN, &w->piece_count);
    w->template = w->op == XCOPY_READ
                      ? rig_read_req(&w->v, w->pieces, w->piece_count, NULL, SEAL_BYTES)
                      : rig_write_req(&w->v, w->pieces, w->piece_count);
    w->template.tail_len = SEAL_BYTES;
    w->template.sums = NULL;
    w->template.seal_it = NULL;
}

static void end(struct world *w)
{
    free(w->pieces);
    w->rig.transport->forget_memory(w->rig.context, w->handle);
    free(w->memory);
    rig_value_free(&w->v);
    rig_disconnect(w->c);
    rig_stop(&w->rig);
}

int main(int argc, char **argv)
{
    static struct world w;
    const char *what = argc == 3 ? argv[1] : "";
    if (strcmp(what, "get") != 0 && strcmp(what, "put") != 0 && strcmp(what, "block") != 0) {
        fprintf(stderr, "usage: cost_channel get|put|block TIMES\n");
        return 2;
    }
    begin(&w, what);
    const struct rdma_channel *ch = (const struct rdma_channel *)w.c;
    nullverbs_use(ch->rails[0].port->device->context);
    for (unsigned i = 0; i < WARM_TURNS; i++)
        turn(&w);
    uint64_t before = nullverbs_requests();
    measure(turn, &w, strtoull(argv[2], NULL, 10));
    printf("requests %llu\n", (unsigned long long)(nullverbs_requests() - before));
    end(&w);
    return 0;
}
