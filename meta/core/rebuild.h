/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store made again from what the nodes have written down (design.md §9).
 *
 *   GATHERING  nodes come; their joins are held, and each is asked for its notes (notes.h), until
 *              all those are there that the notes name, or so many as the operator said, or the
 *              time is over
 *   NAMING     a reign above all that were seen, addresses above all that were seen, the pool's key
 *              and the namespaces go to the store, and the service starts on it as ever
 *   READING    the nodes join with the incarnations that they have. Each first refuses all puts of
 *              before; then it reads its directory out, as far as the seals are live. Entries
 *              become pieces of objects; an object whose stripes are all there is committed
 *   ENDING     what isn't whole, or is older than another of its key, is retired like anything that
 *              was removed: void, then free
 *
 * The store is begun empty and carries a mark until the end. A service that finds the mark without
 * being told to rebuild refuses to start; one that is told to begins with an empty store again. So
 * nothing in between has to be resumed.
 *
 * Clients aren't served before the end. Nothing that is found can be wrong by a writer who is still
 * at it: entries are of committed extents, and those have no writers. But everything else on a node
 * counts as free space, and there may be writers and views of before. So nothing is placed on such
 * a node until it has settled: no put of before is being written, the leases of before are over,
 * and no view looks at what isn't in the directory. That is durable, too: see "settle" below. Time
 * alone never settles a node.
 */
#ifndef CENOTE_META_REBUILD_H
#define CENOTE_META_REBUILD_H

#include "meta/core/change.h"
#include "meta/core/members.h"

struct core;
struct recover;
struct object;

/* Nodes try to come back at least this often: so long they are waited for, unless their number is
 * known. */
#define REBUILD_LEAST_MS   2000u
#define REBUILD_RETRY_MS   1000u
#define REBUILD_TELL_MS    5000u
#define REBUILD_BATCH      512u /* entries of one call */
#define REBUILD_TICK_REFS  20000u
/* Reigns that nobody who is there may have heard of are stepped over. */
#define REBUILD_REIGNS     64u
/* The same with addresses: this part of all that the service has. */
#define REBUILD_GVA_PART   1024u
/* Nodes whose names are told when they are waited for. */
#define REBUILD_NAMES_MAX  16u
#define REBUILD_VALUES_MAX 64u

enum rebuild_phase {
    REBUILD_OFF,
    REBUILD_GATHERING,
    REBUILD_NAMING,
    REBUILD_READING,
    REBUILD_ENDING,
    REBUILD_FAILED
};

struct rebuild_counts {
    uint64_t nodes;          /* whose directories were read */
    uint64_t entries;        /* with live seals */
    uint64_t left_out;       /* without */
    uint64_t strange;        /* that contradict others, or that nobody has the namespace of */
    uint64_t objects, bytes; /* recovered */
    uint64_t older;          /* objects that lost to a newer one of their key */
    uint64_t incomplete;     /* objects without all of their stripes */
};

struct rebuild {
    uint8_t phase; /* enum rebuild_phase */
    bool done;     /* in this life */
    int status;    /* FAILED: why */
    struct recover *recover;
    void (*started)(struct recover *r, int status);
    struct list candidates; /* nodes that have come, by their names */
    struct list notes;      /* of all of them, merged */
    uint64_t notes_reign, notes_gva;
    uint64_t last_digest; /* of notes that were merged */
    bool has_key;
    struct hash_key pool_key;
    uint64_t began_ms, told_ms;
    uint32_t at; /* ENDING: reference of the table */
    struct change change;
    struct rebuild_counts counts;
    /* settling */
    uint64_t horizon; /* of the puts of before; 0: all is settled */
    struct change settled;
};

/* Values of the store that are the rebuild's own. */
bool rebuild_own_value(const void *name, size_t len);
/* The store must be empty. CENOTE_OK: r is done when nodes may come. */
int rebuild_start(struct core *c, struct recover *r);
/* At any other start: CENOTE_UNTRUSTED if a rebuild isn't over, logged. */
int rebuild_check(struct core *c);
/* The members have been loaded. */
int rebuild_recovered(struct core *c);

static inline bool rebuild_under_way(const struct rebuild *r)
{
    return r->phase != REBUILD_OFF;
}

/* A node's join, which is held until it may go on; as members_join(). */
int rebuild_join(struct core *c, const struct node_join_params *params,
                 const struct service_link *line, struct service_peer *peer,
                 void (*done)(void *arg, int status, struct node *node,
                              const struct node_join_result *result),
                 void *arg);
/* May the node bring incarnations that nobody here knows? */
bool rebuild_adopts(const struct core *c, const char *name);
/* May it bring this one? */
bool rebuild_segment_fits(const struct core *c, const struct node_segment *s);
void rebuild_joined(struct core *c, struct node *n);
void rebuild_disconnected(struct core *c, const struct service_peer *peer);
void rebuild_tick(struct core *c);
void rebuild_free(struct core *c);

/* The names of nodes that are waited for, at most max; how many there are. */
uint32_t rebuild_missing(const struct core *c, const char **names, uint32_t max);

#endif
