/* SPDX-License-Identifier: Apache-2.0 */
#include "client/lost.h"

#include <time.h>

#include "client/retry.h"
#include "meta/stub/messages.h"
#include "transport/base/clock.h"

/* A thread that pauses comes back after RETRY_PAUSE_MAX_MS at the latest, and takes a while. */
#define COMES_BACK_MS (2 * RETRY_PAUSE_MAX_MS)
/* The rest of the window is for threads that have a number and haven't sent it yet. */
#define AHEAD_MAX     (PROTOCOL_WINDOW / 2)

void lost_init(struct lost *l)
{
    pthread_condattr_t monotonic;

    *l = (struct lost){.count = 0};
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&l->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void lost_destroy(struct lost *l)
{
    pthread_cond_destroy(&l->changed);
    pthread_mutex_destroy(&l->lock);
}

static uint32_t find(const struct lost *l, uint64_t seq)
{
    uint32_t i = 0;
    while (i < l->count && l->calls[i].seq != seq)
        i++;
    return i;
}

static void drop(struct lost *l, uint32_t i)
{
    uint32_t last = l->count - 1;
    l->calls[i] = l->calls[last];
    atomic_store(&l->count, last);
    pthread_cond_broadcast(&l->changed);
}

void lost_note(struct lost *l, uint64_t seq)
{
    pthread_mutex_lock(&l->lock);
    uint32_t i = find(l, seq);
    if (i < LOST_CALLS_MAX) {
        l->calls[i].seq = seq;
        l->calls[i].until_ms = clock_now_ms() + COMES_BACK_MS;
        if (i == l->count)
            atomic_store(&l->count, i + 1);
    }
    pthread_mutex_unlock(&l->lock);
}

void lost_again(struct lost *l, uint64_t seq)
{
    if (atomic_load(&l->count) == 0)
        return;
    pthread_mutex_lock(&l->lock);
    uint32_t i = find(l, seq);
    if (i < l->count)
        l->calls[i].until_ms = clock_now_ms() + COMES_BACK_MS;
    pthread_mutex_unlock(&l->lock);
}

void lost_forget(struct lost *l, uint64_t seq)
{
    if (atomic_load(&l->count) == 0)
        return;
    pthread_mutex_lock(&l->lock);
    uint32_t i = find(l, seq);
    if (i < l->count)
        drop(l, i);
    pthread_mutex_unlock(&l->lock);
}

/* The call that is in the way of this number, or l->count. */
static uint32_t in_the_way(struct lost *l, uint64_t seq)
{
    uint64_t now_ms = clock_now_ms();
    uint32_t i = 0;

    while (i < l->count) {
        if (l->calls[i].until_ms <= now_ms)
            drop(l, i);
        else if (seq > l->calls[i].seq + AHEAD_MAX)
            break;
        else
            i++;
    }
    return i;
}

void lost_wait(struct lost *l, uint64_t seq)
{
    if (atomic_load(&l->count) == 0)
        return;
    pthread_mutex_lock(&l->lock);
    while (in_the_way(l, seq) < l->count) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t); /* until_ms is by a clock that conditions don't know */
        t.tv_sec++;
        pthread_cond_timedwait(&l->changed, &l->lock, &t);
    }
    pthread_mutex_unlock(&l->lock);
}

bool lost_is_free(struct lost *l, uint64_t seq)
{
    if (atomic_load(&l->count) == 0)
        return true;
    pthread_mutex_lock(&l->lock);
    bool is_free = in_the_way(l, seq) == l->count;
    pthread_mutex_unlock(&l->lock);
    return is_free;
}
