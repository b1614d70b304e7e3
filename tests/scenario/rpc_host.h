/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service for the RPC's scenarios: a listening loop on a thread of its own. Its methods:
 *
 *   echo [bin]    the same bin            hold []       answered by the next release
 *   fail []       NOT_FOUND               release []    nil, after the answers to all that is held
 *   big [n]       n bytes                 back [n]      calls twice [n] on the caller, answers so
 *   hangup []     closes the connection   stray []      a response that nobody asked for, then nil
 */
#ifndef CENOTE_SCENARIO_RPC_HOST_H
#define CENOTE_SCENARIO_RPC_HOST_H

#include <pthread.h>
#include <stdatomic.h>

#include "transport/rpc/rpc.h"

#define HOST_HELD_MAX 64

struct rpc_host {
    struct rpc_loop *loop;
    pthread_t thread;
    struct endpoint at;
    atomic_uint opened, closed, requests, notifications;
    struct {
        struct rpc_conn *conn;
        uint32_t msgid;
    } held[HOST_HELD_MAX]; /* the loop's thread's */
    atomic_uint held_count;
};

/* where: as endpoint_parse() wants it; limits may be NULL. */
void host_start(struct rpc_host *h, const char *where, const struct rpc_limits *limits);
void host_stop(struct rpc_host *h);

/* Sleeps in small steps until the counter has reached the value; a failure after ten seconds. */
void host_await(const atomic_uint *counter, unsigned value);

#endif
