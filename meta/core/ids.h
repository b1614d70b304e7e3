/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names that don't come back. Put ids, sessions, nodes and incarnations are numbered by one
 * counter: reign (20 bits) | count (44 bits). Every start takes a new reign, durably, so the count
 * needs not be stored. It begins somewhere in the lower half of what there is: a copy of the
 * database comes to the same reign as the first one, and clients that meet both services must not
 * take a name of one for the other's.
 */
#ifndef CENOTE_META_IDS_H
#define CENOTE_META_IDS_H

#include <stdbool.h>
#include <stdint.h>

#define IDS_COUNT_BITS 44u
#define IDS_REIGN_MAX  ((UINT64_C(1) << 20) - 1)

struct ids {
    uint64_t reign;
    uint64_t count;
};

/* The reign is known; life: a random number (lives.h). */
void ids_begin(struct ids *ids, uint64_t life);
uint64_t ids_take(struct ids *ids);
/* What the next one taken will be. */
uint64_t ids_next(const struct ids *ids);
/* Takes count ids that follow each other, from ids_next() on. */
void ids_skip(struct ids *ids, unsigned count);
#endif
