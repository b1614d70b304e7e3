/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes, and the incarnations of their segments.
 *
 * A node is known by its name. It is here from its first join until it is dead: through broken
 * connections, restarts of its process that kept the memory, and restarts of the service. An
 * incarnation owns a range of GVAs, taken durably before it is used and never given again; the
 * ranges in use lie in a sorted array, so an address leads to its incarnation, or to nothing.
 *
 * A node is judged by its heartbeats, in patient time (see core.h): alive, suspect (gets no new
 * extents), dead. Death is one durable record; afterwards its incarnations have ended, objects on
 * them are lost (and swept in steps), and what waited for the node needs nothing from it any more.
 */
#ifndef CENOTE_META_MEMBERS_H
#define CENOTE_META_MEMBERS_H

#include "meta/core/alloc.h"
#include "meta/core/change.h"
#include "meta/core/directory.h"
#include "meta/core/env.h"
#include "meta/core/list.h"
#include "meta/core/notes.h"
#include "meta/stub/messages.h"

struct core;
struct join;
struct node;
struct service_peer;

/* Kinds of segments, numbered like transport/memory.h's enum memory_kind. */
enum segment_kind { SEGMENT_HOST = 0, SEGMENT_HBM = 1 };

struct incarnation {
    uint64_t id;
    struct gva gva;
    uint64_t len_bytes;
    uint64_t quarantined_bytes; /* of what is in use: what waits to be free */
    uint32_t kind;              /* enum segment_kind */
    struct node *node;
    struct alloc *alloc;
    struct list voids;              /* struct extent_work: seals to be overwritten */
    struct list voiding;            /* likewise, on the way to the node */
    struct directory_sum directory; /* of its committed extents */
};

/* Extents that somebody looks at: when a node is asked for them again. An extent begins in the
 * first list and moves on with each answer that it is held still. */
#define HELD_FIRST_MS 50u
#define HELD_PAUSES   5u /* each twice the one before: the last is 800 ms */

struct held {
    struct list extents; /* struct extent_work */
    uint64_t again_ms;
};

/* After a rebuild: see rebuild.h. */
struct node_settle {
    bool wanted; /* nothing may be placed on it yet */
    bool in_flight;
    bool fenced;     /* it said so ... */
    uint64_t strays; /* ... and how many views look at what nobody knows */
    int refusal;     /* the last one, so that it is logged once */
    uint64_t again_ms;
};

struct node {
    struct link link; /* in members.nodes */
    struct core *core;
    uint64_t id;
    char name[NODE_NAME_MAX + 1];
    uint64_t boot;
    char host[TEXT_MAX], zone[TEXT_MAX], shm[TEXT_MAX], rdma[TEXT_MAX], tcp[TEXT_MAX];
    struct hash_key grant_key;
    uint32_t state;                             /* enum node_state */
    uint64_t heard_ms;                          /* patient time */
    struct service_peer *peer;                  /* NULL: not connected */
    struct service_link line;                   /* of the peer */
    struct incarnation *segments[SEGMENTS_MAX]; /* in the order of its join */
    uint32_t segment_count;
    struct list fences; /* struct fence: all, ... */
    struct list due;    /* ... and those to be called */
    bool void_in_flight;
    struct held held[HELD_PAUSES];
    uint32_t held_extents;
    struct rdma_report rdma_report; /* zeros: it serves none, or hasn't told yet */
    uint64_t holds;                 /* as its last heartbeat told */
    uint32_t void_count;            /* extents of the call in flight */
    uint32_t void_batch;            /* ... of one call at most */
    uint32_t void_segment;          /* where the next call begins to collect them */
    uint64_t again_ms;              /* after a refusal: no call before */
    uint32_t calls;                 /* in flight: each holds a pointer to the node */
    bool leaving;                   /* it said so: it closes the connection itself
                             */
    bool gone;                      /* no member any more; freed with its last call */
    struct node_directory directory;
    struct node_notes notes;
    struct node_settle settle;
    struct join *join; /* on the way to the store */
    struct change death;
};

#define NODES_MAX 4096u

struct members {
    struct list nodes;
    uint32_t node_count;
    struct incarnation **ranges; /* in order of addresses */
    uint32_t range_count, range_room, range_promised;
    uint32_t place_at; /* the range that placement looked at last */
    uint64_t gva_next; /* high-water mark of the addresses ... */
    uint64_t gva_end;  /* ... which end here */
    uint64_t map_version;
    bool sweeping, sweep_again;
    uint32_t sweep_at; /* next reference of the table to look at */
};

/* ---- ranges ---- */

/* The incarnation that owns all of [gva, gva + len); NULL: it has ended, or never was. */
struct incarnation *members_find(const struct core *c, struct gva gva, uint64_t len);
/* Does any incarnation own a part of it? */
bool members_overlap(const struct core *c, struct gva gva, uint64_t len);
/* A new incarnation, in no range yet; its place in the array is promised. NULL: no memory. */
struct incarnation *incarnation_new(struct core *c, uint64_t id, struct gva gva, uint64_t len_bytes,
                                    uint32_t kind);
/* For one that never came to be. */
void incarnation_undo(struct core *c, struct incarnation *i);
/* It is durable: from now on it is found. */
void incarnation_begin(struct core *c, struct incarnation *i, struct node *node);
/* Its end is durable. */
void incarnation_end(struct core *c, struct incarnation *i);

/* ---- nodes ---- */

struct node *members_by_name(const struct core *c, const char *name);
/* The one that joined over this connection; NULL: none. */
struct node *members_of_peer(const struct core *c, const struct service_peer *peer);
/* As the map tells of it. */
void members_describe(const struct node *n, struct map_node *out);
struct node *members_add(struct core *c, uint64_t id, const char *name);
/* Frees a node that is no member any more, once no call is in flight. */
void node_release(struct node *n);
/* Its memory is gone: one durable record, then all that follows from it. Not while it joins. */
void node_kill(struct core *c, struct node *n);
void members_heartbeat(struct core *c, struct node *n);
int members_populated(struct core *c, struct node *n, const struct node_heartbeat_params *p);
/* The connection of a node, or of a join under way, has gone. */
void members_disconnected(struct core *c, struct service_peer *peer);
void members_tick(struct core *c);
void members_free(struct core *c);

/* ---- joins (join.c) ---- */

/* CENOTE_OK: done is told when the join is durable (or has failed); its result is valid during the
 * call. Otherwise the refusal. params, link: copied. */
int members_join(struct core *c, const struct node_join_params *params,
                 const struct service_link *line, struct service_peer *peer,
                 void (*done)(void *arg, int status, struct node *node,
                              const struct node_join_result *result),
                 void *arg);

/* ---- records (member_record.c) ---- */

void member_record_node(struct core *c, const struct node *n); /* drafts a write */
void member_record_incarnation(struct core *c, const struct incarnation *i, uint64_t node);
void member_record_remove_node(struct core *c, uint64_t node);
void member_record_remove_incarnation(struct core *c, uint64_t incarnation);
int members_load(struct core *c);

#endif
