/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checksums of a stripe: XXH3-64 of every 64 KiB chunk (the last may be shorter; an empty stripe
 * has none), and their root: XXH3-64 of the list of chunk sums, 8 bytes each, little-endian.
 *
 * A struct sums is fed the payload from front to back in pieces of any size, either as it is copied
 * (sums_copy: one pass over memory) or where it lies (sums_update).
 */
#ifndef CENOTE_BASE_SUMS_H
#define CENOTE_BASE_SUMS_H

#include <stddef.h>
#include <stdint.h>

#define SUMS_CHUNK_BYTES 65536u

enum sum_kind {
    SUM_NONE = 0, /* bytes that no CPU sees (device memory) */
    SUM_XXH3 = 1
};

/* Number of chunks of a payload. */
static inline uint64_t sums_chunks(uint64_t payload_len)
{
    return payload_len / SUMS_CHUNK_BYTES + (payload_len % SUMS_CHUNK_BYTES != 0);
}

struct sums; /* one stripe being summed; one thread at a time */

/* For a stripe of payload_len bytes. NULL: out of memory. */
struct sums *sums_new(uint64_t payload_len);
void sums_free(struct sums *s);
/* The same in memory of the caller's (16-aligned, SUMS_ROOM_BYTES() of it), which isn't freed. */
#define SUMS_ROOM_BYTES(payload_len) (512u + 8u * ((payload_len) / SUMS_CHUNK_BYTES + 1u))
struct sums *sums_in(void *room, size_t room_bytes, uint64_t payload_len);
/* Begin the same stripe again. */
void sums_reset(struct sums *s);

/* dst and src must not overlap. Together not more than payload_len bytes may be fed. */
void sums_copy(struct sums *s, void *dst, const void *src, size_t len_bytes);
void sums_update(struct sums *s, const void *data, size_t len_bytes);

/* After the whole payload: the list, encoded (8 * sums_chunks() bytes), and its root. */
void sums_list(const struct sums *s, void *out);
uint64_t sums_root(const struct sums *s);

#endif
