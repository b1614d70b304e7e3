/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The window of a session: its last numbered calls, and what they were answered.
 *
 * A client that lost an answer sends the call again, with the same number. Whether that is a new
 * call or an old one is decided here, and an old one has no second effect: it is given the answer
 * of the first, or waits for it.
 *
 * Calls of one session come in any order (a client has threads), so the window is a set. It has a
 * slot for each remainder of the number by WINDOW_CALLS; a call takes the slot of an earlier one,
 * never of a later. A call that finds a later one in its slot has come too late: what became of it
 * can't be known any more, and the answer is UNKNOWN. Calls that are still running when their slot
 * is taken are found in a list of their own until they end.
 *
 * What a restart has to remember lies in the store, in the changes that had the effect (see
 * session_record.h): the put ids that a put_start took, and each item that another call did (a key
 * that a remove removed, a value that a keep changed). The store's slots are the same, so it needs
 * no clearing while the session lives. An answer that came without an effect (everything was there
 * already, nothing was found) is not stored: after a restart the call is simply done. Commits and
 * aborts are not stored either: the put id names what they are about, and the put's record tells
 * how it ended.
 */
#ifndef CENOTE_META_WINDOW_H
#define CENOTE_META_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/core/list.h"
#include "meta/core/pool.h"
#include "meta/stub/messages.h"

#define WINDOW_CALLS PROTOCOL_WINDOW

enum numbered_kind {
    NUMBERED_START = 1,
    NUMBERED_COMMIT,
    NUMBERED_ABORT,
    NUMBERED_REMOVE,
    NUMBERED_KEEP,
    NUMBERED_SPACE_SET,
    NUMBERED_SPACE_REMOVE
};

/* In place of a status: this item has not been answered yet. */
#define NUMBERED_OPEN 1

/* One call. */
struct numbered {
    struct link link; /* in window.running */
    struct list also; /* running: others that wait for its answer; the service's */
    uint64_t seq;
    uint64_t first_put_id; /* START: of the items whose status is OK; the next has the next */
    uint32_t count;
    uint8_t kind; /* enum numbered_kind */
    bool running;
    bool kept;         /* in its slot */
    bool whole;        /* answered; otherwise a call of which a restart left a part */
    int8_t statuses[]; /* of each item */
};

struct window {
    struct numbered *slots[WINDOW_CALLS];
    uint16_t stored[WINDOW_CALLS]; /* records that a slot has in the store, at most */
    struct list running;
    struct pool *pool; /* of calls */
};

enum window_found {
    WINDOW_RUN,      /* the caller does it, and calls window_leave() */
    WINDOW_RUNNING,  /* it is being done: join *out */
    WINDOW_ANSWERED, /* *out has the answer */
    WINDOW_PASSED    /* older than the window */
};

/* NULL: no memory. */
struct window *window_new(struct pool *pool);
void window_free(struct window *w);

/* A call has come: enum window_found; or CENOTE_NO_MEMORY; or CENOTE_INVALID: seq is 0, or the
 * number of another call. Statuses that aren't NUMBERED_OPEN when it is to be run are answers that
 * a restart has left: those items must not be done again. */
int window_enter(struct window *w, uint64_t seq, enum numbered_kind kind, uint32_t count,
                 struct numbered **out);
/* All statuses are there, and whoever joined has been answered. */
void window_leave(struct numbered *n);

/* It has had no effect, nobody waits for its answer: it was never called. */
void window_forget(struct window *w, struct numbered *n);

/* From the store, in any order; what is older than the slot's present call is left out. CENOTE_OK,
 * CENOTE_NO_MEMORY, CENOTE_IO (it contradicts what is there). */
int window_recover(struct window *w, uint64_t seq, enum numbered_kind kind, uint32_t count,
                   struct numbered **out);

static inline uint32_t window_slot(uint64_t seq)
{
    return (uint32_t)(seq % WINDOW_CALLS);
}

#endif
