/* SPDX-License-Identifier: Apache-2.0 */
/* Sorting of ten million ranges in a second: the rebuild of an allocator. */
#ifndef CENOTE_META_RANGESORT_H
#define CENOTE_META_RANGESORT_H

#include <stdint.h>

#include "meta/core/alloc.h"

enum range_order { RANGES_BY_OFFSET, RANGES_BY_SIZE };

/* Stable: ranges in address order that are sorted by size stay in address order within a size.
 * spare: room for as many, its contents are lost. */
void ranges_sort(struct alloc_range *ranges, uint64_t count, enum range_order order,
                 struct alloc_range *spare);

#endif
