/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the evented side share with their loop. */
#ifndef CENOTE_RPC_LOOP_H
#define CENOTE_RPC_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/rpc/rpc.h"

struct event_base;

/* Something that ends with its loop at the latest: a connection, a listener, a timer, a watch. The
 * newest ends first, so a listener outlives its connections. */
struct rpc_owned {
    struct rpc_owned *next, *prev;
    void (*destroy)(struct rpc_owned *o); /* after the loop has let go of it */
};

struct event_base *rpc_loop_base(struct rpc_loop *l);
/* For the message that is being handled: a turn of the loop handles one at a time. */
struct wire_arena *rpc_loop_arena(struct rpc_loop *l);
/* One of its connections has sent something. */
void rpc_loop_sent(struct rpc_loop *l, uint64_t now_ns);
/* False while the loop is being freed: nothing new begins then. */
bool rpc_loop_own(struct rpc_loop *l, struct rpc_owned *o, void (*destroy)(struct rpc_owned *o));
void rpc_loop_disown(struct rpc_loop *l, struct rpc_owned *o);

#endif
