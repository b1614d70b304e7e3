/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inner loop of the checksums: XXH3-64 over whole stripes, with or without a copy.
 *
 * What an input longer than 240 bytes goes through (seed 0, default secret; the facts are those of
 * the public specification, doc/xxhash_spec.md of xxHash):
 *   - Eight sums of 64 bits take in one stripe of 64 bytes after the other, as eight little-endian
 *     words w[i]. With k = w[i] ^ secret word i, sum i grows by low32(k) * high32(k), and its
 *     neighbour i ^ 1 by w[i].
 *   - The secret is read from byte 8 * n on, where n is the stripe's number in its block of 16.
 *   - After the 16th stripe each sum s becomes (s ^ s >> 47 ^ secret word) * 0x9E3779B1, with the
 *     last 64 bytes of the secret.
 *   - The last 64 bytes of the input, which may overlap the stripe before, are a stripe of their
 *     own with another part of the secret; then the sums are merged (sums_chunk.c).
 *
 * Why copy and sum are one loop: a word is loaded once, and what is stored is the register that is
 * summed. So the sum vouches for the bytes that were delivered even where somebody else writes to
 * the source meanwhile, and the bytes cross the core once. The sums take less time than memory
 * does; what a copy of ours lacks against memcpy() is the string instruction's way of not waiting
 * for the destination's old contents, and asking for both sides' lines early makes up for most of
 * it. Stores past the caches would gain a little more only if nobody read the copy soon.
 */
#ifndef CENOTE_BASE_SUMS_KERNEL_H
#define CENOTE_BASE_SUMS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SUMS_LANES         8u
#define SUMS_STRIPE_BYTES  64u
#define SUMS_BLOCK_STRIPES 16u
#define SUMS_SECRET_BYTES  192u
#define SUMS_PRIME32_1     UINT32_C(0x9E3779B1)

extern const uint8_t sums_secret[SUMS_SECRET_BYTES];
#define SUMS_SCRAMBLE_SECRET (sums_secret + SUMS_SECRET_BYTES - SUMS_STRIPE_BYTES)

/* One body serves copy and update, and each is to be a loop without a question in it. */
#define SUMS_INLINE static inline __attribute__((always_inline))

/*
 * One implementation. Stripes are whole, at any address; at is the number in its block of the
 * first one. dst and src don't overlap.
 */
struct sums_kernel {
    const char *name;
    bool (*usable)(void); /* does this processor have it? */
    void (*copy)(uint64_t sums[SUMS_LANES], unsigned at, void *dst, const void *src,
                 size_t stripes);
    void (*update)(uint64_t sums[SUMS_LANES], unsigned at, const void *src, size_t stripes);
};

/* Those that were built, the best first, NULL at the end. The last one runs everywhere. */
extern const struct sums_kernel *const sums_kernels[];

/* The one in use: the best that this processor has. Any thread. */
const struct sums_kernel *sums_kernel_in_use(void);

/*
 * For tests and benchmarks: what sums_new() takes from now on; NULL: the best again. False: there
 * is none of that name, or not on this processor.
 */
bool sums_use_kernel(const char *name);

/* One stripe with the secret from there on, and no scramble after it. */
void sums_add_stripe(uint64_t sums[SUMS_LANES], const void *stripe, const uint8_t *secret);

#endif
