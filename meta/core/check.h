/* SPDX-License-Identifier: Apache-2.0 */
/* Does everything agree? */
#ifndef CENOTE_META_CHECK_H
#define CENOTE_META_CHECK_H

#include "meta/core/core.h"

/* Compares store, table and allocators, and logs each difference. Their number. To be called when
 * no change is in flight. */
unsigned core_check(struct core *c);

#endif
