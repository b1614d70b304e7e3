/* SPDX-License-Identifier: Apache-2.0 */
#include "server/node/horizons.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* Open addressing, at most half full; an entry is free when its horizon is 0. */
#define SLOTS (2u * HORIZONS_MAX)

static_assert((SLOTS & (SLOTS - 1)) == 0, "slots are found by masking");

struct entry {
    uint64_t session, horizon;
};

struct horizons {
    pthread_rwlock_t lock;
    uint64_t floor;
    unsigned count;
    struct entry slots[SLOTS];
};

/* glibc lets readers pass waiting writers unless told otherwise: a busy data path would keep a
 * fence waiting. */
static bool init_lock(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attr;
    if (pthread_rwlockattr_init(&attr) != 0)
        return false;
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    bool good = pthread_rwlock_init(lock, &attr) == 0;
    pthread_rwlockattr_destroy(&attr);
    return good;
}

struct horizons *horizons_new(void)
{
    struct horizons *h = calloc(1, sizeof *h);
    if (h && !init_lock(&h->lock)) {
        free(h);
        return NULL;
    }
    return h;
}

void horizons_free(struct horizons *h)
{
    if (!h)
        return;
    pthread_rwlock_destroy(&h->lock);
    free(h);
}

static unsigned home_of(uint64_t session)
{
    return (unsigned)(session * UINT64_C(0x9e3779b97f4a7c15) >> 32) & (SLOTS - 1);
}

/* The session's entry, or the free one where it belongs. */
static struct entry *find(struct horizons *h, uint64_t session)
{
    unsigned i = home_of(session);
    while (h->slots[i].horizon != 0 && h->slots[i].session != session)
        i = (i + 1) & (SLOTS - 1);
    return &h->slots[i];
}

/* Frees slot i and moves later entries of its run back, so that find() needs no tombstones. */
static void take_out(struct horizons *h, unsigned i)
{
    unsigned gap = i;
    for (unsigned j = (gap + 1) & (SLOTS - 1); h->slots[j].horizon != 0;
         j = (j + 1) & (SLOTS - 1)) {
        unsigned home = home_of(h->slots[j].session);
        if (((j - home) & (SLOTS - 1)) < ((j - gap) & (SLOTS - 1)))
            continue; /* its home lies behind the gap */
        h->slots[gap] = h->slots[j];
        gap = j;
    }
    h->slots[gap] = (struct entry){0, 0};
    h->count--;
}

static void push_out_lowest(struct horizons *h)
{
    unsigned lowest = SLOTS;
    for (unsigned i = 0; i < SLOTS; i++) {
        if (h->slots[i].horizon == 0)
            continue;
        if (lowest == SLOTS || h->slots[i].horizon < h->slots[lowest].horizon)
            lowest = i;
    }
    assert(lowest < SLOTS);
    if (h->slots[lowest].horizon > h->floor)
        h->floor = h->slots[lowest].horizon;
    take_out(h, lowest);
}

void horizons_raise(struct horizons *h, uint64_t session, uint64_t horizon)
{
    if (horizon == 0)
        return;
    pthread_rwlock_wrlock(&h->lock);
    struct entry *e = find(h, session);
    if (e->horizon == 0 && horizon > h->floor) {
        if (h->count == HORIZONS_MAX) {
            push_out_lowest(h);
            e = find(h, session);
        }
        *e = (struct entry){session, horizon};
        h->count++;
    } else if (e->horizon != 0 && horizon > e->horizon) {
        e->horizon = horizon;
    }
    assert(h->count <= HORIZONS_MAX);
    pthread_rwlock_unlock(&h->lock);
}

void horizons_raise_all(struct horizons *h, uint64_t horizon)
{
    pthread_rwlock_wrlock(&h->lock);
    if (horizon > h->floor)
        h->floor = horizon;
    pthread_rwlock_unlock(&h->lock);
}

uint64_t horizons_of(struct horizons *h, uint64_t session)
{
    pthread_rwlock_rdlock(&h->lock);
    const struct entry *e = find(h, session);
    uint64_t horizon = e->horizon > h->floor ? e->horizon : h->floor;
    pthread_rwlock_unlock(&h->lock);
    return horizon;
}
