/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the nodes are told of the committed extents that lie on them, so that they can be found
 * again should the store be lost (design.md §9). The nodes' side is server/node/directory.h.
 *
 * After a commit each of its extents gets a hint in the ring of its node: a reference to the object
 * and a number, 8 bytes. That is all that a commit costs. With the next tick the hints become a
 * call: the records are read in one walk of the store, the entries sent, one call at a time for a
 * node. A hint is no promise: what it leads to is looked at when it is sent, and nothing is said of
 * what isn't committed any more. An entry is dropped by the void of its extent, on the same
 * connection, so that it can't come back behind it.
 *
 * Nobody counts on the hints alone. For each incarnation the core keeps a sum (number and digest)
 * of the entries that there must be, and a node tells the sum of those that it has, with each
 * heartbeat and each answer. Whenever nothing is on the way to a node, the two must be equal. If
 * they are not (the service was killed before it had told all, a ring was full, the node has lost
 * its directory), the node is sent a list of everything: references of the table become hints step
 * by step, as far as there is room in the ring, while news go on between them; at the end the node
 * drops what wasn't named. So a restart in quiet times costs nothing but a comparison, and there is
 * nothing durable about all this.
 */
#ifndef CENOTE_META_DIRECTORY_H
#define CENOTE_META_DIRECTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/stub/directory.h"

struct core;
struct node;
struct node_heartbeat_params;
struct object;

/* Hints that wait for one node at most; a list of everything takes half of them at most. */
#define DIRECTORY_HINTS_MAX     65536u
/* In one tick, for all nodes: references looked at for lists, and entries sent. */
#define DIRECTORY_TICK_REFS     32768u
#define DIRECTORY_TICK_ENTRIES  16384u
/* In one call: lookups wait while it is put together, which takes about a microsecond each. */
#define DIRECTORY_CALL_ENTRIES  512u
/* From the beginning of one list to that of the node's next. */
#define DIRECTORY_LIST_PAUSE_MS 10000u
/* After a node has refused: how long it is left alone. */
#define DIRECTORY_RETRY_MS      1000u

struct directory_hint {
    uint32_t ref; /* of the table */
    uint32_t piece;
};

enum directory_list {
    LIST_NONE,
    LIST_DUE,
    LIST_UNDER_WAY,
    LIST_ENDING /* the last hints of the list wait in the ring */
};

struct node_directory {
    struct directory_hint *hints; /* a ring; NULL: none yet */
    uint32_t room;                /* a power of two, or 0 */
    uint32_t first, count;
    uint32_t sent;      /* the first ones, in the call in flight */
    uint8_t part;       /* of that call, enum directory_part */
    uint8_t list;       /* enum directory_list */
    uint32_t list_at;   /* next reference of the table */
    uint32_t list_left; /* ENDING: so many hints are before its end */
    bool kept;          /* the node keeps one */
    bool equal;         /* it was; since then there are hints for all that came */
    bool missed;        /* since the list began there was no room for a hint */
    bool in_flight;
    int refusal;               /* the last one, so that it is logged once */
    uint64_t again_ms;         /* no call before */
    uint64_t list_ms, due_ms;  /* no list before; unequal: a list from then on, quiet or not */
    struct directory_sum told; /* by the node */
};

/* In the core: what one tick may still do, and what is being sent. */
struct directory_wanted {
    uint64_t put_id;
    uint32_t ref, piece;
};
struct directory_work {
    uint32_t refs, entries;
    struct directory_wanted wanted[DIRECTORY_CALL_ENTRIES];
};

/* The object is durably committed. */
void directory_committed(struct core *c, struct object *o);
/* The same at the start: nobody is told before the sums have been compared. */
void directory_recovered(struct core *c, struct object *o);
/* Its record says something else now, of the same extents. The sums don't show that: what isn't
 * told when the service dies stays untold. */
void directory_changed(struct core *c, struct object *o);
/* It is durably not wanted any more; voids follow. */
void directory_retired(struct core *c, struct object *o);

void directory_joined(struct core *c, struct node *n);
/* The sum of a heartbeat. */
void directory_heard(struct core *c, struct node *n, const struct node_heartbeat_params *p);
void directory_tick(struct core *c);
void directory_free(struct node *n);

/* Extents of the node that must be in its directory; and how many of them may not be yet: 0 only
 * after the sums were equal, and all that came since has been told. */
uint64_t directory_extents(const struct node *n);
uint64_t directory_lag(const struct node *n);

#endif
