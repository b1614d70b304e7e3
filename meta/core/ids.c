/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/ids.h"

#include <assert.h>

uint64_t ids_next(const struct ids *ids)
{
    uint64_t count = ids->count + 1;
    assert(ids->reign > 0 && count >> IDS_COUNT_BITS == 0);
    return ids->reign << IDS_COUNT_BITS | count;
}

uint64_t ids_take(struct ids *ids)
{
    uint64_t id = ids_next(ids);
    ids->count++;
    return id;
}
