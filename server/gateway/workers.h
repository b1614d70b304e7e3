/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gateway's threads: each runs one call of the library at a time.
 *
 * One is always there; others come when there is work for them, and go when there is none. Calls
 * that may wait for long (for room, for leases, for a service that is away) have some of them only,
 * so that reading goes on.
 */
#ifndef CENOTE_GATEWAY_WORKERS_H
#define CENOTE_GATEWAY_WORKERS_H

#include "server/http/http.h"

#define WORKERS_MAX         32u
#define WORKERS_WAITING_MAX 24u
#define WORKERS_IDLE_MS     1000u /* then a thread looks around, and ends */

struct workers;

struct job {
    struct http_task task; /* first */
    struct job *next;
    bool may_wait;
    void (*work)(struct job *job); /* on a worker */
    void (*done)(struct job *job); /* then, on the server's thread */
};

/* idle(arg) is called by a worker that has nothing to do, now and then; it returns whether it wants
 * to be called again. */
int workers_new(struct http_server *server, bool (*idle)(void *arg), void *arg,
                struct workers **out);
/* The server's thread. The job's memory is the caller's until done(). */
void workers_run(struct workers *w, struct job *job);
/* All jobs are done. NULL is accepted. */
void workers_free(struct workers *w);

#endif
