/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/nullverbs.h"

#include <assert.h>
#include <string.h>

#define DONE_MAX 1024u

/* Signalled ones, oldest first. */
static uint64_t done[DONE_MAX];
static unsigned done_count;
static uint64_t bytes, requests, doorbells, completions;

static void count(const struct ibv_send_wr *wr)
{
    requests++;
    for (int i = 0; i < wr->num_sge; i++)
        bytes += wr->sg_list[i].length;
    if ((wr->send_flags & IBV_SEND_SIGNALED) == 0)
        return;
    assert(done_count < DONE_MAX);
    done[done_count++] = wr->wr_id;
}

static int post(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
    (void)qp;
    doorbells++;
    for (*bad = NULL; wr != NULL; wr = wr->next)
        count(wr);
    return 0;
}

static int poll_cq(struct ibv_cq *cq, int max, struct ibv_wc *wc)
{
    unsigned n = 0;
    (void)cq;
    for (; n < (unsigned)max && n < done_count; n++)
        wc[n] = (struct ibv_wc){.wr_id = done[n], .status = IBV_WC_SUCCESS};
    done_count -= n;
    completions += n;
    memmove(done, done + n, done_count * sizeof done[0]);
    return (int)n;
}

void nullverbs_use(struct ibv_context *context)
{
    context->ops.post_send = post;
    context->ops.poll_cq = poll_cq;
    done_count = 0;
    bytes = requests = doorbells = completions = 0;
}

uint64_t nullverbs_bytes(void)
{
    return bytes;
}

uint64_t nullverbs_requests(void)
{
    return requests;
}

uint64_t nullverbs_doorbells(void)
{
    return doorbells;
}

uint64_t nullverbs_completions(void)
{
    return completions;
}
