/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: its thread, its listener, its routes, and the tasks that others post.
 *
 * libevent's own HTTP server isn't used: in the version that distributions have (2.1) it keeps a
 * request's whole body in memory before anybody sees it, has one limit for all routes, and answers
 * what is malformed without a word to anybody, so that nothing could be streamed or counted.
 */
#include "server/http/http.h"

#include <assert.h>
#include <cenote/status.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/http/conn.h"
#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define LISTEN_BACKLOG  1024
#define ACCEPT_BATCH    64  /* in a row, before others have their turn */
#define ACCEPT_PAUSE_MS 100 /* without descriptors accepting again at once would only spin */

/* ---- routes ---------------------------------------------------------------------------------- */

void http_route(struct http_server *s, const struct http_route *route)
{
    assert(!s->started && s->route_count < HTTP_ROUTES_MAX);
    assert(route->handle && route->path[0] == '/' && route->methods != 0);
    assert(route->streams || route->body_max_bytes <= HTTP_BODY_MAX);
    struct http_route *added = &s->routes[s->route_count++];
    *added = *route;
    if (added->methods & HTTP_GET)
        added->methods |= HTTP_HEAD;
}

static bool matches(const struct http_route *r, const char *path)
{
    return r->prefix ? strncmp(path, r->path, strlen(r->path)) == 0 : strcmp(path, r->path) == 0;
}

const struct http_route *http_find_route(const struct http_server *s, const char *path,
                                         unsigned method, unsigned *allowed)
{
    const struct http_route *best = NULL;
    size_t longest = 0;
    *allowed = 0;
    for (unsigned i = 0; i < s->route_count; i++) {
        const struct http_route *r = &s->routes[i];
        size_t len = strlen(r->path);
        if (!matches(r, path) || len < longest)
            continue;
        if (len > longest) {
            best = NULL;
            *allowed = 0;
        }
        longest = len;
        *allowed |= r->methods;
        if (r->methods & method)
            best = r;
    }
    return best;
}

/* ---- tasks ----------------------------------------------------------------------------------- */

void http_post(struct http_server *s, struct http_task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&s->lock);
    bool first = !s->tasks;
    *s->tasks_end = task;
    s->tasks_end = &task->next;
    pthread_mutex_unlock(&s->lock);
    if (first)
        eventfd_write(s->wake_fd, 1);
}

static struct http_task *take_tasks(struct http_server *s)
{
    pthread_mutex_lock(&s->lock);
    struct http_task *tasks = s->tasks;
    s->tasks = NULL;
    s->tasks_end = &s->tasks;
    pthread_mutex_unlock(&s->lock);
    return tasks;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    eventfd_t count;
    (void)what;
    (void)eventfd_read(fd, &count);
    for (struct http_task *t = take_tasks(s), *next; t; t = next) {
        next = t->next; /* the task's memory may go with it */
        t->run(t);
    }
    http_check_stopped(s);
}

/* ---- the listener ---------------------------------------------------------------------------- */

/* Tells one that comes too many, as far as its socket takes it at once. */
static void turn_away(struct http_server *s, int fd)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\n"
                                 "Content-Type: application/json\r\n"
                                 "Content-Length: 54\r\n"
                                 "Connection: close\r\n"
                                 "Retry-After: 1\r\n\r\n"
                                 "{\"error\": \"too many connections\", \"status\": \"LIMIT\"}\r\n";
    if (send(fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("http", "turning a connection away: %s", strerror(errno));
    close(fd);
    count_one(&s->counters.turned_away);
    log_debug("http", "turned away: there are %u connections", s->conn_count);
}

/* How gladly is a connection given up? 0: not at all, for it is at work, or gets on, or has just
 * come. */
static unsigned spare(const struct http_conn *c, uint64_t now_ms)
{
    if (now_ms - c->since_ms < HTTP_TAKE_OVER_MS)
        return 0;
    switch (c->wait) {
    case WAIT_IDLE:
        return 3;
    case WAIT_HEAD:
    case WAIT_LINGER:
        return 2;
    case WAIT_CLIENT:
        return c->moved_bytes < HTTP_PROGRESS_MIN ? 1 : 0;
    default:
        return 0;
    }
}

/* In a full house somebody gives way who keeps the server waiting: who asks nothing, then who
 * doesn't finish his question, then who doesn't take or send what he asked for; of these who has
 * done so for longest. So nobody keeps others out, probes above all, by being slow. */
static bool make_room(struct http_server *s)
{
    struct http_conn *c, *least = NULL;
    uint64_t now_ms = clock_now_ms();
    unsigned most = 0;
    if (s->conn_count < HTTP_CONNECTIONS_MAX || test_off(TEST_HTTP_LIMITS))
        return true;
    TAILQ_FOREACH(c, &s->conns, entry)
    {
        unsigned here = spare(c, now_ms);
        if (here > most || (here > 0 && here == most && c->since_ms < least->since_ms)) {
            least = c;
            most = here;
        }
    }
    if (!least)
        return false;
    if (least->wait != WAIT_IDLE)
        count_one(&s->counters.slow);
    http_conn_drop(least);
    return true;
}

static void take_connection(struct http_server *s, int fd, const struct endpoint *peer)
{
    char name[HTTP_NAME_MAX] = "unix";
    bool is_unix = endpoint_is_unix(&s->bound);
    if (!is_unix)
        endpoint_format(peer, name, sizeof name);
    if (make_room(s))
        http_conn_open(s, fd, is_unix || endpoint_is_local(peer), name);
    else
        turn_away(s, fd);
}

static bool is_transient(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO || error == EPERM ||
           error == ENETDOWN || error == EHOSTUNREACH || error == ENETUNREACH;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval pause = {0, ACCEPT_PAUSE_MS * 1000};
    struct http_server *s = arg;
    (void)what;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct endpoint peer = {.addr_len = sizeof peer.addr};
        int conn_fd = accept4(fd, (struct sockaddr *)&peer.addr, &peer.addr_len,
                              SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (conn_fd >= 0) {
            take_connection(s, conn_fd, &peer);
        } else if (!is_transient(errno)) {
            if (errno == EAGAIN)
                return;
            log_error("http", "cannot accept: %s", strerror(errno));
            event_del(&s->accept_event);
            evtimer_add(&s->resume_event, &pause);
            return;
        }
    }
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    (void)fd;
    (void)what;
    event_add(&s->accept_event, NULL);
}

static void close_listener(struct http_server *s)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&s->bound.addr;
    if (s->listen_fd < 0)
        return;
    event_del(&s->accept_event);
    event_del(&s->resume_event);
    /* While it still listens: nobody else can have taken the path over. */
    if (endpoint_is_unix(&s->bound) && un->sun_path[0])
        unlink(un->sun_path);
    close(s->listen_fd);
    s->listen_fd = -1;
}

