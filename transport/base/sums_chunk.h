/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XXH3-64 of one chunk whose length is known beforehand, fed in pieces of any size.
 *
 * Stripes go through the kernel where they lie. Bytes are held here for a moment in two cases: a
 * stripe that comes in several pieces, and the end of the chunk, from its last but one stripe on
 * (65 to 128 bytes), because the last 64 bytes are summed as a stripe that overlaps the one before.
 * A chunk of at most 240 bytes, for which XXH3 has other rules, is held as a whole and left to
 * libxxhash.
 */
#ifndef CENOTE_BASE_SUMS_CHUNK_H
#define CENOTE_BASE_SUMS_CHUNK_H

#include "transport/base/sums_kernel.h"

#define SUMS_SHORT_MAX 240u /* longer inputs go through stripes */

struct sums_chunk {
    const struct sums_kernel *kernel;
    size_t len_bytes;
    size_t body_bytes; /* those that the kernel takes: whole stripes; 0 for a short chunk */
    size_t fed_bytes;
    uint64_t sums[SUMS_LANES];
    uint8_t held[SUMS_SHORT_MAX];
};

void sums_chunk_begin(struct sums_chunk *c, const struct sums_kernel *kernel, size_t len_bytes);
/* dst is NULL: nothing is copied. Together not more than len_bytes of sums_chunk_begin(). */
void sums_chunk_feed(struct sums_chunk *c, void *dst, const void *src, size_t len_bytes);
/* After all of it. */
uint64_t sums_chunk_end(struct sums_chunk *c);

#endif
