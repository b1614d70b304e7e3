/* SPDX-License-Identifier: Apache-2.0 */
/* What the service is given from outside: options, time, randomness, its store, connections. */
#ifndef CENOTE_META_ENV_H
#define CENOTE_META_ENV_H

#include <stddef.h>
#include <stdint.h>

#include "meta/core/store.h"
#include "meta/stub/slots.h"
#include "transport/base/trace.h"
#include "transport/wire/wire.h"

/* A connection, as seen by the service. */
struct service_link {
    void *arg;
    const char *name;
    /* Sends whole frames; the bytes are copied. answers: how many requests of the peer they answer.
     */
    void (*send)(void *arg, const void *frames, size_t len_bytes, unsigned answers);
    /* Calls a method at the peer (the msgid in frame is replaced); done is called exactly once,
     * with CENOTE_UNAVAILABLE when the connection goes. timeout_ms 0: never times out. */
    void (*call)(void *arg, const void *frame, size_t len_bytes, uint32_t timeout_ms,
                 void (*done)(void *done_arg, int status, struct wire_value result),
                 void *done_arg);
    /* Ends the connection; service_peer_closed() follows later. */
    void (*close)(void *arg);
};

struct service_options {
    uint32_t lease_ms;            /* of a lookup; 0: 10,000 */
    uint32_t put_timeout_ms;      /* a put that isn't finished is fenced; 0: 60,000 */
    uint32_t session_grace_ms;    /* a session without connection ends; 0: 15,000 */
    uint32_t heartbeat_ms;        /* 0: 1,000 */
    uint32_t suspect_ms;          /* a node without heartbeat gets no new extents; 0: 4,000 */
    uint32_t dead_ms;             /* ... and has lost its contents; 0: 30,000 */
    const struct slot_map *slots; /* copied; NULL: one service owns all ... */
    uint32_t shard;               /* ... otherwise this is the service's number */
    bool rebuild;                 /* from the nodes, into a store that is empty */
    uint32_t rebuild_nodes;       /* when so many are there it begins; 0: all that are known */
    uint32_t rebuild_wait_ms;     /* ... or when so long was waited; 0: 30,000 */
    uint32_t evict_high;          /* % of the memory used: eviction begins; 0: 95; 100: never ... */
    uint32_t evict_low;           /* ... and goes on down to this; 0: 92 */
    uint64_t stripe_bytes;        /* longer values are spread over nodes; whole chunks; 0: 64 MiB */
};

struct service_env {
    struct store *store;
    uint64_t (*now_ns)(void *arg); /* monotonic */
    uint64_t (*wall_ms)(void *arg);
    void (*random)(void *arg, void *out, size_t len_bytes);
    void *arg;
    struct trace *trace; /* NULL: nobody traces */
};

#endif
