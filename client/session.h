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
/* Says farewell, if the service is there. Calls that are running end soon, later ones at once, with
 * CENOTE_CLOSED. Any thread. */
void session_stop(struct session *s);
/* Ends the session, if that is still to be done. No call may be running. */
void session_close(struct session *s);
/* In a forked child, instead of closing. As rpc_client_abandon(). */
void session_abandon(struct session *s);

/* One call, sent once; seq is the number in it, or 0: it changes nothing. As rpc_client_call(), and
 * CENOTE_UNAVAILABLE: not sent, the service is away. CENOTE_NO_SESSION: this time it had no effect:
 * its session has ended, or its number is from an earlier session and means nothing in this one.
 * who (may be NULL) gets whom the service answered, which need not be who we are now. */
int session_call(struct session *s, uint64_t seq, const struct wire_buf *request,
                 struct rpc_answer *answer, struct xcopy_credentials *who);

/* ---- without waiting ------------------------------------------------------------------------ */

/* One thread, the driver, may have many calls under way; see rpc.h. These functions are its own,
 * but for session_connect(). */

/* Connections on which the driver has calls: the current one, and earlier ones. */
#define SESSION_LINKS_MAX 4u

struct link;

/* A call under way; the driver's memory. */
struct session_call {
    struct rpc_pending pending; /* first; the driver sets done() */
    struct link *link;
    uint64_t seq;
    struct xcopy_credentials who; /* as session_call()'s */
};

/* Not a status: there is no connection, and session_connect() may make one. */
#define SESSION_AWAY 1

/* Begins one call. CENOTE_OK: pending.done() follows. SESSION_AWAY; CENOTE_LIMIT: later again; or
 * it is over: as session_call(). */
int session_start(struct session *s, const struct rpc_driver *driver, uint64_t seq,
                  const struct wire_buf *request, struct session_call *call);
/* After done(): the call's status, as session_call(), but that CENOTE_UNAVAILABLE may mean no more
 * than that the connection had broken while nobody looked. */
int session_finish(struct session *s, struct session_call *call);
/* True: the call is over without done(), and its answer counts as lost. False: done() was called,
 * and session_finish() is still due. */
bool session_forget(struct session *s, struct session_call *call);
/* Makes a connection, if there is none. Waits; any thread. CENOTE_OK or why not. */
int session_connect(struct session *s);

/* As rpc_client_flush(), lead and follow, for all links with calls. fds has SESSION_LINKS_MAX
 * places; returns how many were filled, and session_follow() gets them back after the poll. */
struct pollfd;
void session_flush(struct session *s);
size_t session_lead(struct session *s, struct pollfd *fds);
void session_follow(struct session *s, const struct pollfd *fds, size_t count);

/* May a new number be taken? session_next_seq() waits until then. */
bool session_may_number(struct session *s);
/* Takes one at once. */
uint64_t session_number(struct session *s);

/* Numbers of changing calls, from 1: they go on over new sessions. */
uint64_t session_next_seq(struct session *s);

#endif
