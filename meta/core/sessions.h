/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions: the lives of clients with the service. A session outlives its connection by
 * session_grace, and restarts of the service: its token proves it, and nothing of it is stored but
 * the puts it owns. When it ends its pending puts are aborted, and fenced: nobody knows what its
 * client is still writing.
 *
 * A fence stands for one (session, node). It exists from the first extent that the session gets on
 * the node, so that nothing has to be allocated when it is needed. One call is in flight at a time;
 * what comes to wait meanwhile is covered by the next call's horizon.
 */
#ifndef CENOTE_META_SESSIONS_H
#define CENOTE_META_SESSIONS_H

#include "meta/core/list.h"
#include "meta/core/spaces.h"
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
    struct space *space;
    char client[TEXT_MAX];
    struct service_peer *peer; /* its connection; NULL: none ... */
    uint64_t gone_ms;          /* ... since then (patient time), and it is in sessions.gone */
    struct link gone;
    bool ended;
    struct list puts; /* struct put, by put id */
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
    uint32_t count;   /* not ended */
    struct list gone; /* struct session without a connection, longest first */
};

/* A new one, without a connection; NULL: no memory. SESSIONS_MAX is for those that clients ask for:
 * what is in the store must be taken. */
struct session *sessions_add(struct core *c, uint64_t id, struct space *space, const char *client);
struct session *sessions_find(const struct core *c, uint64_t id);
/* CENOTE_OK and the session, found or made again after a restart; CENOTE_NO_SESSION. */
int sessions_resume(struct core *c, const struct session_resume_params *p, struct session **out);
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
