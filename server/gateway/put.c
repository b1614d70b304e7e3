/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PUT. A short value is put by one call when all of it has come. A long one is begun with its
 * length, for which place is found before its client is asked for a byte, and written piece by
 * piece. A chunked body doesn't tell its length, so all of it has to be here, and can't be long.
 *
 * Nothing is visible before the end; when the client goes before it, what was begun is aborted.
 */
#include <assert.h>
#include <cenote/range.h>
#include <string.h>

#include "server/gateway/put_query.h"
#include "server/gateway/transfer.h"
#include "transport/base/testswitch.h"

#define PIECES_MAX        128u
#define CHUNKED_MAX_BYTES (PIECES_MAX * PIECE_MIN_BYTES)

static_assert(CHUNKED_MAX_BYTES == 8u << 20, "as the answer and the documents say");

struct putting {
    struct transfer t; /* first */
    struct put_query query;
    uint64_t len_bytes; /* of the value; chunked: so far */
    bool chunked;
    bool is_long;
    struct cenote_writer *writer; /* NULL: not begun, or ended */
    uint64_t written_bytes;
    /* What has come and isn't put yet: a long value has one piece. All but the last are full. */
    struct piece *pieces[PIECES_MAX];
    unsigned piece_count;
    size_t filled_bytes; /* of the last */
    size_t next_bytes;   /* size of the next piece of a long value */
};

static void go_on(struct putting *p);
static void done(struct job *job);

/* ---- on a worker ----------------------------------------------------------------------------- */

static void work_open(struct job *job)
{
    struct putting *p = (struct putting *)job;
    const struct target *at = &p->t.target;
    p->t.status = transfer_open(&p->t);
    if (p->t.status == CENOTE_OK)
        p->t.status =
            cenote_writer_open_with(gateway_space_client(p->t.space), at->key, at->key_len_bytes,
                                    p->len_bytes, p->query.flags, &p->query.policy, &p->writer);
}

static void work_write(struct job *job)
{
    struct putting *p = (struct putting *)job;
    p->t.status =
        cenote_writer_write(p->writer, p->written_bytes, p->pieces[0]->data, p->filled_bytes);
    p->written_bytes += p->filled_bytes;
    p->filled_bytes = 0;
}

static void work_commit(struct job *job)
{
    struct putting *p = (struct putting *)job;
    p->t.status = cenote_writer_commit(p->writer);
    cenote_writer_close(&p->writer);
}

static void work_whole(struct job *job)
{
    struct putting *p = (struct putting *)job;
    struct cenote_buffer buffers[PIECES_MAX];
    for (unsigned i = 0; i < p->piece_count; i++) {
        bool last = i + 1 == p->piece_count;
        buffers[i] = (struct cenote_buffer){p->pieces[i]->data,
                                            last ? p->filled_bytes : p->pieces[i]->size_bytes};
    }
    struct cenote_put_item item = {.key = {p->t.target.key, p->t.target.key_len_bytes},
                                   .buffers = buffers,
                                   .buffer_count = p->piece_count};
    p->t.status = transfer_open(&p->t);
    if (p->t.status != CENOTE_OK)
        return;
    (void)cenote_put_with(gateway_space_client(p->t.space), &item, 1, p->query.flags,
                          &p->query.policy);
    p->t.status = item.status; /* the call takes EXISTS for success */
}

