/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/dues.h"

#include <stdlib.h>

#define FIRST_ROOM 256u

void dues_free(struct dues *d)
{
    free(d->heap);
    *d = (struct dues){0};
}

static void up(struct dues *d, uint32_t i)
{
    struct due due = d->heap[i];
    for (; i > 0 && d->heap[(i - 1) / 2].at > due.at; i = (i - 1) / 2)
        d->heap[i] = d->heap[(i - 1) / 2];
    d->heap[i] = due;
}

static void down(struct dues *d, uint32_t i)
{
    struct due due = d->heap[i];
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child + 1 < d->count && d->heap[child + 1].at < d->heap[child].at)
            child++;
        if (child >= d->count || d->heap[child].at >= due.at)
            break;
        d->heap[i] = d->heap[child];
        i = child;
    }
    d->heap[i] = due;
}

static void take(struct dues *d, uint32_t i)
{
    d->heap[i] = d->heap[--d->count];
    if (i == d->count)
        return;
    up(d, i);
    down(d, i);
}

static bool room_for_one(struct dues *d)
{
    if (d->count < d->room)
        return true;
    uint32_t room = d->room == 0 ? FIRST_ROOM : d->room * 2;
    struct due *heap = realloc(d->heap, room * sizeof(*heap));
    if (heap == NULL)
        return false;
    d->heap = heap;
    d->room = room;
    return true;
}

bool dues_add(struct dues *d, struct due due, bool (*stale)(void *arg, struct due due), void *arg)
{
    for (unsigned n = 0; n < DUES_LOOKS && d->count > 0; n++) {
        d->look = d->look < d->count ? d->look : 0;
        if (stale(arg, d->heap[d->look]))
            take(d, d->look);
        else
            d->look++;
    }
    if (!room_for_one(d))
        return false;
    d->heap[d->count++] = due;
    up(d, d->count - 1);
    return true;
}

bool dues_next(struct dues *d, uint32_t now, struct due *out)
{
    if (d->count == 0 || d->heap[0].at > now)
        return false;
    *out = d->heap[0];
    take(d, 0);
    return true;
}

bool dues_check(const struct dues *d)
{
    for (uint32_t i = 1; i < d->count; i++)
        if (d->heap[(i - 1) / 2].at > d->heap[i].at)
            return false;
    return true;
}
