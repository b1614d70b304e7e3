/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/segments.h"

int segments_add(struct segments *s, const struct xcopy_segment *segment)
{
    size_t count = atomic_load_explicit(&s->count, memory_order_relaxed);
    if (count == XCOPY_SEGMENTS_MAX)
        return CENOTE_LIMIT;
    s->at[count] = *segment;
    atomic_store_explicit(&s->count, count + 1, memory_order_release);
    return CENOTE_OK;
}

size_t segments_count(const struct segments *s)
{
    return atomic_load_explicit(&s->count, memory_order_acquire);
}

const struct xcopy_segment *segments_find(const struct xcopy_segment *at, size_t count,
                                          struct gva gva, uint64_t len_bytes)
{
    for (size_t i = 0; i < count; i++)
        if (gva_covers(at[i].gva, at[i].memory.len_bytes, gva, len_bytes))
            return &at[i];
    return NULL;
}

uint8_t *segments_find_extent(const struct segments *s, struct gva gva, uint64_t payload_len)
{
    if (payload_len > EXTENT_PAYLOAD_MAX || gva.v % EXTENT_ALIGN != 0)
        return NULL;
    const struct xcopy_segment *seg =
        segments_find(s->at, segments_count(s), gva, extent_size(payload_len));
    return seg == NULL ? NULL : (uint8_t *)seg->memory.base + (gva.v - seg->gva.v);
}
