/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts, from put_start until they are visible or aborted.
 *
 *   STARTING     the PENDING record is on its way to the store; nobody knows the put id
 *   PENDING      the client writes
 *   WAITING      to be committed, when another change of the key is over
 *   COMMITTING   the COMMITTED record is on its way
 *   SHOWING      durable; not shown before older objects of the key have settled
 *   ABORTING     the ABORTING record is on its way; then the rest is reuse's
 *
 * A commit that the store refuses leaves the put PENDING. A put that isn't committed in time, or
 * whose session ends, is aborted as one of which nothing is known: fenced. A fence stops all older
 * puts of its session, so those are aborted with it.
 *
 * A commit keeps the extents that are visible, as long as each stripe has one. The others leave the
 * put in the same change of the store as an object of their own, ABORTING from its beginning: it is
 * fenced, voided and freed like any put that was aborted, while the object with the rest is read.
 * Its put id is the next one, taken together with the put's, so that a fence up to it stops nothing
 * younger than the put. Older puts of the session go on: of those, too, only the extents on the
 * fenced node may fail, and their client learns that from the node.
 */
#ifndef CENOTE_META_PUTS_H
#define CENOTE_META_PUTS_H

#include "meta/core/core.h"
#include "meta/core/record.h"
#include "meta/core/reuse.h"

/* Puts that aren't over, of all sessions: about 0.5 KiB each, and the key. */
#define PENDING_MAX (1u << 20)

/* Ids that each put takes: its own, and the next one, under which a commit drops the extents that
 * aren't visible. */
#define PUT_IDS 2u

enum put_phase {
    PUT_STARTING,
    PUT_PENDING,
    PUT_WAITING,
    PUT_COMMITTING,
    PUT_SHOWING,
    PUT_ABORTING
};

struct put {
    struct core *core;
    struct object *object;
    struct session *session;
    struct ending *ending;  /* should it be aborted */
    struct ending *older;   /* COMMITTING: of the object that it replaces */
    struct ending *dropped; /* COMMITTING: of its extents that aren't visible; NULL: all are */
    uint8_t phase;          /* enum put_phase */
    bool chained;           /* it follows the put before it, in the same call */
    uint64_t deadline_ms;   /* patient time */
    struct link by_age;     /* in core.puts, PENDING only */
    struct link by_session;
    struct waiter waiter;     /* WAITING */
    struct outcomes outcomes; /* of commit or abort */
    int end_status;           /* ABORTING: for the outcomes */
    struct keep *keep;        /* that was asked for; NULL: nothing */
    struct change change;
    uint16_t key_len; /* SHOWING since the start: 0, it isn't needed any more */
    uint8_t key[];
};

/* ---- starting: any number of puts in one change ---- */

struct start_item {
    const uint8_t *key; /* need not be there any more when done is called */
    uint32_t key_len;
    int status; /* CENOTE_OK: put is there */
    uint64_t len_bytes;
    struct put *put; /* when done is called: PENDING, or over already */
    uint64_t put_id;
};

struct start {
    struct core *core;
    struct session *session;
    struct start_item *items;
    uint32_t count;
    struct numbered *call; /* of the session's window; its statuses become those of the items */
    uint32_t replicas;     /* of every stripe */
    bool replace;          /* they may take the places of older objects */
    struct keep keep;      /* all of them */
    uint64_t extents;      /* of those that are placed */
    uint64_t
        missing_bytes; /* it couldn't be placed: so much was left, from the first that failed */
    struct change change;
    void (*done)(struct start *s); /* every item's status is final */
    /* While it waits for room: is anybody there to hear of it? */
    bool (*wanted)(const struct start *s);
    void (*forget)(struct start *s); /* nobody was: nothing has come of it */
};

/* Places all items and drafts their records; if there is no room it waits (put_wait.h). The items
 * have keys and lengths. done may be called from inside when there is nothing to store. */
void puts_start(struct start *s);
/* For one that waits. CENOTE_OK: it goes on; CENOTE_NO_SPACE, CENOTE_QUOTA: nothing was changed. */
int puts_start_try(struct start *s);
/* It goes on, with the items for which there is room. */
void puts_start_finally(struct start *s);
void puts_start_refuse(struct start *s, int status);
/* Would it fit if there were nothing else? */
bool puts_start_possible(const struct start *s);

/* ---- ending ---- */

struct put_end {
    uint64_t put_id;
    uint32_t sum_kind;
    const uint64_t *roots;
    uint32_t root_count;
    const uint8_t *states; /* enum extent_state */
    uint32_t state_count;
};

/* Tells o, perhaps from inside. */
void puts_commit(struct core *c, struct session *s, const struct put_end *end, struct outcome *o);
void puts_abort(struct core *c, struct session *s, const struct put_end *end, struct outcome *o);
/* The grants never left: nobody writes. */
void puts_abort_unsent(struct put *p);
void puts_abort_session(struct core *c, struct session *s);
/* An extent of a pending put is lost. */
void puts_abort_lost(struct put *p);
void puts_tick(struct core *c);

/* A PENDING record was read at the start. NULL: no memory. */
struct put *puts_recover(struct core *c, struct object *o, struct session *s,
                         const struct record *r);
/* One that is COMMITTED, but can't be shown yet. False: no memory. */
bool puts_recover_showing(struct core *c, struct object *o, struct session *s);
/* Older objects of the key have settled. */
void puts_show_successor(struct core *c, struct claim *claim);
void puts_free(struct core *c);

#endif
