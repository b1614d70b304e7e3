/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loop with AVX-512: a stripe is one register. */
#include <immintrin.h>

#include "transport/base/sums_kernel.h"

struct stripe {
    __m512i words;
};

SUMS_INLINE struct stripe stripe_load(const void *from)
{
    return (struct stripe){_mm512_loadu_si512(from)};
}

SUMS_INLINE void stripe_store(void *to, struct stripe stripe)
{
    _mm512_storeu_si512(to, stripe.words);
}

SUMS_INLINE void stripe_pin(struct stripe *stripe)
{
    __asm__("" : "+v"(stripe->words));
}

SUMS_INLINE void stripe_add(struct stripe *sums, const struct stripe *stripe, const uint8_t *secret)
{
    __m512i keyed = _mm512_xor_si512(stripe->words, _mm512_loadu_si512(secret));
    __m512i product = _mm512_mul_epu32(keyed, _mm512_srli_epi64(keyed, 32));
    __m512i neighbours = _mm512_shuffle_epi32(stripe->words, _MM_PERM_BADC);
    sums->words = _mm512_add_epi64(sums->words, _mm512_add_epi64(product, neighbours));
}

/* The product with a factor of 32 bits, from those of the two halves. */
SUMS_INLINE void stripe_scramble(struct stripe *sums, const uint8_t *secret)
{
    const __m512i prime = _mm512_set1_epi64(SUMS_PRIME32_1);
    __m512i folded = _mm512_xor_si512(sums->words, _mm512_srli_epi64(sums->words, 47));
    __m512i keyed = _mm512_xor_si512(folded, _mm512_loadu_si512(secret));
    __m512i low = _mm512_mul_epu32(keyed, prime);
    __m512i high = _mm512_mul_epu32(_mm512_srli_epi64(keyed, 32), prime);
    sums->words = _mm512_add_epi64(low, _mm512_slli_epi64(high, 32));
}

#include "transport/base/sums_loop.h"

static bool avx512_usable(void)
{
    return __builtin_cpu_supports("avx512f");
}

const struct sums_kernel sums_avx512 = {
    .name = "avx512", .usable = avx512_usable, .copy = loop_copy, .update = loop_update};
