/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/memory.h"

#include <assert.h>
#include <stdlib.h>

#include "transport/base/log.h"
#include "transport/rdma/cache.h"
#include "transport/rdma/ranges.h"

/*
 * What the application registered. Its registry sees to it that nothing is dropped that a transfer
 * uses, so nobody counts users here. For a moment ranges may overlap: the registry tells of memory
 * before it finds out that it has some of it already, and then takes that back.
 *
 * Registering with the devices happens outside the lock. As long as a range has no region it is
 * bounced, and when it can't have one it is bounced for ever.
 */
struct named {
    struct rdma_range range; /* the first member */
    struct rdma_region *region;
    struct named *next; /* noted before there were devices */
    bool registering;   /* it can't be dropped now */
};

struct rdma_memory {
    pthread_mutex_t lock;
    pthread_cond_t registered;
    const struct rdma_devices *devices; /* NULL: not yet */
    struct rdma_ranges named;
    struct named *noted;
    bool warned;
    bool cache_tried;
    struct rdma_cache *cache; /* NULL: not needed yet, or not possible */
};

struct rdma_memory *rdma_memory_new(void)
{
    struct rdma_memory *m = calloc(1, sizeof *m);

    if (m == NULL)
        return NULL;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->registered, NULL);
    return m;
}

void rdma_memory_free(struct rdma_memory *m)
{
    assert(m->named.count == 0);
    if (m->cache != NULL)
        rdma_cache_free(m->cache);
    rdma_ranges_free(&m->named);
    pthread_cond_destroy(&m->registered);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

void rdma_memory_abandon(struct rdma_memory *m)
{
    if (pthread_mutex_trylock(&m->lock) != 0)
        return; /* another thread was in the middle of a change, and doesn't exist here */
    for (size_t i = 0; i < m->named.count; i++) {
        struct named *n = (struct named *)m->named.at[i].range;
        if (n->region != NULL)
            rdma_region_abandon(n->region);
        free(n);
    }
    rdma_ranges_free(&m->named);
    if (m->cache != NULL)
        rdma_cache_abandon(m->cache);
    free(m);
}

/* ---- what the application registers ---------------------------------------------------------- */

/* The lock isn't held. */
static int try_devices(const struct rdma_memory *m, struct named *n, bool log_limit)
{
    return rdma_region_make(m->devices, (void *)n->range.begin, n->range.end - n->range.begin,
                            RDMA_ACCESS_LOCAL, -1, log_limit, &n->region);
}

/* The lock is held, except while the devices do it. What the application registers comes before
 * what the cache has. */
static void register_named(struct rdma_memory *m, struct named *n)
{
    bool loud = !m->warned, cached = m->cache != NULL;

    n->registering = true;
    pthread_mutex_unlock(&m->lock);
    int status = try_devices(m, n, loud && !cached);
    if (status == CENOTE_NO_MEMORY && cached) {
        pthread_mutex_lock(&m->lock);
        rdma_cache_empty(m->cache);
        pthread_mutex_unlock(&m->lock);
        status = try_devices(m, n, loud);
    }
    if (status != CENOTE_OK && loud)
        log_warn("rdma", "registered memory that devices can't have is copied on its way");
    pthread_mutex_lock(&m->lock);
    m->warned = m->warned || status != CENOTE_OK;
    n->registering = false;
    pthread_cond_broadcast(&m->registered);
}

void rdma_memory_use(struct rdma_memory *m, const struct rdma_devices *devices)
{
    pthread_mutex_lock(&m->lock);
    assert(m->devices == NULL);
    m->devices = devices;
    while (m->noted != NULL) {
        struct named *n = m->noted;
        m->noted = n->next;
        register_named(m, n);
    }
    pthread_mutex_unlock(&m->lock);
}

int rdma_memory_add(struct rdma_memory *m, void *addr, uint64_t len_bytes, enum memory_kind kind,
                    void **handle)
{
    if (kind != MEMORY_HOST)
        return CENOTE_NOT_SUPPORTED;
    struct named *n = calloc(1, sizeof *n);
    if (n == NULL)
        return CENOTE_NO_MEMORY;
    n->range.begin = (uintptr_t)addr;
    n->range.end = n->range.begin + len_bytes;
    pthread_mutex_lock(&m->lock);
    bool room = rdma_ranges_reserve(&m->named, m->named.count + 1);
    if (room) {
        rdma_ranges_insert(&m->named, &n->range);
        if (m->devices != NULL) {
            register_named(m, n);
        } else {
            n->next = m->noted;
            m->noted = n;
        }
        *handle = n;
    }
    pthread_mutex_unlock(&m->lock);
    if (!room)
        free(n);
    return room ? CENOTE_OK : CENOTE_NO_MEMORY;
}

static void forget_note(struct rdma_memory *m, const struct named *n)
{
    for (struct named **at = &m->noted; *at != NULL; at = &(*at)->next)
        if (*at == n) {
            *at = n->next;
            return;
        }
}

void rdma_memory_drop(struct rdma_memory *m, void *handle)
{
    struct named *n = handle;

    pthread_mutex_lock(&m->lock);
    while (n->registering)
        pthread_cond_wait(&m->registered, &m->lock);
    forget_note(m, n);
    rdma_ranges_remove(&m->named, &n->range);
    pthread_mutex_unlock(&m->lock);
    if (n->region != NULL)
        rdma_region_free(n->region);
    free(n);
}

/* ---- lookups --------------------------------------------------------------------------------- */

static void shorten(uint64_t *len, uint64_t most)
{
    if (*len > most)
        *len = most;
}

/* Made when it is of use for the first time. The lock is held, except while it is made. */
static struct rdma_cache *cache_for(struct rdma_memory *m, uint64_t len)
{
    if (m->cache != NULL || m->cache_tried || m->devices == NULL || len < RDMA_CACHE_FROM_BYTES ||
        m->devices->settings.no_cache)
        return m->cache;
    m->cache_tried = true;
    pthread_mutex_unlock(&m->lock);
    struct rdma_cache *cache = rdma_cache_new(&m->lock, m->devices);
    pthread_mutex_lock(&m->lock);
    m->cache = cache;
    return cache;
}

bool rdma_memory_find(struct rdma_memory *m, unsigned device, const void *addr, uint64_t *len,
                      bool written, uint32_t *lkey, struct rdma_held **held)
{
    uintptr_t begin = (uintptr_t)addr, next;
    bool found = false;

    *held = NULL;
    pthread_mutex_lock(&m->lock);
    struct named *n = (struct named *)rdma_ranges_around(&m->named, begin, &next);
    if (n == NULL) {
        shorten(len, next - begin);
        struct rdma_cache *cache = cache_for(m, *len);
        found = cache != NULL && rdma_cache_find(cache, device, addr, len, written, lkey, held);
    } else {
        shorten(len, n->range.end - begin);
        found = !n->registering && n->region != NULL &&
                rdma_region_local(n->region, device, addr, len, lkey);
    }
    pthread_mutex_unlock(&m->lock);
    return found;
}

void rdma_memory_release(struct rdma_memory *m, struct rdma_held *held)
{
    pthread_mutex_lock(&m->lock);
    rdma_cache_release(m->cache, held);
    pthread_mutex_unlock(&m->lock);
}
