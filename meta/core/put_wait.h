/* SPDX-License-Identifier: Apache-2.0 */
/*
 * put_starts that wait for room. A call that meets a full pool, or the quota of its namespace, has
 * had no effect yet: nothing of it is drafted, what was placed is undone, and its parameters are
 * copied. It has evicted what it needs, and is tried again, as a whole, when space came back; if
 * that doesn't fit either (small holes) it has more evicted, each time twice as much; and what was
 * evicted may be stuck (a view, a node that fell silent just then), so what hasn't come for a while
 * isn't counted on. It ends without room when nothing may go and nothing is on its way, or after
 * PUT_WAIT_MS.
 *
 * Calls wait in the order in which they came. One that comes meanwhile may take what fits it at
 * once, but not for ever: when the first has waited PUT_OVERTAKE_MS, all others line up behind it.
 * Who waits for his own namespace's quota holds up nobody else.
 */
#ifndef CENOTE_META_PUT_WAIT_H
#define CENOTE_META_PUT_WAIT_H

#include "meta/core/puts.h"

/* Longer than the default lease, and well below the time-out of clients, 10 s. */
#define PUT_WAIT_MS     6000u
/* For memory that is about to be offered, before anything is evicted. */
#define PUT_OFFER_MS    2000u
#define PUT_OVERTAKE_MS 500u
/* After so long, what is on its way is evicted a second time from elsewhere. */
#define PUT_STUCK_MS    500u
/* Calls, and bytes of their keys. */
#define PUT_WAIT_MAX    4096u
#define PUT_WAIT_BYTES  (UINT64_C(64) << 20)

/* Must a call that comes now line up? */
bool put_wait_first(const struct core *c);
/* It couldn't be placed, status says why: it waits, or it is over. */
void put_wait(struct start *s, int status);
/* Space may have come back: tries those for whom it may be enough. */
void put_wait_run(struct core *c);
/* Tries all, has more evicted, ends those that have waited long enough, forgets those whom nobody
 * waits for. */
void put_wait_tick(struct core *c);
void put_wait_free(struct core *c);

#endif
