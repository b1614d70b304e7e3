/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which writers a node refuses: for each fenced session its horizon, the highest put id that it may
 * no longer write.
 *
 * The table has a fixed size, and a session is never known to be gone for good, so that entries are
 * only ever pushed out. The one with the lowest horizon goes, and its horizon becomes the floor:
 * from then on no session may write a put id up to it. Put ids ascend and are never reused, so the
 * floor lies far in the past, where no put is pending any more; if one should be, its writer is
 * refused and the put fails. Nobody is ever admitted who was refused before.
 *
 * Thread-safe.
 */
#ifndef CENOTE_SERVER_NODE_HORIZONS_H
#define CENOTE_SERVER_NODE_HORIZONS_H

#include <stdint.h>

#define HORIZONS_MAX 4096u /* sessions remembered */

struct horizons;

/* NULL: no memory. */
struct horizons *horizons_new(void);
void horizons_free(struct horizons *h);

/* Raises the session's horizon; a lower one than it has changes nothing. */
void horizons_raise(struct horizons *h, uint64_t session, uint64_t horizon);
/* Raises that of all sessions, those included that nobody has heard of. */
void horizons_raise_all(struct horizons *h, uint64_t horizon);
/* The session's horizon, at least the floor; 0: none. */
uint64_t horizons_of(struct horizons *h, uint64_t session);

#endif
