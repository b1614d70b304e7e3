/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loop with NEON: a stripe is four registers. */
#include <arm_neon.h>

#include "transport/base/sums_kernel.h"

#define QUARTERS 4

struct stripe {
    uint64x2_t quarter[QUARTERS];
};

SUMS_INLINE struct stripe stripe_load(const void *from)
{
    struct stripe stripe;
    for (size_t i = 0; i < QUARTERS; i++)
        stripe.quarter[i] = vreinterpretq_u64_u8(vld1q_u8((const uint8_t *)from + i * 16));
    return stripe;
}

SUMS_INLINE void stripe_store(void *to, struct stripe stripe)
{
    for (size_t i = 0; i < QUARTERS; i++)
        vst1q_u8((uint8_t *)to + i * 16, vreinterpretq_u8_u64(stripe.quarter[i]));
}

SUMS_INLINE void stripe_pin(struct stripe *stripe)
{
    for (size_t i = 0; i < QUARTERS; i++)
        __asm__("" : "+w"(stripe->quarter[i]));
}

SUMS_INLINE void stripe_add(struct stripe *sums, const struct stripe *stripe, const uint8_t *secret)
{
    struct stripe key = stripe_load(secret);
    for (size_t i = 0; i < QUARTERS; i++) {
        uint64x2_t words = stripe->quarter[i];
        uint64x2_t keyed = veorq_u64(words, key.quarter[i]);
        uint64x2_t sum = vaddq_u64(sums->quarter[i], vextq_u64(words, words, 1));
        sums->quarter[i] = vmlal_u32(sum, vmovn_u64(keyed), vshrn_n_u64(keyed, 32));
    }
}

/* The product with a factor of 32 bits, from those of the two halves. */
SUMS_INLINE void stripe_scramble(struct stripe *sums, const uint8_t *secret)
{
    struct stripe key = stripe_load(secret);
    for (size_t i = 0; i < QUARTERS; i++) {
        uint64x2_t sum = sums->quarter[i];
        uint64x2_t keyed = veorq_u64(veorq_u64(sum, vshrq_n_u64(sum, 47)), key.quarter[i]);
        uint64x2_t high = vmull_n_u32(vshrn_n_u64(keyed, 32), SUMS_PRIME32_1);
        sums->quarter[i] = vmlal_n_u32(vshlq_n_u64(high, 32), vmovn_u64(keyed), SUMS_PRIME32_1);
    }
}

#include "transport/base/sums_loop.h"

/* Every processor of this architecture has it. */
static bool neon_usable(void)
{
    return true;
}

const struct sums_kernel sums_neon = {
    .name = "neon", .usable = neon_usable, .copy = loop_copy, .update = loop_update};
