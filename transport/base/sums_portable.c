/* SPDX-License-Identifier: Apache-2.0 */
/* The inner loop in plain C. */
#include <endian.h>
#include <string.h>

#include "transport/base/sums_kernel.h"

struct stripe {
    uint64_t words[SUMS_LANES]; /* as they lie in memory */
};

SUMS_INLINE struct stripe stripe_load(const void *from)
{
    struct stripe stripe;
    memcpy(&stripe, from, sizeof stripe);
    return stripe;
}

SUMS_INLINE void stripe_store(void *to, struct stripe stripe)
{
    memcpy(to, &stripe, sizeof stripe);
}

/* There may be too few registers for eight words more; memory of the thread's own does as well. */
SUMS_INLINE void stripe_pin(struct stripe *stripe)
{
    __asm__("" : "+m"(*stripe));
}

SUMS_INLINE void stripe_add(struct stripe *sums, const struct stripe *stripe, const uint8_t *secret)
{
    struct stripe key = stripe_load(secret);
    for (size_t i = 0; i < SUMS_LANES; i++) {
        uint64_t word = le64toh(stripe->words[i]);
        uint64_t keyed = word ^ le64toh(key.words[i]);
        sums->words[i ^ 1] += word;
        sums->words[i] += (keyed & UINT32_MAX) * (keyed >> 32);
    }
}

SUMS_INLINE void stripe_scramble(struct stripe *sums, const uint8_t *secret)
{
    struct stripe key = stripe_load(secret);
    for (size_t i = 0; i < SUMS_LANES; i++) {
        uint64_t sum = sums->words[i];
        sums->words[i] = (sum ^ sum >> 47 ^ le64toh(key.words[i])) * SUMS_PRIME32_1;
    }
}

#include "transport/base/sums_loop.h"

void sums_add_stripe(uint64_t sums[SUMS_LANES], const void *stripe, const uint8_t *secret)
{
    struct stripe words = stripe_load(stripe), s = stripe_load(sums);
    stripe_add(&s, &words, secret);
    stripe_store(sums, s);
}

static bool portable_usable(void)
{
    return true;
}

const struct sums_kernel sums_portable = {
    .name = "portable", .usable = portable_usable, .copy = loop_copy, .update = loop_update};
