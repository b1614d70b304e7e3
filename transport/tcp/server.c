/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/tcp/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/base/endpoint.h"
#include "transport/base/log.h"

#define BACKLOG         256
#define ACCEPTS_MAX     16     /* a turn */
#define ACCEPT_PAUSE_US 100000 /* after running out of descriptors */

static void refuse(struct tcp_server *s, int fd)
{
    uint8_t raw[HELLO_ANSWER_BYTES];
    struct hello_answer a = {.status = CENOTE_LIMIT, .boot = s->gate.boot};
    hello_answer_encode(&a, raw);
    log_warn("tcp", "a client is refused: there are %u connections", TCP_CONNECTIONS_MAX);
    (void)!send(fd, raw, sizeof raw, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

static void hand_out(struct tcp_server *s, int fd)
{
    if (atomic_fetch_add(&s->connection_count, 1) >= TCP_CONNECTIONS_MAX) {
        atomic_fetch_sub(&s->connection_count, 1);
        refuse(s, fd);
        return;
    }
    struct tcp_task *task = calloc(1, sizeof *task);
    if (task == NULL) {
        log_error("tcp", "no memory for a connection");
        atomic_fetch_sub(&s->connection_count, 1);
        close(fd);
        return;
    }
    *task = (struct tcp_task){.kind = TASK_ACCEPTED, .fd = fd};
    tcp_loop_post(&s->loops[s->next_loop++ % TCP_LOOPS], task);
}

static void on_accept(evutil_socket_t listener, short what, void *arg)
{
    static const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_US};
    struct tcp_server *s = arg;
    (void)what;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            hand_out(s, fd);
            continue;
        }
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            log_error("tcp", "accept: %s", strerror(errno));
            event_del(s->accept_event);
            event_add(s->accept_again, &pause);
        }
        return;
    }
}

static void on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    struct tcp_server *s = arg;
    (void)fd;
    (void)what;
    event_add(s->accept_event, NULL);
}

static int listen_at(struct tcp_server *s, const char *endpoint, char bound[XCOPY_ENDPOINT_MAX])
{
    struct endpoint at, name;
    if (endpoint_parse(endpoint, &at) != CENOTE_OK || endpoint_is_unix(&at)) {
        log_error("tcp", "%s is no TCP endpoint", endpoint);
        return CENOTE_INVALID;
    }
    s->listener = endpoint_listen(&at, BACKLOG, &name);
    if (s->listener < 0)
        return CENOTE_IO;
    endpoint_format(&name, bound, XCOPY_ENDPOINT_MAX);
    return CENOTE_OK;
}

static int listen_events(struct tcp_server *s)
{
    struct event_base *base = s->loops[0].base;
    s->accept_event = event_new(base, s->listener, EV_READ | EV_PERSIST, on_accept, s);
    s->accept_again = event_new(base, -1, EV_TIMEOUT, on_accept_again, s);
    if (s->accept_event == NULL || s->accept_again == NULL)
        return CENOTE_NO_MEMORY;
    return event_add(s->accept_event, NULL) == 0 ? CENOTE_OK : CENOTE_NO_MEMORY;
}

/* First the threads, since loop 0's gives to the others; then what they used. */
static void stop_loops(struct tcp_server *s, unsigned made)
{
    for (unsigned i = 0; i < made; i++)
        tcp_loop_join(&s->loops[i]);
    if (s->accept_event != NULL)
        event_free(s->accept_event);
    if (s->accept_again != NULL)
        event_free(s->accept_again);
    for (unsigned i = 0; i < made; i++)
        tcp_loop_free(&s->loops[i]);
}

static int start_loops(struct tcp_server *s)
{
    unsigned made = 0;
    int status = CENOTE_OK;
    while (status == CENOTE_OK && made < TCP_LOOPS) {
        status = tcp_loop_make(&s->loops[made], s);
        made += status == CENOTE_OK;
    }
    if (status == CENOTE_OK)
        status = listen_events(s);
    for (unsigned i = 0; status == CENOTE_OK && i < TCP_LOOPS; i++)
        status = tcp_loop_run(&s->loops[i]);
    if (status != CENOTE_OK)
        stop_loops(s, made);
    return status;
}

static int tcp_start(const char *endpoint, const struct xcopy_gate *gate,
                     const struct xcopy_settings *settings, struct xcopy_exporter **out,
                     char bound[XCOPY_ENDPOINT_MAX])
{
    (void)settings;
    struct tcp_server *s = calloc(1, sizeof *s);
    if (s == NULL)
        return CENOTE_NO_MEMORY;
    s->base.ops = &xcopy_tcp_exporter;
    s->gate = *gate;
    s->trace = settings != NULL ? settings->trace : NULL;
    s->trace_read = trace_point(s->trace, "tcp", "read");
    s->trace_write = trace_point(s->trace, "tcp", "write");
    pthread_mutex_init(&s->segments_lock, NULL);
    int status = listen_at(s, endpoint, bound);
    if (status != CENOTE_OK)
        goto free_server;
    status = start_loops(s);
    if (status != CENOTE_OK)
        goto close_listener;
    *out = &s->base;
    return CENOTE_OK;

close_listener:
    close(s->listener);
free_server:
    pthread_mutex_destroy(&s->segments_lock);
    free(s);
    return status;
}

static int tcp_add_segment(struct xcopy_exporter *exporter, const struct xcopy_segment *segment)
{
    struct tcp_server *s = (struct tcp_server *)exporter;
    pthread_mutex_lock(&s->segments_lock);
    int status = segments_add(&s->segments, segment);
    pthread_mutex_unlock(&s->segments_lock);
    return status;
}

static void tcp_stop(struct xcopy_exporter *exporter)
{
    struct tcp_server *s = (struct tcp_server *)exporter;
    stop_loops(s, TCP_LOOPS);
    close(s->listener);
    pthread_mutex_destroy(&s->segments_lock);
    free(s);
}

const struct xcopy_exporter_ops xcopy_tcp_exporter = {
    .name = "tcp",
    .start = tcp_start,
    .add_segment = tcp_add_segment,
    .fence = tcp_server_fence,
    .traffic = tcp_server_traffic,
    .stop = tcp_stop,
};
