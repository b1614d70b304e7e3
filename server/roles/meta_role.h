/* SPDX-License-Identifier: Apache-2.0 */
/* The metadata service of this process: service, LMDB store and control sockets, on one thread. */
#ifndef CENOTE_SERVER_META_ROLE_H
#define CENOTE_SERVER_META_ROLE_H

#include <signal.h>

#include "server/config/options.h"
#include "transport/base/trace.h"
#include "transport/wire/wire.h"

struct meta_role;

/* Opens the store, recovers, listens; returns when clients can be served. CENOTE_OK, or the status
 * of what failed, logged. The signals, which the caller has blocked, end the process meanwhile. */
int meta_role_start(const struct options *o, struct trace *trace, const sigset_t *signals,
                    struct meta_role **out);
/* Closes all connections, finishes what is under way and closes the store cleanly. */
void meta_role_stop(struct meta_role *r);

/* Hands the service those of its limits that may change while it runs. false: no memory. */
bool meta_role_retune(struct meta_role *r, const struct options *o);

/* The control endpoints that it listens at, as text; NULL beyond the last. */
const char *meta_role_endpoint(const struct meta_role *r, size_t i);

/* What the service's state is. The asker's memory until answered(arg), which comes from the
 * service's thread; then status is his to free. */
struct meta_question {
    void (*answered)(void *arg);
    void *arg;
    struct meta_role *role;
    struct wire_buf status; /* as the method "status" answers */
};
/* Any thread, before meta_role_stop(). False: no memory, and no answer comes. */
bool meta_role_ask(struct meta_role *r, struct meta_question *q);
/* What it counts, as families of a page; status: of an answer, parsed. Any thread. */
void meta_role_page(const struct meta_role *r, struct wire_value status, struct textbuf *page);

/* Is the database being made again, so that nobody is served? Any thread. */
bool meta_role_is_rebuilding(const struct meta_role *r);
/* When its loop last came round, by clock_now_ms(). Any thread. */
uint64_t meta_role_ticked_ms(const struct meta_role *r);

#endif
