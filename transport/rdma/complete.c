/* SPDX-License-Identifier: Apache-2.0 */
/* Completions: from the devices to entries, from entries to jobs. */
#include <assert.h>

#include "transport/base/log.h"
#include "transport/rdma/channel.h"

/* The oldest entry of a queue is over. */
static struct channel_entry *take_first(struct rdma_channel *ch, struct channel_queue *queue,
                                        bool failed)
{
    struct channel_entry *e = &ch->ring[queue->first];
    assert(queue->listed > 0 && !e->done);
    queue->first = e->next;
    queue->listed--;
    queue->posted -= queue->posted > 0;
    queue->rail->load_bytes -= e->len_bytes;
    e->done = true;
    e->failed = failed;
    return e;
}

/* Belongs the completion to an entry that is under way? One of a queue pair that was destroyed
 * before it had given everything back may still come. */
static struct channel_entry *find_entry(struct rdma_channel *ch, uint64_t serial)
{
    if (serial < ch->tail || serial >= ch->head)
        return NULL;
    struct channel_entry *e = channel_entry_at(ch, serial);
    return e->done ? NULL : e;
}

/* Buffers that aren't registered as they should be, bytes that aren't the node's: what the request
 * itself did wrong. Anything else is the rail's affair, and the request goes another way if there
 * is one. */
static bool is_own_fault(int status)
{
    return status == CENOTE_BAD_ADDRESS || status == CENOTE_STALE;
}

/* A fence destroys queue pairs for WRITEs at the node; then nobody answers, and the news of it may
 * come after that. The rail is none the worse: one more is tried before it counts as lost. */
static bool may_be_fenced(struct rdma_channel *ch, const struct channel_queue *queue, int status)
{
    if (queue->role != RDMA_ROLE_WRITE || status != CENOTE_NODE_DOWN)
        return false;
    channel_look(ch);
    return queue->gone || queue->rail->strikes == 0;
}

/* The first error of a queue pair. */
static void take_error(struct rdma_channel *ch, const struct channel_entry *e,
                       const struct ibv_wc *wc)
{
    struct channel_queue *queue = e->queue;
    const char *text = ch->devices->verbs->wc_status_str(wc->status);
    bool flushed;
    int status = rdma_status_of(wc->status, &flushed);
    bool own = e->job != NULL && is_own_fault(status);
    log_warn("rdma", "node %llu by %s: a %s fails: %s", (unsigned long long)ch->base.node,
             queue->rail->port->device->name, queue->role == RDMA_ROLE_READ ? "read" : "write",
             text);
    atomic_fetch_add(&ch->devices->errors, 1);
    if (may_be_fenced(ch, queue, status) || (own && queue->rail->strikes < CHANNEL_STRIKES))
        channel_fail_queue(ch, queue);
    else
        channel_lose_rail(ch, queue->rail, text);
    queue->rail->strikes++;
    if (own || (e->job != NULL && ch->rails_live == 0 && !flushed))
        channel_fail_job(ch, e->job, status);
}

static void take_completion(struct rdma_channel *ch, const struct ibv_wc *wc)
{
    struct channel_entry *e = find_entry(ch, wc->wr_id);
    if (e == NULL)
        return;
    struct channel_queue *queue = e->queue;
    bool failed = wc->status != IBV_WC_SUCCESS;
    if (failed && !queue->failed)
        take_error(ch, e, wc);
    else if (!failed)
        queue->rail->strikes = 0;
    /* What was posted before it has completed, and without an error: that would have been told. */
    for (const struct channel_entry *first = NULL; first != e;)
        first = take_first(ch, queue, failed && &ch->ring[queue->first] == e);
}

static bool poll_rail(struct rdma_channel *ch, struct channel_rail *rail)
{
    struct ibv_wc wc[CHANNEL_POLL];
    bool any = false;
    int n = CHANNEL_POLL;
    for (uint32_t taken = 0; n == CHANNEL_POLL && taken < ch->ring_size; taken += CHANNEL_POLL) {
        n = ibv_poll_cq(rail->cq, CHANNEL_POLL, wc);
        for (int i = 0; i < n; i++)
            take_completion(ch, &wc[i]);
        any |= n > 0;
    }
    if (n < 0) {
        log_warn("rdma", "node %llu: %s gives no completions: error %d",
                 (unsigned long long)ch->base.node, rail->port->device->name, n);
        channel_lose_rail(ch, rail, "it gives no completions");
    }
    return any;
}

bool channel_poll(struct rdma_channel *ch)
{
    bool any = false;
    for (unsigned i = 0; i < ch->rail_count; i++) {
        struct channel_rail *rail = &ch->rails[i];
        if (rail->read.listed + rail->write.listed > 0)
            any |= poll_rail(ch, rail);
    }
    return any;
}

void channel_give_up_entries(struct rdma_channel *ch, struct channel_queue *queue)
{
    while (queue->listed > 0)
        take_first(ch, queue, true);
    queue->posted = 0;
}

/* ---- retiring -------------------------------------------------------------------------------- */

static void pass_entry(struct rdma_channel *ch, const struct channel_entry *e)
{
    struct channel_job *job = e->job;
    if (e->failed || job == NULL || job->holed || job->status != CENOTE_OK ||
        job->req->op == XCOPY_WRITE)
        return;
    if (e->kind == ENTRY_PAYLOAD)
        channel_pass(ch, job, e->staged, e->len_bytes);
    else
        channel_pass_tail(job, e->staged, e->len_bytes);
}

static void release(struct rdma_channel *ch, struct channel_entry *e)
{
    if (e->staged != NULL)
        stage_give(ch, e->stage);
    if (e->held != NULL)
        rdma_memory_release(ch->context->memory, e->held);
}

bool channel_retire(struct rdma_channel *ch)
{
    bool any = false;
    while (ch->tail < ch->head && ch->turn_bytes > 0) {
        struct channel_entry *e = channel_entry_at(ch, ch->tail);
        if (!e->done)
            break;
        pass_entry(ch, e);
        release(ch, e);
        ch->tail++;
        any = ch->due = true;
    }
    return any;
}

void channel_drop_entries(struct rdma_channel *ch)
{
    for (; ch->tail < ch->head; ch->tail++)
        release(ch, channel_entry_at(ch, ch->tail));
}
