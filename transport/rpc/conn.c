/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of the evented side.
 *
 * A connection is connecting, open, or closing, and goes one way. Nobody ends one in the middle of
 * somebody's call: closing only marks it, and the loop ends it afterwards (conn_end), so the owner
 * may close from any callback. Sending marks it too: what one callback sends leaves in one write
 * when the callback is done. Both marks are the write event, made active by hand.
 *
 * Reading pauses, rather than disconnecting, above the limits of queued output and of requests in
 * flight: a peer that asks faster than it listens, or than it can be answered, has to wait.
 */
#include "transport/rpc/conn.h"

#include <assert.h>
#include <cenote/status.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rpc/calls.h"
#include "transport/rpc/input.h"
#include "transport/rpc/output.h"

#define OUTPUT_DEFAULT_BYTES (64u << 20)
#define IN_FLIGHT_DEFAULT    1024u
#define CONNECTIONS_DEFAULT  4096u
#define CONNECT_TIMEOUT_MS   10000u
/* Requests that were in flight when reading paused may still be answered; a queue of this many
 * times the limit and a frame ends the connection. */
#define OUTPUT_HARD_FACTOR   4u
/* Read and dropped before a refused peer is closed, so that the refusal reaches it. */
#define REFUSED_DRAIN_READS  16
#define NS_PER_MS            UINT64_C(1000000)

enum conn_state { CONN_CONNECTING, CONN_OPEN, CONN_CLOSING };

struct rpc_conn {
    struct rpc_owned owned; /* first */
    struct rpc_loop *loop;
    enum conn_state state;
    struct rpc_conn_spec spec;
    struct rpc_handler handler;
    char name[RPC_NAME_MAX];
    struct event read_event, write_event, idle_event;
    bool reading; /* the read event is added */
    uint64_t active_ms;
    struct rpc_input input;
    struct rpc_output output;
    struct rpc_calls calls;
    uint32_t in_flight;
};

/* A call in flight to the peer. */
struct conn_call {
    struct rpc_call call; /* first */
    struct rpc_conn *conn;
    struct event timer;
    int early_status; /* not 0: never sent; the timer tells */
    rpc_done_fn done;
    void *arg;
};

struct rpc_limits rpc_limits_full(const struct rpc_limits *limits)
{
    struct rpc_limits full = limits ? *limits : (struct rpc_limits){0};
    if (full.frame_max_bytes == 0 || full.frame_max_bytes > WIRE_FRAME_MAX)
        full.frame_max_bytes = WIRE_FRAME_MAX;
    if (full.output_max_bytes == 0)
        full.output_max_bytes = OUTPUT_DEFAULT_BYTES;
    if (full.in_flight_max == 0)
        full.in_flight_max = IN_FLIGHT_DEFAULT;
    if (full.connections_max == 0)
        full.connections_max = CONNECTIONS_DEFAULT;
    return full;
}

