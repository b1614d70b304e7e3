/* SPDX-License-Identifier: Apache-2.0 */
/* Does everything agree? */
#ifndef CENOTE_META_CHECK_H
#define CENOTE_META_CHECK_H

#include "meta/core/core.h"

struct record;

/* Compares store, table and allocators, and logs each difference. Their number. To be called when
 * no change is in flight. */
unsigned core_check(struct core *c);

/* Parts of it: does a record say the same as its object? And the overlaps of extents, and what is
 * neither used nor free, each logged; their number. */
bool check_same(struct object *o, const struct record *r);
unsigned check_layout(struct core *c);

#endif
