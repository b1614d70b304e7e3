/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extents whose bytes a node has found damaged. The replica leaves the object in one change of the
 * store, as an object of its own that is REMOVED from its beginning: void, then free when nobody
 * can read or view it any more, like everything that goes. Where it was the last of its stripe, the
 * whole object is removed. Damage that is told of twice, or late, is nothing.
 *
 * Replicas aren't made anew.
 */
#ifndef CENOTE_META_DAMAGE_H
#define CENOTE_META_DAMAGE_H

#include <stdint.h>

#include "transport/base/gva.h"

struct core;
struct node;

struct damage_counts {
    uint64_t reported;          /* of what is committed, once each */
    uint64_t replicas, objects; /* dropped */
};

/* What a node says of an extent of its own: CENOTE_OK, also when nothing is known of it;
 * CENOTE_LIMIT: something else is under way with the object, tell again. */
int damage_found(struct core *c, struct node *n, uint64_t put_id, struct gva gva);

#endif
