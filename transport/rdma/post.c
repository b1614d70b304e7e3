/* SPDX-License-Identifier: Apache-2.0 */
/* Which job posts what, and by which queue pair (channel.h tells of the steps). */
#include <assert.h>

#include "transport/base/testswitch.h"
#include "transport/rdma/channel.h"

/* ---- queues ---------------------------------------------------------------------------------- */

static bool is_open(const struct channel_queue *queue)
{
    return queue->state == QUEUE_OPEN && !queue->failed;
}

/* Of two rails, the one whose load is carried away sooner. */
static bool is_less_busy(const struct channel_rail *a, const struct channel_rail *b)
{
    return a->load_bytes * (b->port->rate_mbps + 1) < b->load_bytes * (a->port->rate_mbps + 1);
}

/* NULL: none is open. */
static struct channel_queue *choose_queue(struct rdma_channel *ch, enum rdma_role role)
{
    struct channel_queue *best = NULL;
    for (unsigned i = 0; i < ch->rail_count; i++) {
        struct channel_queue *queue = channel_queue_of(&ch->rails[i], role);
        if (is_open(queue) && (best == NULL || is_less_busy(queue->rail, best->rail)))
            best = queue;
    }
    return best;
}

static int why_refused(const struct rdma_channel *ch, enum rdma_role role)
{
    int status = CENOTE_NODE_DOWN;
    for (unsigned i = 0; i < ch->rail_count; i++) {
        struct channel_queue *queue = channel_queue_of(&ch->rails[i], role);
        if (queue->refused != CENOTE_OK)
            status = queue->refused;
        queue->refused = CENOTE_OK; /* the next request may ask again */
    }
    return status;
}

enum readiness { READY, WAITS, REFUSED };

static enum readiness refuse(struct rdma_channel *ch, struct channel_job *job, int status)
{
    channel_fail_job(ch, job, status);
    return REFUSED;
}

/* Without queue pairs for reads, or when nobody answers, the channel is of no use: another one, or
 * another transport, may do. */
static enum readiness lacks_queues(struct rdma_channel *ch, struct channel_job *job,
                                   enum rdma_role role)
{
    int status = why_refused(ch, role);
    if (role == RDMA_ROLE_WRITE && status != CENOTE_NODE_DOWN)
        return refuse(ch, job, status);
    channel_doom(ch, status);
    return WAITS;
}

/* Are there queue pairs for this job, and do they reach all of its extent? */
static enum readiness find_way(struct rdma_channel *ch, struct channel_job *job)
{
    const struct xcopy_req *req = job->req;
    enum rdma_role role = channel_role_of(req);
    if (channel_open_queues(ch, role) > 0)
        return WAITS;
    if (ch->state != CHANNEL_RUNS)
        return WAITS;
    struct channel_queue *queue = choose_queue(ch, role);
    if (queue == NULL)
        return lacks_queues(ch, job, role);
    if (role == RDMA_ROLE_WRITE && req->put_id <= queue->horizon)
        return refuse(ch, job, CENOTE_FENCED);
    if (channel_key_covers(queue, req->gva, extent_size(req->payload_len)))
        return READY;
    if (queue->keys_asked)
        return WAITS;
    if (job->asked)
        return refuse(ch, job, CENOTE_BAD_RANGE);
    job->asked = true;
    channel_ask_keys(ch, queue);
    return WAITS;
}

/* A large request goes by all rails, piece by piece; any other by one. */
static void choose_way(struct rdma_channel *ch, struct channel_job *job)
{
    job->spread = ch->rails_live > 1 && job->req->len_bytes >= CHANNEL_SPREAD_BYTES;
    job->queue = job->spread ? NULL : choose_queue(ch, channel_role_of(job->req));
}

static struct channel_queue *queue_of(struct rdma_channel *ch, const struct channel_job *job)
{
    struct channel_queue *queue = job->queue;
    if (queue == NULL)
        queue = choose_queue(ch, channel_role_of(job->req));
    assert(queue != NULL);
    return queue;
}

/* ---- steps; they return false when there is no more room ------------------------------------- */

static void end_payload(struct rdma_channel *ch, struct channel_job *job)
{
    const struct xcopy_req *req = job->req;
    bool writes = req->op == XCOPY_WRITE;
    job->payload_end = job->end;
    job->step = writes && job->spread && !test_off(TEST_FLUSH) ? JOB_SETTLE : JOB_TAIL;
    if (writes &&
        (req->sums == NULL || job->passed >= job->posted || req->len_bytes <= CHANNEL_PROMPT_BYTES))
        channel_sum_write(ch, job);
}

static bool post_payload(struct rdma_channel *ch, struct channel_job *job)
{
    if (job->queues == 0) {
        if (find_way(ch, job) != READY)
            return true;
        choose_way(ch, job);
    }
    while (job->posted < job->req->len_bytes) {
        struct channel_queue *queue = queue_of(ch, job);
        if (ch->turn_bytes == 0)
            return false;
        enum channel_cut cut = channel_cut_payload(ch, job, queue);
        if (cut != CUT_DONE)
            return cut == CUT_FAILED;
        if (ch->state != CHANNEL_RUNS)
            return false;
    }
    end_payload(ch, job);
    return true;
}

