/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection at the node does with bytes: the states of connection.h. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "transport/base/log.h"
#include "transport/copy.h"
#include "transport/tcp/connection.h"

static enum step step_of_errno(enum step wait)
{
    if (errno == EAGAIN)
        return wait;
    return errno == EINTR ? STEP_ON : STEP_CLOSE;
}

static size_t buffered(const struct tcp_connection *c)
{
    return c->in_have - c->in_at;
}

/* Reads ahead until at least want bytes are in the buffer. */
static enum step buffer(struct tcp_connection *c, size_t want, uint64_t *moved)
{
    if (buffered(c) >= want)
        return STEP_ON;
    memmove(c->in, c->in + c->in_at, buffered(c));
    c->in_have -= c->in_at;
    c->in_at = 0;
    ssize_t n = recv(c->fd, c->in + c->in_have, sizeof c->in - c->in_have, MSG_DONTWAIT);
    if (n < 0)
        return step_of_errno(STEP_WAIT_READ);
    if (n == 0)
        return STEP_CLOSE;
    c->in_have += (size_t)n;
    *moved += (uint64_t)n;
    return STEP_ON;
}

/* ---- answers --------------------------------------------------------------------------------- */

static void answer(struct tcp_connection *c, int status, const uint8_t *data, uint64_t len_bytes)
{
    struct tcp_response resp = {.status = status, .id = c->req.id, .len_bytes = len_bytes};
    tcp_response_encode(&resp, c->out);
    c->out_at = 0;
    c->out_have = TCP_RESPONSE_BYTES;
    c->data = data;
    c->data_left = len_bytes;
    c->state = STATE_ANSWER;
}

static void answer_and_close(struct tcp_connection *c, int status)
{
    answer(c, status, NULL, 0);
    c->last_answer = true;
}

/* The next answer follows at once and may share a packet with this one: a client asks for the
 * payload and the seal together. */
static bool more_answers_wait(const struct tcp_connection *c)
{
    return buffered(c) >= TCP_REQUEST_BYTES && c->in[c->in_at + TCP_OP_OFFSET] == TCP_READ;
}

void tcp_connection_give_up(struct tcp_connection *c)
{
    const struct tcp_server *server = c->loop->server;
    unsigned point = c->req.op == TCP_WRITE ? server->trace_write : server->trace_read;
    trace_end_overlapping(server->trace, point, c->traced_ns, c->req.len_bytes);
    c->traced_ns = 0;
    c->begun_ns = 0;
}

/* A request is over, be it refused. What is no request has none. */
static void request_over(struct tcp_connection *c)
{
    if (c->begun_ns == 0)
        return;
    tcp_turn_answered(c->loop, c->begun_ns, c->req.op == TCP_WRITE);
    tcp_connection_give_up(c);
}

static void answered(struct tcp_connection *c)
{
    request_over(c);
    if (!c->last_answer) {
        c->state = STATE_REQUEST;
        return;
    }
    /* Closing with unread bytes would take the answer back (a reset). */
    shutdown(c->fd, SHUT_WR);
    c->state = STATE_LINGER;
}

/* The next bytes to send. The seal's go by a copy, made when all before it has left: the node may
 * be voiding it, and neither half of a word nor an older state may be seen. */
static struct iovec next_data(const struct tcp_connection *c, uint8_t seal[SEAL_BYTES])
{
    uint64_t len = c->data_left < TCP_CHUNK_BYTES ? c->data_left : TCP_CHUNK_BYTES;
    if (len == 0 || c->data + len <= c->seal_at)
        return (struct iovec){(uint8_t *)(uintptr_t)c->data, (size_t)len};
    if (c->data < c->seal_at)
        return (struct iovec){(uint8_t *)(uintptr_t)c->data, (size_t)(c->seal_at - c->data)};
    copy_load(seal, c->seal_at, SEAL_BYTES);
    return (struct iovec){seal + (c->data - c->seal_at), (size_t)len};
}

