/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the rebuild share: the nodes that have come. */
#ifndef CENOTE_META_REBUILD_NODES_H
#define CENOTE_META_REBUILD_NODES_H

#include "meta/core/core.h"
#include "meta/core/rebuild.h"
#include "meta/stub/rebuild.h"

/* In the store: a rebuild isn't over; puts up to this one have to settle. */
#define REBUILD_VALUE_MARK   "rebuild"
#define REBUILD_VALUE_SETTLE "settle"

/* A node that has come at least once; here until the end. */
struct candidate {
    struct link link;
    struct core *core;
    struct node_join_params params;
    struct service_link line;
    struct service_peer *peer; /* whose join is held; NULL: none */
    void (*done)(void *arg, int status, struct node *node, const struct node_join_result *result);
    void *arg;
    uint32_t asked;       /* a number of the call that asks for notes; 0: none was asked */
    uint32_t asked_calls; /* under way: their answers lead here */
    bool noted;           /* its notes have come */
    bool has_key;
    struct hash_key pool_key;
    uint64_t gone_ms; /* since then without a connection */
    bool passed;      /* its join went on */
    bool joined;
    /* READING */
    bool reading; /* a call, or a change of the store, is under way */
    bool read;    /* all of it */
    uint64_t cursor, next_cursor;
    uint64_t again_ms;
    struct change change;
};

/* Its join is held, and what it remembers is known. */
static inline bool rebuild_is_there(const struct candidate *k)
{
    return k->peer != NULL && k->noted;
}

/* For good: logged with what couldn't be done. */
void rebuild_fail(struct core *c, int status, const char *what);

/* rebuild_notes.c */
/* Everything that a node remembers of the service's earlier lives. */
void rebuild_remember(struct rebuild *r, const struct node_join_params *p);
/* A node's notes have come. CENOTE_OK, CENOTE_NO_MEMORY. */
int rebuild_merge(struct candidate *k, struct wire_value notes, uint32_t count);
bool rebuild_own_pool(const struct rebuild *r, const struct candidate *k);
/* What is to be in the store again, as a part of the change that is being drafted. */
void rebuild_draft_notes(struct core *c);
void rebuild_free_notes(struct rebuild *r);

/* rebuild_join.c */
struct candidate *rebuild_candidate(const struct core *c, const char *name);
/* The join that was held goes on. */
void rebuild_pass_on(struct candidate *k);

/* rebuild_read.c */
void rebuild_read(struct candidate *k);
/* Is nothing left to be read? */
bool rebuild_all_read(struct core *c);
/* One step; true: all objects have been looked at. */
bool rebuild_end_step(struct core *c);

/* rebuild_settle.c: see rebuild.h. */
void rebuild_settle(struct core *c, struct node *n);
void rebuild_settle_tick(struct core *c);

#endif
