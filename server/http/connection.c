/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection: what it reads becomes requests, one after the other, and what they answer is sent.
 *
 * All that moves it is conn_work(): after an event, and after a turn that somebody asked for. So a
 * handler is never called from inside of a function that it calls, and a connection that ends
 * is freed when nothing of it is on the stack any more.
 */
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/http/conn.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

/* ---- the end --------------------------------------------------------------------------------- */

static void conn_free(struct http_conn *c)
{
    struct http_server *s = c->server;
    event_del(&c->read_event);
    event_del(&c->write_event);
    event_del(&c->timer);
    event_del(&c->turn);
    evbuffer_free(c->in);
    evbuffer_free(c->out); /* gives back what was lent */
    close(c->fd);
    TAILQ_REMOVE(&s->conns, c, entry);
    s->conn_count--;
    atomic_fetch_sub_explicit(&s->counters.connections, 1, memory_order_relaxed);
    free(c);
}

/* Its request learns of it at once. */
static void conn_die(struct http_conn *c)
{
    struct http_request *r = c->request;
    c->dead = true;
    c->request = NULL;
    if (!r)
        return;
    if (!r->broken)
        count_one(&c->server->counters.broken);
    http_request_lose(r);
}

void http_conn_drop(struct http_conn *c)
{
    assert(!c->working);
    conn_die(c);
    conn_free(c);
}

/* ---- patience -------------------------------------------------------------------------------- */

static void arm(struct http_conn *c, uint64_t ms)
{
    const struct timeval in = {.tv_sec = (time_t)(ms / 1000),
                               .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    evtimer_add(&c->timer, &in);
}

static uint64_t patience_ms(const struct http_conn *c)
{
    return c->wait == WAIT_LINGER ? HTTP_LINGER_MS : c->server->idle_ms;
}

static enum http_wait wait_of(const struct http_conn *c)
{
    if (c->phase == PHASE_LINGER)
        return WAIT_LINGER;
    if (evbuffer_get_length(c->out) > 0)
        return WAIT_CLIENT;
    if (c->phase == PHASE_HEAD)
        return evbuffer_get_length(c->in) > 0 ? WAIT_HEAD : WAIT_IDLE;
    return http_request_wants_body(c->request) ? WAIT_CLIENT : WAIT_NOBODY;
}

/* A timer that is set runs on: what it finds at its end decides. */
static void be_patient(struct http_conn *c)
{
    enum http_wait wait = wait_of(c);
    if (wait == c->wait)
        return;
    c->wait = wait;
    c->since_ms = clock_now_ms();
    c->moved_bytes = 0;
    if (wait == WAIT_LINGER || (wait != WAIT_NOBODY && !evtimer_pending(&c->timer, NULL)))
        arm(c, patience_ms(c));
}

/* ---- input ----------------------------------------------------------------------------------- */

static void refuse(struct http_conn *c, int code, const char *why)
{
    count_one(&c->server->counters.malformed);
    log_debug("http", "%s: %d: %s", c->name, code, why);
    if (!c->request)
        c->request = http_request_new(c);
    if (!c->request) {
        c->dead = true;
        return;
    }
    c->phase = PHASE_REQUEST;
    c->request->body_over = true;
    c->request->closes = true;
    http_reply_refuse(c->request, code, why);
}

static const char *why_of(int code)
{
    switch (code) {
    case 431:
        return "the headers are too large";
    case 501:
        return "this transfer coding is not supported";
    case 505:
        return "this version of HTTP is not supported";
    default:
        return "malformed request";
    }
}

/* Empty lines before a request are no part of it. */
static void skip_empty_lines(struct http_conn *c)
{
    char two[2];
    while (c->looked == 0 && evbuffer_copyout(c->in, two, 2) == 2 && memcmp(two, "\r\n", 2) == 0)
        evbuffer_drain(c->in, 2);
}

static void begin_request(struct http_conn *c, const char *text, size_t len_bytes)
{
    c->looked = 0;
    count_one(&c->server->counters.requests);
    c->request = http_request_new(c);
    if (!c->request) {
        log_error("http", "%s: no memory for a request", c->name);
        c->dead = true;
        return;
    }
    c->phase = PHASE_REQUEST;
    int code = http_request_begin(c->request, text, len_bytes);
    if (code != 0)
        refuse(c, code, why_of(code));
    evbuffer_drain(c->in, len_bytes);
}

/* Has it got on? */
static bool take_head(struct http_conn *c)
{
    skip_empty_lines(c);
    size_t len_bytes = evbuffer_get_length(c->in);
    size_t visible = len_bytes < HTTP_HEAD_MAX ? len_bytes : HTTP_HEAD_MAX;
    bool full = visible == HTTP_HEAD_MAX && !test_off(TEST_HTTP_LIMITS);
    if (visible == 0)
        return false;
    const char *text = (const char *)evbuffer_pullup(c->in, (ev_ssize_t)visible);
    if (!text) {
        c->dead = true;
        return false;
    }
    int end = http_head_find_end(text, visible, &c->looked);
    if (end > 0)
        begin_request(c, text, (size_t)end);
    else if (end < 0)
        refuse(c, 400, "this is not HTTP");
    else if (full)
        refuse(c, 431, why_of(431));
    return end != 0 || full;
}

/* ---- output ---------------------------------------------------------------------------------- */

static void send_some(struct http_conn *c)
{
    if (evbuffer_get_length(c->out) == 0)
        return;
    int sent = evbuffer_write(c->out, c->fd);
    if (sent > 0) {
        c->moved_bytes += (size_t)sent;
        atomic_fetch_add_explicit(&c->server->counters.bytes_out, (uint64_t)sent,
                                  memory_order_relaxed);
    } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        c->dead = true;
    }
}

