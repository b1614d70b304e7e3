/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loop with AVX2: a stripe is two registers. */
#include <immintrin.h>

#include "transport/base/sums_kernel.h"

#define HALF_BYTES sizeof(__m256i)

struct stripe {
    __m256i low, high;
};

SUMS_INLINE struct stripe stripe_load(const void *from)
{
    const uint8_t *high = (const uint8_t *)from + HALF_BYTES;
    return (struct stripe){_mm256_loadu_si256(from), _mm256_loadu_si256((const void *)high)};
}

SUMS_INLINE void stripe_store(void *to, struct stripe stripe)
{
    uint8_t *high = (uint8_t *)to + HALF_BYTES;
    _mm256_storeu_si256(to, stripe.low);
    _mm256_storeu_si256((void *)high, stripe.high);
}

SUMS_INLINE void stripe_pin(struct stripe *stripe)
{
    __asm__("" : "+x"(stripe->low), "+x"(stripe->high));
}

SUMS_INLINE __m256i add_half(__m256i sums, __m256i half, __m256i secret)
{
    __m256i keyed = _mm256_xor_si256(half, secret);
    __m256i product = _mm256_mul_epu32(keyed, _mm256_srli_epi64(keyed, 32));
    __m256i neighbours = _mm256_shuffle_epi32(half, _MM_SHUFFLE(1, 0, 3, 2));
    return _mm256_add_epi64(sums, _mm256_add_epi64(product, neighbours));
}

SUMS_INLINE void stripe_add(struct stripe *sums, const struct stripe *stripe, const uint8_t *secret)
{
    struct stripe key = stripe_load(secret);
    sums->low = add_half(sums->low, stripe->low, key.low);
    sums->high = add_half(sums->high, stripe->high, key.high);
}

/* The product with a factor of 32 bits, from those of the two halves. */
SUMS_INLINE __m256i scramble_half(__m256i sums, __m256i secret)
{
    const __m256i prime = _mm256_set1_epi64x(SUMS_PRIME32_1);
    __m256i folded = _mm256_xor_si256(sums, _mm256_srli_epi64(sums, 47));
    __m256i keyed = _mm256_xor_si256(folded, secret);
    __m256i low = _mm256_mul_epu32(keyed, prime);
    __m256i high = _mm256_mul_epu32(_mm256_srli_epi64(keyed, 32), prime);
    return _mm256_add_epi64(low, _mm256_slli_epi64(high, 32));
}

SUMS_INLINE void stripe_scramble(struct stripe *sums, const uint8_t *secret)
{
    struct stripe key = stripe_load(secret);
    sums->low = scramble_half(sums->low, key.low);
    sums->high = scramble_half(sums->high, key.high);
}

#include "transport/base/sums_loop.h"

static bool avx2_usable(void)
{
    return __builtin_cpu_supports("avx2");
}

const struct sums_kernel sums_avx2 = {
    .name = "avx2", .usable = avx2_usable, .copy = loop_copy, .update = loop_update};
