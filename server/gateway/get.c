/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GET and HEAD: a value piece by piece. The first job finds out what there is, and reads the
 * beginning, before anything is answered; then one piece is read while the one before it is sent.
 * All are of one version: when the value is replaced meanwhile, what was begun can't be finished,
 * and the connection ends.
 */
#include <cenote/range.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/gateway/transfer.h"

#define TRIES_MAX 4u /* when it is replaced between a look and the first read */

enum verdict { WHOLE, PART, NOT_MODIFIED, CHANGED, NO_RANGE };

struct getting {
    struct transfer t; /* first */
    bool head;
    bool begun;                                              /* the answer */
    const char *range, *if_match, *if_none_match, *if_range; /* the request's */
    struct cenote_stat stat;
    enum verdict verdict;
    char etag[ETAG_MAX];
    uint64_t at, end;    /* still to be read */
    struct piece *piece; /* being read, or read and not written yet */
    size_t in_piece_bytes;
    size_t next_bytes; /* size of the next piece: grows with what the client takes */
};

/* ---- on a worker ----------------------------------------------------------------------------- */

/* The next bytes of the version that was looked at. */
static int read_piece(struct getting *g)
{
    uint64_t left = g->end - g->at;
    size_t len = left < g->piece->size_bytes ? (size_t)left : g->piece->size_bytes;
    const struct cenote_buffer buffer = {g->piece->data, len};
    struct cenote_range_item item = {.key = {g->t.target.key, g->t.target.key_len_bytes},
                                     .offset = g->at,
                                     .buffers = &buffer,
                                     .buffer_count = 1};
    int status = cenote_get_ranges(gateway_space_client(g->t.space), &item, 1);
    if (status == CENOTE_OK && item.put_id != g->stat.put_id)
        status = CENOTE_STALE;
    if (status != CENOTE_OK)
        return status;
    g->in_piece_bytes = len;
    g->at += len;
    return CENOTE_OK;
}

static void judge(struct getting *g)
{
    uint64_t count = g->stat.len_bytes;
    etag_format(g->stat.put_id, g->etag);
    g->at = 0;
    g->verdict = WHOLE;
    if (g->if_match && !etag_is_in(g->if_match, g->etag)) {
        g->verdict = CHANGED;
    } else if (g->if_none_match && etag_is_in(g->if_none_match, g->etag)) {
        g->verdict = NOT_MODIFIED;
    } else if (!g->if_range || strcmp(g->if_range, g->etag) == 0) {
        enum range_kind kind = range_read(g->range, g->stat.len_bytes, &g->at, &count);
        g->verdict = kind == RANGE_ALL ? WHOLE : kind == RANGE_PART ? PART : NO_RANGE;
    }
    bool sends = !g->head && (g->verdict == WHOLE || g->verdict == PART);
    g->end = sends ? g->at + count : g->at;
}

static int look(struct getting *g)
{
    struct transfer *t = &g->t;
    int status = cenote_stat(gateway_space_client(t->space), t->target.key, t->target.key_len_bytes,
                             &g->stat);
    if (status != CENOTE_OK)
        return status;
    judge(g);
    return g->at < g->end ? read_piece(g) : CENOTE_OK;
}

static void work_first(struct job *job)
{
    struct getting *g = (struct getting *)job;
    unsigned tries = 0;
    g->t.status = transfer_open(&g->t);
    if (g->t.status != CENOTE_OK)
        return;
    do
        g->t.status = look(g);
    while ((g->t.status == CENOTE_STALE || g->t.status == CENOTE_BAD_RANGE) && ++tries < TRIES_MAX);
}

static void work_next(struct job *job)
{
    struct getting *g = (struct getting *)job;
    g->t.status = read_piece(g);
}

/* ---- the answer ------------------------------------------------------------------------------ */

static void end(struct getting *g)
{
    memory_give(g->piece);
    transfer_end(&g->t);
}

static void add_date(struct http_request *r, uint64_t wall_ms)
{
    char text[64];
    struct tm tm;
    time_t at = (time_t)(wall_ms / 1000);
    if (gmtime_r(&at, &tm) && strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0)
        http_reply_header(r, "Last-Modified", text);
}

static void add_range(const struct getting *g, uint64_t from)
{
    char text[96];
    if (g->verdict == NO_RANGE)
        snprintf(text, sizeof text, "bytes */%" PRIu64, g->stat.len_bytes);
    else
        snprintf(text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, from, g->end - 1,
                 g->stat.len_bytes);
    http_reply_header(g->t.request, "Content-Range", text);
}

