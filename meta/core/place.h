/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placement: where a new value goes. Where there are more nodes than replicas, a value longer than
 * service_options.stripe_bytes is cut into stripes of that length, and those that follow each other
 * go to different nodes, so that many nodes work for one reader. Otherwise it goes whole, where one
 * range of at most PLACE_STRIPE_MAX bytes holds it. Either way as many stripes are made as are
 * needed, each as long as fits, so that a value larger than a segment fits, and one that meets a
 * fragmented pool (why just so: the essay in alloc.c). The emptiest segment of a live node comes
 * first.
 *
 * The replicas of a stripe lie on different nodes, always; in different zones and on different
 * machines as far as there are such. All replicas of a value share its stripes' boundaries.
 */
#ifndef CENOTE_META_PLACE_H
#define CENOTE_META_PLACE_H

#include "meta/core/core.h"

#define PLACE_STRIPE_MAX (UINT64_C(1) << 30)

struct placement {
    uint32_t stripes, replicas;
    struct piece pieces[STRIPES_MAX * REPLICAS_MAX]; /* stripe by stripe, replica by replica */
};

/* Takes room for a value; the session gets fences at the nodes.
 * CENOTE_OK, CENOTE_NO_NODES (fewer than replicas), CENOTE_VALUE_SIZE (larger than the whole pool),
 * CENOTE_NO_SPACE, CENOTE_NO_MEMORY. */
int place_value(struct core *c, struct session *s, uint64_t len_bytes, uint32_t replicas,
                struct placement *out);
/* Gives it back: nobody has heard of it. */
void place_undo(struct core *c, const struct piece *pieces, uint32_t count);

#endif
