/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <sys/uio.h>

#include "transport/tcp/client.h"

/* A request for nothing is still asked, so that it is refused where any other would be. */
static bool has_payload_part(const struct xcopy_req *req)
{
    return req->len_bytes > 0 || req->tail_len == 0;
}

static void begin_payload(struct tcp_walk *w)
{
    w->part = PART_PAYLOAD;
    w->cursor = xcopy_cursor_of(&w->req->local);
    w->left = w->req->len_bytes;
}

static void begin_tail(struct tcp_walk *w)
{
    w->part = PART_TAIL;
    w->left = w->req->tail_len;
}

void tcp_walk_begin(struct tcp_walk *w, struct xcopy_req *req)
{
    w->req = req;
    if (req == NULL) {
        w->part = PART_NONE;
        return;
    }
    if (has_payload_part(req))
        begin_payload(w);
    else
        begin_tail(w);
}

void tcp_walk_next(struct tcp_walk *w)
{
    assert(w->req != NULL && w->left == 0);
    w->id++;
    if (w->part == PART_PAYLOAD && w->req->tail_len > 0)
        begin_tail(w);
    else
        tcp_walk_begin(w, w->req->next);
}

size_t tcp_walk_pieces(const struct tcp_walk *w, uint64_t limit, struct iovec *iov, size_t max,
                       uint64_t *total)
{
    uint64_t want = w->left < limit ? w->left : limit;
    size_t count = 0;
    *total = 0;
    if (w->part == PART_TAIL && want > 0) {
        iov[0] = (struct iovec){w->req->tail + (w->req->tail_len - w->left), (size_t)want};
        *total = want;
        return 1;
    }
    struct xcopy_cursor cursor = w->cursor;
    while (count < max && *total < want) {
        uint8_t *part;
        size_t n = xcopy_cursor_next(&cursor, (size_t)(want - *total), &part);
        iov[count++] = (struct iovec){part, n};
        *total += n;
    }
    return count;
}

void tcp_walk_pass(struct tcp_walk *w, uint64_t len_bytes)
{
    assert(len_bytes <= w->left);
    w->left -= len_bytes;
    if (w->part == PART_TAIL)
        return;
    while (len_bytes > 0) {
        uint8_t *part;
        size_t n = xcopy_cursor_next(&w->cursor, (size_t)len_bytes, &part);
        if (w->req->sums != NULL)
            sums_update(w->req->sums, part, n);
        len_bytes -= n;
    }
}
