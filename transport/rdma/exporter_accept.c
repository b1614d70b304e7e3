/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "transport/base/endpoint.h"
#include "transport/base/log.h"
#include "transport/rdma/exporter.h"

#define BACKLOG         1024   /* storms of clients */
#define ACCEPTS_MAX     16     /* a turn */
#define ACCEPT_PAUSE_US 100000 /* after running out of descriptors */

static void refuse(const struct exporter *e, int fd)
{
    uint8_t raw[HELLO_ANSWER_BYTES];
    struct hello_answer a = {.status = CENOTE_LIMIT, .boot = e->gate.boot};
    hello_answer_encode(&a, raw);
    log_warn("rdma", "a client is refused: there are %u connections", EXPORTER_CONNECTIONS_MAX);
    (void)!send(fd, raw, sizeof raw, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(fd);
}

void exporter_on_accept(evutil_socket_t listener, short what, void *arg)
{
    static const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_US};
    struct exporter *e = arg;
    (void)what;
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0 && atomic_load(&e->connection_count) < EXPORTER_CONNECTIONS_MAX) {
            exporter_connection_open(e, fd);
            continue;
        }
        if (fd >= 0) {
            refuse(e, fd);
            continue;
        }
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
            log_error("rdma", "accept: %s", strerror(errno));
            event_del(e->accept_event);
            event_add(e->accept_again, &pause);
        }
        return;
    }
}

void exporter_on_accept_again(evutil_socket_t fd, short what, void *arg)
{
    struct exporter *e = arg;
    (void)fd;
    (void)what;
    event_add(e->accept_event, NULL);
}

int exporter_listen(struct exporter *e, const char *endpoint, char bound[XCOPY_ENDPOINT_MAX])
{
    struct endpoint at, name;
    if (endpoint_parse(endpoint, &at) != CENOTE_OK || endpoint_is_unix(&at)) {
        log_error("rdma", "%s is no TCP endpoint", endpoint);
        return CENOTE_INVALID;
    }
    e->listener = endpoint_listen(&at, BACKLOG, &name);
    if (e->listener < 0)
        return CENOTE_IO;
    endpoint_format(&name, bound, XCOPY_ENDPOINT_MAX);
    return CENOTE_OK;
}
