/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a pool's clients and nodes were promised, and when: each event carries the number of
 * operations of the disk's record before it. From that follows what a crash at some operation must
 * leave: what was acknowledged before it, or what was asked for and not answered.
 */
#ifndef CENOTE_TESTS_CRASH_PROMISES_H
#define CENOTE_TESTS_CRASH_PROMISES_H

#include "tests/scenario/service/story.h"
#include "tests/support/metaworld.h"

enum event_kind {
    EVENT_ASKED,
    EVENT_TOLD,
    EVENT_GRANTED,
    EVENT_ENDS,
    EVENT_LIFE /* put_id: the reign; gva: the next address */
};

struct event {
    size_t stamp; /* operations before it */
    enum event_kind kind;
    unsigned key;
    uint64_t put_id, gva;
};

struct promises {
    struct event *events;
    size_t count, room;
};

/* In the order of their stamps. */
void promises_add(struct promises *p, const struct event *e);
void promises_free(struct promises *p);

/* Was anything acknowledged before the operation? */
bool promises_any(const struct promises *p, size_t at);
/* Is all of it kept by the service that was started from what the crash before operation at left?
 * False: why not was logged. */
bool promises_kept(const struct promises *p, size_t at, struct world *w);

#endif
