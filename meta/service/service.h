/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metadata service without I/O: messages, ticks and completions of the store in; messages and
 * changes out. The daemon wires it to libevent and LMDB, tests and the simulator to a scheduler.
 * One thread.
 */
#ifndef CENOTE_META_SERVICE_H
#define CENOTE_META_SERVICE_H

#include "meta/core/env.h"
#include "transport/base/textbuf.h"

struct service;
struct service_peer; /* one control connection, as the service sees it */

/* Reads the store (takes a new reign, rebuilds table and allocators) and is ready when started() is
 * called: with CENOTE_OK, or with the status why not. Until then no peer may be opened. */
int service_new(const struct service_options *options, const struct service_env *env,
                void (*started)(void *arg, int status), void *arg, struct service **out);
/* After all peers are closed and the store has no change in flight. */
void service_free(struct service *s);

/* The limits that may change meanwhile; what they mean says struct service_options. They hold for
 * what begins from now on: a put keeps its time. No 0 here. */
struct service_tuning {
    uint32_t put_timeout_ms, session_grace_ms;
    uint32_t evict_high, evict_low;
    uint64_t stripe_bytes;
};
void service_retune(struct service *s, const struct service_tuning *t);

/* NULL: no memory, close the connection. link is copied. */
struct service_peer *service_peer_open(struct service *s, const struct service_link *link);
/* One request or notification. Answers may come from inside, or later. */
void service_peer_message(struct service_peer *p, const struct wire_msg *m);
void service_peer_closed(struct service_peer *p);

/* Time: call about every SERVICE_TICK_MS. */
#define SERVICE_TICK_MS       50u
/* ... or this, while service_is_quiet(); less than CORE_GAP_MAX_MS. */
#define SERVICE_QUIET_TICK_MS 125u
void service_tick(struct service *s);
/* For a second no client has called, and nothing is under way but heartbeats. */
bool service_is_quiet(const struct service *s);

/* Whoever calls is about to wait: what takes time from now on isn't the service's. sent_ns: when he
 * sent the last of its answers, by the service's clock; 0, if he doesn't know. */
void service_idle(struct service *s, uint64_t sent_ns);

/* What the method "status" answers, as one value. */
void service_status(struct service *s, struct wire_buf *out);
/* All that is counted, as families of a page; status: what service_status() wrote, parsed. Any
 * thread, as long as the service is there. */
void service_page(const struct service *s, struct wire_value status, struct textbuf *page);
/* Is the database being made again? Nobody is served meanwhile. */
bool service_is_rebuilding(const struct service *s);
/* The owner is about to wait, after messages, completions or a tick: a little of what need not be
 * done at once. */
void service_turn(struct service *s);

/* Compares store, table and allocators; 0: equal. Otherwise a line for each difference is logged
 * and their number returned. For tests, fsck and a clean stop. */
unsigned service_check(struct service *s);

#endif
