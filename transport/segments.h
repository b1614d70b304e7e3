/* SPDX-License-Identifier: Apache-2.0 */
/* The segments that an exporter serves: a list that only grows, read without a lock. */
#ifndef CENOTE_TRANSPORT_SEGMENTS_H
#define CENOTE_TRANSPORT_SEGMENTS_H

#include <stdatomic.h>

#include "transport/xcopy.h"

struct segments {
    struct xcopy_segment at[XCOPY_SEGMENTS_MAX];
    _Atomic size_t count; /* entries below it don't change any more */
};

/* CENOTE_OK or CENOTE_LIMIT. Callers take turns. */
int segments_add(struct segments *s, const struct xcopy_segment *segment);
size_t segments_count(const struct segments *s);
/* The segment that holds all of [gva, gva + len), or NULL. */
const struct xcopy_segment *segments_find(const struct xcopy_segment *at, size_t count,
                                          struct gva gva, uint64_t len_bytes);
/* Address of the extent of a payload of this length, or NULL. */
uint8_t *segments_find_extent(const struct segments *s, struct gva gva, uint64_t payload_len);

#endif
