/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cutting requests into work requests. A work request is contiguous at the node and in pieces here.
 * It ends where the node's key does, at the longest message, at the most pieces, and where bytes
 * that are used in place meet bytes that go through bounce memory.
 */
#include <assert.h>
#include <string.h>

#include "transport/rdma/channel.h"

/* ---- what is common -------------------------------------------------------------------------- */

static enum ibv_wr_opcode opcode_of(const struct channel_queue *queue)
{
    return queue->role == RDMA_ROLE_READ ? IBV_WR_RDMA_READ : IBV_WR_RDMA_WRITE;
}

static void fill(struct channel_queue *queue, enum ibv_wr_opcode opcode, unsigned flags,
                 uint32_t pieces, const struct setup_key *key, struct gva gva)
{
    struct ibv_send_wr *wr = chain_next(queue);
    wr->opcode = opcode;
    wr->send_flags = flags;
    wr->num_sge = (int)pieces;
    wr->wr.rdma.remote_addr = key->addr + (gva.v - key->gva.v);
    wr->wr.rdma.rkey = key->rkey;
}

static void set_piece(struct ibv_sge *piece, const uint8_t *at, uint64_t len_bytes, uint32_t lkey)
{
    *piece = (struct ibv_sge){
        .addr = (uint64_t)(uintptr_t)at, .length = (uint32_t)len_bytes, .lkey = lkey};
}

