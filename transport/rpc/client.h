/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's end of a connection to the service: what client.c (callers that wait) and
 * client_start.c (calls that nobody waits for) share.
 */
#ifndef CENOTE_RPC_CLIENT_H
#define CENOTE_RPC_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "transport/rpc/input.h"
#include "transport/rpc/rpc.h"

struct waiter;

struct rpc_client {
    int fd;
    atomic_bool broken; /* set under the lock */
    pthread_condattr_t monotonic;
    struct rpc_input input; /* the leader's */
    uint64_t heard_ns;      /* the leader's */

    pthread_mutex_t lock; /* of all below */
    struct rpc_calls calls;
    struct waiter *sleepers;
    bool has_leader;
    bool sending; /* somebody writes a request */
    uint32_t send_waiters;
    pthread_cond_t send_free;
    uint32_t users; /* threads inside */
    bool closed;

    /* The driver's, see client_start.c. */
    struct rpc_driver driver;
    uint32_t started;        /* its calls in flight */
    bool driver_leads;       /* has_leader is the driver */
    bool driver_sends;       /* sending is the driver: a part of out is on its way */
    uint8_t *out;            /* frames to send */
    size_t out_end, out_cap; /* bytes in out; room */
    size_t out_at;           /* sent */
    uint64_t out_first;      /* position in the driver's stream of out[0] ... */
    uint64_t offered;        /* ... up to which the kernel may have taken it */
};

/* With the lock. why: NULL when the owner closes. */
void client_break(struct rpc_client *c, const char *why);
/* With the lock: somebody leaves. Who waits for answers must not be without a leader. */
void client_wake_sleeper(struct rpc_client *c);
/* With the lock: has the service closed the connection while nobody was there? */
void client_check_silent(struct rpc_client *c);
/* One recv() and what it completes; *got: bytes. NULL, or why the connection is broken. The
 * leader's, without the lock. */
const char *client_receive(struct rpc_client *c, size_t *got);

#endif
