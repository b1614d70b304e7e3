/* SPDX-License-Identifier: Apache-2.0 */
/* The session's connections: what session.c and session_start.c share. */
#ifndef CENOTE_CLIENT_SESSION_LINK_H
#define CENOTE_CLIENT_SESSION_LINK_H

#include <pthread.h>
#include <stdatomic.h>

#include "client/hello.h"
#include "client/lost.h"
#include "client/session.h"

#define SESSION_META_MAX 256u

/* A connection with the calls that use it; the last of them closes it. */
struct link {
    struct rpc_client *rpc;
    struct xcopy_credentials who; /* greeted as */
    uint64_t first_seq;           /* earlier numbers belong to an earlier session */
    unsigned users;               /* calls, and the session itself while it is the current one */
};

struct session {
    pthread_mutex_t lock; /* of all up to greeting; never held while anything blocks */
    struct link *link;    /* NULL: none */
    uint64_t not_before_ms;
    uint32_t backoff_ms;
    uint64_t disowned;           /* a session that the service doesn't know */
    bool closing;                /* no more connections, no more calls */
    struct rpc_client *greeting; /* the connection that is being greeted on */

    pthread_mutex_t connecting; /* held by the one who makes a connection; guards hello */
    struct hello hello;
    uint64_t first_seq; /* of the session in hello; likewise guarded */

    struct link *started[SESSION_LINKS_MAX]; /* links with calls of the driver; its thread's own */
    uint32_t started_calls[SESSION_LINKS_MAX];

    _Atomic uint64_t seq;
    struct lost lost;
    char meta[SESSION_META_MAX];
    uint32_t timeout_ms;
    void (*connected)(void *arg, const struct xcopy_credentials *who);
    void *arg;
};

/* The current link, with one user more; NULL: there is none, or it is broken. */
struct link *link_take(struct session *s);
void link_drop(struct session *s, struct link *l);
/* The service answered that it doesn't know the session of this link. */
void link_disowned(struct session *s, struct link *l);
/* Would a new connection be tried now? CENOTE_OK, CENOTE_UNAVAILABLE, CENOTE_CLOSED. */
int link_possible(struct session *s);
/* Did this try of a numbered call leave it without an answer? */
void session_note_lost(struct session *s, uint64_t seq, int status);

#endif