static void end_tail(struct channel_job *job)
{
    job->step = job->unsettled != 0 && !test_off(TEST_FLUSH) ? JOB_FLUSH : JOB_POSTED;
}

/* Has the payload arrived when the tail begins, or must the device be told to hold the tail back?
 * Several rails can't be told. */
static bool may_read_tail(const struct rdma_channel *ch, const struct channel_job *job,
                          const struct channel_queue *queue, bool last, bool *fenced)
{
    bool arrived = ch->tail >= job->payload_end || queue->fenced_from >= job->payload_end ||
                   test_off(TEST_RDMA_ORDER);
    *fenced = !arrived && last && !job->spread && queue->fences;
    return arrived || *fenced;
}

static bool may_write_tail(const struct rdma_channel *ch, const struct channel_job *job)
{
    return job->sealed && (!job->spread || ch->tail >= job->payload_end);
}

/* last: nothing else will be posted, the payload of no job. */
static bool post_tail(struct rdma_channel *ch, struct channel_job *job, bool last)
{
    bool fenced = false, reads = job->req->op == XCOPY_READ;
    if (!reads && !may_write_tail(ch, job))
        return true;
    while (job->tail_posted < job->req->tail_len) {
        struct channel_queue *queue = queue_of(ch, job);
        if (reads && !may_read_tail(ch, job, queue, last, &fenced))
            return true;
        uint64_t serial = ch->head;
        enum channel_cut cut = channel_cut_tail(ch, job, queue, fenced);
        if (cut != CUT_DONE)
            return cut == CUT_FAILED;
        if (fenced)
            queue->fenced_from = serial;
        job->queue = queue;
        if (ch->state != CHANNEL_RUNS)
            return false;
    }
    end_tail(job);
    return true;
}

/* A READ behind the job's last WRITE on each queue that had any; what is there already does. */
static bool flush(struct rdma_channel *ch, struct channel_job *job)
{
    for (unsigned i = 0; i < ch->rail_count; i++) {
        struct channel_queue *queue = &ch->rails[i].write;
        if ((job->unsettled & queue->bit) == 0)
            continue;
        if (queue->flushed_from < job->end) {
            enum channel_cut cut = channel_cut_flush(ch, job, queue);
            if (cut != CUT_DONE)
                return cut == CUT_FAILED;
        }
        if (job->settled < queue->flushed_from + 1)
            job->settled = queue->flushed_from + 1;
        job->unsettled &= ~queue->bit;
    }
    job->end = job->settled;
    if (job->step == JOB_SETTLE) {
        job->payload_end = job->end;
        job->step = JOB_TAIL;
    } else {
        job->step = JOB_POSTED;
    }
    return true;
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static bool is_at(const struct channel_job *job, enum job_step step)
{
    return job->step == step && job->status == CENOTE_OK && !job->holed;
}

/* Returns whether all payload is posted. */
static bool post_payloads(struct rdma_channel *ch)
{
    bool all = true;
    for (uint64_t i = ch->first_job; i < ch->next_job; i++) {
        struct channel_job *job = channel_job_at(ch, i);
        if (is_at(job, JOB_PAYLOAD) && !post_payload(ch, job))
            return false;
        all = all && job->step != JOB_PAYLOAD;
    }
    return all && ch->waiting == NULL;
}

static void post_tails(struct rdma_channel *ch, bool last)
{
    for (uint64_t i = ch->first_job; i < ch->next_job; i++) {
        struct channel_job *job = channel_job_at(ch, i);
        if (is_at(job, JOB_TAIL) && !post_tail(ch, job, last))
            return;
    }
}

static void flush_writes(struct rdma_channel *ch)
{
    for (uint64_t i = ch->first_job; i < ch->next_job; i++) {
        struct channel_job *job = channel_job_at(ch, i);
        if ((is_at(job, JOB_SETTLE) || is_at(job, JOB_FLUSH)) && !flush(ch, job))
            return;
    }
}

static void ring_doorbells(struct rdma_channel *ch)
{
    for (unsigned i = 0; i < ch->rail_count; i++) {
        chain_post(ch, &ch->rails[i].read);
        chain_post(ch, &ch->rails[i].write);
    }
}

/* Tails of what has arrived first: they finish jobs. Then payload, as the devices are to be busy
 * while this thread sums. Sums come last. */
bool channel_post(struct rdma_channel *ch)
{
    uint64_t before = ch->head;
    if (ch->due && ch->state == CHANNEL_RUNS) {
        ch->due = false;
        post_tails(ch, false);
        bool last = ch->state == CHANNEL_RUNS && post_payloads(ch);
        if (ch->state == CHANNEL_RUNS)
            post_tails(ch, last);
        if (ch->state == CHANNEL_RUNS)
            flush_writes(ch);
        ring_doorbells(ch);
        ch->due |= ch->turn_bytes == 0;
    }
    bool summed = ch->state == CHANNEL_RUNS && channel_sum_writes(ch);
    return summed || ch->head != before;
}
