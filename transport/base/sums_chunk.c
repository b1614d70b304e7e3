/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/sums_chunk.h"

#include <assert.h>
#include <endian.h>
#include <stdatomic.h>
#include <string.h>

#include "transport/base/xxh3.h"

/* Where in the secret the last stripe and the merge read. */
#define LAST_SECRET  (SUMS_SECRET_BYTES - SUMS_STRIPE_BYTES - 7u)
#define MERGE_SECRET 11u

#define PRIME32_2     UINT64_C(0x85EBCA77)
#define PRIME32_3     UINT64_C(0xC2B2AE3D)
#define PRIME64_1     UINT64_C(0x9E3779B185EBCA87)
#define PRIME64_2     UINT64_C(0xC2B2AE3D27D4EB4F)
#define PRIME64_3     UINT64_C(0x165667B19E3779F9)
#define PRIME64_4     UINT64_C(0x85EBCA77C2B2AE63)
#define PRIME64_5     UINT64_C(0x27D4EB2F165667C5)
#define AVALANCHE_MUL UINT64_C(0x165667919E3779F9)

static const uint64_t first_sums[SUMS_LANES] = {PRIME32_3, PRIME64_1, PRIME64_2, PRIME64_3,
                                                PRIME64_4, PRIME32_2, PRIME64_5, SUMS_PRIME32_1};

void sums_chunk_begin(struct sums_chunk *c, const struct sums_kernel *kernel, size_t len_bytes)
{
    c->kernel = kernel;
    c->len_bytes = len_bytes;
    c->fed_bytes = 0;
    c->body_bytes = 0;
    if (len_bytes > SUMS_SHORT_MAX)
        c->body_bytes = ((len_bytes - 1) / SUMS_STRIPE_BYTES - 1) * SUMS_STRIPE_BYTES;
    memcpy(c->sums, first_sums, sizeof c->sums);
}

/* The number in its block of the stripe that begins at this byte of the chunk. */
static unsigned stripe_at(size_t offset)
{
    return (unsigned)(offset / SUMS_STRIPE_BYTES % SUMS_BLOCK_STRIPES);
}

static size_t feed_stripes(struct sums_chunk *c, void *dst, const void *src, size_t len)
{
    size_t left = c->body_bytes - c->fed_bytes;
    size_t stripes = (len < left ? len : left) / SUMS_STRIPE_BYTES;
    unsigned at = stripe_at(c->fed_bytes);

    if (dst != NULL)
        c->kernel->copy(c->sums, at, dst, src, stripes);
    else
        c->kernel->update(c->sums, at, src, stripes);
    return stripes * SUMS_STRIPE_BYTES;
}

/* The fence is the compiler's: what is held has to be what was stored, not the source once more. */
static void hold(struct sums_chunk *c, size_t at, void *dst, const void *src, size_t len)
{
    assert(at + len <= sizeof c->held);
    memcpy(c->held + at, src, len);
    atomic_signal_fence(memory_order_seq_cst);
    if (dst != NULL)
        memcpy(dst, c->held + at, len);
}

static size_t feed_part(struct sums_chunk *c, void *dst, const void *src, size_t len)
{
    size_t begun = c->fed_bytes % SUMS_STRIPE_BYTES;
    size_t n = len < SUMS_STRIPE_BYTES - begun ? len : SUMS_STRIPE_BYTES - begun;

    hold(c, begun, dst, src, n);
    if (begun + n == SUMS_STRIPE_BYTES)
        c->kernel->update(c->sums, stripe_at(c->fed_bytes), c->held, 1);
    return n;
}

void sums_chunk_feed(struct sums_chunk *c, void *dst, const void *src, size_t len_bytes)
{
    uint8_t *to = dst;
    const uint8_t *from = src;

    assert(len_bytes <= c->len_bytes - c->fed_bytes);
    while (len_bytes > 0) {
        size_t n = len_bytes;
        if (c->fed_bytes >= c->body_bytes)
            hold(c, c->fed_bytes - c->body_bytes, to, from, n);
        else if (c->fed_bytes % SUMS_STRIPE_BYTES == 0 && n >= SUMS_STRIPE_BYTES)
            n = feed_stripes(c, to, from, n);
        else
            n = feed_part(c, to, from, n);
        c->fed_bytes += n;
        len_bytes -= n;
        from += n;
        to = to != NULL ? to + n : NULL;
    }
}

static uint64_t secret_word(size_t at)
{
    uint64_t word;
    memcpy(&word, sums_secret + at, sizeof word);
    return le64toh(word);
}

static uint64_t merge(const uint64_t sums[SUMS_LANES], uint64_t len_bytes)
{
    uint64_t merged = len_bytes * PRIME64_1;

    for (size_t i = 0; i < SUMS_LANES; i += 2) {
        size_t at = MERGE_SECRET + i * sizeof *sums;
        unsigned __int128 product = sums[i] ^ secret_word(at);
        product *= sums[i + 1] ^ secret_word(at + sizeof *sums);
        merged += (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    merged = (merged ^ merged >> 37) * AVALANCHE_MUL;
    return merged ^ merged >> 32;
}

uint64_t sums_chunk_end(struct sums_chunk *c)
{
    assert(c->fed_bytes == c->len_bytes);
    if (c->body_bytes == 0)
        return XXH3_64bits(c->held, c->len_bytes);
    size_t held = c->len_bytes - c->body_bytes;
    c->kernel->update(c->sums, stripe_at(c->body_bytes), c->held, 1);
    sums_add_stripe(c->sums, c->held + held - SUMS_STRIPE_BYTES, sums_secret + LAST_SECRET);
    return merge(c->sums, c->len_bytes);
}
