/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/rangesort.h"

#include <string.h>

/* Radix sort from the lowest digit up: one pass over memory a digit, and four for a terabyte. */
#define DIGIT_BITS 11u
#define DIGITS     (1u << DIGIT_BITS)

static inline uint64_t key_of(const struct alloc_range *r, enum range_order order)
{
    return order == RANGES_BY_OFFSET ? r->offset : r->size;
}

static void pass(const struct alloc_range *from, struct alloc_range *to, uint64_t count,
                 enum range_order order, uint32_t shift)
{
    uint64_t place[DIGITS] = {0};
    for (uint64_t i = 0; i < count; i++)
        place[(key_of(&from[i], order) >> shift) % DIGITS]++;
    uint64_t at = 0;
    for (uint32_t d = 0; d < DIGITS; d++) {
        uint64_t n = place[d];
        place[d] = at;
        at += n;
    }
    for (uint64_t i = 0; i < count; i++)
        to[place[(key_of(&from[i], order) >> shift) % DIGITS]++] = from[i];
}

void ranges_sort(struct alloc_range *ranges, uint64_t count, enum range_order order,
                 struct alloc_range *spare)
{
    uint64_t bits = 0; /* that occur in any key */
    for (uint64_t i = 0; i < count; i++)
        bits |= key_of(&ranges[i], order);
    struct alloc_range *from = ranges;
    struct alloc_range *to = spare;
    for (uint32_t shift = 0; shift < 64 && bits >> shift != 0; shift += DIGIT_BITS) {
        if ((bits >> shift) % DIGITS == 0)
            continue;
        pass(from, to, count, order, shift);
        struct alloc_range *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != ranges)
        memcpy(ranges, from, count * sizeof *ranges);
}
