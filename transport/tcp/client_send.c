/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "transport/base/log.h"
#include "transport/tcp/client.h"

static void put_header(struct tcp_channel *ch)
{
    const struct tcp_walk *w = &ch->send;
    const struct xcopy_req *req = w->req;
    uint64_t tail_at = extent_size(req->payload_len) - req->tail_len;
    struct tcp_request wire = {.op = req->op == XCOPY_READ ? TCP_READ : TCP_WRITE,
                               .id = w->id,
                               .put_id = req->put_id,
                               .gva = req->gva,
                               .payload_len = req->payload_len,
                               .offset = w->part == PART_PAYLOAD ? req->offset : tail_at,
                               .len_bytes = w->left,
                               .mac = req->op == XCOPY_WRITE ? req->grant.mac : 0};
    tcp_request_encode(&wire, ch->out + ch->out_have);
    ch->out_have += TCP_REQUEST_BYTES;
}

static bool seals_now(const struct tcp_walk *w)
{
    const struct xcopy_req *req = w->req;
    return req->seal_it != NULL && (w->part == PART_TAIL || req->tail_len == 0);
}

/* Puts headers into out until one is followed by bytes of ours. */
static void fill(struct tcp_channel *ch)
{
    struct tcp_walk *w = &ch->send;
    while (w->req != NULL && !ch->sending_body &&
           ch->out_have + TCP_REQUEST_BYTES <= TCP_OUT_BYTES) {
        if (w->req->op == XCOPY_READ) {
            put_header(ch);
            w->left = 0;
            tcp_walk_next(w);
            continue;
        }
        if (w->part == PART_TAIL && seals_now(w))
            w->req->seal_it(w->req);
        put_header(ch);
        ch->sending_body = true;
    }
}

static void pass_sent(struct tcp_channel *ch, size_t n)
{
    struct tcp_walk *w = &ch->send;
    size_t of_out = ch->out_have - ch->out_at;
    if (of_out > n)
        of_out = n;
    ch->out_at += of_out;
    if (ch->out_at == ch->out_have)
        ch->out_at = ch->out_have = 0;
    if (!ch->sending_body)
        return;
    w->req->started = true;
    tcp_walk_pass(w, n - of_out);
    if (w->left > 0 || ch->out_have > 0)
        return;
    if (w->part == PART_PAYLOAD && seals_now(w))
        w->req->seal_it(w->req);
    ch->sending_body = false;
    tcp_walk_next(w);
}

static ssize_t send_some(struct tcp_channel *ch)
{
    struct iovec iov[1 + TCP_PIECES_MAX];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 0};
    uint64_t total = 0;
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    if (ch->out_have > 0)
        iov[msg.msg_iovlen++] = (struct iovec){ch->out + ch->out_at, ch->out_have - ch->out_at};
    if (ch->sending_body) {
        const struct tcp_walk *w = &ch->send;
        msg.msg_iovlen += tcp_walk_pieces(w, TCP_CLIENT_CHUNK_BYTES, iov + msg.msg_iovlen,
                                          TCP_PIECES_MAX, &total);
        /* the tail follows at once: let it travel with the payload's end */
        if (w->part == PART_PAYLOAD && w->req->tail_len > 0)
            flags |= MSG_MORE;
    }
    return sendmsg(ch->fd, &msg, flags);
}

bool tcp_client_send(struct tcp_channel *ch)
{
    uint64_t moved = 0;
    while (!ch->broken && moved < TCP_CLIENT_TURN_BYTES) {
        fill(ch);
        if (ch->out_have == 0 && !ch->sending_body)
            break;
        ssize_t n = send_some(ch);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            int error = errno;
            log_debug("tcp", "node %llu: send: %s", (unsigned long long)ch->base.node,
                      strerror(error));
            tcp_client_fail(ch, ch->send.req, error);
            return true;
        }
        pass_sent(ch, (size_t)n);
        moved += (uint64_t)n;
    }
    return moved > 0;
}
