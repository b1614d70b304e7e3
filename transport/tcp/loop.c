/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "transport/base/log.h"
#include "transport/tcp/server.h"

#define TICK_US 250000 /* how late a time-out may be noticed */

static void wake(const struct tcp_loop *l)
{
    uint64_t one = 1;
    while (write(l->wake, &one, sizeof one) < 0 && errno == EINTR)
        ;
}

void tcp_loop_post(struct tcp_loop *l, struct tcp_task *task)
{
    task->next = NULL;
    pthread_mutex_lock(&l->lock);
    *l->tasks_end = task;
    l->tasks_end = &task->next;
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

static struct tcp_task *take_tasks(struct tcp_loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct tcp_task *tasks = l->tasks;
    l->tasks = NULL;
    l->tasks_end = &l->tasks;
    if (l->stopping)
        event_base_loopbreak(l->base);
    pthread_mutex_unlock(&l->lock);
    return tasks;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct tcp_loop *l = arg;
    uint64_t counter;
    (void)what;
    (void)!read(fd, &counter, sizeof counter);
    for (struct tcp_task *t = take_tasks(l), *next; t != NULL; t = next) {
        next = t->next; /* the task goes with its fence */
        if (t->kind == TASK_FENCE) {
            tcp_fence_run(l, t->fence);
            continue;
        }
        tcp_connection_open(l, t->fd);
        free(t);
    }
}

/* Ticks as long as there is somebody whose time may be over. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct tcp_loop *l = arg;
    (void)fd;
    (void)what;
    tcp_connections_close_overdue(l);
    if (l->connections == NULL)
        event_del(l->tick);
}

void tcp_loop_tick(struct tcp_loop *l)
{
    static const struct timeval tick = {.tv_usec = TICK_US};
    if (!event_pending(l->tick, EV_TIMEOUT, NULL))
        event_add(l->tick, &tick);
}

static void *loop_main(void *arg)
{
    struct tcp_loop *l = arg;
    event_base_loop(l->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

int tcp_loop_make(struct tcp_loop *l, struct tcp_server *server)
{
    l->server = server;
    l->tasks_end = &l->tasks;
    pthread_mutex_init(&l->lock, NULL);
    l->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    l->base = event_base_new();
    l->scratch = malloc(TCP_SCRATCH_BYTES);
    if (l->wake < 0 || l->base == NULL || l->scratch == NULL)
        goto free_loop;
    l->wake_event = event_new(l->base, l->wake, EV_READ | EV_PERSIST, on_wake, l);
    l->tick = event_new(l->base, -1, EV_PERSIST, on_tick, l);
    if (l->wake_event == NULL || l->tick == NULL || event_add(l->wake_event, NULL) != 0)
        goto free_loop;
    return CENOTE_OK;

free_loop:
    log_error("tcp", "cannot make an event loop");
    tcp_loop_free(l);
    return CENOTE_NO_MEMORY;
}

int tcp_loop_run(struct tcp_loop *l)
{
    if (pthread_create(&l->thread, NULL, loop_main, l) != 0) {
        log_error("tcp", "cannot start a thread");
        return CENOTE_NO_MEMORY;
    }
    l->running = true;
    return CENOTE_OK;
}

void tcp_loop_join(struct tcp_loop *l)
{
    if (!l->running)
        return;
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_mutex_unlock(&l->lock);
    wake(l);
    pthread_join(l->thread, NULL);
    l->running = false;
}

static void drop_task(struct tcp_task *t)
{
    if (t->kind == TASK_FENCE) {
        tcp_fence_drop(t->fence);
        return;
    }
    close(t->fd);
    free(t);
}

void tcp_loop_free(struct tcp_loop *l)
{
    while (l->connections != NULL)
        tcp_connection_close(l->connections);
    for (struct tcp_task *t = l->tasks, *next; t != NULL; t = next) {
        next = t->next;
        drop_task(t);
    }
    if (l->wake_event != NULL)
        event_free(l->wake_event);
    if (l->tick != NULL)
        event_free(l->tick);
    if (l->base != NULL)
        event_base_free(l->base);
    if (l->wake >= 0)
        close(l->wake);
    free(l->scratch);
    pthread_mutex_destroy(&l->lock);
}
