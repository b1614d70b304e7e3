/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Global virtual addresses. A GVA names a byte of donated memory, the same in every process; values
 * lie in [2^60, 2^61), so that a public call can tell one from a pointer. Inside, an address is a
 * struct: it can't be mixed up with an offset, a length or a pointer.
 *
 * A range of GVAs is given to one incarnation (one life of a segment's contents), once, ever.
 */
#ifndef CENOTE_BASE_GVA_H
#define CENOTE_BASE_GVA_H

#include <stdbool.h>
#include <stdint.h>

#define GVA_FIRST (UINT64_C(1) << 60)
#define GVA_END   (UINT64_C(1) << 61)
/* Ranges begin at multiples of this: 2^30 ranges are enough for a petabyte pool (10^6 segments of
 * 1 GiB) whose nodes all restart a thousand times. */
#define GVA_ALIGN (UINT64_C(1) << 30)

struct gva {
    uint64_t v;
};

static inline struct gva gva_make(uint64_t v)
{
    return (struct gva){v};
}

static inline bool gva_valid(struct gva a)
{
    return a.v >= GVA_FIRST && a.v < GVA_END;
}

static inline struct gva gva_add(struct gva a, uint64_t offset)
{
    return (struct gva){a.v + offset};
}

/* Does [base, base + range_len) contain [a, a + len)? Safe against wrapping. */
static inline bool gva_covers(struct gva base, uint64_t range_len, struct gva a, uint64_t len)
{
    return a.v >= base.v && a.v - base.v <= range_len && len <= range_len - (a.v - base.v);
}

#endif
