/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node looks at what lies on it, extent by extent, a little at a time: are the sums of the bytes
 * still those that were committed, and is the seal as it was? Its own directory says which extents
 * there are, and what their sums must be.
 *
 * An extent in the directory has no writer, and isn't reused before its entry has been dropped, on
 * the thread that this runs on. So what differs while its entry stays is damage. Nobody relies on
 * it being found: readers compare the sums themselves. It is found before the last replica goes.
 */
#ifndef CENOTE_SERVER_NODE_SCRUB_H
#define CENOTE_SERVER_NODE_SCRUB_H

#include "server/node/node.h"

/* Looked at in one step, which other work of the thread waits for. */
#define SCRUB_STEP_BYTES  (UINT64_C(16) << 20)
/* What an extent costs besides its bytes. */
#define SCRUB_EXTENT_COST 4096u

struct scrub;

struct scrub_bad {
    struct gva gva;
    uint64_t put_id;
};

/* So many bytes a second; 0: never. NULL: no memory. */
struct scrub *scrub_new(const struct node *n, uint64_t bytes_per_s);
void scrub_free(struct scrub *s); /* NULL is accepted */
/* Looked at since it was made. */
uint64_t scrub_bytes(const struct scrub *s);
/* As much as the time allows. True: *bad is one that isn't as it was. */
bool scrub_step(struct scrub *s, uint64_t now_ms, struct scrub_bad *bad);

#endif
