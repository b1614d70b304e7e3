/* SPDX-License-Identifier: Apache-2.0 */
/* How listeners and connects make connections. */
#ifndef CENOTE_RPC_CONN_H
#define CENOTE_RPC_CONN_H

#include "transport/rpc/loop.h"

#define RPC_NAME_MAX 192u

struct rpc_conn_spec {
    int fd; /* non-blocking; the connection's from now on, also if making one fails */
    struct rpc_limits limits;
    const struct rpc_handler *handler;
    void *arg;
    const char *name;
    bool local;
    /* Told when the connection is gone, after handler->closed. May be NULL. */
    void (*gone)(void *gone_arg);
    void *gone_arg;
};

/* Limits with their defaults filled in; NULL: all of them. */
struct rpc_limits rpc_limits_full(const struct rpc_limits *limits);

/* An accepted socket: opened() is called from here. CENOTE_OK, CENOTE_NO_MEMORY (gone() was not
 * called). */
int rpc_conn_accepted(struct rpc_loop *l, const struct rpc_conn_spec *spec);
/* A socket whose connect() has returned this errno (0, EINPROGRESS, or why it failed). */
int rpc_conn_connecting(struct rpc_loop *l, const struct rpc_conn_spec *spec, int connect_errno);

#endif