static enum step step_answer(struct tcp_connection *c, uint64_t *moved)
{
    uint8_t seal[SEAL_BYTES];
    struct iovec iov[2] = {{c->out + c->out_at, c->out_have - c->out_at}, next_data(c, seal)};
    uint64_t len = iov[1].iov_len;
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = len > 0 ? 2 : 1};
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    if (len < c->data_left || more_answers_wait(c))
        flags |= MSG_MORE;
    ssize_t n = sendmsg(c->fd, &msg, flags);
    if (n < 0)
        return step_of_errno(STEP_WAIT_WRITE);
    *moved += (uint64_t)n;
    size_t of_out = (size_t)n < iov[0].iov_len ? (size_t)n : iov[0].iov_len;
    c->out_at += of_out;
    if (c->data_left > 0) {
        c->data += (size_t)n - of_out;
        metric_add(&c->loop->traffic.read_bytes, (size_t)n - of_out);
    }
    c->data_left -= (size_t)n - of_out;
    if (c->out_at == c->out_have && c->data_left == 0)
        answered(c);
    return STEP_ON;
}

/* ---- hello and requests ---------------------------------------------------------------------- */

static enum step step_hello(struct tcp_connection *c, uint64_t *moved)
{
    const struct xcopy_gate *gate = &c->loop->server->gate;
    struct hello hello = {0};
    enum step step = buffer(c, HELLO_BYTES, moved);
    if (step != STEP_ON || buffered(c) < HELLO_BYTES)
        return step;
    int status = hello_admit(c->in + c->in_at, gate, &hello);
    c->in_at += HELLO_BYTES;
    c->who = hello.who;
    c->last_answer = status != CENOTE_OK;
    if (c->last_answer)
        log_info("tcp", "a client is refused: %s", cenote_status_text(status));
    struct hello_answer a = {.status = status, .boot = gate->boot};
    hello_answer_encode(&a, c->out);
    c->out_at = 0;
    c->out_have = HELLO_ANSWER_BYTES;
    c->data_left = 0;
    c->state = STATE_ANSWER;
    return STEP_ON;
}

static void begin_read(struct tcp_connection *c)
{
    const struct segments *segments = &c->loop->server->segments;
    const struct tcp_request *r = &c->req;
    uint8_t *extent;
    int status = tcp_request_in_extent(r)
                     ? xcopy_admit_read(segments->at, segments_count(segments), c->who.name_space,
                                        r->put_id, r->gva, r->payload_len, &extent)
                     : CENOTE_BAD_RANGE;
    if (status != CENOTE_OK) {
        metric_add(&c->loop->traffic.refused_reads, 1);
        answer(c, status, NULL, 0);
        return;
    }
    answer(c, status, extent + r->offset, r->len_bytes);
    c->seal_at = extent + extent_seal_offset(r->payload_len);
}

static int admit_write(const struct tcp_connection *c)
{
    const struct xcopy_gate *gate = &c->loop->server->gate;
    const struct tcp_request *r = &c->req;
    struct write_grant grant = {.boot = gate->boot, .mac = r->mac};
    return gate->admit_write(gate->arg, c->who.session, r->put_id, r->gva,
                             extent_size(r->payload_len), &grant);
}

static void begin_write(struct tcp_connection *c)
{
    const struct tcp_request *r = &c->req;
    uint8_t *extent = tcp_request_in_extent(r)
                          ? segments_find_extent(&c->loop->server->segments, r->gva, r->payload_len)
                          : NULL;
    c->body_left = r->len_bytes;
    c->body_status = extent == NULL ? CENOTE_BAD_RANGE : admit_write(c);
    if (c->body_status == CENOTE_OK) {
        c->body = extent + r->offset;
        c->state = STATE_BODY;
        return;
    }
    metric_add(&c->loop->traffic.refused_writes, 1);
    if (extent != NULL || r->len_bytes <= TCP_SWALLOW_MAX_BYTES) {
        c->state = STATE_SWALLOW;
    } else {
        answer_and_close(c, c->body_status);
    }
}

