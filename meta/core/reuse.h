/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From "not wanted any more" to free space: what everything else rests on (design.md §6).
 *
 * An object that ends (its put was aborted, or it was removed, replaced or lost) is durable as
 * ABORTING or REMOVED before anything here begins. Then each of its extents goes one way:
 *
 *   FENCING   a writer may still write to it: waits until the node has fenced its session
 *   VOIDING   its seal may be live: waits until the node says that it is void
 *   HELD      its seal is void, and somebody still looks at the bytes: the node is asked again,
 *             after ever longer pauses, until it says that nobody does
 *   DONE      none of these; or its incarnation has ended, and with it all of this
 *
 * Nodes that are away are waited for, without end: time proves nothing about a writer, nor about
 * whoever holds an extent. Only when all extents are done and the lease of the object has run out
 * is the record deleted, and when that is durable the space is free. After a restart everything
 * begins again from the records: fencing and voiding twice do no harm.
 *
 * Apart from that an ending object settles: when all seals are void or the lease has run out, no
 * reader accepts it any more, and a newer object of the key may be shown. Whoever holds it doesn't
 * delay that: a view began before.
 */
#ifndef CENOTE_META_REUSE_H
#define CENOTE_META_REUSE_H

#include "meta/core/core.h"

struct claim;

enum extent_step { EXTENT_IDLE, EXTENT_FENCING, EXTENT_VOIDING, EXTENT_HELD, EXTENT_DONE };

struct extent_work {
    struct link link; /* in a fence, in an incarnation's voids or voiding, or in a node's held */
    struct ending *ending;
    uint32_t piece;
    uint16_t call_index; /* among the extents of the call that it is in */
    uint8_t step;        /* enum extent_step */
    uint8_t asked_held;  /* HELD: how often in a row, up to HELD_PAUSES */
    bool is_void;        /* the seal, as the node said */
    bool may_write;      /* a write may still land */
    bool visible;        /* of a put that is to be committed: written, and to be kept */
};

/* Made while an error can still be answered, used when none can. */
struct ending {
    struct core *core;
    struct object *object;
    struct session *session;  /* whose put was aborted; NULL: it was removed */
    struct link link;         /* in reuse.leased or reuse.retry */
    struct link all;          /* in reuse.all */
    struct claim *claim;      /* not settled yet; NULL: settled, or never visible */
    struct outcomes outcomes; /* told when it has settled */
    uint64_t lease_end_ms;
    uint32_t left;  /* extents that aren't done ... */
    uint32_t live;  /* ... and those of them whose seals may be live */
    uint32_t given; /* extents whose space is free again */
    uint32_t size;  /* of this struct */
    bool evicted;   /* nobody asked for its end */
    bool deleting;  /* the record's deletion is on its way, or about to be */
    bool deleted;   /* the record is */
    bool missed;    /* not lost: until it has settled, lookups of the key wait */
    bool recovered; /* from an earlier life of the service */
    bool live_seal; /* of an extent that ended with its incarnation: a cut-off node may serve it */
    struct change change;
    struct extent_work extents[]; /* one for each piece */
};

struct ending *ending_new(struct core *c, struct object *o);
/* For one that wasn't needed. */
void ending_free(struct ending *e);

/* The object's record is durable as ABORTING or REMOVED and it isn't visible: begins. */
void reuse_begin(struct ending *e);
/* There is no record, and nobody ever knew where the object lies: its space is free at once. */
void reuse_discard(struct ending *e);
/* When the lease on an object ends, drift included; 0: it has none. */
uint64_t reuse_lease_end(const struct core *c, const struct object *o);
/* Until when a lease of this length, granted now, may be relied on. */
uint64_t reuse_lease_total_ms(uint64_t lease_ms);

/* Sends the node what waits for it. */
void reuse_drive(struct core *c, struct node *n);
void reuse_incarnation_ended(struct core *c, struct incarnation *i);
void reuse_tick(struct core *c);
/* Submits the deletions that have gathered in a turn. */
void reuse_delete(struct core *c);
/* Frees all endings. */
void reuse_free(struct core *c);

/* ---- between reuse.c and extents.c ---- */

/* Where is it on its way? To be asked whenever an extent is done or the lease may be over. It may
 * free the ending. */
void ending_consider(struct ending *e);
/* The first step of an extent. */
void extent_begin(struct extent_work *x);
/* Where it lies; NULL: that has ended. */
struct incarnation *extent_incarnation(const struct extent_work *x);

#endif
