/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: where a new value goes. Whole, where one range of at most PLACE_STRIPE_MAX bytes holds
 * it; otherwise in as many stripes as are needed, each as long as fits, so that a value larger than
 * a segment fits, and one that meets a fragmented pool (why just so: the essay in alloc.c). The
 * emptiest segment of a live node comes first.
 */
#ifndef CENOTE_META_PLACE_H
#define CENOTE_META_PLACE_H

#include "meta/core/core.h"

#define PLACE_STRIPE_MAX (UINT64_C(1) << 30)

struct placement {
    uint32_t count;
    struct piece pieces[STRIPES_MAX];
};

/* Takes room for a value; the session gets fences at the nodes.
 * CENOTE_OK, CENOTE_NO_NODES, CENOTE_VALUE_SIZE (larger than the whole pool), CENOTE_NO_SPACE,
 * CENOTE_NO_MEMORY. */
int place_value(struct core *c, struct session *s, uint64_t len_bytes, struct placement *out);
/* Gives it back: nobody has heard of it. */
void place_undo(struct core *c, const struct piece *pieces, uint32_t count);

#endif