/* Those that have a method, and whose client was there to the end. */
static void time_request(struct http_server *s, const struct http_request *r)
{
    if (r->head.method != 0 && !r->broken)
        metric_observe_ns(&s->counters.durations[__builtin_ctz(r->head.method)],
                          clock_now_ns() - r->begun_ns);
}

/* Its answer has been sent: the next request, or the end, before which the client gets time to read
 * what it was told: closing at once would destroy it on the way, if something unread is left. */
static void end_request(struct http_conn *c)
{
    struct http_request *r = c->request;
    bool closes = r->closes, broken = r->broken;
    if (!closes && !broken && !r->body_over)
        return; /* still to be thrown away */
    c->request = NULL;
    time_request(c->server, r);
    http_request_lose(r); /* a watch that is still there is of an answer that broke by itself */
    TAILQ_REMOVE(&c->server->conns, c, entry);
    TAILQ_INSERT_TAIL(&c->server->conns, c, entry);
    c->phase = PHASE_HEAD;
    c->wait = WAIT_NOBODY; /* time begins anew */
    if (broken || (closes && c->at_end)) {
        c->dead = true;
    } else if (closes) {
        shutdown(c->fd, SHUT_WR);
        c->phase = PHASE_LINGER;
    }
}

/* ---- work ------------------------------------------------------------------------------------ */

static void call_handler(struct http_request *r)
{
    r->handled = true;
    r->route->handle(r->route->arg, r);
    assert((r->begun || r->broken || r->holds > 1) && "a handler answers, or holds the request");
}

static void tell_watcher(struct http_conn *c)
{
    struct http_request *r = c->request;
    if (r->news && r->watch && r->watch->readable && !r->ended) {
        r->news = false;
        r->watch->readable(r->watch_arg);
    }
    if (!r->begun || r->ended || r->broken)
        return;
    if ((r->was_full && http_reply_room(r) > 0) || (r->wants_sent && http_reply_is_sent(r))) {
        r->was_full = r->wants_sent = false;
        if (r->watch && r->watch->writable)
            r->watch->writable(r->watch_arg);
    }
}

/* One step of the request at hand. Has it got on? */
static bool work_on_request(struct http_conn *c)
{
    struct http_request *r = c->request;
    uint64_t before = r->body_bytes;
    bool was_over = r->body_over;
    if (!http_request_feed(r, c->in))
        count_one(&c->server->counters.malformed);
    if (r->route && !r->handled && !r->begun && (r->route->streams || r->body_over))
        call_handler(r);
    tell_watcher(c);
    if ((r->ended || r->broken) && (r->broken || evbuffer_get_length(c->out) == 0))
        end_request(c);
    return c->request != r || r->body_bytes != before || r->body_over != was_over;
}

static void work_once(struct http_conn *c)
{
    bool more = true;
    while (more && !c->dead) {
        if (c->phase == PHASE_LINGER) {
            evbuffer_drain(c->in, evbuffer_get_length(c->in));
            more = false;
        } else if (c->phase == PHASE_HEAD) {
            more = take_head(c);
        } else {
            more = work_on_request(c);
        }
    }
}

static bool wants_input(const struct http_conn *c)
{
    if (c->at_end)
        return false;
    if (c->phase != PHASE_REQUEST)
        return true;
    /* While a request is at work: only to notice that its client has gone. */
    return http_request_wants_body(c->request) || evbuffer_get_length(c->in) < HTTP_PIPELINE_MAX;
}

