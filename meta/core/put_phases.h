/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of puts. */
#ifndef CENOTE_META_PUT_PHASES_H
#define CENOTE_META_PUT_PHASES_H

#include "meta/core/puts.h"

/* The put is over, one way or the other. Its ending and its object are not touched. */
void put_forget(struct put *p);
/* PENDING (again), with a fresh time-out. */
void put_pend(struct put *p);
/* May a write of any of its extents still land? Where an incarnation has ended nothing needs a
 * fence. */
bool put_needs_fence(const struct ending *e);
/* From PENDING or WAITING. The extents that may still be written are marked in its ending; with one
 * of these, all older pending puts of the session go the same way. */
void put_abort(struct put *p, int end_status);

#endif
