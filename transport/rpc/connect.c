/* SPDX-License-Identifier: Apache-2.0 */
#include <cenote/status.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "transport/base/log.h"
#include "transport/rpc/conn.h"
#include "transport/rpc/socket.h"

int rpc_connect(struct rpc_loop *l, const struct endpoint *e, const struct rpc_limits *limits,
                const struct rpc_handler *handler, void *arg)
{
    char name[RPC_NAME_MAX];
    endpoint_format(e, name, sizeof(name));
    int fd = socket(e->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        log_error("rpc", "%s: no socket: %s", name, strerror(errno));
        return CENOTE_UNAVAILABLE;
    }
    rpc_socket_tune(fd, e);
    int rc = connect(fd, (const struct sockaddr *)&e->addr, e->addr_len);
    struct rpc_conn_spec spec = {.fd = fd,
                                 .limits = rpc_limits_full(limits),
                                 .handler = handler,
                                 .arg = arg,
                                 .name = name,
                                 .local = endpoint_is_local(e)};
    return rpc_conn_connecting(l, &spec, rc == 0 ? 0 : errno);
}