/* Returns whether content follows. */
static bool begin_answer(struct getting *g)
{
    struct http_request *r = g->t.request;
    uint64_t from = g->at - g->in_piece_bytes;
    g->begun = true;
    http_reply_header(r, "ETag", g->etag);
    http_reply_header(r, "Accept-Ranges", "bytes");
    add_date(r, g->stat.created_ms);
    if (g->verdict == NOT_MODIFIED) {
        http_reply(r, 304, NULL, NULL, 0);
    } else if (g->verdict == CHANGED) {
        http_reply_error(r, 412, CENOTE_STALE, "the value has another ETag");
    } else if (g->verdict == NO_RANGE) {
        add_range(g, from);
        http_reply_error(r, 416, CENOTE_BAD_RANGE, "the value has %" PRIu64 " bytes",
                         g->stat.len_bytes);
    } else if (g->verdict == PART && !g->head) {
        add_range(g, from);
        http_reply_begin(r, 206, "application/octet-stream", g->end - from);
        return true;
    } else {
        http_reply_begin(r, 200, "application/octet-stream", g->stat.len_bytes);
        if (!g->head)
            return true;
        http_reply_end(r);
    }
    return false;
}

static void on_sent(void *arg)
{
    memory_give(arg);
}

static void done(struct job *job);

/* Reads on, unless the client has to take something first. */
static void read_on(struct getting *g)
{
    bool first = http_reply_is_sent(g->t.request);
    if (g->t.running || g->piece || g->at == g->end)
        return;
    if (http_reply_room(g->t.request) > 0) {
        uint64_t left = g->end - g->at;
        size_t wanted = left < g->next_bytes ? (size_t)left : g->next_bytes;
        g->piece = memory_take(&g->t.gateway->memory, wanted, first);
    }
    if (g->piece) {
        transfer_run(&g->t, work_next, done, false);
    } else if (first) { /* there is no memory at all */
        http_reply_break(g->t.request);
        end(g);
    } else {
        http_reply_tell_sent(g->t.request);
    }
}

static void write_piece(struct getting *g)
{
    struct piece *p = g->piece;
    g->piece = NULL;
    if (g->next_bytes < PIECE_MAX_BYTES)
        g->next_bytes *= 2;
    if (p)
        http_reply_lend(g->t.request, p->data, g->in_piece_bytes, on_sent, p);
    g->in_piece_bytes = 0;
}

/* Nothing is running. */
static void go_on(struct getting *g)
{
    if (g->in_piece_bytes > 0)
        write_piece(g);
    if (g->at < g->end) {
        read_on(g);
    } else {
        http_reply_end(g->t.request);
        end(g);
    }
}

static void done(struct job *job)
{
    struct getting *g = (struct getting *)job;
    g->t.running = false;
    if (g->t.gone) {
        end(g);
    } else if (g->t.status != CENOTE_OK) {
        if (g->begun)
            http_reply_break(g->t.request);
        else
            transfer_fail(&g->t);
        end(g);
    } else if (g->begun || begin_answer(g)) {
        go_on(g);
    } else {
        end(g);
    }
}

static void on_writable(void *arg)
{
    struct getting *g = arg;
    if (!g->t.running)
        read_on(g);
}

static void on_gone(void *arg)
{
    struct getting *g = arg;
    g->t.gone = true;
    if (!g->t.running)
        end(g);
}

void gateway_get(struct gateway *gateway, struct http_request *r)
{
    static const struct http_watch watch = {.writable = on_writable, .gone = on_gone};
    static const char *const none[] = {NULL};
    struct getting *g = query_has_only(r, none) ? transfer_new(gateway, r, sizeof *g) : NULL;
    if (!g)
        return;
    g->head = http_request_method(r) == HTTP_HEAD;
    g->range = http_request_header(r, "Range");
    g->if_match = http_request_header(r, "If-Match");
    g->if_none_match = http_request_header(r, "If-None-Match");
    g->if_range = http_request_header(r, "If-Range");
    g->next_bytes = PIECE_MIN_BYTES;
    g->piece = memory_take(&gateway->memory, PIECE_MIN_BYTES, true);
    if (!g->piece) {
        answer_error(r, CENOTE_NO_MEMORY);
        end(g);
        return;
    }
    http_request_watch(r, &watch, g);
    transfer_run(&g->t, work_first, done, false);
}
