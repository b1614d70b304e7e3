/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which life of the service each reign was of.
 *
 * Each start takes the next reign and draws a number, its life. A database that was restored, or a
 * copy of it beside the first one, comes to reigns that others had already; nodes that know one of
 * them by another life have seen what this database knows nothing of. As every start makes its
 * reign a higher one, that must be found out of earlier reigns, too: otherwise a restored service
 * that is refused would be believed after it has been started often enough.
 */
#ifndef CENOTE_META_LIVES_H
#define CENOTE_META_LIVES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many starts are remembered, the present one included. */
#define LIVES_MAX 64u

struct core;

struct reign_life {
    uint64_t reign, life;
};

struct lives {
    struct reign_life at[LIVES_MAX]; /* ascending reigns */
    uint32_t count;
};

/* Those of the store. CENOTE_OK, CENOTE_IO. */
int lives_read(struct core *c);
/* Adds the present one, and drafts the record; the caller submits it. */
void lives_begin(struct core *c);
/* Was the reign, as this database knows it, another life's? */
bool lives_contradict(const struct core *c, uint64_t reign, uint64_t life);
/* The name of the record: it belongs to this database, and nodes needn't keep it. */
bool lives_own_value(const void *name, size_t len);

#endif
