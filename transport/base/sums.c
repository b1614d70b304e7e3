/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/sums.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/hash.h"
#include "transport/base/sums_chunk.h"
#include "transport/base/xxh3.h"

/* A stripe of 512 TiB, the list of which takes 64 GiB: longer ones count as out of memory. */
#define SUMS_CHUNKS_MAX (UINT64_C(1) << 33)

/*
 * Chunks begin and end with the pieces that reach their ends. The list holds the sums as they will
 * be written, little-endian, so that the root is the sum of the list as it lies here.
 */
struct sums {
    const struct sums_kernel *kernel;
    uint64_t payload_len;
    uint64_t fed; /* bytes so far */
    struct sums_chunk chunk;
    uint64_t list_le[];
};

static_assert(sizeof(struct sums) <= 512, "SUMS_ROOM_BYTES() counts with that");

static size_t size_of(uint64_t chunks)
{
    return sizeof(struct sums) + (size_t)chunks * sizeof(uint64_t);
}

struct sums *sums_in(void *room, size_t room_bytes, uint64_t payload_len)
{
    struct sums *s = room;

    assert(size_of(sums_chunks(payload_len)) <= room_bytes);
    hash_init();
    s->kernel = sums_kernel_in_use();
    s->payload_len = payload_len;
    s->fed = 0;
    return s;
}

struct sums *sums_new(uint64_t payload_len)
{
    uint64_t chunks = sums_chunks(payload_len);

    if (chunks > SUMS_CHUNKS_MAX)
        return NULL;
    void *room = malloc(size_of(chunks));
    return room == NULL ? NULL : sums_in(room, size_of(chunks), payload_len);
}

void sums_free(struct sums *s)
{
    free(s);
}

void sums_reset(struct sums *s)
{
    s->fed = 0;
}

/* So many bytes has the chunk that the next byte belongs to. */
static size_t chunk_len(const struct sums *s)
{
    uint64_t left = s->payload_len - (s->fed - s->fed % SUMS_CHUNK_BYTES);
    return (size_t)(left < SUMS_CHUNK_BYTES ? left : SUMS_CHUNK_BYTES);
}

/* As much of the piece as belongs to the present chunk; dst is NULL: nothing is copied. */
static size_t feed_chunk(struct sums *s, void *dst, const void *src, size_t len)
{
    size_t at = (size_t)(s->fed % SUMS_CHUNK_BYTES);
    size_t left = chunk_len(s) - at;
    size_t n = len < left ? len : left;

    if (at == 0)
        sums_chunk_begin(&s->chunk, s->kernel, left);
    sums_chunk_feed(&s->chunk, dst, src, n);
    if (n == left)
        s->list_le[s->fed / SUMS_CHUNK_BYTES] = htole64(sums_chunk_end(&s->chunk));
    s->fed += n;
    return n;
}

void sums_update(struct sums *s, const void *data, size_t len_bytes)
{
    const uint8_t *from = data;

    assert(len_bytes <= s->payload_len - s->fed);
    for (size_t done = 0; done < len_bytes;)
        done += feed_chunk(s, NULL, from + done, len_bytes - done);
}

void sums_copy(struct sums *s, void *dst, const void *src, size_t len_bytes)
{
    uint8_t *to = dst;
    const uint8_t *from = src;

    assert(len_bytes <= s->payload_len - s->fed);
    for (size_t done = 0; done < len_bytes;)
        done += feed_chunk(s, to + done, from + done, len_bytes - done);
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
