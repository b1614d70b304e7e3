/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's session with the metadata service, on whatever connection it has at the moment.
 *
 * The session outlives connections and restarts of the service: a call that finds the connection
 * broken makes a new one and resumes the session. If the service knows it no longer, a new session
 * is begun; what was pending in the old one is lost. While the service is away, calls fail at once:
 * after a connect that failed, nobody tries again for a while (doubling to SESSION_BACKOFF_MAX_MS).
 * Thread-safe.
 */
#ifndef CENOTE_CLIENT_SESSION_H
#define CENOTE_CLIENT_SESSION_H

#include <stdint.h>

#include "transport/rpc/rpc.h"
#include "transport/xcopy.h"

#define SESSION_BACKOFF_MIN_MS 100u
#define SESSION_BACKOFF_MAX_MS 1000u

struct session;

struct session_options {
    const char *meta;       /* the service's endpoint; copied */
    const char *name_space; /* copied */
    const char *client;     /* for people; copied */
    uint32_t timeout_ms;
    /* A connection was made, and this is who we are from now on. Called before any call travels on
     * it, from the thread that made it, one at a time. */
    void (*connected)(void *arg, const struct xcopy_credentials *who);
    void *arg;
};

/* Connects and begins a session. CENOTE_OK, CENOTE_INVALID (the endpoint), CENOTE_UNAVAILABLE,
 * CENOTE_VERSION, CENOTE_DENIED, CENOTE_NO_MEMORY. */
int session_open(const struct session_options *options, struct session **out);
/* Ends the session, if the service is there. No call may be running. */
void session_close(struct session *s);
/* In a forked child, instead of closing. As rpc_client_abandon(). */
void session_abandon(struct session *s);

/* One call, sent once; seq is the number in it, or 0: it changes nothing. As rpc_client_call(), and
 * CENOTE_UNAVAILABLE: not sent, the service is away. CENOTE_NO_SESSION: this time it had no effect:
 * its session has ended, or its number is from an earlier session and means nothing in this one.
 * who (may be NULL) gets whom the service answered, which need not be who we are now. */
int session_call(struct session *s, uint64_t seq, const struct wire_buf *request,
                 struct rpc_answer *answer, struct xcopy_credentials *who);

/* Numbers of changing calls, from 1: they go on over new sessions. */
uint64_t session_next_seq(struct session *s);

#endif