static enum step step_request(struct tcp_connection *c, uint64_t *moved)
{
    enum step step = buffer(c, TCP_REQUEST_BYTES, moved);
    if (step != STEP_ON || buffered(c) < TCP_REQUEST_BYTES)
        return step;
    int status = tcp_request_decode(c->in + c->in_at, &c->req);
    c->in_at += TCP_REQUEST_BYTES;
    if (status != CENOTE_OK) {
        log_warn("tcp", "session %llu sends something that is no request",
                 (unsigned long long)c->who.session);
        answer_and_close(c, status);
        return STEP_ON;
    }
    const struct tcp_server *server = c->loop->server;
    bool is_write = c->req.op == TCP_WRITE;
    c->begun_ns = c->loop->turn.begun_ns;
    c->traced_ns = trace_begin(server->trace, is_write ? server->trace_write : server->trace_read);
    if (is_write)
        begin_write(c);
    else
        begin_read(c);
    return STEP_ON;
}

/* ---- bodies ---------------------------------------------------------------------------------- */

static enum step step_body(struct tcp_connection *c, uint64_t *moved)
{
    if (c->body_left == 0) {
        answer(c, c->body_status, NULL, 0);
        return STEP_ON;
    }
    size_t n = buffered(c) < c->body_left ? buffered(c) : (size_t)c->body_left;
    if (n > 0) {
        memcpy(c->body, c->in + c->in_at, n);
        c->in_at += n;
    } else {
        uint64_t want = c->body_left < TCP_CHUNK_BYTES ? c->body_left : TCP_CHUNK_BYTES;
        ssize_t got = recv(c->fd, c->body, (size_t)want, MSG_DONTWAIT);
        if (got < 0)
            return step_of_errno(STEP_WAIT_READ);
        if (got == 0)
            return STEP_CLOSE;
        n = (size_t)got;
        *moved += n;
    }
    c->body += n;
    c->body_left -= n;
    metric_add(&c->loop->traffic.written_bytes, n);
    return STEP_ON;
}

static enum step step_swallow(struct tcp_connection *c, uint64_t *moved)
{
    if (c->body_left == 0) {
        answer(c, c->body_status, NULL, 0);
        return STEP_ON;
    }
    size_t n = buffered(c) < c->body_left ? buffered(c) : (size_t)c->body_left;
    if (n > 0) {
        c->in_at += n;
    } else {
        size_t want = c->body_left < TCP_SCRATCH_BYTES ? (size_t)c->body_left : TCP_SCRATCH_BYTES;
        ssize_t got = recv(c->fd, c->loop->scratch, want, MSG_DONTWAIT);
        if (got < 0)
            return step_of_errno(STEP_WAIT_READ);
        if (got == 0)
            return STEP_CLOSE;
        n = (size_t)got;
        *moved += n;
    }
    c->body_left -= n;
    return STEP_ON;
}

static enum step step_linger(struct tcp_connection *c, uint64_t *moved)
{
    ssize_t n = recv(c->fd, c->loop->scratch, TCP_SCRATCH_BYTES, MSG_DONTWAIT);
    if (n < 0)
        return step_of_errno(STEP_WAIT_READ);
    *moved += (uint64_t)n;
    return n == 0 ? STEP_CLOSE : STEP_ON;
}

enum step tcp_connection_step(struct tcp_connection *c, uint64_t *moved)
{
    switch (c->state) {
    case STATE_HELLO:
        return step_hello(c, moved);
    case STATE_REQUEST:
        return step_request(c, moved);
    case STATE_BODY:
        return step_body(c, moved);
    case STATE_SWALLOW:
        return step_swallow(c, moved);
    case STATE_ANSWER:
        return step_answer(c, moved);
    case STATE_LINGER:
        return step_linger(c, moved);
    }
    return STEP_CLOSE;
}
