/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory, the node's side: hands its segments to client processes of the same user, and
 * fences them. One thread serves the sockets, watches for the death of clients, and looks again at
 * the slots while a fence waits.
 */
#include "transport/shm/exporter.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"
#include "transport/shm/keep.h"

#define BACKLOG         64
#define BACKOFF_MIN_MS  1
#define BACKOFF_MAX_MS  20
#define REVIEW_MS       500 /* hellos overdue, processes that hung up and live on */
#define ACCEPT_PAUSE_MS 100 /* after running out of descriptors */
#define ACCEPTS_MAX     16  /* a turn */

/* ---- fences ---------------------------------------------------------------------------------- */

static bool names(uint64_t session, const struct shm_connection *c)
{
    return session == 0 || c->session == session;
}

static bool fence_waits(const struct shm_exporter *e, const struct shm_fence *f)
{
    for (const struct shm_connection *c = e->connections; c != NULL; c = c->next)
        if (c->slots != NULL && names(f->session, c) && slots_occupied(c->slots, f->horizon))
            return true;
    return false;
}

/* Takes the fences that wait for nobody any more; under the lock. */
static struct shm_fence *fences_take(struct shm_exporter *e)
{
    struct shm_fence *taken = NULL;
    for (struct shm_fence **at = &e->fences; *at != NULL;) {
        struct shm_fence *f = *at;
        if (fence_waits(e, f)) {
            at = &f->next;
            continue;
        }
        *at = f->next;
        e->fence_count--;
        f->next = taken;
        taken = f;
    }
    return taken;
}

static void fences_finish(struct shm_fence *f)
{
    while (f != NULL) {
        struct shm_fence *next = f->next;
        f->done(f->arg);
        free(f);
        f = next;
    }
}

