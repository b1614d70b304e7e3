/* SPDX-License-Identifier: Apache-2.0 */
/* What is said on a connection: hello, then OPEN and CLOSE in turn; what the node has to tell
 * unasked goes between two answers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rdma/exporter.h"

/* ---- out ------------------------------------------------------------------------------------- */

static enum exporter_step step_of_errno(enum exporter_step wait)
{
    if (errno == EAGAIN)
        return wait;
    return errno == EINTR ? EXPORTER_ON : EXPORTER_CLOSE;
}

/* Sends, and keeps what the socket has no room for. */
static enum exporter_step say(struct exporter_connection *c, const uint8_t *message, size_t len)
{
    ssize_t n = send(c->fd, message, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return EXPORTER_CLOSE;
    size_t sent = n > 0 ? (size_t)n : 0;
    c->active_ms = clock_now_ms();
    if (sent == len)
        return EXPORTER_ON;
    c->out = malloc(len - sent);
    if (c->out == NULL) {
        log_error("rdma", "no memory for an answer");
        return EXPORTER_CLOSE;
    }
    memcpy(c->out, message + sent, len - sent);
    c->out_at = 0;
    c->out_have = len - sent;
    return EXPORTER_ON;
}

static enum exporter_step flush(struct exporter_connection *c)
{
    ssize_t n =
        send(c->fd, c->out + c->out_at, c->out_have - c->out_at, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0)
        return step_of_errno(EXPORTER_WAIT_WRITE);
    c->active_ms = clock_now_ms();
    c->out_at += (size_t)n;
    if (c->out_at < c->out_have)
        return EXPORTER_ON;
    free(c->out);
    c->out = NULL;
    return EXPORTER_ON;
}

/* ---- what is told unasked -------------------------------------------------------------------- */

static enum exporter_step say_closed(struct exporter_connection *c, struct exporter_queue *q)
{
    const struct setup_close m = {.tag = q->tag};
    exporter_queue_forget(c, q);
    return say(c, c->exporter->message, setup_encode_close(SETUP_CLOSED, &m, c->exporter->message));
}

static enum exporter_step say_keys(struct exporter_connection *c, struct exporter_queue *q)
{
    struct exporter *e = c->exporter;
    struct setup_opened m = {.tag = q->tag, .keys = e->keys};
    q->keys_due = false;
    m.key_count = exporter_keys_list(e, q->queue.port->device->index, q->role);
    return say(c, e->message, setup_encode_opened(SETUP_KEYS, &m, e->message));
}

/* One message; due stays until none is found. */
static enum exporter_step say_what_is_due(struct exporter_connection *c)
{
    for (struct exporter_queue *q = c->queues; q != NULL; q = q->next) {
        if (q->ended)
            return say_closed(c, q);
        if (q->keys_due)
            return say_keys(c, q);
    }
    c->due = false;
    return EXPORTER_ON;
}

/* ---- in -------------------------------------------------------------------------------------- */

static enum exporter_step read_ahead(struct exporter_connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_have, sizeof c->in - c->in_have, MSG_DONTWAIT);
    if (n < 0)
        return step_of_errno(EXPORTER_WAIT_READ);
    if (n == 0)
        return EXPORTER_CLOSE;
    c->in_have += (size_t)n;
    c->active_ms = clock_now_ms();
    return EXPORTER_ON;
}

static void consume(struct exporter_connection *c, size_t len)
{
    c->in_have -= len;
    memmove(c->in, c->in + len, c->in_have);
}

static enum exporter_step say_ports(struct exporter_connection *c)
{
    const struct rdma_devices *d = c->exporter->devices;
    struct setup_ports m = {.count = d->rail_count};
    for (unsigned i = 0; i < d->rail_count; i++)
        rdma_port_address(&d->rails[i], &m.at[i], NULL);
    c->state = EXPORTER_SERVING;
    return say(c, c->exporter->message, setup_encode_ports(&m, c->exporter->message));
}

static enum exporter_step on_hello(struct exporter_connection *c)
{
    const struct exporter *e = c->exporter;
    uint8_t raw[HELLO_ANSWER_BYTES];
    struct hello hello = {0};
    int status = hello_admit(c->in, &e->gate, &hello);
    if (status == CENOTE_OK && (e->withdrawn || !exporter_segments_ready(e)))
        status = CENOTE_NOT_SUPPORTED;
    consume(c, HELLO_BYTES);
    struct hello_answer a = {.status = status, .boot = e->gate.boot};
    hello_answer_encode(&a, raw);
    enum exporter_step step = say(c, raw, sizeof raw);
    if (status != CENOTE_OK) {
        log_info("rdma", "a client is refused: %s", cenote_status_text(status));
        c->last_answer = true;
        return step;
    }
    c->who = hello.who;
    c->state = EXPORTER_GREETED;
    return step;
}