static void set_event(struct event *e, bool wanted)
{
    bool is = event_pending(e, EV_READ | EV_WRITE, NULL) != 0;
    if (wanted && !is)
        event_add(e, NULL);
    else if (!wanted && is)
        event_del(e);
}

/* Half-closed is fine as long as the request was whole. One that is not may still be told so. */
static void mind_the_end(struct http_conn *c)
{
    if (!c->at_end || c->dead || (c->phase == PHASE_REQUEST && c->request->body_over))
        return;
    bool in_head = c->phase == PHASE_HEAD && evbuffer_get_length(c->in) > 0;
    bool in_body = c->phase == PHASE_REQUEST && !c->request->begun;
    if (in_head || in_body)
        refuse(c, 400, "the request ended too early");
    else
        c->dead = true;
}

static void conn_work(struct http_conn *c)
{
    c->working = true;
    size_t left;
    do {
        work_once(c);
        mind_the_end(c);
        left = evbuffer_get_length(c->out);
        if (!c->dead)
            send_some(c);
    } while (!c->dead && left > 0 && evbuffer_get_length(c->out) == 0);
    c->working = false;
    if (c->dead) {
        http_conn_drop(c);
        return;
    }
    set_event(&c->read_event, wants_input(c));
    set_event(&c->write_event, evbuffer_get_length(c->out) > 0);
    be_patient(c);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct http_conn *c = arg;
    (void)what;
    int got = evbuffer_read(c->in, fd, HTTP_READ_MAX);
    if (got > 0) {
        c->moved_bytes += (size_t)got;
        atomic_fetch_add_explicit(&c->server->counters.bytes_in, (uint64_t)got,
                                  memory_order_relaxed);
    } else if (got == 0) {
        c->at_end = true;
    } else if (errno != EAGAIN && errno != EINTR) {
        c->dead = true;
    }
    conn_work(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    conn_work(arg);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    conn_work(arg);
}

void http_conn_turn(struct http_conn *c)
{
    event_active(&c->turn, 0, 0);
}

static void give_up(struct http_conn *c)
{
    if (c->wait == WAIT_CLIENT || c->wait == WAIT_HEAD) {
        count_one(&c->server->counters.slow);
        log_debug("http", "%s: too slow", c->name);
    }
    if (c->wait == WAIT_HEAD || (c->wait == WAIT_CLIENT && c->request && !c->request->begun)) {
        struct http_request *r = c->request;
        if (!r)
            r = c->request = http_request_new(c);
        if (r) {
            c->phase = PHASE_REQUEST;
            r->closes = true;
            http_reply_refuse(r, 408, "the request did not come in time");
            conn_work(c);
            return;
        }
    }
    http_conn_drop(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct http_conn *c = arg;
    uint64_t now_ms = clock_now_ms(), patience = patience_ms(c);
    (void)fd;
    (void)what;
    if (c->wait == WAIT_NOBODY || test_off(TEST_HTTP_PATIENCE))
        return;
    if (now_ms - c->since_ms < patience) {
        arm(c, patience - (now_ms - c->since_ms));
    } else if (c->wait == WAIT_CLIENT && c->moved_bytes >= HTTP_PROGRESS_MIN) {
        c->since_ms = now_ms;
        c->moved_bytes = 0;
        arm(c, patience);
    } else {
        give_up(c);
    }
}

void http_conn_open(struct http_server *s, int fd, bool local, const char *name)
{
    static const int on = 1;
    struct http_conn *c = calloc(1, sizeof *c);
    if (!c)
        goto close_fd;
    c->server = s;
    c->fd = fd;
    c->local = local;
    snprintf(c->name, sizeof c->name, "%s", name);
    c->in = evbuffer_new();
    c->out = evbuffer_new();
    if (!c->in || !c->out)
        goto free_conn;
    event_assign(&c->read_event, s->base, fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->write_event, s->base, fd, EV_WRITE | EV_PERSIST, on_writable, c);
    evtimer_assign(&c->timer, s->base, on_timer, c);
    event_assign(&c->turn, s->base, -1, 0, on_turn, c);
    if (event_add(&c->read_event, NULL) != 0)
        goto free_conn;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* in vain on a UNIX socket */
    TAILQ_INSERT_TAIL(&s->conns, c, entry);
    s->conn_count++;
    count_one(&s->counters.accepted);
    count_one(&s->counters.connections);
    be_patient(c);
    return;

free_conn:
    if (c->in)
        evbuffer_free(c->in);
    if (c->out)
        evbuffer_free(c->out);
    free(c);
close_fd:
    log_error("http", "%s: no memory for a connection", name);
    close(fd);
}