/* Nothing of it was ever visible. */
static void work_abort(struct job *job)
{
    struct putting *p = (struct putting *)job;
    cenote_writer_close(&p->writer);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void done_aborting(struct job *job)
{
    struct putting *p = (struct putting *)job;
    for (unsigned i = 0; i < p->piece_count; i++)
        memory_give(p->pieces[i]);
    transfer_end(&p->t);
}

/* Answered, or gone. */
static void end(struct putting *p)
{
    if (p->writer && !test_off(TEST_GATEWAY_ABORT))
        transfer_run(&p->t, work_abort, done_aborting, true);
    else
        done_aborting(&p->t.job);
}

static void fail(struct putting *p)
{
    if (p->t.status == CENOTE_EXISTS && p->query.new_only)
        http_reply_error(p->t.request, 412, CENOTE_EXISTS, "%s", cenote_status_text(CENOTE_EXISTS));
    else
        transfer_fail(&p->t);
    end(p);
}

static void succeed(struct putting *p)
{
    http_reply_json(p->t.request, 201, "{\"status\": \"OK\"}\n");
    end(p);
}

/* ---- the body -------------------------------------------------------------------------------- */

/* Somewhere to put what comes; NULL: there is no memory. */
static struct piece *last_piece(struct putting *p)
{
    struct memory *memory = &p->t.gateway->memory;
    unsigned n = p->piece_count;
    if (n > 0 && p->filled_bytes < p->pieces[n - 1]->size_bytes)
        return p->pieces[n - 1];
    if (n == PIECES_MAX)
        return NULL;
    size_t wanted = PIECE_MIN_BYTES;
    if (!p->chunked && p->len_bytes - p->written_bytes < wanted)
        wanted = (size_t)(p->len_bytes - p->written_bytes);
    if (p->is_long)
        wanted = p->next_bytes;
    struct piece *piece = memory_take(memory, wanted, n == 0);
    if (!piece)
        return NULL;
    p->pieces[p->piece_count++] = piece;
    p->filled_bytes = 0;
    return piece;
}

static void refuse_more(struct putting *p)
{
    if (p->piece_count == PIECES_MAX)
        http_reply_error(p->t.request, 411, CENOTE_LIMIT,
                         "more than 8 MiB need a Content-Length; a chunked body has none");
    else
        answer_error(p->t.request, CENOTE_NO_MEMORY);
    end(p);
}

/* Takes what has come. False: it has ended. */
static bool take_short(struct putting *p)
{
    struct http_request *r = p->t.request;
    size_t got = 1;
    while (got > 0 && !http_body_is_over(r)) {
        struct piece *piece = last_piece(p);
        if (!piece) {
            refuse_more(p);
            return false;
        }
        got = http_body_take(r, piece->data + p->filled_bytes, piece->size_bytes - p->filled_bytes);
        p->filled_bytes += got;
    }
    return true;
}

/* The piece that was written makes room for a larger one, as long as there is so much to come. */
static void exchange_piece(struct putting *p)
{
    if (p->piece_count == 0 || p->filled_bytes > 0 || p->next_bytes <= p->pieces[0]->size_bytes)
        return;
    memory_give(p->pieces[0]);
    p->piece_count = 0;
}

/* Takes what has come, and writes it when a piece is full, or the last one. */
static void go_on_long(struct putting *p)
{
    struct http_request *r = p->t.request;
    if (p->written_bytes == p->len_bytes) {
        transfer_run(&p->t, work_commit, done, true);
        return;
    }
    exchange_piece(p);
    struct piece *piece = last_piece(p);
    if (!piece) {
        refuse_more(p);
        return;
    }
    uint64_t left = p->len_bytes - p->written_bytes;
    size_t want = left < piece->size_bytes ? (size_t)left : piece->size_bytes;
    size_t got = 1;
    while (got > 0 && p->filled_bytes < want) {
        got = http_body_take(r, piece->data + p->filled_bytes, want - p->filled_bytes);
        p->filled_bytes += got;
    }
    if (p->filled_bytes < want)
        return;
    if (p->next_bytes < PIECE_MAX_BYTES)
        p->next_bytes *= 2;
    transfer_run(&p->t, work_write, done, false);
}

/* Nothing is running. */
static void go_on(struct putting *p)
{
    if (p->is_long)
        go_on_long(p);
    else if (take_short(p) && http_body_is_over(p->t.request))
        transfer_run(&p->t, work_whole, done, true);
}

static void done(struct job *job)
{
    struct putting *p = (struct putting *)job;
    bool over = !p->is_long || (p->written_bytes == p->len_bytes && !p->writer);
    p->t.running = false;
    if (p->t.gone)
        end(p);
    else if (p->t.status != CENOTE_OK)
        fail(p);
    else if (over)
        succeed(p);
    else
        go_on(p);
}

static void on_readable(void *arg)
{
    struct putting *p = arg;
    if (!p->t.running)
        go_on(p);
}

static void on_gone(void *arg)
{
    struct putting *p = arg;
    p->t.gone = true;
    if (!p->t.running)
        end(p);
}

void gateway_put(struct gateway *gateway, struct http_request *r)
{
    static const struct http_watch watch = {.readable = on_readable, .gone = on_gone};
    struct putting *p = transfer_new(gateway, r, sizeof *p);
    if (!p)
        return;
    if (!put_query_read(r, &p->query)) {
        end(p);
        return;
    }
    p->chunked = !http_body_length(r, &p->len_bytes);
    p->is_long = p->len_bytes > PIECE_MIN_BYTES;
    p->next_bytes = PIECE_MIN_BYTES;
    http_request_watch(r, &watch, p);
    if (p->is_long)
        transfer_run(&p->t, work_open, done, true);
    else
        go_on(p);
}