static struct channel_entry *add(struct rdma_channel *ch, struct channel_job *job,
                                 struct channel_queue *queue, enum channel_kind kind,
                                 uint64_t len_bytes)
{
    struct channel_entry *e = chain_add(ch, queue, len_bytes);
    e->job = job;
    e->kind = (uint8_t)kind;
    job->end = ch->head;
    job->queues |= queue->bit;
    job->touched |= queue->role == RDMA_ROLE_WRITE;
    if (queue->role == RDMA_ROLE_WRITE)
        job->unsettled |= queue->bit;
    return e;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- payload --------------------------------------------------------------------------------- */

/* The cut under way. */
struct cut {
    struct rdma_channel *ch;
    struct channel_job *job;
    struct channel_queue *queue;
    uint64_t limit; /* bytes that it may have */
    uint64_t left;  /* of the job's payload */
    bool in_line;   /* the device takes the bytes as it is posted: no key is needed */
    uint32_t pieces;
    struct rdma_held *held;
};

static struct cut begin_cut(struct rdma_channel *ch, struct channel_job *job,
                            struct channel_queue *queue, uint64_t key_left)
{
    uint64_t left = job->req->len_bytes - job->posted;
    /* Sums and copies go on with each completion; so does the choice of a rail. */
    bool short_ones = job->req->sums != NULL || job->spread;
    uint64_t longest = short_ones ? CHANNEL_SIGNAL_BYTES : CHANNEL_MESSAGE_BYTES;
    longest = least(longest, queue->rail->port->message_max);
    return (struct cut){.ch = ch,
                        .job = job,
                        .queue = queue,
                        .left = left,
                        .limit = least(least(left, longest), key_left),
                        .in_line = queue->role == RDMA_ROLE_WRITE && left <= queue->q.inline_max};
}

/* Can the device use these bytes where they are? The key is good for *n of them; if not, so many
 * are to go through bounce memory. */
static bool use_in_place(const struct cut *cut, const uint8_t *at, uint64_t *n, uint32_t *lkey,
                         struct rdma_held **held)
{
    *lkey = 0;
    *held = NULL;
    if (cut->in_line)
        return true;
    if (*n < CHANNEL_DIRECT_BYTES)
        return false;
    return rdma_memory_find(cut->ch->context->memory, cut->queue->rail->port->device->index, at, n,
                            cut->queue->role == RDMA_ROLE_READ, lkey, held);
}

static void release(const struct cut *cut, struct rdma_held *held)
{
    if (held != NULL)
        rdma_memory_release(cut->ch->context->memory, held);
}

/* A work request keeps one region of the cache from leaving, as many pieces as it may have of it.
 * False: it has another already. */
static bool keep_held(struct cut *cut, struct rdma_held *held)
{
    if (held == NULL)
        return true;
    if (cut->held == NULL) {
        cut->held = held;
        return true;
    }
    release(cut, held); /* this one's share of it, or all of it */
    return cut->held == held;
}

/* Takes pieces as long as they can be used in place; returns how many bytes they have. */
static uint64_t take_in_place(struct cut *cut)
{
    struct ibv_sge *pieces = chain_pieces(cut->queue);
    struct xcopy_cursor *cursor = &cut->job->post;
    uint64_t taken = 0;
    while (taken < cut->limit && cut->pieces < cut->queue->q.sge_max) {
        struct xcopy_cursor ahead = *cursor;
        struct rdma_held *held;
        uint32_t lkey;
        uint8_t *at;
        uint64_t n = xcopy_cursor_next(&ahead, (size_t)(cut->left - taken), &at);
        if (!use_in_place(cut, at, &n, &lkey, &held) || !keep_held(cut, held))
            break;
        n = xcopy_cursor_next(cursor, (size_t)least(n, cut->limit - taken), &at);
        set_piece(&pieces[cut->pieces++], at, n, lkey);
        taken += n;
    }
    return taken;
}

/* How many bytes come next that can't be used in place. */
static uint64_t count_staged(const struct cut *cut)
{
    struct xcopy_cursor ahead = cut->job->post;
    uint64_t count = 0;
    while (count < cut->limit) {
        struct xcopy_cursor here = ahead;
        struct rdma_held *held;
        uint32_t lkey;
        uint8_t *at;
        uint64_t n = xcopy_cursor_next(&ahead, (size_t)(cut->left - count), &at);
        if (use_in_place(cut, at, &n, &lkey, &held)) {
            release(cut, held);
            if (count > 0) /* else it was registered since it was looked up last */
                break;
        }
        ahead = here;
        n = xcopy_cursor_next(&ahead, (size_t)least(n, cut->limit - count), &at);
        count += n;
    }
    return count;
}

/* What was posted in place comes first, and is on its way meanwhile. */
static void sum_first(const struct cut *cut)
{
    if (cut->job->req->sums == NULL || cut->job->passed >= cut->job->posted)
        return;
    chain_post(cut->ch, cut->queue);
    channel_sum_write(cut->ch, cut->job);
}

/* Gives the bytes that come next a place in bounce memory. 0: there is none now. */
static uint64_t take_staged(struct cut *cut, uint8_t **staged, unsigned *stage)
{
    uint64_t taken;
    struct channel_job *job = cut->job;
    *staged = stage_take(cut->ch, count_staged(cut), &taken, stage);
    if (*staged == NULL)
        return 0;
    if (cut->queue->role == RDMA_ROLE_WRITE) {
        sum_first(cut);
        channel_stage_payload(cut->ch, job, *staged, taken);
    } else {
        uint8_t *at;
        for (uint64_t left = taken; left > 0;)
            left -= xcopy_cursor_next(&job->post, (size_t)left, &at);
        job->posted += taken;
    }
    set_piece(chain_pieces(cut->queue), *staged, taken, stage_key(cut->ch, *stage, cut->queue));
    cut->pieces = 1;
    return taken;
}

/* With nothing in flight there is nothing to wait for. */
static enum channel_cut lacks_memory(struct rdma_channel *ch, struct channel_job *job)
{
    if (ch->tail != ch->head)
        return CUT_FULL;
    channel_fail_job(ch, job, CENOTE_NO_MEMORY);
    return CUT_FAILED;
}

static enum channel_cut lacks_key(struct rdma_channel *ch, struct channel_job *job)
{
    channel_fail_job(ch, job, CENOTE_BAD_RANGE);
    return CUT_FAILED;
}

enum channel_cut channel_cut_payload(struct rdma_channel *ch, struct channel_job *job,
                                     struct channel_queue *queue)
{
    uint64_t key_left;
    struct gva gva = gva_add(job->req->gva, job->req->offset + job->posted);
    const struct setup_key *key = channel_key_find(queue, gva, &key_left);
    uint8_t *staged = NULL;
    unsigned stage = 0;
    if (key == NULL)
        return lacks_key(ch, job);
    if (!chain_has_room(ch, queue))
        return CUT_FULL;
    chain_make_room(ch, queue, queue->q.sge_max);
    struct cut cut = begin_cut(ch, job, queue, key_left);
    uint64_t taken = take_in_place(&cut);
    job->posted += taken;
    if (taken == 0)
        taken = take_staged(&cut, &staged, &stage);
    if (taken == 0)
        return lacks_memory(ch, job);
    fill(queue, opcode_of(queue), cut.in_line ? IBV_SEND_INLINE : 0, cut.pieces, key, gva);
    struct channel_entry *e = add(ch, job, queue, ENTRY_PAYLOAD, taken);
    e->held = cut.held;
    e->staged = staged;
    e->stage = (uint8_t)stage;
    if (staged != NULL && queue->unsignalled_bytes == 0)
        chain_post(ch, queue); /* it travels while the next bytes are copied */
    return CUT_DONE;
}

/* ---- tail and flush -------------------------------------------------------------------------- */

/* The tail's bytes lie at the end of the extent and go through bounce memory, or into the work
 * request itself. */
enum channel_cut channel_cut_tail(struct rdma_channel *ch, struct channel_job *job,
                                  struct channel_queue *queue, bool fenced)
{
    const struct xcopy_req *req = job->req;
    uint64_t left = req->tail_len - job->tail_posted, key_left, taken;
    struct gva gva = gva_add(req->gva, extent_size(req->payload_len) - left);
    const struct setup_key *key = channel_key_find(queue, gva, &key_left);
    bool writes = queue->role == RDMA_ROLE_WRITE, in_line = writes && left <= queue->q.inline_max;
    unsigned stage = 0, flags = (fenced ? IBV_SEND_FENCE : 0) | (in_line ? IBV_SEND_INLINE : 0);
    uint8_t *from = req->tail + job->tail_posted, *staged = NULL;
    if (key == NULL)
        return lacks_key(ch, job);
    if (!chain_has_room(ch, queue))
        return CUT_FULL;
    chain_make_room(ch, queue, 1);
    taken = least(least(left, key_left), queue->rail->port->message_max);
    if (in_line) {
        set_piece(chain_pieces(queue), from, taken, 0);
    } else {
        staged = stage_take(ch, taken, &taken, &stage);
        if (staged == NULL)
            return lacks_memory(ch, job);
        if (writes)
            memcpy(staged, from, (size_t)taken);
        set_piece(chain_pieces(queue), staged, taken, stage_key(ch, stage, queue));
    }
    fill(queue, opcode_of(queue), flags, 1, key, gva);
    struct channel_entry *e = add(ch, job, queue, ENTRY_TAIL, taken);
    e->staged = staged;
    e->stage = (uint8_t)stage;
    job->tail_posted += taken;
    return CUT_DONE;
}

enum channel_cut channel_cut_flush(struct rdma_channel *ch, struct channel_job *job,
                                   struct channel_queue *queue)
{
    uint64_t key_left, taken;
    unsigned stage;
    const struct setup_key *key = channel_key_find(queue, job->req->gva, &key_left);
    if (key == NULL)
        return lacks_key(ch, job);
    if (!chain_has_room(ch, queue))
        return CUT_FULL;
    chain_make_room(ch, queue, 1);
    uint8_t *staged = stage_take(ch, least(CHANNEL_FLUSH_BYTES, key_left), &taken, &stage);
    if (staged == NULL)
        return lacks_memory(ch, job);
    set_piece(chain_pieces(queue), staged, taken, stage_key(ch, stage, queue));
    fill(queue, IBV_WR_RDMA_READ, 0, 1, key, job->req->gva);
    struct channel_entry *e = chain_add(ch, queue, taken);
    e->kind = ENTRY_FLUSH;
    e->staged = staged;
    e->stage = (uint8_t)stage;
    queue->flushed_from = ch->head - 1;
    return CUT_DONE;
}