static enum exporter_step complain(const struct exporter_connection *c, const char *what)
{
    log_warn("rdma", "session %llu sends %s: its connection is closed",
             (unsigned long long)c->who.session, what);
    return EXPORTER_CLOSE;
}

static enum exporter_step on_open(struct exporter_connection *c, const uint8_t *body, uint32_t len)
{
    struct setup_open open;
    struct setup_opened answer;
    if (setup_decode_open(body, len, &open) != CENOTE_OK)
        return complain(c, "something that is no request for a queue pair");
    if (exporter_queue_find(c, open.tag) != NULL)
        return complain(c, "a tag that is in use");
    exporter_queue_open(c, &open, &answer);
    uint8_t *message = c->exporter->message;
    enum exporter_step step = say(c, message, setup_encode_opened(SETUP_OPENED, &answer, message));
    return step == EXPORTER_ON ? EXPORTER_YIELD : step;
}

/* One that isn't there has been told by CLOSED, unasked, while the client asked. */
static enum exporter_step on_close(struct exporter_connection *c, const uint8_t *body, uint32_t len)
{
    struct setup_close m;
    if (setup_decode_close(body, len, &m) != CENOTE_OK)
        return complain(c, "something that is no end of a queue pair");
    struct exporter_queue *q = exporter_queue_find(c, m.tag);
    if (q == NULL)
        return EXPORTER_ON;
    if (!q->ended && !exporter_queue_end(c, q))
        return EXPORTER_CLOSE; /* it can't be said that it has ended */
    return say_closed(c, q);
}

/* Of one that isn't there the client will hear that it has ended. */
static enum exporter_step on_ask(struct exporter_connection *c, const uint8_t *body, uint32_t len)
{
    struct setup_close m;
    if (setup_decode_close(body, len, &m) != CENOTE_OK)
        return complain(c, "something that doesn't ask for keys");
    struct exporter_queue *q = exporter_queue_find(c, m.tag);
    return q == NULL || q->ended ? EXPORTER_ON : say_keys(c, q);
}

/* The next message, if there is all of it. */
static enum exporter_step on_message(struct exporter_connection *c)
{
    enum setup_type type;
    uint32_t len;
    if (c->in_have < SETUP_HEADER_BYTES)
        return read_ahead(c);
    if (setup_decode_header(c->in, &type, &len) != CENOTE_OK ||
        (type != SETUP_OPEN && type != SETUP_CLOSE && type != SETUP_ASK))
        return complain(c, "something that is no message");
    if (c->in_have < SETUP_HEADER_BYTES + len)
        return read_ahead(c);
    uint8_t body[EXPORTER_IN_BYTES];
    memcpy(body, c->in + SETUP_HEADER_BYTES, len);
    consume(c, SETUP_HEADER_BYTES + len);
    if (type == SETUP_OPEN)
        return on_open(c, body, len);
    return type == SETUP_CLOSE ? on_close(c, body, len) : on_ask(c, body, len);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static enum exporter_step begin_linger(struct exporter_connection *c)
{
    /* Closing with unread bytes would take the answer back (a reset). */
    shutdown(c->fd, SHUT_WR);
    c->active_ms = clock_now_ms();
    c->state = EXPORTER_LINGER;
    return EXPORTER_ON;
}

static enum exporter_step linger(struct exporter_connection *c)
{
    ssize_t n = recv(c->fd, c->in, sizeof c->in, MSG_DONTWAIT);
    if (n < 0)
        return step_of_errno(EXPORTER_WAIT_READ);
    return n == 0 ? EXPORTER_CLOSE : EXPORTER_ON;
}

enum exporter_step exporter_connection_step(struct exporter_connection *c)
{
    if (c->broken)
        return EXPORTER_CLOSE;
    if (c->out != NULL)
        return flush(c);
    if (c->state == EXPORTER_LINGER)
        return linger(c);
    if (c->last_answer)
        return begin_linger(c);
    if (c->state == EXPORTER_HELLO)
        return c->in_have < HELLO_BYTES ? read_ahead(c) : on_hello(c);
    if (c->state == EXPORTER_GREETED)
        return say_ports(c);
    if (c->due)
        return say_what_is_due(c);
    return on_message(c);
}
