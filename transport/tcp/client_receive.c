/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "transport/base/log.h"
#include "transport/tcp/client.h"

static void break_protocol(struct tcp_channel *ch, const char *what)
{
    log_warn("tcp", "node %llu answers with %s", (unsigned long long)ch->base.node, what);
    tcp_client_break(ch, CENOTE_PROTOCOL);
}

static void complete(struct tcp_channel *ch, struct xcopy_req *req)
{
    int status = ch->recv_status;
    ch->head = req->next;
    if (ch->head == NULL)
        ch->tail = NULL;
    req->next = NULL;
    ch->recv_status = CENOTE_OK;
    req->status = status; /* the last access: it is the submitter's from here on */
}

/* The response of recv's part is all there. */
static void part_done(struct tcp_channel *ch)
{
    struct xcopy_req *req = ch->recv.req;
    ch->receiving_body = false;
    ch->recv.left = 0;
    tcp_walk_next(&ch->recv);
    if (ch->recv.req != req)
        complete(ch, req);
}

/* Has the part at recv been sent as a whole? Otherwise no response can be right. */
static bool was_sent(const struct tcp_channel *ch)
{
    return ch->recv.req != NULL && ch->recv.id < ch->send.id;
}

static void take_header(struct tcp_channel *ch)
{
    struct tcp_response resp;
    struct xcopy_req *req = ch->recv.req;
    int status = tcp_response_decode(ch->in + ch->in_at, &resp);
    ch->in_at += TCP_RESPONSE_BYTES;
    if (status != CENOTE_OK || !was_sent(ch) || resp.id != ch->recv.id) {
        break_protocol(ch, "no response to a request");
        return;
    }
    uint64_t expected = resp.status == CENOTE_OK && req->op == XCOPY_READ ? ch->recv.left : 0;
    if (resp.len_bytes != expected) {
        break_protocol(ch, "a response of the wrong length");
        return;
    }
    if (resp.status != CENOTE_OK && ch->recv_status == CENOTE_OK)
        ch->recv_status = resp.status;
    if (expected == 0)
        part_done(ch);
    else
        ch->receiving_body = true;
}

static void pass_received(struct tcp_channel *ch, uint64_t n)
{
    ch->recv.req->started = true;
    tcp_walk_pass(&ch->recv, n);
    if (ch->recv.left == 0)
        part_done(ch);
}

/* Bytes of a body that came together with its header. */
static void take_buffered(struct tcp_channel *ch)
{
    struct iovec iov[TCP_PIECES_MAX];
    uint64_t total;
    size_t count = tcp_walk_pieces(&ch->recv, ch->in_have - ch->in_at, iov, TCP_PIECES_MAX, &total);
    for (size_t i = 0; i < count; i++) {
        memcpy(iov[i].iov_base, ch->in + ch->in_at, iov[i].iov_len);
        ch->in_at += iov[i].iov_len;
    }
    pass_received(ch, total);
}

/* Works on what is in the buffer until more is needed. */
static void take_input(struct tcp_channel *ch)
{
    while (!ch->broken && ch->in_have > ch->in_at) {
        if (ch->receiving_body)
            take_buffered(ch);
        else if (ch->in_have - ch->in_at >= TCP_RESPONSE_BYTES)
            take_header(ch);
        else
            break;
    }
    ch->in_have -= ch->in_at;
    memmove(ch->in, ch->in + ch->in_at, ch->in_have);
    ch->in_at = 0;
}

/* Receives into the caller's pieces, and what comes behind them into the buffer. */
static ssize_t receive_some(struct tcp_channel *ch)
{
    struct iovec iov[TCP_PIECES_MAX + 1];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 0};
    uint64_t direct = 0;
    if (ch->receiving_body)
        msg.msg_iovlen =
            tcp_walk_pieces(&ch->recv, TCP_CLIENT_CHUNK_BYTES, iov, TCP_PIECES_MAX, &direct);
    if (!ch->receiving_body || direct == ch->recv.left)
        iov[msg.msg_iovlen++] = (struct iovec){ch->in + ch->in_have, TCP_IN_BYTES - ch->in_have};
    ssize_t n = recvmsg(ch->fd, &msg, MSG_DONTWAIT);
    if (n <= 0)
        return n;
    uint64_t of_body = (uint64_t)n < direct ? (uint64_t)n : direct;
    ch->in_have += (size_t)((uint64_t)n - of_body);
    if (of_body > 0)
        pass_received(ch, of_body);
    return n;
}

bool tcp_client_receive(struct tcp_channel *ch)
{
    uint64_t moved = 0;
    while (!ch->broken && ch->head != NULL && moved < TCP_CLIENT_TURN_BYTES) {
        ssize_t n = receive_some(ch);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n <= 0) {
            int error = n == 0 ? 0 : errno;
            log_debug("tcp", "node %llu: %s", (unsigned long long)ch->base.node,
                      n == 0 ? "closed the connection" : strerror(error));
            tcp_client_fail(ch, ch->recv.req, error);
            return true;
        }
        moved += (uint64_t)n;
        take_input(ch);
    }
    if (!ch->broken && ch->head == NULL && ch->in_have > 0)
        break_protocol(ch, "more than was asked");
    return moved > 0;
}
