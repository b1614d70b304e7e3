/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part of a stripe, verified by chunk.
 *
 * Sums are of whole chunks, so the chunks at both ends are read as a whole: what nobody asked for
 * of them goes into memory of the part, the rest straight into the caller's buffers, all of it in
 * one copy that feeds the sums as it passes. The stripe's list of chunk sums comes with the seal;
 * its own sum must be the root that the service answered, and the chunks must have the list's.
 */
#ifndef CENOTE_CLIENT_PART_H
#define CENOTE_CLIENT_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/xcopy.h"

struct part;

struct part_want {
    uint64_t payload_len;       /* of the stripe */
    uint64_t at, len_bytes;     /* the part; len_bytes isn't 0 */
    struct xcopy_local buffers; /* skip_bytes leads to those of the part */
};

/* NULL: no memory. The caller's pieces must outlive the part. */
struct part *part_new(const struct part_want *want);
void part_free(struct part *p);
/* Bytes of memory that a part takes, about. */
uint64_t part_memory(const struct part_want *want);

/* Fills range, buffers, sums and tail of a READ. */
void part_request(struct part *p, struct xcopy_req *x);
/* What has arrived: the seal, and whether the chunks are those under this root. */
const uint8_t *part_seal(const struct part *p);
bool part_verified(const struct part *p, uint64_t root);

#endif
