/* SPDX-License-Identifier: Apache-2.0 */
/* The life of a set-up connection at the node: events, turns, what is overdue. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rdma/exporter.h"

/* A client's machine that has gone without a word is found out, so that its queue pairs go too. */
#define KEEP_ALIVE_IDLE_S  60
#define KEEP_ALIVE_AGAIN_S 15
#define KEEP_ALIVE_TRIES   4

static void await(struct exporter_connection *c, enum exporter_step step)
{
    if (step == EXPORTER_WAIT_WRITE) {
        event_del(c->readable);
        event_add(c->writable, NULL);
        return;
    }
    event_del(c->writable);
    event_add(c->readable, NULL);
    if (step != EXPORTER_WAIT_READ)
        exporter_connection_kick(c);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    struct exporter_connection *c = arg;
    enum exporter_step step = EXPORTER_ON;
    (void)fd;
    (void)what;
    for (unsigned i = 0; step == EXPORTER_ON && i < EXPORTER_TURN_STEPS; i++)
        step = exporter_connection_step(c);
    if (step == EXPORTER_CLOSE)
        exporter_connection_close(c);
    else
        await(c, step);
}

void exporter_connection_kick(struct exporter_connection *c)
{
    static const struct timeval at_once;
    event_add(c->again, &at_once);
}

static struct event *make_event(struct exporter_connection *c, int fd, short what)
{
    struct event *event = event_new(c->exporter->loop, fd, what, on_event, c);
    if (event != NULL)
        event_priority_set(event, EXPORTER_USUAL);
    return event;
}

static int make_events(struct exporter_connection *c)
{
    c->readable = make_event(c, c->fd, EV_READ | EV_PERSIST);
    c->writable = make_event(c, c->fd, EV_WRITE | EV_PERSIST);
    c->again = make_event(c, -1, EV_TIMEOUT);
    if (c->readable == NULL || c->writable == NULL || c->again == NULL)
        return CENOTE_NO_MEMORY;
    return event_add(c->readable, NULL) == 0 ? CENOTE_OK : CENOTE_NO_MEMORY;
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

void exporter_connection_close(struct exporter_connection *c)
{
    struct exporter *e = c->exporter;
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        e->connections = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    exporter_queues_drop(c);
    free_event(c->readable);
    free_event(c->writable);
    free_event(c->again);
    close(c->fd);
    atomic_fetch_sub(&e->connection_count, 1);
    free(c->out);
    free(c);
}

static void set_options(int fd)
{
    const int on = 1, idle_s = KEEP_ALIVE_IDLE_S, again_s = KEEP_ALIVE_AGAIN_S,
              tries = KEEP_ALIVE_TRIES;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &again_s, sizeof again_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
}

void exporter_connection_open(struct exporter *e, int fd)
{
    struct exporter_connection *c = calloc(1, sizeof *c);
    if (c == NULL) {
        log_error("rdma", "no memory for a connection");
        close(fd);
        return;
    }
    set_options(fd);
    c->exporter = e;
    c->fd = fd;
    c->active_ms = clock_now_ms();
    c->next = e->connections;
    if (c->next != NULL)
        c->next->prev = c;
    e->connections = c;
    atomic_fetch_add(&e->connection_count, 1);
    if (make_events(c) != CENOTE_OK) {
        log_error("rdma", "no memory for a connection");
        exporter_connection_close(c);
    }
}

/* Between messages a client may be silent as long as it likes: its queue pairs are at work. */
static uint64_t patience_ms(const struct exporter_connection *c)
{
    switch (c->state) {
    case EXPORTER_HELLO:
        return HELLO_TIMEOUT_MS;
    case EXPORTER_LINGER:
        return EXPORTER_LINGER_MS;
    default:
        return c->out != NULL || c->in_have > 0 ? EXPORTER_STALL_MS : UINT64_MAX;
    }
}

void exporter_connections_close_overdue(struct exporter *e)
{
    uint64_t now_ms = clock_now_ms();
    struct exporter_connection *next;
    for (struct exporter_connection *c = e->connections; c != NULL; c = next) {
        next = c->next;
        if (now_ms - c->active_ms > patience_ms(c))
            exporter_connection_close(c);
    }
}

void exporter_connections_dismiss(struct exporter *e)
{
    struct exporter_connection *next;
    for (struct exporter_connection *c = e->connections; c != NULL; c = next) {
        next = c->next;
        if (c->state == EXPORTER_GREETED || c->state == EXPORTER_SERVING)
            exporter_connection_close(c);
    }
}

void exporter_connections_close_all(struct exporter *e)
{
    while (e->connections != NULL)
        exporter_connection_close(e->connections);
}
