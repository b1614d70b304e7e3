/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's membership in the pool, without I/O: connecting, joining, heartbeats, and the service's
 * calls. Connections, answers and time in; connects, messages and calls out.
 *
 *            connect            connected             join answered
 *   WAITING ---------> CONNECTING -------> JOINING -----------------> JOINED
 *      ^------------------- disconnected, refused ----------------------'
 *
 * A member that finds its way back joins again with the same boot and incarnations: the contents
 * are still there. When the service says that they have ended (the node was declared dead, or the
 * database forgot it), the member is LOST: the caller makes a new one with a new boot and new
 * memory.
 */
#ifndef CENOTE_SERVER_NODE_MEMBER_H
#define CENOTE_SERVER_NODE_MEMBER_H

#include "server/node/node.h"
#include "transport/wire/wire.h"

#define MEMBER_TICK_MS              50u
#define MEMBER_RETRY_FIRST_MS       50u
#define MEMBER_RETRY_MAX_MS         1000u
#define MEMBER_CALL_TIMEOUT_MS      10000u
#define MEMBER_LEAVE_TIMEOUT_MS     2000u
#define MEMBER_HEARTBEATS_IN_FLIGHT 16u /* unanswered ones, after which no more are sent */

struct member;

struct member_env {
    void *arg;
    /* member_connected() or member_disconnected() follows, possibly from inside. */
    void (*connect)(void *arg);
    /* Sends a frame that answers one request. */
    void (*answer)(void *arg, const void *frame, size_t len_bytes);
    /* Calls a method of the service, see rpc_conn_call(). */
    void (*call)(void *arg, const void *frame, size_t len_bytes, uint32_t timeout_ms,
                 void (*done)(void *done_arg, int status, struct wire_value result),
                 void *done_arg);
    /* Ends the connection; member_disconnected() follows later. */
    void (*close)(void *arg);
    /* The pool has given the contents their incarnations, or confirmed them; nothing has been told
     * to it since, so that nothing can lie in them yet. */
    void (*joined)(void *arg);
    /* The node has notes of the service (node_notes_of()). CENOTE_OK: they are kept as long as the
     * contents; otherwise the service tries again. */
    int (*noted)(void *arg);
    uint64_t (*now_ms)(void *arg);
};

/* Who the node is; the texts are copied. */
struct member_identity {
    char name[NODE_NAME_MAX + 1];
    char host[TEXT_MAX], zone[TEXT_MAX], shm[TEXT_MAX], rdma[TEXT_MAX], tcp[TEXT_MAX];
};

enum member_state {
    MEMBER_WAITING, /* for the time to connect again */
    MEMBER_CONNECTING,
    MEMBER_JOINING,
    MEMBER_JOINED,
    MEMBER_LOST, /* the contents have ended */
    MEMBER_LEAVING,
    MEMBER_LEFT
};

/* node must outlive it. NULL: no memory. */
struct member *member_new(const struct member_env *env, const struct member_identity *who,
                          struct node *node);
/* From now on the node looks through its memory, so many bytes a second; 0: it doesn't. CENOTE_OK
 * or CENOTE_NO_MEMORY. */
int member_scrub(struct member *m, uint64_t bytes_per_s);
/* Disconnected, that is with no call in flight. */
void member_free(struct member *m);

enum member_state member_state(const struct member *m);

void member_connected(struct member *m);
void member_disconnected(struct member *m);
/* One request or notification of the service. */
void member_message(struct member *m, const struct wire_msg *msg);
/* The node's fenced() and nudge() end here: fenced() directly, nudge() by way of a tick or
 * node_poll() on the member's thread. */
void member_fenced(struct member *m, uint64_t tag);
/* Time passes: about every MEMBER_TICK_MS. */
void member_tick(struct member *m);
/* Joined, all that was to be told is told, and heartbeats are far apart. */
bool member_is_quiet(const struct member *m);
/* Takes the node out of the pool: its contents end. The state becomes LEFT soon. */
void member_leave(struct member *m);
/* Has the service said that the contents have ended? */
bool member_contents_ended(const struct member *m);

#endif
