/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners: they accept, name and count connections. */
#include <cenote/status.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "transport/base/log.h"
#include "transport/rpc/conn.h"
#include "transport/rpc/socket.h"

#define LISTEN_BACKLOG  1024
/* Connections accepted in a row before others have their turn. */
#define ACCEPT_BATCH    64
/* Without descriptors or memory, accepting again at once would only spin. */
#define ACCEPT_PAUSE_MS 100

struct rpc_listener {
    struct rpc_owned owned; /* first */
    struct rpc_loop *loop;
    int fd;
    struct endpoint bound;
    struct event accept_event, resume_event;
    struct rpc_limits limits;
    struct rpc_handler handler;
    void *arg;
    uint32_t connections;
};

static void on_gone(void *arg)
{
    struct rpc_listener *n = arg;
    n->connections--;
}

/* Tells one that comes too many, as far as its socket takes it at once. */
static void turn_away(struct rpc_listener *n, int fd, const char *name)
{
    struct wire_buf b = {0};
    wire_put_error(&b, 0, CENOTE_LIMIT, NULL);
    if (!b.failed && send(fd, b.data, b.len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        log_debug("rpc", "%s: %s", name, strerror(errno));
    wire_buf_free(&b);
    close(fd);
    log_warn("rpc", "%s turned away: there are %u connections", name, n->connections);
}

static void name_peer(const struct rpc_listener *n, int fd, const struct endpoint *peer, char *out,
                      size_t size)
{
    struct ucred cred = {0};
    socklen_t len_bytes = sizeof(cred);
    if (!endpoint_is_unix(&n->bound)) {
        endpoint_format(peer, out, size);
        return;
    }
    endpoint_format(&n->bound, out, size);
    size_t used = strlen(out);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len_bytes) == 0)
        snprintf(out + used, size - used, " uid=%u pid=%d", (unsigned)cred.uid, (int)cred.pid);
}

static void take_connection(struct rpc_listener *n, int fd, const struct endpoint *peer)
{
    char name[RPC_NAME_MAX];
    name_peer(n, fd, peer, name, sizeof(name));
    if (n->connections >= n->limits.connections_max) {
        turn_away(n, fd, name);
        return;
    }
    rpc_socket_tune(fd, &n->bound);
    struct rpc_conn_spec spec = {.fd = fd,
                                 .limits = n->limits,
                                 .handler = &n->handler,
                                 .arg = n->arg,
                                 .name = name,
                                 .local = endpoint_is_unix(&n->bound) || endpoint_is_local(peer),
                                 .gone = on_gone,
                                 .gone_arg = n};
    log_debug("rpc", "%s: accepted", name);
    n->connections++;
    if (rpc_conn_accepted(n->loop, &spec) != CENOTE_OK) {
        n->connections--;
        log_error("rpc", "%s: no memory for a connection", name);
    }
}

static bool is_transient(int error)
{
    return error == EINTR || error == ECONNABORTED || error == EPROTO || error == EPERM ||
           error == ENETDOWN || error == EHOSTUNREACH || error == ENETUNREACH;
}

static void on_acceptable(evutil_socket_t fd, short what, void *arg)
{
    struct rpc_listener *n = arg;
    (void)what;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct endpoint peer = {.addr_len = sizeof(peer.addr)};
        int conn_fd = accept4(fd, (struct sockaddr *)&peer.addr, &peer.addr_len,
                              SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (conn_fd >= 0) {
            take_connection(n, conn_fd, &peer);
        } else if (!is_transient(errno)) {
            if (errno == EAGAIN)
                return;
            const struct timeval pause = {0, ACCEPT_PAUSE_MS * 1000};
            log_error("rpc", "cannot accept: %s", strerror(errno));
            event_del(&n->accept_event);
            evtimer_add(&n->resume_event, &pause);
            return;
        }
    }
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct rpc_listener *n = arg;
    (void)fd;
    (void)what;
    event_add(&n->accept_event, NULL);
}

static void listener_destroy(struct rpc_owned *o)
{
    struct rpc_listener *n = (struct rpc_listener *)o;
    const struct sockaddr_un *un = (const struct sockaddr_un *)&n->bound.addr;
    event_del(&n->accept_event);
    event_del(&n->resume_event);
    /* While it still listens: nobody else can have taken the path over. */
    if (endpoint_is_unix(&n->bound) && un->sun_path[0])
        unlink(un->sun_path);
    close(n->fd);
    free(n);
}

int rpc_listen(struct rpc_loop *l, const struct endpoint *e, const struct rpc_limits *limits,
               const struct rpc_handler *handler, void *arg, struct endpoint *bound)
{
    struct rpc_listener *n = calloc(1, sizeof(*n));
    if (!n)
        return CENOTE_NO_MEMORY;
    int rc = n->fd = endpoint_listen(e, LISTEN_BACKLOG, &n->bound);
    if (rc < 0)
        goto free_listener;
    n->loop = l;
    n->limits = rpc_limits_full(limits);
    n->handler = *handler;
    n->arg = arg;
    event_assign(&n->accept_event, rpc_loop_base(l), n->fd, EV_READ | EV_PERSIST, on_acceptable, n);
    evtimer_assign(&n->resume_event, rpc_loop_base(l), on_resume, n);
    rc = CENOTE_NO_MEMORY;
    if (event_add(&n->accept_event, NULL) != 0)
        goto close_fd;
    if (!rpc_loop_own(l, &n->owned, listener_destroy))
        goto del_event;
    if (bound)
        *bound = n->bound;
    return CENOTE_OK;

del_event:
    event_del(&n->accept_event);
close_fd:
    close(n->fd);
free_listener:
    free(n);
    return rc;
}
