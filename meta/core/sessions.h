/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: the lives of clients with the service. A session outlives its connection by
 * session_grace, and restarts of the service: its token proves it, and its record in the store says
 * that it hasn't ended. With it go the answers of its window (window.h), so a session that can be
 * resumed has all of them. When it ends its pending puts are aborted, and fenced: nobody knows what
 * its client is still writing; and its records are removed, its own first.
 *
 * A fence stands for one (session, node). It exists from the first extent that the session gets on
 * the node, so that nothing has to be allocated when it is needed. One call is in flight at a time;
 * what comes to wait meanwhile is covered by the next call's horizon.
 */
#ifndef CENOTE_META_SESSIONS_H
#define CENOTE_META_SESSIONS_H

#include "meta/core/list.h"
#include "meta/core/spaces.h"
#include "meta/core/window.h"
#include "meta/stub/messages.h"

struct core;
struct node;
struct service_peer;

struct fence {
    struct link by_session, by_node; /* both unused: orphaned, freed when the call is over */
    struct link due;                 /* in node.due: something waits, and no call is in flight */
    struct core *core;
    struct session *session;
    uint64_t session_id;
    struct node *node;
    struct list waiting; /* struct extent_work */
    uint64_t horizon;    /* of the call in flight */
    bool in_flight;
};

struct session {
    struct session *next; /* in its bucket */
    uint64_t id;
    struct core *core;
    struct space *space;
    char client[TEXT_MAX];
    struct service_peer *peer; /* its connection; NULL: none ... */
    uint64_t gone_ms;          /* ... since then (patient time), and it is in sessions.gone */
    struct link gone;          /* ended: in sessions.leftover, or in none */
    bool ended;
    bool durable;                  /* it has records in the store */
    struct session_stored *stored; /* told of the first */
    bool forgotten;                /* ... of which the change on its way removes the last */
    uint32_t forget_slot;          /* where to go on with the removal */
    struct change change;          /* of its records */
    struct window *window;         /* NULL: no numbered call yet */
    struct list puts;              /* struct put, by put id */
    uint32_t put_count;
    uint32_t holds; /* others that need it a little longer */
    struct list fences;
    uint64_t ending_bytes, ending_extents; /* its aborted puts in quarantine */
};

#define SESSIONS_MAX        65536u
#define SESSION_BUCKETS     4096u
#define SESSION_PENDING_MAX 65536u

struct sessions {
    struct session *buckets[SESSION_BUCKETS];
    uint32_t count;       /* not ended */
    uint64_t fenced;      /* fences that nodes have confirmed, ever */
    struct list gone;     /* struct session without a connection, longest first */
    struct list leftover; /* struct session, ended: records have to be removed */
};

/* A new one, without a connection; NULL: no memory. SESSIONS_MAX is for those that clients ask for:
 * what is in the store must be taken. */
struct session *sessions_add(struct core *c, uint64_t id, struct space *space, const char *client);
/* Somebody who begins one. */
struct session_stored {
    void (*done)(struct session_stored *w, struct session *s, int status);
};
/* A new one with its record. CENOTE_OK: w is told when that is durable, and then has the session to
 * use it or to end it; or that it was refused. CENOTE_LIMIT, CENOTE_NO_MEMORY. */
int sessions_begin(struct core *c, struct space *space, const char *client,
                   struct session_stored *w);
/* One of which the store has only leftovers: they are removed. NULL: no memory. */
struct session *sessions_add_ended(struct core *c, uint64_t id);
struct session *sessions_find(const struct core *c, uint64_t id);
/* CENOTE_OK and the session; CENOTE_NO_SESSION. */
int sessions_resume(const struct core *c, const struct session_resume_params *p,
                    struct session **out);
void sessions_connected(struct session *s, struct service_peer *peer);
/* Its connection has gone. */
void sessions_disconnected(struct core *c, struct session *s);
/* Aborts what is pending. The session is freed when nothing is left of it. */
void sessions_end(struct core *c, struct session *s);
/* Frees an ended session that owns nothing any more. */
void sessions_release(struct core *c, struct session *s);
void sessions_tick(struct core *c);
void sessions_free(struct core *c);

/* Finds or makes; NULL: no memory. */
struct fence *sessions_fence(struct core *c, struct session *s, struct node *node);
/* Something waits: the node is to be called, unless it is being. */
void fence_due(struct fence *f);
/* The node has gone: nothing may wait any more. */
void fence_orphan(struct fence *f);

#endif
