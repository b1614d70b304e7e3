/* SPDX-License-Identifier: Apache-2.0 */
#include "client/slow.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cenote/status.h>

struct mark {
    uint64_t node, until_ms;
};

struct slow {
    pthread_mutex_t lock;
    struct mark marks[SLOW_NODES_MAX];
    atomic_uint count; /* read without the lock: nearly always there are none */
};

struct slow *slow_new(void)
{
    struct slow *s = calloc(1, sizeof *s);

    if (s)
        pthread_mutex_init(&s->lock, NULL);
    return s;
}

void slow_free(struct slow *s)
{
    if (!s)
        return;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Its index, or the count. Under the lock. */
static unsigned find(const struct slow *s, uint64_t node)
{
    unsigned i = 0, count = atomic_load(&s->count);

    while (i < count && s->marks[i].node != node)
        i++;
    return i;
}

bool slow_is(struct slow *s, uint64_t node, uint64_t now_ms)
{
    bool slow = false;

    if (atomic_load(&s->count) == 0)
        return false;
    pthread_mutex_lock(&s->lock);
    unsigned i = find(s, node);
    slow = i < atomic_load(&s->count) && now_ms < s->marks[i].until_ms;
    pthread_mutex_unlock(&s->lock);
    return slow;
}

/* With no room the oldest mark goes: they are in order. */
static void mark(struct slow *s, uint64_t node, uint64_t now_ms)
{
    unsigned count = atomic_load(&s->count), at = find(s, node);

    if (at == count && count == SLOW_NODES_MAX)
        at = 0;
    for (; at + 1 < count; at++)
        s->marks[at] = s->marks[at + 1];
    s->marks[at] = (struct mark){.node = node, .until_ms = now_ms + SLOW_FOR_MS};
    atomic_store(&s->count, at + 1);
}

static void clear(struct slow *s, uint64_t node)
{
    unsigned count = atomic_load(&s->count), at = find(s, node);

    if (at == count)
        return;
    for (; at + 1 < count; at++)
        s->marks[at] = s->marks[at + 1];
    atomic_store(&s->count, count - 1);
}

void slow_learn(struct slow *s, uint64_t node, int status, uint64_t now_ms)
{
    bool late = status == CENOTE_TIMED_OUT;

    if (!late && (status != CENOTE_OK || atomic_load(&s->count) == 0))
        return;
    pthread_mutex_lock(&s->lock);
    if (late)
        mark(s, node, now_ms);
    else
        clear(s, node);
    pthread_mutex_unlock(&s->lock);
}
