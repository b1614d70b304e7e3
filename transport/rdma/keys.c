/* SPDX-License-Identifier: Apache-2.0 */
/* What a queue pair may name of the node's memory: the pieces of its segments, by address. */
#include <stdlib.h>
#include <string.h>

#include "transport/rdma/channel.h"

static int by_address(const void *a, const void *b)
{
    const struct setup_key *x = a, *y = b;
    return x->gva.v < y->gva.v ? -1 : x->gva.v > y->gva.v;
}

int channel_keys_set(struct channel_queue *queue, const struct setup_key *keys, uint32_t count)
{
    struct setup_key *copy = calloc(count > 0 ? count : 1, sizeof *copy);
    if (copy == NULL)
        return CENOTE_NO_MEMORY;
    if (count > 0)
        memcpy(copy, keys, count * sizeof *copy);
    qsort(copy, count, sizeof *copy, by_address);
    free(queue->keys);
    queue->keys = copy;
    queue->key_count = count;
    queue->key_hit = 0;
    return CENOTE_OK;
}

static bool key_has(const struct setup_key *key, struct gva gva)
{
    return gva.v >= key->gva.v && gva.v - key->gva.v < key->len_bytes;
}

/* Most requests of a channel are for the same segment. */
const struct setup_key *channel_key_find(struct channel_queue *queue, struct gva gva,
                                         uint64_t *left)
{
    uint32_t low = 0, high = queue->key_count;
    const struct setup_key *key = queue->keys + queue->key_hit;
    if (high == 0)
        return NULL;
    if (!key_has(key, gva)) {
        while (high - low > 1) {
            uint32_t middle = low + (high - low) / 2;
            if (queue->keys[middle].gva.v <= gva.v)
                low = middle;
            else
                high = middle;
        }
        key = queue->keys + low;
        if (!key_has(key, gva))
            return NULL;
        queue->key_hit = low;
    }
    *left = key->len_bytes - (gva.v - key->gva.v);
    return key;
}

bool channel_key_covers(struct channel_queue *queue, struct gva gva, uint64_t len_bytes)
{
    uint64_t incarnation = 0;
    for (uint64_t left = 0; len_bytes > 0;
         gva.v += left, len_bytes -= left < len_bytes ? left : len_bytes) {
        const struct setup_key *key = channel_key_find(queue, gva, &left);
        if (key == NULL || (incarnation != 0 && key->incarnation != incarnation))
            return false;
        incarnation = key->incarnation;
    }
    return true;
}
