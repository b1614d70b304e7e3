/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a connection at the node: events, turns, what is overdue. */
#include "transport/tcp/connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"

#define NS_PER_MS UINT64_C(1000000) /* of clock_now_ms() and clock_now_ns() */

/* Waits for the next event: to write while an answer is under way, to read otherwise. A turn that
 * ended before the work did asks for another one: what has been read already, be it ahead or the
 * last byte of a write that is still to be answered, raises no event of its own. */
static void await(struct tcp_connection *c, enum step step)
{
    static const struct timeval at_once;
    if (step == STEP_WAIT_WRITE || (step == STEP_ON && c->state == STATE_ANSWER)) {
        event_del(c->readable);
        event_add(c->writable, NULL);
        return;
    }
    event_del(c->writable);
    event_add(c->readable, NULL);
    if (step == STEP_ON)
        event_add(c->again, &at_once);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct tcp_connection *c = arg;
    uint64_t moved = 0;
    enum step step = STEP_ON;
    (void)fd;
    (void)what;
    tcp_turn_begin(c->loop);
    for (unsigned i = 0; step == STEP_ON && i < TCP_TURN_REQUESTS && moved < TCP_TURN_BYTES; i++)
        step = tcp_connection_step(c, &moved);
    uint64_t now_ns = tcp_turn_end(c->loop);
    if (step == STEP_CLOSE) {
        tcp_connection_close(c);
        return;
    }
    if (moved > 0 && c->state != STATE_LINGER)
        c->active_ms = now_ns / NS_PER_MS;
    await(c, step);
}

static int make_events(struct tcp_connection *c)
{
    struct event_base *base = c->loop->base;
    c->readable = event_new(base, c->fd, EV_READ | EV_PERSIST, on_event, c);
    c->writable = event_new(base, c->fd, EV_WRITE | EV_PERSIST, on_event, c);
    c->again = event_new(base, -1, EV_TIMEOUT, on_event, c);
    if (c->readable == NULL || c->writable == NULL || c->again == NULL)
        return CENOTE_NO_MEMORY;
    return event_add(c->readable, NULL) == 0 ? CENOTE_OK : CENOTE_NO_MEMORY;
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

void tcp_connection_close(struct tcp_connection *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        c->loop->connections = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    tcp_connection_give_up(c);
    free_event(c->readable);
    free_event(c->writable);
    free_event(c->again);
    close(c->fd);
    atomic_fetch_sub(&c->loop->server->connection_count, 1);
    free(c);
}

void tcp_connection_open(struct tcp_loop *l, int fd)
{
    const int one = 1;
    struct tcp_connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        close(fd);
        atomic_fetch_sub(&l->server->connection_count, 1);
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->loop = l;
    c->fd = fd;
    c->active_ms = clock_now_ms();
    c->next = l->connections;
    if (c->next != NULL)
        c->next->prev = c;
    l->connections = c;
    tcp_loop_tick(l);
    if (make_events(c) != CENOTE_OK) {
        log_error("tcp", "no memory for a connection");
        tcp_connection_close(c);
    }
}

static uint64_t patience_ms(const struct tcp_connection *c)
{
    switch (c->state) {
    case STATE_HELLO:
        return HELLO_TIMEOUT_MS;
    case STATE_LINGER:
        return TCP_LINGER_MS;
    case STATE_REQUEST:
        return c->in_have == c->in_at ? TCP_IDLE_MS : TCP_STALL_MS;
    default:
        return TCP_STALL_MS;
    }
}

void tcp_connections_close_overdue(struct tcp_loop *l)
{
    uint64_t now_ms = clock_now_ms();
    struct tcp_connection *next;
    for (struct tcp_connection *c = l->connections; c != NULL; c = next) {
        next = c->next;
        if (now_ms - c->active_ms > patience_ms(c))
            tcp_connection_close(c);
    }
}

void tcp_connections_close_writers(struct tcp_loop *l, uint64_t session, uint64_t horizon)
{
    struct tcp_connection *next;
    for (struct tcp_connection *c = l->connections; c != NULL; c = next) {
        next = c->next;
        if (c->state == STATE_BODY && (session == 0 || c->who.session == session) &&
            c->req.put_id <= horizon)
            tcp_connection_close(c);
    }
}
