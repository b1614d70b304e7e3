/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that are being worked on: their bytes on this side, and their ends. */
#include <assert.h>
#include <string.h>

#include "transport/rdma/channel.h"

/* ---- beginning ------------------------------------------------------------------------------- */

static void begin_job(struct rdma_channel *ch, struct xcopy_req *req)
{
    struct channel_job *job = channel_job_at(ch, ch->next_job++);
    struct xcopy_cursor begin = xcopy_cursor_of(&req->local);
    *job = (struct channel_job){.req = req, .post = begin, .pass = begin};
    /* A fence may have taken the queue pairs for WRITEs while nothing was going on. */
    if (req->op == XCOPY_WRITE && ch->head == ch->tail)
        ch->look = true;
}

bool channel_admit(struct rdma_channel *ch)
{
    bool any = false;
    while (ch->waiting != NULL && ch->next_job - ch->first_job < CHANNEL_JOBS) {
        struct xcopy_req *req = ch->waiting;
        ch->waiting = req->next;
        if (ch->waiting == NULL)
            ch->waiting_last = NULL;
        begin_job(ch, req);
        any = ch->due = true;
    }
    return any;
}

/* ---- bytes on this side ---------------------------------------------------------------------- */

static void spend(struct rdma_channel *ch, uint64_t len_bytes)
{
    ch->turn_bytes -= len_bytes < ch->turn_bytes ? len_bytes : ch->turn_bytes;
}

void channel_pass(struct rdma_channel *ch, struct channel_job *job, const uint8_t *staged,
                  uint64_t len_bytes)
{
    struct sums *sums = job->req->sums;
    assert(len_bytes <= job->posted - job->passed);
    job->passed += len_bytes;
    if (staged != NULL || sums != NULL)
        spend(ch, len_bytes);
    while (len_bytes > 0) {
        uint8_t *part;
        size_t n = xcopy_cursor_next(&job->pass, (size_t)len_bytes, &part);
        if (staged != NULL && sums != NULL)
            sums_copy(sums, part, staged, n);
        else if (staged != NULL)
            memcpy(part, staged, n);
        else if (sums != NULL)
            sums_update(sums, part, n);
        staged += staged != NULL ? n : 0;
        len_bytes -= n;
    }
}

void channel_pass_tail(struct channel_job *job, const uint8_t *staged, uint64_t len_bytes)
{
    assert(len_bytes <= job->tail_posted - job->tail_passed);
    memcpy(job->req->tail + job->tail_passed, staged, (size_t)len_bytes);
    job->tail_passed += len_bytes;
}

void channel_stage_payload(struct rdma_channel *ch, struct channel_job *job, uint8_t *staged,
                           uint64_t len_bytes)
{
    struct sums *sums = job->req->sums;
    bool fused = sums != NULL && job->passed == job->posted;
    for (uint64_t left = len_bytes; left > 0;) {
        uint8_t *part;
        size_t n = xcopy_cursor_next(&job->post, (size_t)left, &part);
        if (fused)
            sums_copy(sums, staged, part, n);
        else
            memcpy(staged, part, n);
        staged += n;
        left -= n;
    }
    job->posted += len_bytes;
    spend(ch, len_bytes);
    if (fused) {
        job->pass = job->post;
        job->passed = job->posted;
    }
}

/* As far as this turn goes. Bytes that nobody sums have passed as they are posted. */
static void sum_write(struct rdma_channel *ch, struct channel_job *job)
{
    uint64_t left = job->posted - job->passed;
    if (job->req->sums == NULL || left == 0) {
        job->passed = job->posted > job->passed ? job->posted : job->passed;
        return;
    }
    while (left > 0 && ch->turn_bytes > 0) {
        uint64_t n = left < CHANNEL_SIGNAL_BYTES ? left : CHANNEL_SIGNAL_BYTES;
        channel_pass(ch, job, NULL, n);
        left -= n;
    }
}

static void seal(struct channel_job *job)
{
    if (job->sealed || job->passed < job->req->len_bytes)
        return;
    if (job->req->seal_it != NULL)
        job->req->seal_it(job->req);
    job->sealed = true;
}

void channel_sum_write(struct rdma_channel *ch, struct channel_job *job)
{
    if (job->sealed || job->passed > job->posted) /* it has gone back */
        return;
    sum_write(ch, job);
    seal(job);
}

bool channel_sum_writes(struct rdma_channel *ch)
{
    bool any = false;
    for (uint64_t i = ch->first_job; i < ch->next_job && ch->turn_bytes > 0; i++) {
        struct channel_job *job = channel_job_at(ch, i);
        if (job->req->op != XCOPY_WRITE || job->sealed || job->status != CENOTE_OK)
            continue;
        uint64_t before = job->passed;
        channel_sum_write(ch, job);
        any |= job->passed != before || job->sealed;
    }
    ch->due |= any;
    return any;
}

void channel_rewind_job(struct channel_job *job)
{
    bool reads = job->req->op == XCOPY_READ;
    if (job->status != CENOTE_OK)
        return;
    job->step = JOB_PAYLOAD;
    job->post = reads ? job->pass : xcopy_cursor_of(&job->req->local);
    job->posted = reads ? job->passed : 0;
    job->tail_posted = reads ? job->tail_passed : 0;
    job->queue = NULL;
    job->queues = job->unsettled = 0;
    job->settled = 0;
    job->holed = false;
}

/* ---- the end --------------------------------------------------------------------------------- */

void channel_fail_job(struct rdma_channel *ch, struct channel_job *job, int status)
{
    if (job->status == CENOTE_OK)
        job->status = status;
    job->step = JOB_POSTED;
    ch->due = true;
}

static bool has_come(const struct channel_job *job)
{
    return job->passed > 0 || job->tail_passed > 0;
}

/* What is written to a request last is its status: it is the submitter's from there on. */
static void complete(struct xcopy_req *req, const struct channel_job *job, int status)
{
    bool writes = req->op == XCOPY_WRITE;
    req->started = job != NULL && ((writes && job->touched) || has_come(job));
    req->may_land = status != CENOTE_OK && job != NULL && writes && job->touched;
    req->next = NULL;
    req->status = status;
}

bool channel_finish_jobs(struct rdma_channel *ch)
{
    bool any = false;
    while (ch->first_job < ch->next_job) {
        struct channel_job *job = channel_job_at(ch, ch->first_job);
        bool whole = job->status != CENOTE_OK || !job->holed;
        if (job->step != JOB_POSTED || ch->tail < job->end || !whole)
            break;
        ch->first_job++;
        complete(job->req, job, job->status);
        any = true;
    }
    return any;
}

void channel_end_jobs(struct rdma_channel *ch, int status)
{
    struct xcopy_req *req = ch->waiting;
    ch->waiting = ch->waiting_last = NULL;
    while (ch->first_job < ch->next_job) {
        struct channel_job *job = channel_job_at(ch, ch->first_job++);
        complete(job->req, job, job->status != CENOTE_OK ? job->status : status);
    }
    while (req != NULL) {
        struct xcopy_req *next = req->next;
        complete(req, NULL, status);
        req = next;
    }
}