static void wake(const struct shm_exporter *e)
{
    uint64_t one = 1;
    while (write(e->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

static void shm_fence(struct xcopy_exporter *exporter, uint64_t session, uint64_t horizon,
                      void (*done)(void *arg), void *arg)
{
    struct shm_exporter *e = (struct shm_exporter *)exporter;
    if (test_off(TEST_FENCE)) {
        done(arg);
        return;
    }
    struct shm_fence *f = calloc(1, sizeof *f);
    pthread_mutex_lock(&e->lock);
    if (f == NULL || e->fence_count >= SHM_FENCES_MAX) {
        pthread_mutex_unlock(&e->lock);
        log_error("shm", "no room for a fence of session %llu: it stays open",
                  (unsigned long long)session);
        free(f);
        return;
    }
    *f = (struct shm_fence){
        .next = e->fences, .session = session, .horizon = horizon, .done = done, .arg = arg};
    for (struct shm_connection *c = e->connections; c != NULL; c = c->next)
        if (c->slots != NULL && names(session, c))
            slots_raise(c->slots, horizon);
    e->fences = f;
    e->fence_count++;
    struct shm_fence *ready = fences_take(e);
    bool waiting = e->fences != NULL;
    e->backoff_ms = BACKOFF_MIN_MS;
    pthread_mutex_unlock(&e->lock);
    fences_finish(ready);
    if (waiting)
        wake(e);
}

/* ---- holds ----------------------------------------------------------------------------------- */

static void shm_held(struct xcopy_exporter *exporter, const struct gva *extents, size_t count,
                     bool *held)
{
    struct shm_exporter *e = (struct shm_exporter *)exporter;
    pthread_mutex_lock(&e->lock);
    for (const struct shm_connection *c = e->connections; c != NULL; c = c->next)
        if (c->slots != NULL)
            slots_held(c->slots, extents, count, held);
    pthread_mutex_unlock(&e->lock);
}

static uint32_t shm_hold_count(struct xcopy_exporter *exporter)
{
    struct shm_exporter *e = (struct shm_exporter *)exporter;
    uint32_t count = 0;
    pthread_mutex_lock(&e->lock);
    for (const struct shm_connection *c = e->connections; c != NULL; c = c->next)
        if (c->slots != NULL)
            count += slots_holds(c->slots);
    pthread_mutex_unlock(&e->lock);
    return count;
}

static void shm_each_hold(struct xcopy_exporter *exporter,
                          void (*hold)(void *arg, struct gva extent), void *arg)
{
    struct shm_exporter *e = (struct shm_exporter *)exporter;
    pthread_mutex_lock(&e->lock);
    for (const struct shm_connection *c = e->connections; c != NULL; c = c->next)
        if (c->slots != NULL)
            slots_each_hold(c->slots, hold, arg);
    pthread_mutex_unlock(&e->lock);
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* What one turn polls: wake, listener, then socket and pidfd of each connection. */
struct turn {
    struct pollfd fds[2 + 2 * SHM_CONNECTIONS_MAX];
    struct shm_connection *connections[SHM_CONNECTIONS_MAX];
    size_t count;
    int timeout_ms;
};

static bool turn_prepare(struct shm_exporter *e, struct turn *t)
{
    bool accepting = clock_now_ms() >= e->accept_again_ms;
    pthread_mutex_lock(&e->lock);
    t->count = 0;
    t->timeout_ms = e->connections == NULL ? -1 : REVIEW_MS;
    if (!accepting)
        t->timeout_ms = ACCEPT_PAUSE_MS;
    if (e->fences != NULL) {
        t->timeout_ms = (int)e->backoff_ms;
        e->backoff_ms = e->backoff_ms * 2 < BACKOFF_MAX_MS ? e->backoff_ms * 2 : BACKOFF_MAX_MS;
    }
    for (struct shm_connection *c = e->connections; c != NULL; c = c->next)
        t->connections[t->count++] = c;
    bool stopping = e->stopping;
    pthread_mutex_unlock(&e->lock);
    t->fds[0] = (struct pollfd){.fd = e->wake, .events = POLLIN};
    t->fds[1] = (struct pollfd){.fd = accepting ? e->listener : -1, .events = POLLIN};
    for (size_t i = 0; i < t->count; i++) {
        t->fds[2 + 2 * i] = (struct pollfd){.fd = t->connections[i]->fd, .events = POLLIN};
        t->fds[3 + 2 * i] = (struct pollfd){.fd = t->connections[i]->pidfd, .events = POLLIN};
    }
    return !stopping;
}

static void accept_clients(struct shm_exporter *e)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(e->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            (void)shm_connection_add(e, fd);
            continue;
        }
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            log_error("shm", "accept: %s", strerror(errno));
            e->accept_again_ms = clock_now_ms() + ACCEPT_PAUSE_MS;
        }
        return;
    }
}

static void turn_serve(struct shm_exporter *e, struct turn *t)
{
    uint64_t counter;
    if (t->fds[0].revents != 0)
        (void)!read(e->wake, &counter, sizeof counter);
    for (size_t i = 0; i < t->count; i++) {
        struct shm_connection *c = t->connections[i];
        bool dead = t->fds[3 + 2 * i].revents != 0;
        if (!dead && t->fds[2 + 2 * i].revents != 0)
            shm_connection_read(e, c);
        shm_connection_review(e, c, dead);
    }
    if (t->fds[1].revents != 0)
        accept_clients(e);
    pthread_mutex_lock(&e->lock);
    struct shm_fence *ready = fences_take(e);
    pthread_mutex_unlock(&e->lock);
    fences_finish(ready);
}

static void *exporter_main(void *arg)
{
    struct shm_exporter *e = arg;
    struct turn t;
    while (turn_prepare(e, &t)) {
        int n = poll(t.fds, 2 + 2 * (nfds_t)t.count, t.timeout_ms);
        if (n < 0) {
            for (size_t i = 0; i < 2 + 2 * t.count; i++)
                t.fds[i].revents = 0;
        }
        turn_serve(e, &t);
    }
    return NULL;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static int open_sockets(struct shm_exporter *e, const char *endpoint)
{
    struct endpoint at;
    if (endpoint_parse(endpoint, &at) != CENOTE_OK || !endpoint_is_unix(&at)) {
        log_error("shm", "%s is no UNIX socket", endpoint);
        return CENOTE_INVALID;
    }
    e->listener = endpoint_listen(&at, BACKLOG, &e->bound);
    if (e->listener < 0)
        return CENOTE_IO;
    e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (e->wake >= 0)
        return CENOTE_OK;
    log_error("shm", "eventfd: %s", strerror(errno));
    close(e->listener);
    return CENOTE_IO;
}

static void close_sockets(struct shm_exporter *e)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&e->bound.addr;
    close(e->listener);
    close(e->wake);
    if (un->sun_path[0] != '\0')
        unlink(un->sun_path);
}

static int shm_start(const char *endpoint, const struct xcopy_gate *gate,
                     const struct xcopy_settings *settings, struct xcopy_exporter **out,
                     char bound[XCOPY_ENDPOINT_MAX])
{
    struct shm_exporter *e = calloc(1, sizeof *e);
    if (e == NULL)
        return CENOTE_NO_MEMORY;
    e->base.ops = &xcopy_shm_exporter;
    e->gate = *gate;
    e->backoff_ms = BACKOFF_MIN_MS;
    e->trace = settings != NULL ? settings->trace : NULL;
    e->trace_greet = trace_point(e->trace, "shm", "greet");
    int status = open_sockets(e, endpoint);
    if (status != CENOTE_OK)
        goto free_exporter;
    status = shm_keep_open(e);
    if (status != CENOTE_OK)
        goto close_sockets;
    pthread_mutex_init(&e->lock, NULL);
    if (pthread_create(&e->thread, NULL, exporter_main, e) != 0) {
        log_error("shm", "cannot start a thread");
        status = CENOTE_NO_MEMORY;
        goto close_slots;
    }
    endpoint_format(&e->bound, bound, XCOPY_ENDPOINT_MAX);
    *out = &e->base;
    return CENOTE_OK;

close_slots:
    pthread_mutex_destroy(&e->lock);
    shm_keep_close(e);
close_sockets:
    close_sockets(e);
free_exporter:
    free(e);
    return status;
}

/* When this returns, whoever looks up an address in the segment finds it: messages on a UNIX socket
 * are there once they are sent. */
static int shm_add_segment(struct xcopy_exporter *exporter, const struct xcopy_segment *segment)
{
    struct shm_exporter *e = (struct shm_exporter *)exporter;
    if (segment->memory.fd < 0)
        return CENOTE_NOT_SUPPORTED;
    pthread_mutex_lock(&e->lock);
    int status = segments_add(&e->segments, segment);
    for (struct shm_connection *c = e->connections; status == CENOTE_OK && c != NULL; c = c->next)
        if (c->introduced)
            shm_connection_offer(c, segment);
    pthread_mutex_unlock(&e->lock);
    return status;
}

static void shm_stop(struct xcopy_exporter *exporter)
{
    struct shm_exporter *e = (struct shm_exporter *)exporter;
    pthread_mutex_lock(&e->lock);
    e->stopping = true;
    pthread_mutex_unlock(&e->lock);
    wake(e);
    pthread_join(e->thread, NULL);
    shm_keep_close(e);
    while (e->fences != NULL) {
        struct shm_fence *f = e->fences;
        e->fences = f->next;
        free(f);
    }
    close_sockets(e);
    pthread_mutex_destroy(&e->lock);
    free(e);
}

const struct xcopy_exporter_ops xcopy_shm_exporter = {
    .name = "shm",
    .start = shm_start,
    .add_segment = shm_add_segment,
    .fence = shm_fence,
    .held = shm_held,
    .hold_count = shm_hold_count,
    .each_hold = shm_each_hold,
    .stop = shm_stop,
};
