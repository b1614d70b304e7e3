/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loop with SSE2, which every x86-64 has: a stripe is four registers. */
#include <immintrin.h>

#include "transport/base/sums_kernel.h"

#define QUARTERS 4

struct stripe {
    __m128i quarter[QUARTERS];
};

SUMS_INLINE struct stripe stripe_load(const void *from)
{
    const __m128i *at = from;
    struct stripe stripe;
    for (size_t i = 0; i < QUARTERS; i++)
        stripe.quarter[i] = _mm_loadu_si128(at + i);
    return stripe;
}

SUMS_INLINE void stripe_store(void *to, struct stripe stripe)
{
    __m128i *at = to;
    for (size_t i = 0; i < QUARTERS; i++)
        _mm_storeu_si128(at + i, stripe.quarter[i]);
}

SUMS_INLINE void stripe_pin(struct stripe *stripe)
{
    for (size_t i = 0; i < QUARTERS; i++)
        __asm__("" : "+x"(stripe->quarter[i]));
}

SUMS_INLINE void stripe_add(struct stripe *sums, const struct stripe *stripe, const uint8_t *secret)
{
    struct stripe key = stripe_load(secret);
    for (size_t i = 0; i < QUARTERS; i++) {
        __m128i words = stripe->quarter[i];
        __m128i keyed = _mm_xor_si128(words, key.quarter[i]);
        __m128i product = _mm_mul_epu32(keyed, _mm_srli_epi64(keyed, 32));
        __m128i neighbours = _mm_shuffle_epi32(words, _MM_SHUFFLE(1, 0, 3, 2));
        sums->quarter[i] = _mm_add_epi64(sums->quarter[i], _mm_add_epi64(product, neighbours));
    }
}

/* The product with a factor of 32 bits, from those of the two halves. */
SUMS_INLINE void stripe_scramble(struct stripe *sums, const uint8_t *secret)
{
    const __m128i prime = _mm_set1_epi64x(SUMS_PRIME32_1);
    struct stripe key = stripe_load(secret);
    for (size_t i = 0; i < QUARTERS; i++) {
        __m128i sum = sums->quarter[i];
        __m128i folded = _mm_xor_si128(sum, _mm_srli_epi64(sum, 47));
        __m128i keyed = _mm_xor_si128(folded, key.quarter[i]);
        __m128i low = _mm_mul_epu32(keyed, prime);
        __m128i high = _mm_mul_epu32(_mm_srli_epi64(keyed, 32), prime);
        sums->quarter[i] = _mm_add_epi64(low, _mm_slli_epi64(high, 32));
    }
}

#include "transport/base/sums_loop.h"

static bool sse2_usable(void)
{
    return true;
}

const struct sums_kernel sums_sse2 = {
    .name = "sse2", .usable = sse2_usable, .copy = loop_copy, .update = loop_update};
