/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the service: its connections, the requests that are answered later, the methods. */
#ifndef CENOTE_META_PEER_H
#define CENOTE_META_PEER_H

#include "meta/core/core.h"
#include "meta/core/recover.h"
#include "meta/service/service.h"
#include "meta/service/traffic.h"

/* Extents in one answer, so that it fits a frame; an object that has no room with the others in
 * its batch answers CENOTE_LIMIT. */
#define ANSWER_EXTENTS_MAX 65536u

struct service {
    struct core core;
    struct recover recover;
    void (*started)(void *arg, int status);
    void *started_arg;
    struct list requests; /* not answered yet */
    struct list peers;
    struct wire_buf spare; /* of the last answer; its memory is used again */
    /* of the batch being looked at */
    struct hash128 hashes[CENOTE_BATCH_MAX];
    uint16_t slots[CENOTE_BATCH_MAX];
    struct object *found[CENOTE_BATCH_MAX];
    struct traffic traffic;
    uint64_t ticked_ns;   /* of the last message before the last tick */
    unsigned quiet_ticks; /* in a row */
    unsigned trace_first; /* the point of the first method; the others follow */
    uint64_t traced_ns;   /* of the message that is being handled */
};

struct service_peer {
    struct link link;
    struct service *service;
    struct service_link line;
    struct session *session;
    uint32_t requests; /* not answered yet; each holds a pointer to the peer */
    bool closed;
};

/* A request that is answered later lies at the beginning of what its method needs. */
struct request {
    struct link link;
    struct service_peer *peer;
    uint32_t msgid;
    uint32_t size; /* of it all */
    struct traffic_call call;
    uint64_t traced_ns;
};

/* Zero-filled, of this size; NULL: no memory. free() is for those that haven't begun. */
void *request_new(struct service *s, size_t size);
/* An empty buffer for an answer, and the end of one. */
struct wire_buf answer_begin(struct service *s);
void answer_end(struct service *s, struct wire_buf *b);

void request_begin(struct request *r, struct service_peer *p, uint32_t msgid);
/* Head of the answer. */
void request_result(const struct request *r, struct wire_buf *b);
/* Sends the answer (which may have failed for want of memory or room), ends the buffer and frees
 * the request. */
void request_end(struct request *r, struct wire_buf *b);
/* The same for what has had an effect already. If there is no memory to say so, the connection is
 * closed: its peer comes back and finds out, while an error would tell him that it failed. */
void request_end_done(struct request *r, struct wire_buf *b);
/* Nobody is there to be answered. */
void request_drop(struct request *r);
/* The same with an error; needs no memory. */
void request_fail(struct request *r, int status);

/* [status] in place of the item of a key. */
void refusal_put(const struct core *c, struct wire_buf *b, int status);
/* The status of a key in a list of statuses. */
void key_status_put(const struct core *c, struct wire_buf *b, int status);

/* A method writes its result and returns CENOTE_OK, or an error, or METHOD_LATER. */
#define METHOD_LATER 1
typedef int (*method_fn)(struct service_peer *p, uint32_t msgid, struct wire_value params,
                         struct wire_buf *result);

enum method_needs { NEEDS_NOTHING, NEEDS_SESSION, NEEDS_NODE };

struct method {
    const char *name;
    method_fn run;
    enum method_needs needs;
    bool notify; /* may come as a notification: nobody hears the answer */
};

/* All of them; the last one stands for those that aren't known, and can't be run. */
extern const struct method methods[];
unsigned method_count(void);
/* The last one: there is none of that name. */
const struct method *method_find(const char *name);

/* ---- numbered calls (numbered.c); see meta/core/window.h ---- */

struct numbered_params {
    uint64_t seq;
    enum numbered_kind kind;
    uint32_t count;
};

/* NUMBERED_RUN: the method does the call *out, and numbered_end() answers it. Otherwise it is an
 * old one, and this is what the method returns. */
#define NUMBERED_RUN 2
int numbered_begin(struct service_peer *p, uint32_t msgid, const struct numbered_params *params,
                   struct wire_buf *result, struct numbered **out);
/* Does anybody wait for the answer? */
bool numbered_wanted(const struct request *r, const struct numbered *n);
/* Nobody does, and nothing was done: the call never came. Frees r. */
void numbered_forget(struct request *r, struct session *s, struct numbered *n);
/* All statuses are there: answers, and frees r. */
void numbered_end(struct request *r, struct session *s, struct numbered *n);

/* ---- parts of put_start's answer (put_methods.c) ---- */

/* Is everything there that a write grant needs? False: a node is away. */
bool put_can_be_granted(const struct core *c, struct object *o);
/* o may be NULL: nothing is left of the put. */
void put_start_item_answer(struct core *c, int status, struct object *o, struct wire_buf *b);

int method_session_open(struct service_peer *p, uint32_t msgid, struct wire_value params,
                        struct wire_buf *result);
int method_session_resume(struct service_peer *p, uint32_t msgid, struct wire_value params,
                          struct wire_buf *result);
int method_session_close(struct service_peer *p, uint32_t msgid, struct wire_value params,
                         struct wire_buf *result);
int method_map(struct service_peer *p, uint32_t msgid, struct wire_value params,
               struct wire_buf *result);
int method_put_start(struct service_peer *p, uint32_t msgid, struct wire_value params,
                     struct wire_buf *result);
int method_put_commit(struct service_peer *p, uint32_t msgid, struct wire_value params,
                      struct wire_buf *result);
int method_put_abort(struct service_peer *p, uint32_t msgid, struct wire_value params,
                     struct wire_buf *result);
int method_lookup(struct service_peer *p, uint32_t msgid, struct wire_value params,
                  struct wire_buf *result);
int method_exists(struct service_peer *p, uint32_t msgid, struct wire_value params,
                  struct wire_buf *result);
int method_stat(struct service_peer *p, uint32_t msgid, struct wire_value params,
                struct wire_buf *result);
int method_remove(struct service_peer *p, uint32_t msgid, struct wire_value params,
                  struct wire_buf *result);
int method_keep(struct service_peer *p, uint32_t msgid, struct wire_value params,
                struct wire_buf *result);
int method_namespaces(struct service_peer *p, uint32_t msgid, struct wire_value params,
                      struct wire_buf *result);
int method_namespace_set(struct service_peer *p, uint32_t msgid, struct wire_value params,
                         struct wire_buf *result);
int method_namespace_remove(struct service_peer *p, uint32_t msgid, struct wire_value params,
                            struct wire_buf *result);
int method_list(struct service_peer *p, uint32_t msgid, struct wire_value params,
                struct wire_buf *result);
int method_slots(struct service_peer *p, uint32_t msgid, struct wire_value params,
                 struct wire_buf *result);
int method_status(struct service_peer *p, uint32_t msgid, struct wire_value params,
                  struct wire_buf *result);
int method_fsck(struct service_peer *p, uint32_t msgid, struct wire_value params,
                struct wire_buf *result);
int method_node_join(struct service_peer *p, uint32_t msgid, struct wire_value params,
                     struct wire_buf *result);
int method_node_heartbeat(struct service_peer *p, uint32_t msgid, struct wire_value params,
                          struct wire_buf *result);
int method_extent_damaged(struct service_peer *p, uint32_t msgid, struct wire_value params,
                          struct wire_buf *result);
int method_node_leave(struct service_peer *p, uint32_t msgid, struct wire_value params,
                      struct wire_buf *result);

#endif