static struct timeval timeval_ms(uint64_t ms)
{
    return (struct timeval){(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
}

/* ---- closing ------------------------------------------------------------------------------- */

static void conn_close(struct rpc_conn *c)
{
    if (c->state == CONN_CLOSING)
        return;
    c->state = CONN_CLOSING;
    event_active(&c->write_event, EV_WRITE, 0);
}

/* Nobody would ever be told of what its socket is ready for. */
#define NO_MEMORY_FOR_IT "no memory to wait for it"

static void conn_fail(struct rpc_conn *c, const char *what, const char *why)
{
    if (c->state == CONN_CLOSING)
        return;
    log_info("rpc", "%s: %s: %s; closed", c->name, what, why);
    conn_close(c);
}

static void call_finish(struct conn_call *call, int status, struct wire_value result)
{
    event_del(&call->timer);
    call->done(call->arg, status, result);
    free(call);
}

static void conn_end(struct rpc_conn *c)
{
    struct rpc_call *call;
    c->state = CONN_CLOSING;
    event_del(&c->read_event);
    event_del(&c->write_event);
    event_del(&c->idle_event);
    while ((call = rpc_calls_take_any(&c->calls)) != NULL)
        call_finish((struct conn_call *)call, CENOTE_UNAVAILABLE, (struct wire_value){NULL});
    close(c->spec.fd);
    c->handler.closed(c->spec.arg, c);
    if (c->spec.gone)
        c->spec.gone(c->spec.gone_arg);
    event_del(&c->write_event); /* the callbacks may have made it active again */
    rpc_calls_free(&c->calls);
    rpc_input_free(&c->input);
    rpc_output_free(&c->output);
    free(c);
}

static void conn_destroy(struct rpc_owned *o)
{
    conn_end((struct rpc_conn *)o);
}

/* ---- sending ------------------------------------------------------------------------------- */

static void conn_flush(struct rpc_conn *c)
{
    size_t before_bytes = rpc_output_len(&c->output);
    int error = rpc_output_send(&c->output, c->spec.fd);
    if (rpc_output_len(&c->output) < before_bytes) {
        uint64_t now_ns = clock_now_ns();
        c->active_ms = now_ns / NS_PER_MS;
        rpc_loop_sent(c->loop, now_ns);
    }
    if (error == EAGAIN && c->state == CONN_OPEN) {
        if (event_add(&c->write_event, NULL) != 0)
            conn_fail(c, "cannot send", NO_MEMORY_FOR_IT);
    } else if (error != 0 && error != EAGAIN && c->state == CONN_OPEN) {
        conn_fail(c, "cannot send", strerror(error));
    }
}

static void conn_queue(struct rpc_conn *c, const void *data, size_t len_bytes)
{
    size_t hard_max_bytes = c->spec.limits.output_max_bytes * OUTPUT_HARD_FACTOR + WIRE_FRAME_MAX;
    if (len_bytes > hard_max_bytes || rpc_output_len(&c->output) > hard_max_bytes - len_bytes)
        conn_fail(c, "cannot send", "too much is queued");
    else if (!rpc_output_add(&c->output, data, len_bytes))
        conn_fail(c, "cannot send", "out of memory");
}

void rpc_conn_send(struct rpc_conn *c, const void *frames, size_t len_bytes)
{
    if (c->state != CONN_OPEN || len_bytes == 0)
        return;
    conn_queue(c, frames, len_bytes);
    event_active(&c->write_event, EV_WRITE, 0);
}

void rpc_conn_close(struct rpc_conn *c)
{
    if (c->state == CONN_OPEN)
        conn_flush(c);
    conn_close(c);
}

/* The peer broke the rules: tells it, in an answer to no call, and closes. */
static void conn_refuse(struct rpc_conn *c, int status)
{
    char scratch[4096];
    struct wire_buf b = {0};
    wire_put_error(&b, 0, status, NULL);
    if (!b.failed)
        rpc_conn_send(c, b.data, b.len);
    wire_buf_free(&b);
    conn_flush(c);
    shutdown(c->spec.fd, SHUT_WR);
    for (int i = 0; i < REFUSED_DRAIN_READS; i++)
        if (recv(c->spec.fd, scratch, sizeof(scratch), MSG_DONTWAIT) <= 0)
            break;
    conn_fail(c, "refused", cenote_status_text(status));
}

/* ---- calls to the peer --------------------------------------------------------------------- */

static void on_call_timer(evutil_socket_t fd, short what, void *arg)
{
    struct conn_call *call = arg;
    struct rpc_calls *calls = &call->conn->calls;
    int status = call->early_status;
    (void)fd;
    (void)what;
    rpc_calls_take(calls, call->call.msgid);
    if (status == CENOTE_OK) {
        status = CENOTE_TIMED_OUT;
        rpc_calls_expect_late(calls, call->call.msgid);
    }
    call_finish(call, status, (struct wire_value){NULL});
}

static void conn_send_request(struct rpc_conn *c, uint32_t msgid, const uint8_t *frame,
                              size_t len_bytes)
{
    uint8_t head[WIRE_REQUEST_HEAD];
    wire_request_head(head, msgid);
    conn_queue(c, head, sizeof(head));
    if (c->state == CONN_OPEN)
        conn_queue(c, frame + sizeof(head), len_bytes - sizeof(head));
    event_active(&c->write_event, EV_WRITE, 0);
}

void rpc_conn_call(struct rpc_conn *c, const void *frame, size_t len_bytes, uint32_t timeout_ms,
                   rpc_done_fn done, void *arg)
{
    assert(len_bytes > WIRE_REQUEST_HEAD);
    struct conn_call *call = c->calls.count < RPC_CALLS_MAX ? malloc(sizeof(*call)) : NULL;
    if (!call) {
        done(arg, c->calls.count < RPC_CALLS_MAX ? CENOTE_NO_MEMORY : CENOTE_LIMIT,
             (struct wire_value){NULL});
        return;
    }
    *call = (struct conn_call){.conn = c, .done = done, .arg = arg};
    evtimer_assign(&call->timer, rpc_loop_base(c->loop), on_call_timer, call);
    rpc_calls_add(&c->calls, &call->call);
    if (c->state != CONN_OPEN)
        return; /* conn_end() answers */
    if (rpc_output_len(&c->output) > c->spec.limits.output_max_bytes) {
        call->early_status = CENOTE_LIMIT;
        event_active(&call->timer, EV_TIMEOUT, 0);
        return;
    }
    if (timeout_ms > 0) {
        struct timeval timeout = timeval_ms(timeout_ms);
        evtimer_add(&call->timer, &timeout);
    }
    conn_send_request(c, call->call.msgid, frame, len_bytes);
}

static void conn_take_response(struct rpc_conn *c, const struct wire_msg *m)
{
    struct conn_call *call = (struct conn_call *)rpc_calls_take(&c->calls, m->msgid);
    if (call)
        call_finish(call, m->error, m->error ? (struct wire_value){NULL} : m->result);
    else if (m->msgid == 0)
        conn_fail(c, "the peer refused", cenote_status_text(m->error));
    else if (!rpc_calls_was_late(&c->calls, m->msgid))
        conn_fail(c, "refused", "a response to no request");
}

/* ---- receiving ----------------------------------------------------------------------------- */

static bool conn_is_full(const struct rpc_conn *c)
{
    return rpc_output_len(&c->output) > c->spec.limits.output_max_bytes ||
           c->in_flight >= c->spec.limits.in_flight_max;
}

static void conn_take_frame(struct rpc_conn *c, const uint8_t *frame, size_t len_bytes)
{
    struct wire_msg m;
    int rc = wire_parse_in(rpc_loop_arena(c->loop), frame, len_bytes, &m);
    if (rc == CENOTE_NO_MEMORY) {
        conn_fail(c, "cannot read a message", cenote_status_text(rc));
        return;
    }
    if (rc != CENOTE_OK) {
        conn_refuse(c, rc);
        return;
    }
    if (m.kind == WIRE_RESPONSE) {
        conn_take_response(c, &m);
    } else {
        c->in_flight += m.kind == WIRE_REQUEST;
        c->handler.message(c->spec.arg, c, &m);
    }
}

/* Handles what has arrived, as far as the limits allow, and reads on or not. */
static void conn_process(struct rpc_conn *c)
{
    const uint8_t *frame;
    int64_t n = 1;
    while (n > 0 && c->state == CONN_OPEN && !conn_is_full(c)) {
        n = rpc_input_next(&c->input, &frame);
        if (n > 0)
            conn_take_frame(c, frame, (size_t)n);
        else if (n < 0)
            conn_refuse(c, (int)n);
    }
    bool read_on = c->state == CONN_OPEN && !conn_is_full(c);
    if (read_on && !c->reading && event_add(&c->read_event, NULL) != 0) {
        conn_fail(c, "cannot read", NO_MEMORY_FOR_IT);
        read_on = false;
    } else if (!read_on && c->reading) {
        event_del(&c->read_event);
    }
    c->reading = read_on;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct rpc_conn *c = arg;
    (void)what;
    if (c->state != CONN_OPEN)
        return;
    ssize_t n = rpc_input_read(&c->input, fd);
    if (n > 0) {
        c->active_ms = clock_now_ms();
        conn_process(c);
    } else if (n == 0) {
        log_debug("rpc", "%s: closed by the peer", c->name);
        conn_close(c);
    } else if (errno != EAGAIN && errno != EINTR) {
        conn_fail(c, "cannot read", strerror(errno));
    }
}

/* Neither side has moved a byte for long, and the peer isn't waiting for an answer of ours. */
static void on_idle_timer(evutil_socket_t fd, short what, void *arg)
{
    struct rpc_conn *c = arg;
    uint64_t idle_ms = clock_now_ms() - c->active_ms;
    uint32_t max_ms = c->spec.limits.idle_ms;
    bool waits = c->in_flight > 0 && rpc_output_len(&c->output) == 0;
    (void)fd;
    (void)what;
    if (!waits && idle_ms >= max_ms) {
        conn_fail(c, "idle", "no byte has moved for too long");
        return;
    }
    struct timeval next = timeval_ms(waits || idle_ms >= max_ms ? max_ms : max_ms - idle_ms);
    evtimer_add(&c->idle_event, &next);
}

/* ---- beginning ----------------------------------------------------------------------------- */

static void conn_open(struct rpc_conn *c)
{
    c->state = CONN_OPEN;
    c->active_ms = clock_now_ms();
    c->spec.arg = c->handler.opened(c->spec.arg, c);
    if (c->spec.limits.idle_ms > 0) {
        struct timeval idle = timeval_ms(c->spec.limits.idle_ms);
        evtimer_add(&c->idle_event, &idle);
    }
    conn_process(c);
}

static void conn_connected(struct rpc_conn *c, short what)
{
    int error = 0;
    socklen_t len_bytes = sizeof(error);
    if (what & EV_TIMEOUT)
        error = ETIMEDOUT;
    else if (getsockopt(c->spec.fd, SOL_SOCKET, SO_ERROR, &error, &len_bytes) != 0)
        error = errno;
    if (error == 0)
        conn_open(c);
    else
        conn_fail(c, "cannot connect", strerror(error));
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct rpc_conn *c = arg;
    (void)fd;
    switch (c->state) {
    case CONN_CONNECTING:
        conn_connected(c, what);
        break;
    case CONN_OPEN:
        conn_flush(c);
        if (c->state == CONN_OPEN && !c->reading)
            conn_process(c);
        break;
    case CONN_CLOSING:
        rpc_loop_disown(c->loop, &c->owned);
        conn_end(c);
    }
}

static struct rpc_conn *conn_new(struct rpc_loop *l, const struct rpc_conn_spec *spec)
{
    struct event_base *base = rpc_loop_base(l);
    struct rpc_conn *c = calloc(1, sizeof(*c));
    if (!c || !rpc_loop_own(l, &c->owned, conn_destroy)) {
        free(c);
        close(spec->fd);
        return NULL;
    }
    c->loop = l;
    c->spec = *spec;
    snprintf(c->name, sizeof(c->name), "%s", spec->name);
    c->spec.name = c->name;
    c->handler = *spec->handler;
    c->spec.handler = &c->handler;
    rpc_input_init(&c->input, spec->limits.frame_max_bytes);
    event_assign(&c->read_event, base, spec->fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->write_event, base, spec->fd, EV_WRITE, on_writable, c);
    evtimer_assign(&c->idle_event, base, on_idle_timer, c);
    return c;
}

int rpc_conn_accepted(struct rpc_loop *l, const struct rpc_conn_spec *spec)
{
    struct rpc_conn *c = conn_new(l, spec);
    if (!c)
        return CENOTE_NO_MEMORY;
    conn_open(c);
    return CENOTE_OK;
}

int rpc_conn_connecting(struct rpc_loop *l, const struct rpc_conn_spec *spec, int connect_errno)
{
    struct timeval timeout = timeval_ms(CONNECT_TIMEOUT_MS);
    struct rpc_conn *c = conn_new(l, spec);
    if (!c)
        return CENOTE_NO_MEMORY;
    c->state = CONN_CONNECTING;
    if (connect_errno != 0 && connect_errno != EINPROGRESS)
        conn_fail(c, "cannot connect", strerror(connect_errno));
    else if (event_add(&c->write_event, &timeout) != 0)
        conn_fail(c, "cannot connect", NO_MEMORY_FOR_IT);
    return CENOTE_OK;
}

/* ---- the rest of the contract -------------------------------------------------------------- */

void rpc_conn_answered(struct rpc_conn *c)
{
    assert(c->in_flight > 0);
    c->in_flight--;
    if (c->state == CONN_OPEN && !c->reading)
        event_active(&c->write_event, EV_WRITE, 0);
}

const char *rpc_conn_name(const struct rpc_conn *c)
{
    return c->name;
}

bool rpc_conn_is_local(const struct rpc_conn *c)
{
    return c->spec.local;
}
