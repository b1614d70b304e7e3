/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calls in flight on one connection, by msgid, and the msgids of calls that timed out: their
 * late answers are no breach of the protocol. Not thread-safe.
 */
#ifndef CENOTE_RPC_CALLS_H
#define CENOTE_RPC_CALLS_H

#include <stdbool.h>
#include <stdint.h>

#define RPC_CALLS_MAX     16384u /* in flight on one connection */
#define RPC_CALLS_BUCKETS 64u
/* Timed-out calls remembered; the answer to an older one breaks the connection. */
#define RPC_LATE_MAX      4096u

/* Embedded in what its owner knows of the call. */
struct rpc_call {
    uint32_t msgid;
    struct rpc_call *next;
};

struct rpc_calls {
    struct rpc_call *buckets[RPC_CALLS_BUCKETS]; /* msgids run, so they spread evenly */
    uint32_t count;
    uint32_t last_msgid;
    uint32_t *late; /* a ring, made when the first call times out; 0: empty place */
    uint32_t late_at;
};

/* Gives the call a msgid and adds it. msgids are never 0: an answer with 0 belongs to no call. */
void rpc_calls_add(struct rpc_calls *c, struct rpc_call *call);
/* The call with this msgid; NULL: there is none. */
struct rpc_call *rpc_calls_find(struct rpc_calls *c, uint32_t msgid);
/* Takes the call with this msgid out; NULL: there is none. */
struct rpc_call *rpc_calls_take(struct rpc_calls *c, uint32_t msgid);
/* Takes any call out; NULL: there is none. */
struct rpc_call *rpc_calls_take_any(struct rpc_calls *c);
/* Remembers a msgid taken out because its time was up. */
void rpc_calls_expect_late(struct rpc_calls *c, uint32_t msgid);
/* Is this the answer to such a call? Forgets it: a second answer is a breach. */
bool rpc_calls_was_late(struct rpc_calls *c, uint32_t msgid);
void rpc_calls_free(struct rpc_calls *c);

#endif
