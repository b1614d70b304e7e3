/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is due when: the ends of ttls and of soft pins, in a heap of (time, reference of an object).
 * Who puts in an entry never takes it out: an object that goes earlier, or whose time is changed,
 * leaves an entry behind that means nothing any more. The owner can tell (the object's own times
 * say so), and so that such entries don't pile up while their time is far away, each new one has
 * some of those that are there looked at, in turn: never much more than a third of all are stale.
 */
#ifndef CENOTE_META_DUES_H
#define CENOTE_META_DUES_H

#include <stdbool.h>
#include <stdint.h>

/* Entries looked at for each new one. */
#define DUES_LOOKS 4u

struct due {
    uint32_t at; /* in LEASE_UNIT_MS since the start */
    uint32_t ref;
};

struct dues {
    struct due *heap;
    uint32_t count, room;
    uint32_t look; /* the next entry to look at */
};

void dues_free(struct dues *d);
/* stale: does the entry mean nothing any more? False: no memory. */
bool dues_add(struct dues *d, struct due due, bool (*stale)(void *arg, struct due due), void *arg);
/* Takes out the earliest entry that is due; false: none is. */
bool dues_next(struct dues *d, uint32_t now, struct due *out);
/* Is it a heap? */
bool dues_check(const struct dues *d);

#endif
