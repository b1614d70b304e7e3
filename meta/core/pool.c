/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/pool.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEP 0u
#else
#define KEEP POOL_KEEP
#endif

struct pool_item {
    struct pool_item *next;
};

static size_t class_of(size_t size)
{
    assert(size > 0);
    return (size - 1) / POOL_UNIT_BYTES;
}

void *pool_take(struct pool *p, size_t size)
{
    size_t k = class_of(size);
    if (k >= POOL_CLASSES)
        return calloc(1, size);
    struct pool_item *item = p->free[k];
    if (item == NULL) {
        item = malloc((k + 1) * POOL_UNIT_BYTES);
        if (item == NULL)
            return NULL;
    } else {
        p->free[k] = item->next;
        p->count[k]--;
    }
    memset(item, 0, size);
    return item;
}

void pool_give(struct pool *p, void *item, size_t size)
{
    size_t k = class_of(size);
    if (item == NULL || k >= POOL_CLASSES || p->count[k] >= KEEP) {
        free(item);
        return;
    }
    struct pool_item *kept = item;
    kept->next = p->free[k];
    p->free[k] = kept;
    p->count[k]++;
}

void pool_free(struct pool *p)
{
    for (uint32_t k = 0; k < POOL_CLASSES; k++) {
        while (p->free[k] != NULL) {
            struct pool_item *next = p->free[k]->next;
            free(p->free[k]);
            p->free[k] = next;
        }
        p->count[k] = 0;
    }
}
