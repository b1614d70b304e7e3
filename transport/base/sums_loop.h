/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop over stripes, once for all kernels. A kernel's file says what 64 bytes are on its
 * processor, includes this, and puts loop_copy() and loop_update() into its table:
 *
 *   struct stripe                          64 bytes in registers: a stripe, or the eight sums
 *   stripe_load(from), stripe_store(to, stripe)
 *   stripe_pin(&stripe)                    from here on the compiler doesn't know where it came
 *                                          from, so it can't load it a second time
 *   stripe_add(&sums, &stripe, secret)     takes a stripe in
 *   stripe_scramble(&sums, secret)         what happens after a block
 */
#ifndef CENOTE_BASE_SUMS_LOOP_H
#define CENOTE_BASE_SUMS_LOOP_H

#include "transport/base/sums_kernel.h"

/* How far before their use a copy asks for the lines of both sides: one block. */
#define AHEAD_BYTES (SUMS_BLOCK_STRIPES * SUMS_STRIPE_BYTES)

/* Stripes of one block. ahead 0: what follows isn't ours. */
SUMS_INLINE void add_stripes(bool copies, struct stripe *sums, unsigned at, uint8_t *to,
                             const uint8_t *from, size_t stripes, size_t ahead)
{
    for (size_t i = 0; i < stripes; i++) {
        struct stripe stripe = stripe_load(from + i * SUMS_STRIPE_BYTES);
        __builtin_prefetch(from + i * SUMS_STRIPE_BYTES + ahead, 0);
        if (copies) {
            __builtin_prefetch(to + i * SUMS_STRIPE_BYTES + ahead, 1);
            stripe_pin(&stripe);
            stripe_store(to + i * SUMS_STRIPE_BYTES, stripe);
        }
        stripe_add(sums, &stripe, sums_secret + sizeof(uint64_t) * (at + i));
    }
}

SUMS_INLINE void run(bool copies, uint64_t *sums, unsigned at, uint8_t *to, const uint8_t *from,
                     size_t stripes)
{
    struct stripe s = stripe_load(sums);
    while (stripes > 0) {
        size_t n = SUMS_BLOCK_STRIPES - at < stripes ? SUMS_BLOCK_STRIPES - at : stripes;
        stripes -= n;
        add_stripes(copies, &s, at, to, from, n, stripes > 0 ? AHEAD_BYTES : 0);
        if (copies)
            to += n * SUMS_STRIPE_BYTES;
        from += n * SUMS_STRIPE_BYTES;
        at = (at + (unsigned)n) % SUMS_BLOCK_STRIPES;
        if (at == 0)
            stripe_scramble(&s, SUMS_SCRAMBLE_SECRET);
    }
    stripe_store(sums, s);
}

static void loop_copy(uint64_t sums[SUMS_LANES], unsigned at, void *dst, const void *src,
                      size_t stripes)
{
    run(true, sums, at, dst, src, stripes);
}

static void loop_update(uint64_t sums[SUMS_LANES], unsigned at, const void *src, size_t stripes)
{
    run(false, sums, at, NULL, src, stripes);
}

#endif
