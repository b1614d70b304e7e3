/* SPDX-License-Identifier: Apache-2.0 */
/* The exporter's thread: its events, and what others have left for it. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"
#include "transport/rdma/exporter.h"

#define TICK_US  250000 /* how late a time-out may be noticed */
#define RETRY_MS 1000u  /* between attempts to destroy what is stuck */

void exporter_wake(const struct exporter *e)
{
    uint64_t one = 1;
    while (write(e->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

/* ---- what others have left ------------------------------------------------------------------- */

static void tell_keys(struct exporter *e)
{
    for (struct exporter_connection *c = e->connections; c != NULL; c = c->next) {
        for (struct exporter_queue *q = c->queues; q != NULL; q = q->next)
            q->keys_due = true;
        if (c->queues == NULL)
            continue;
        c->due = true;
        exporter_connection_kick(c);
    }
}

/* Takes the mail; what stays in it is that the exporter is stopping. */
static struct exporter_mail take_mail(struct exporter *e)
{
    pthread_mutex_lock(&e->mail.lock);
    struct exporter_mail taken = {.fences = e->mail.fences,
                                  .segment_added = e->mail.segment_added,
                                  .behind = e->mail.behind,
                                  .withdrawn = e->mail.withdrawn,
                                  .stopping = e->mail.stopping};
    e->mail.fences = NULL;
    e->mail.fences_end = &e->mail.fences;
    e->mail.segment_added = e->mail.behind = false;
    pthread_mutex_unlock(&e->mail.lock);
    return taken;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct exporter *e = arg;
    uint64_t counter;
    (void)what;
    (void)!read(fd, &counter, sizeof counter);
    struct exporter_mail mail = take_mail(e);
    for (struct exporter_fence *f = mail.fences, *next; f != NULL; f = next) {
        next = f->next;
        exporter_fence_run(e, f);
    }
    if (mail.segment_added)
        tell_keys(e);
    if (mail.behind && !exporter_segments_ready(e))
        exporter_connections_dismiss(e);
    if (mail.withdrawn && !e->withdrawn) {
        e->withdrawn = true;
        exporter_connections_dismiss(e);
    }
    if (mail.stopping)
        event_base_loopbreak(e->loop);
}

/* ---- time and devices ------------------------------------------------------------------------ */

static void retry_stuck(struct exporter *e)
{
    if (e->stuck == NULL)
        return;
    e->retried_ms = clock_now_ms();
    exporter_queues_retry(e);
    exporter_fences_retry(e);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct exporter *e = arg;
    (void)fd;
    (void)what;
    exporter_connections_close_overdue(e);
    if (clock_now_ms() - e->retried_ms >= RETRY_MS)
        retry_stuck(e);
}

/* A removed device's descriptor is readable for ever. */
static void forget_lost(struct exporter *e)
{
    for (unsigned i = 0; i < e->devices->count; i++) {
        if (e->device_events[i] == NULL || !atomic_load(&e->devices->at[i].lost))
            continue;
        event_free(e->device_events[i]);
        e->device_events[i] = NULL;
    }
}

static void on_device(evutil_socket_t fd, short what, void *arg)
{
    struct exporter *e = arg;
    (void)fd;
    (void)what;
    rdma_devices_take_events(e->devices);
    forget_lost(e);
    exporter_queues_end_lost(e);
    retry_stuck(e);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static struct event_base *make_base(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        return NULL;
    struct event_base *base = NULL;
    if (event_config_set_max_dispatch_interval(config, NULL, 1, EXPORTER_USUAL) == 0)
        base = event_base_new_with_config(config);
    event_config_free(config);
    if (base != NULL)
        event_base_priority_init(base, EXPORTER_PRIORITIES);
    return base;
}

static struct event *make_event(struct exporter *e, int fd, short what, event_callback_fn callback,
                                int priority)
{
    struct event *event = event_new(e->loop, fd, what, callback, e);
    if (event != NULL)
        event_priority_set(event, priority);
    return event;
}

static bool make_device_events(struct exporter *e)
{
    for (unsigned i = 0; i < e->devices->count; i++) {
        int fd = rdma_device_event_fd(&e->devices->at[i]);
        e->device_events[i] = make_event(e, fd, EV_READ | EV_PERSIST, on_device, EXPORTER_URGENT);
        if (e->device_events[i] == NULL || event_add(e->device_events[i], NULL) != 0)
            return false;
    }
    return true;
}

static bool make_events(struct exporter *e)
{
    static const struct timeval tick = {.tv_usec = TICK_US};
    e->wake_event = make_event(e, e->wake, EV_READ | EV_PERSIST, on_wake, EXPORTER_URGENT);
    e->tick = make_event(e, -1, EV_PERSIST, on_tick, EXPORTER_URGENT);
    e->accept_event =
        make_event(e, e->listener, EV_READ | EV_PERSIST, exporter_on_accept, EXPORTER_USUAL);
    e->accept_again = make_event(e, -1, EV_TIMEOUT, exporter_on_accept_again, EXPORTER_USUAL);
    if (e->wake_event == NULL || e->tick == NULL || e->accept_event == NULL ||
        e->accept_again == NULL)
        return false;
    return event_add(e->wake_event, NULL) == 0 && event_add(e->tick, &tick) == 0 &&
           event_add(e->accept_event, NULL) == 0 && make_device_events(e);
}

int exporter_loop_make(struct exporter *e)
{
    e->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    e->loop = make_base();
    if (e->wake >= 0 && e->loop != NULL && make_events(e))
        return CENOTE_OK;
    log_error("rdma", "cannot make an event loop");
    return CENOTE_NO_MEMORY;
}

static void *thread_main(void *arg)
{
    struct exporter *e = arg;
    event_base_dispatch(e->loop);
    return NULL;
}

int exporter_loop_run(struct exporter *e)
{
    if (pthread_create(&e->thread, NULL, thread_main, e) != 0) {
        log_error("rdma", "cannot start a thread");
        return CENOTE_NO_MEMORY;
    }
    e->running = true;
    return CENOTE_OK;
}

void exporter_loop_stop(struct exporter *e)
{
    if (!e->running)
        return;
    pthread_mutex_lock(&e->mail.lock);
    e->mail.stopping = true;
    pthread_mutex_unlock(&e->mail.lock);
    exporter_wake(e);
    pthread_join(e->thread, NULL);
    e->running = false;
}

static void free_event(struct event *event)
{
    if (event != NULL)
        event_free(event);
}

void exporter_loop_free(struct exporter *e)
{
    for (unsigned i = 0; i < RDMA_DEVICES_MAX; i++)
        free_event(e->device_events[i]);
    free_event(e->wake_event);
    free_event(e->tick);
    free_event(e->accept_event);
    free_event(e->accept_again);
    if (e->loop != NULL)
        event_base_free(e->loop);
    if (e->wake >= 0)
        close(e->wake);
}
