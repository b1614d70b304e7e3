/* SPDX-License-Identifier: Apache-2.0 */
/* What placement asks the allocator for. */
#include "meta/core/alloc.h"
#include "transport/base/extent.h"

/*
 * Large payloads begin at pages (O_DIRECT, devices, huge pages), and what is allocated in pages
 * leaves holes in pages. Middle ones begin at sectors. Small ones are packed as tightly as the
 * extent's own layout allows: at most 143 bytes beside the payload. From 16 KiB on it is less than
 * 4 % of the payload, from 256 KiB on less than 2 %.
 */
#define LARGE_PAYLOAD  (UINT64_C(256) << 10)
#define LARGE_ALIGN    4096u
#define MIDDLE_PAYLOAD (UINT64_C(16) << 10)
#define MIDDLE_ALIGN   512u

static uint64_t round_up(uint64_t size, uint64_t grain)
{
    return (size + grain - 1) / grain * grain;
}

struct alloc_shape alloc_rounding(uint64_t payload_len)
{
    uint64_t align = EXTENT_ALIGN;
    if (payload_len >= LARGE_PAYLOAD)
        align = LARGE_ALIGN;
    else if (payload_len >= MIDDLE_PAYLOAD)
        align = MIDDLE_ALIGN;
    return (struct alloc_shape){.size = round_up(extent_size(payload_len), align), .align = align};
}

static bool payload_fits(uint64_t payload_len, uint64_t range_len)
{
    struct alloc_shape shape = alloc_rounding(payload_len);
    return shape.size + shape.align - 1 <= range_len;
}

uint64_t alloc_payload_within(uint64_t range_len)
{
    /* The shape grows with the payload: halve between one that fits and one that doesn't. */
    uint64_t fits = 0;
    uint64_t too_long = range_len < EXTENT_PAYLOAD_MAX ? range_len : EXTENT_PAYLOAD_MAX;
    while (too_long - fits > 1) {
        uint64_t mid = fits + (too_long - fits) / 2;
        if (payload_fits(mid, range_len))
            fits = mid;
        else
            too_long = mid;
    }
    return fits;
}
