/* SPDX-License-Identifier: Apache-2.0 */
#include "client/wanted.h"

#include <string.h>

static uint64_t capacity_of(const struct cenote_buffer *buffers, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += buffers[i].len_bytes;
    return sum;
}

struct wanted wanted_whole(struct cenote_get_item *item)
{
    return (struct wanted){.key = &item->key,
                           .buffers = item->buffers,
                           .buffer_count = item->buffer_count,
                           .whole = true,
                           .len_bytes = capacity_of(item->buffers, item->buffer_count),
                           .value_len_bytes = &item->len_bytes,
                           .status = &item->status};
}

struct wanted wanted_range(struct cenote_range_item *item)
{
    return (struct wanted){.key = &item->key,
                           .buffers = item->buffers,
                           .buffer_count = item->buffer_count,
                           .offset = item->offset,
                           .len_bytes = capacity_of(item->buffers, item->buffer_count),
                           .value_len_bytes = &item->value_len_bytes,
                           .put_id = &item->put_id,
                           .status = &item->status};
}

bool wanted_same_key(const struct wanted *a, const struct wanted *b)
{
    return a->key->len_bytes == b->key->len_bytes &&
           memcmp(a->key->data, b->key->data, a->key->len_bytes) == 0;
}

int wanted_fits(const struct wanted *w, uint64_t put_id, uint64_t value_len_bytes)
{
    *w->value_len_bytes = value_len_bytes;
    if (w->whole)
        return value_len_bytes > w->len_bytes ? CENOTE_BUFFER_SIZE : CENOTE_OK;
    *w->put_id = put_id;
    return w->offset > value_len_bytes || w->len_bytes > value_len_bytes - w->offset
               ? CENOTE_BAD_RANGE
               : CENOTE_OK;
}

bool wanted_of_stripe(const struct wanted *w, const struct stripe *s, struct wanted_part *out)
{
    uint64_t end = w->offset + w->len_bytes, stripe_end = s->offset + s->payload_len;
    uint64_t from = w->offset > s->offset ? w->offset : s->offset;
    uint64_t to = end < stripe_end ? end : stripe_end;

    if (w->whole) {
        *out = (struct wanted_part){0, s->payload_len, s->offset};
        return true;
    }
    if (from >= to)
        return false;
    *out = (struct wanted_part){from - s->offset, to - from, from - w->offset};
    return true;
}
