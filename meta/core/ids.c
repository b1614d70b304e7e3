/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/ids.h"

#include <assert.h>

#include "transport/base/testswitch.h"

/* Chance must not save a service that takes no new reign, when that is tried. */
void ids_begin(struct ids *ids, uint64_t life)
{
    bool anywhere = !test_off(TEST_NAMES) && !test_off(TEST_REIGN);
    ids->count = anywhere ? life & ((UINT64_C(1) << (IDS_COUNT_BITS - 1)) - 1) : 0;
}

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

void ids_skip(struct ids *ids, unsigned count)
{
    while (count-- > 0)
        (void)ids_take(ids);
}
