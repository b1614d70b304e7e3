/* SPDX-License-Identifier: Apache-2.0 */
#include "client/timers.h"

#include <assert.h>
#include <stdlib.h>

#define ROOM_FIRST 64u

bool timers_reserve(struct timers *t, size_t count)
{
    size_t room = t->room ? t->room : ROOM_FIRST;
    struct timer **grown;

    while (room < count)
        room *= 2;
    if (room == t->room)
        return true;
    grown = realloc(t->heap, room * sizeof(*grown));
    if (!grown)
        return false;
    t->heap = grown;
    t->room = room;
    return true;
}

void timers_free(struct timers *t)
{
    free(t->heap);
    *t = (struct timers){0};
}

static struct timer *at(const struct timers *t, size_t place)
{
    return t->heap[place - 1];
}

static void put_at(struct timers *t, size_t place, struct timer *timer)
{
    t->heap[place - 1] = timer;
    timer->place = place;
}

static void rise(struct timers *t, struct timer *timer, size_t place)
{
    for (; place > 1 && at(t, place / 2)->due_ms > timer->due_ms; place /= 2)
        put_at(t, place, at(t, place / 2));
    put_at(t, place, timer);
}

static void sink(struct timers *t, struct timer *timer, size_t place)
{
    for (;;) {
        size_t child = 2 * place;

        if (child < t->count && at(t, child + 1)->due_ms < at(t, child)->due_ms)
            child++;
        if (child > t->count || at(t, child)->due_ms >= timer->due_ms)
            break;
        put_at(t, place, at(t, child));
        place = child;
    }
    put_at(t, place, timer);
}

static void settle(struct timers *t, struct timer *timer, size_t place)
{
    rise(t, timer, place);
    sink(t, timer, timer->place);
}

static void take_out(struct timers *t, struct timer *timer)
{
    size_t place = timer->place;
    struct timer *last = at(t, t->count);

    t->count--;
    timer->place = 0;
    if (last != timer)
        settle(t, last, place);
}

void timers_set(struct timers *t, struct timer *timer, uint64_t due_ms)
{
    timer->due_ms = due_ms;
    if (due_ms == TIMER_NEVER) {
        if (timer->place > 0)
            take_out(t, timer);
    } else if (timer->place > 0) {
        settle(t, timer, timer->place);
    } else {
        assert(t->count < t->room);
        settle(t, timer, ++t->count);
    }
}

struct timer *timers_first(const struct timers *t)
{
    return t->count > 0 ? t->heap[0] : NULL;
}
