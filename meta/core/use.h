/* SPDX-License-Identifier: Apache-2.0 */
/* What namespaces hold, and what they may. */
#ifndef CENOTE_META_USE_H
#define CENOTE_META_USE_H

#include "meta/core/core.h"

/* Of its extents with seals and sums, as far as there are any. */
uint64_t use_bytes(struct object *o);
/* An object begins to count, with its put or from the store; and ends to, when it isn't wanted any
 * more. Of it, or of its extents that were dropped. */
void use_begin(struct core *c, struct object *o);
void use_end(struct core *c, struct object *o);
void use_drop(struct core *c, struct object *dropped);

/* May so many bytes more be pinned hard? */
bool use_pinnable(const struct core *c, const struct space *s, uint64_t bytes);
/* May a put have so many bytes more? Makes room in the namespace where that is the matter.
 * CENOTE_OK, CENOTE_QUOTA, CENOTE_LIMIT (of hard pins). */
int use_admit(struct core *c, struct space *s, const struct keep *keep, uint64_t bytes);
/* How far it is above its quota. */
struct evict_want use_above(const struct space *s, struct evict_want more);
/* Could it ever have so many? */
bool use_possible(const struct space *s, struct evict_want all);

#endif
