/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/claims.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#define CLAIMS_FIRST_BUCKETS 256u

static struct claim **bucket_of(const struct claims *c, const struct hash128 *key_hash)
{
    uint32_t h;
    memcpy(&h, key_hash->b, sizeof(h));
    return &c->buckets[h & c->mask];
}

static bool grow(struct claims *c)
{
    struct claims bigger = {.mask =
                                c->buckets == NULL ? CLAIMS_FIRST_BUCKETS - 1 : c->mask * 2 + 1};
    bigger.buckets = calloc((size_t)bigger.mask + 1, sizeof(*bigger.buckets));
    if (bigger.buckets == NULL)
        return false;
    for (uint32_t i = 0; c->buckets != NULL && i <= c->mask; i++) {
        struct claim *claim = c->buckets[i], *next;
        for (; claim != NULL; claim = next) {
            next = claim->next;
            struct claim **bucket = bucket_of(&bigger, &claim->key_hash);
            claim->next = *bucket;
            *bucket = claim;
        }
    }
    free(c->buckets);
    c->buckets = bigger.buckets;
    c->mask = bigger.mask;
    return true;
}

void claims_free(struct claims *c)
{
    for (uint32_t i = 0; c->buckets != NULL && i <= c->mask; i++) {
        struct claim *claim = c->buckets[i], *next;
        for (; claim != NULL; claim = next) {
            next = claim->next;
            free(claim);
        }
    }
    free(c->buckets);
    pool_free(&c->pool);
    *c = (struct claims){0};
}

struct claim *claims_find(const struct claims *c, const struct hash128 *key_hash)
{
    if (c->count == 0)
        return NULL;
    struct claim *claim = *bucket_of(c, key_hash);
    while (claim != NULL && memcmp(&claim->key_hash, key_hash, sizeof(*key_hash)) != 0)
        claim = claim->next;
    return claim;
}

struct claim *claims_get(struct claims *c, const struct hash128 *key_hash)
{
    struct claim *claim = claims_find(c, key_hash);
    if (claim != NULL)
        return claim;
    /* A table that can't grow only gets slower. */
    if ((c->buckets == NULL || c->count > c->mask) && !grow(c) && c->buckets == NULL)
        return NULL;
    claim = pool_take(&c->pool, sizeof(*claim));
    if (claim == NULL)
        return NULL;
    claim->key_hash = *key_hash;
    struct claim **bucket = bucket_of(c, key_hash);
    claim->next = *bucket;
    *bucket = claim;
    c->count++;
    return claim;
}

int claims_wait(struct claims *c, struct claim *claim, struct waiter *w)
{
    assert(!link_used(&w->link));
    if (c->waiters >= CLAIMS_WAITERS_MAX)
        return CENOTE_LIMIT;
    c->waiters++;
    list_append(&claim->waiters, &w->link);
    return CENOTE_OK;
}

void claims_forget(struct claims *c, struct waiter *w)
{
    if (!link_used(&w->link))
        return;
    link_remove(&w->link);
    c->waiters--;
}

static bool idle(const struct claim *claim)
{
    return !claim->busy && claim->unsettled == 0 && claim->successor == NULL &&
           list_empty(&claim->waiters);
}

/* Runs those who wait now; who waits again does so behind the mark. */
static void run_waiters(struct claims *c, struct claim *claim)
{
    struct waiter mark = {0};
    list_append(&claim->waiters, &mark.link);
    for (;;) {
        struct link *l = list_pop(&claim->waiters);
        if (l == &mark.link)
            return;
        c->waiters--;
        struct waiter *w = container_of(l, struct waiter, link);
        w->run(w);
    }
}

void claims_wake(struct claims *c, struct claim *claim)
{
    claim->wake_again = true;
    if (claim->waking)
        return;
    claim->waking = true;
    while (claim->wake_again) {
        claim->wake_again = false;
        run_waiters(c, claim);
    }
    claim->waking = false;
    if (!idle(claim))
        return;
    struct claim **at = bucket_of(c, &claim->key_hash);
    while (*at != claim)
        at = &(*at)->next;
    *at = claim->next;
    c->count--;
    pool_give(&c->pool, claim, sizeof(*claim));
}
