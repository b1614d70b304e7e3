/* SPDX-License-Identifier: Apache-2.0 */
/* A world's store, in memory or on a disk. */
#include <assert.h>

#include "tests/support/metaworld.h"

struct store *world_store(struct world *w)
{
    return w->disk != NULL ? w->disk_store : memstore_store(w->store);
}

unsigned world_waiting(const struct world *w)
{
    return w->disk == NULL ? memstore_waiting(w->store) : 0;
}

unsigned world_done(struct world *w)
{
    struct store_usage usage;
    if (w->disk == NULL)
        return memstore_done(w->store);
    w->disk_store->ops->usage(w->disk_store, &usage);
    return (unsigned)usage.changes;
}

static bool count_key(void *arg, const void *key, uint32_t key_len, const void *value,
                      uint32_t value_len)
{
    (void)key, (void)key_len, (void)value, (void)value_len;
    ++*(uint32_t *)arg;
    return true;
}

uint32_t world_count(struct world *w, enum store_tree tree)
{
    struct store *s = world_store(w);
    uint32_t count = 0;
    int status = s->ops->scan(s, tree, NULL, 0, count_key, &count);
    assert(status == CENOTE_OK);
    return count;
}
