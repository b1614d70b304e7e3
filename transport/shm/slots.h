/* SPDX-License-Identifier: Apache-2.0 */
/* The slots of one shared-memory connection: of its writers, and its holds. The essay is in
 * slots.c. */
#ifndef CENOTE_TRANSPORT_SHM_SLOTS_H
#define CENOTE_TRANSPORT_SHM_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/base/gva.h"

/* Writers of one process at one node at the same time; one more waits for a slot. */
#define SLOTS_WRITERS_MAX 256u

struct slots;

/* The node: a new file with all slots empty. CENOTE_OK, CENOTE_NO_MEMORY. */
int slots_make(struct slots **out, int *fd);
/* The same in a new file that has a name; it stays the caller's. */
int slots_make_in(int fd, struct slots **out);
/* The node: maps a file that an earlier life of it has made. CENOTE_OK, CENOTE_PROTOCOL (it isn't
 * such a file), CENOTE_NO_MEMORY. */
int slots_open(int fd, struct slots **out);
/* The client: maps a file that the node has sent. CENOTE_OK, CENOTE_PROTOCOL (it isn't such a
 * file), CENOTE_NO_MEMORY. */
int slots_map(int fd, struct slots **out);
void slots_unmap(struct slots *s);

/* The client's writer: from CENOTE_OK on it may write until slots_leave(). CENOTE_FENCED;
 * CENOTE_OLD_BOOT: the node has begun another life; CENOTE_LIMIT: no slot became free for
 * wait_ms. */
int slots_enter(struct slots *s, uint64_t put_id, uint32_t wait_ms, uint32_t *slot);
void slots_leave(struct slots *s, uint32_t slot);
/* The client: names an extent that it looks at, in a slot below XCOPY_HOLDS_MAX that is empty. What
 * it reads after CENOTE_OK it reads while everybody sees the hold. CENOTE_OLD_BOOT: the node has
 * begun another life, and the slot is empty again. */
int slots_hold(struct slots *s, uint32_t slot, struct gva extent);
void slots_unhold(struct slots *s, uint32_t slot);
/* The client, when it has left all slots and holds nothing: it will never do so again. */
void slots_close(struct slots *s);

/* The node: no put id up to the horizon can enter from now on; UINT64_MAX: none at all. */
void slots_raise(struct slots *s, uint64_t horizon);
/* The node, after raising: does a slot still name a put id up to the horizon? */
bool slots_occupied(const struct slots *s, uint64_t horizon);
/* The node, after voiding seals: sets held[i] where a hold names extents[i], which ascend. */
void slots_held(const struct slots *s, const struct gva *extents, size_t count, bool *held);
/* The node: each hold, by its extent. */
void slots_each_hold(const struct slots *s, void (*hold)(void *arg, struct gva extent), void *arg);
/* The node: how many holds are there? */
uint32_t slots_holds(const struct slots *s);
/* The node: has the client closed the slots for good? */
bool slots_closed(const struct slots *s);

#endif
