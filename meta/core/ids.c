/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/ids.h"

#include <assert.h>

uint64_t ids_take(struct ids *ids)
{
    ids->count++;
    assert(ids->reign > 0 && ids->count >> IDS_COUNT_BITS == 0);
    return ids->reign << IDS_COUNT_BITS | ids->count;
}
