/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/sums.h"

#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/hash.h"
#include "transport/base/xxh3.h"

/* A stripe of 512 TiB, the list of which takes 64 GiB: longer ones count as out of memory. */
#define SUMS_CHUNKS_MAX (UINT64_C(1) << 33)

/*
 * A chunk that comes in one piece is summed by one call; only a chunk that comes in several goes
 * through the streaming state, which is begun anew for each such chunk. The list holds the sums as
 * they will be written, little-endian, so that the root is the sum of the list as it lies here.
 */
struct sums {
    XXH3_state_t chunk; /* first: it wants 64-byte alignment */
    uint64_t payload_len;
    uint64_t fed; /* bytes so far */
    uint64_t list_le[];
};

struct sums *sums_new(uint64_t payload_len)
{
    uint64_t chunks = sums_chunks(payload_len);
    struct sums *s;

    hash_init();
    if (chunks > SUMS_CHUNKS_MAX)
        return NULL;
    void *memory;
    if (posix_memalign(&memory, _Alignof(struct sums),
                       sizeof *s + (size_t)chunks * sizeof s->list_le[0]) != 0)
        return NULL;
    s = memory;
    s->payload_len = payload_len;
    s->fed = 0;
    return s;
}

void sums_free(struct sums *s)
{
    free(s);
}

void sums_reset(struct sums *s)
{
    s->fed = 0;
}

/* The next piece may have so many bytes without reaching into another chunk. */
static size_t chunk_left(const struct sums *s)
{
    uint64_t in_chunk = SUMS_CHUNK_BYTES - s->fed % SUMS_CHUNK_BYTES;
    uint64_t in_stripe = s->payload_len - s->fed;
    return (size_t)(in_chunk < in_stripe ? in_chunk : in_stripe);
}

static void sum_piece(struct sums *s, const void *piece, size_t len)
{
    uint64_t *sum_le = &s->list_le[s->fed / SUMS_CHUNK_BYTES];
    bool begins = s->fed % SUMS_CHUNK_BYTES == 0;
    bool ends = len == chunk_left(s);

    s->fed += len;
    if (begins && ends) {
        *sum_le = htole64(XXH3_64bits(piece, len));
        return;
    }
    if (begins)
        XXH3_64bits_reset(&s->chunk);
    XXH3_64bits_update(&s->chunk, piece, len);
    if (ends)
        *sum_le = htole64(XXH3_64bits_digest(&s->chunk));
}

void sums_update(struct sums *s, const void *data, size_t len_bytes)
{
    const uint8_t *from = data;

    assert(len_bytes <= s->payload_len - s->fed);
    while (len_bytes > 0) {
        size_t left = chunk_left(s);
        size_t len = len_bytes < left ? len_bytes : left;
        sum_piece(s, from, len);
        from += len;
        len_bytes -= len;
    }
}

/*
 * The destination is what is summed, while it is still in the cache: the source may be memory that
 * somebody else writes, and a sum of it would vouch for bytes that nobody received.
 */
void sums_copy(struct sums *s, void *dst, const void *src, size_t len_bytes)
{
    uint8_t *to = dst;
    const uint8_t *from = src;

    assert(len_bytes <= s->payload_len - s->fed);
    while (len_bytes > 0) {
        size_t left = chunk_left(s);
        size_t len = len_bytes < left ? len_bytes : left;
        memcpy(to, from, len);
        sum_piece(s, to, len);
        to += len;
        from += len;
        len_bytes -= len;
    }
}

void sums_list(const struct sums *s, void *out)
{
    assert(s->fed == s->payload_len);
    if (s->payload_len > 0)
        memcpy(out, s->list_le, (size_t)sums_chunks(s->payload_len) * sizeof s->list_le[0]);
}

uint64_t sums_root(const struct sums *s)
{
    assert(s->fed == s->payload_len);
    return XXH3_64bits(s->list_le, (size_t)sums_chunks(s->payload_len) * sizeof s->list_le[0]);
}