/* ---- life ------------------------------------------------------------------------------------ */

void http_check_stopped(struct http_server *s)
{
    if (s->stopping && s->request_count == 0)
        event_base_loopbreak(s->base);
}

static void on_stop(struct http_task *task)
{
    struct http_server *s =
        (struct http_server *)((char *)task - offsetof(struct http_server, stop_task));
    s->stopping = true;
    close_listener(s);
    while (!TAILQ_EMPTY(&s->conns))
        http_conn_drop(TAILQ_FIRST(&s->conns));
}

static void *run(void *arg)
{
    const struct http_server *s = arg;
    event_base_loop(s->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

struct http_server *http_new(uint32_t idle_ms)
{
    struct http_server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->idle_ms = idle_ms > 0 ? idle_ms : HTTP_IDLE_MS;
    s->listen_fd = -1;
    s->tasks_end = &s->tasks;
    s->stop_task.run = on_stop;
    TAILQ_INIT(&s->conns);
    pthread_mutex_init(&s->lock, NULL);
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->base = event_base_new();
    if (s->wake_fd < 0 || !s->base)
        goto free_server;
    event_assign(&s->wake_event, s->base, s->wake_fd, EV_READ | EV_PERSIST, on_wake, s);
    if (event_add(&s->wake_event, NULL) != 0)
        goto free_server;
    return s;

free_server:
    http_free(s);
    return NULL;
}

int http_start(struct http_server *s, const struct endpoint *at)
{
    int fd = endpoint_try_listen(at, LISTEN_BACKLOG, &s->bound);
    if (fd < 0)
        return fd;
    s->listen_fd = fd;
    endpoint_format(&s->bound, s->endpoint, sizeof s->endpoint);
    s->loopback = endpoint_is_local(&s->bound) && !endpoint_is_unix(&s->bound);
    event_assign(&s->accept_event, s->base, fd, EV_READ | EV_PERSIST, on_acceptable, s);
    evtimer_assign(&s->resume_event, s->base, on_resume, s);
    if (event_add(&s->accept_event, NULL) == 0 && pthread_create(&s->thread, NULL, run, s) == 0) {
        s->started = true;
        return CENOTE_OK;
    }
    close_listener(s);
    return CENOTE_NO_MEMORY;
}

const char *http_endpoint(const struct http_server *s)
{
    return s->endpoint;
}

void http_stop(struct http_server *s)
{
    if (!s || !s->started)
        return;
    http_post(s, &s->stop_task);
    pthread_join(s->thread, NULL);
    s->started = false;
}

void http_free(struct http_server *s)
{
    if (!s)
        return;
    assert(!s->started && TAILQ_EMPTY(&s->conns));
    close_listener(s);
    if (s->base) {
        if (event_initialized(&s->wake_event))
            event_del(&s->wake_event);
        event_base_free(s->base);
    }
    if (s->wake_fd >= 0)
        close(s->wake_fd);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

void http_counted(const struct http_server *s, struct http_counts *out)
{
    const struct http_counters *c = &s->counters;
    const struct {
        uint64_t *to;
        const _Atomic uint64_t *from;
    } pairs[] = {{&out->connections, &c->connections}, {&out->accepted, &c->accepted},
                 {&out->turned_away, &c->turned_away}, {&out->requests, &c->requests},
                 {&out->malformed, &c->malformed},     {&out->slow, &c->slow},
                 {&out->broken, &c->broken},           {&out->bytes_in, &c->bytes_in},
                 {&out->bytes_out, &c->bytes_out}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        *pairs[i].to = atomic_load_explicit(pairs[i].from, memory_order_relaxed);
    for (size_t i = 0; i < sizeof out->answers / sizeof out->answers[0]; i++)
        out->answers[i] = atomic_load_explicit(&c->answers[i], memory_order_relaxed);
}

const char *http_durations(const struct http_server *s, unsigned number, struct metric_view *out)
{
    assert(number < HTTP_METHODS);
    metric_view_add(out, &s->counters.durations[number]);
    return http_method_names[number];
}
