/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service without I/O: messages, ticks and completions of the store in; messages and
 * changes out. The daemon wires it to libevent and LMDB, tests and the simulator to a scheduler.
 * One thread.
 */
#ifndef CENOTE_META_SERVICE_H
#define CENOTE_META_SERVICE_H

#include "meta/core/store.h"
#include "transport/wire/wire.h"

struct service;
struct service_peer; /* one control connection, as the service sees it */

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
    uint32_t lease_ms;         /* of a lookup; 0: 10,000 */
    uint32_t put_timeout_ms;   /* a put that isn't finished is fenced; 0: 60,000 */
    uint32_t session_grace_ms; /* a session without connection ends; 0: 15,000 */
    uint32_t heartbeat_ms;     /* 0: 1,000 */
    uint32_t suspect_ms;       /* a node without heartbeat gets no new extents; 0: 4,000 */
    uint32_t dead_ms;          /* ... and has lost its contents; 0: 30,000 */
};

struct service_env {
    struct store *store;
    uint64_t (*now_ms)(void *arg); /* monotonic */
    uint64_t (*wall_ms)(void *arg);
    void (*random)(void *arg, void *out, size_t len_bytes);
    void *arg;
};

/* Reads the store (takes a new reign, rebuilds table and allocators) and is ready when started() is
 * called: with CENOTE_OK, or with the status why not. Until then no peer may be opened. */
int service_new(const struct service_options *options, const struct service_env *env,
                void (*started)(void *arg, int status), void *arg, struct service **out);
/* After all peers are closed and the store has no change in flight. */
void service_free(struct service *s);

/* NULL: no memory, close the connection. link is copied. */
struct service_peer *service_peer_open(struct service *s, const struct service_link *link);
/* One request or notification. Answers may come from inside, or later. */
void service_peer_message(struct service_peer *p, const struct wire_msg *m);
void service_peer_closed(struct service_peer *p);

/* Time: call about every SERVICE_TICK_MS. */
#define SERVICE_TICK_MS 50u
void service_tick(struct service *s);

/* Compares store, table and allocators; 0: equal. Otherwise a line for each difference is logged
 * and their number returned. For tests, fsck and a clean stop. */
unsigned service_check(struct service *s);

#endif
