/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/cache.h"

#include <assert.h>
#include <stdlib.h>

#include "transport/base/log.h"
#include "transport/rdma/ranges.h"
#include "transport/rdma/watch.h"

/* A refusal is asked about again after so many lookups: the memory may be another by then. */
#define REFUSALS_MAX 64u

/*
 * A piece of memory that was asked for. Its life:
 *   free     in the list of free ones
 *   making   in the table, so that nobody else makes it and gone() finds it; its range is watched,
 *            a thread registers it without the lock
 *   ready    in the table: it has a region, or was refused and is bounced
 *   gone     not in the table: it was unmapped, or had to make room. It stays registered until
 *            nobody uses it any more
 *   dead     somebody ends its registration, without the lock, as that takes long; then it's free
 *
 * Those in the table don't overlap: what is asked for ends where the next one begins. They are
 * exact to the byte; watched are whole pages, so that neighbours may share one.
 *
 * There are as many as there may be regions, and the count of bytes goes down when a registration
 * has ended: what is in use after it is gone counts too.
 */
struct rdma_held {
    struct rdma_range range;         /* the first member */
    struct rdma_held *newer, *older; /* in the table, by their last use; else older is the next */
    struct rdma_region *region;      /* NULL: refused */
    uint64_t bytes;                  /* registered, or about to be */
    uint32_t users;                  /* and the thread that makes it */
    uint32_t refusals;               /* how often it was asked for in vain */
    bool making, gone;
    bool source; /* it can't be written to */
};

struct rdma_cache {
    pthread_mutex_t *lock;
    const struct rdma_devices *devices;
    struct rdma_watch *watch;
    struct rdma_ranges table;
    struct rdma_held *newest, *oldest; /* in the table */
    struct rdma_held *idle, *dead;
    uint64_t bytes, bytes_max;
    _Atomic bool warned;
    struct rdma_held all[RDMA_CACHE_REGIONS_MAX];
};

/* ---- lists ----------------------------------------------------------------------------------- */

static void unlink_use(struct rdma_cache *c, struct rdma_held *e)
{
    *(e->newer != NULL ? &e->newer->older : &c->newest) = e->older;
    *(e->older != NULL ? &e->older->newer : &c->oldest) = e->newer;
}

static void link_newest(struct rdma_cache *c, struct rdma_held *e)
{
    e->newer = NULL;
    e->older = c->newest;
    *(c->newest != NULL ? &c->newest->newer : &c->oldest) = e;
    c->newest = e;
}

static void bury_unused(struct rdma_cache *c, struct rdma_held *e)
{
    if (e->gone && e->users == 0) {
        e->older = c->dead;
        c->dead = e;
    }
}

/* Pages that a neighbour shares stay watched. It isn't in the table, or is of no more use there. */
static void unwatch(struct rdma_cache *c, const struct rdma_held *e)
{
    const struct rdma_place *at = c->table.at;
    size_t place = rdma_ranges_before(&c->table, e->range.begin);
    uintptr_t low = place > 0 ? at[place - 1].range->end : 0;
    uintptr_t high = place < c->table.count ? at[place].begin : UINTPTR_MAX;

    rdma_watch_forget(c->watch, e->range.begin, e->range.end, low, high);
}

static void take_out(struct rdma_cache *c, struct rdma_held *e)
{
    rdma_ranges_remove(&c->table, &e->range);
    unlink_use(c, e);
    e->gone = true;
    bury_unused(c, e);
}

static void dismiss(struct rdma_cache *c, struct rdma_held *e)
{
    take_out(c, e);
    unwatch(c, e);
}

/* What is gone as a whole needs no forgetting; somebody else may have the addresses already, and
 * watch them himself. */
static void gone(void *arg, uintptr_t begin, uintptr_t end)
{
    struct rdma_cache *c = arg;
    size_t i = rdma_ranges_before(&c->table, end);

    for (; i > 0 && c->table.at[i - 1].range->end > begin; i--) {
        struct rdma_held *e = (struct rdma_held *)c->table.at[i - 1].range;
        take_out(c, e);
        if (e->range.begin < begin || end < e->range.end)
            unwatch(c, e);
    }
}

/* Lets the lock go. */
static void end_dead(struct rdma_cache *c)
{
    struct rdma_held *dead = c->dead;

    if (dead == NULL)
        return;
    c->dead = NULL;
    pthread_mutex_unlock(c->lock);
    for (struct rdma_held *e = dead; e != NULL; e = e->older)
        if (e->region != NULL)
            rdma_region_free(e->region);
    pthread_mutex_lock(c->lock);
    for (struct rdma_held *e = dead, *next; e != NULL; e = next) {
        next = e->older;
        c->bytes -= e->bytes;
        e->region = NULL;
        e->older = c->idle;
        c->idle = e;
    }
}

static void clean(void *arg)
{
    struct rdma_cache *c = arg;

    pthread_mutex_lock(c->lock);
    end_dead(c);
    pthread_mutex_unlock(c->lock);
}

/* ---- making ---------------------------------------------------------------------------------- */

/* Dismisses the least recently used ones until there is a free one and room for so many bytes. What
 * is dead already counts as room. Lets the lock go. */
static bool make_room(struct rdma_cache *c, uint64_t want)
{
    uint64_t bytes = c->bytes;
    bool free_one = c->idle != NULL || c->dead != NULL;

    for (const struct rdma_held *e = c->dead; e != NULL; e = e->older)
        bytes -= e->bytes;
    for (struct rdma_held *e = c->oldest, *newer; e != NULL; e = newer) {
        if (free_one && bytes + want <= c->bytes_max)
            break;
        newer = e->newer;
        if (e->users > 0)
            continue;
        bytes -= e->bytes;
        free_one = true;
        dismiss(c, e);
    }
    end_dead(c);
    return c->idle != NULL && c->bytes + want <= c->bytes_max;
}

static struct rdma_held *begin_making(struct rdma_cache *c, uintptr_t begin, uint64_t want)
{
    struct rdma_held *e = c->idle;

    c->idle = e->older;
    *e = (struct rdma_held){
        .range = {.begin = begin, .end = begin + want}, .bytes = want, .users = 1, .making = true};
    c->bytes += want;
    rdma_ranges_insert(&c->table, &e->range);
    link_newest(c, e);
    return e;
}

/* What the thread that makes one finds out without the lock. */
struct made {
    struct rdma_region *region;
    bool source;
};

/* Memory that is mapped read-only can still be the source of a WRITE. The lock isn't held. */
static int register_it(struct rdma_cache *c, const struct rdma_range *range, bool written,
                       struct made *out)
{
    void *base = (void *)range->begin;
    uint64_t len = range->end - range->begin;
    int status =
        rdma_region_make(c->devices, base, len, RDMA_ACCESS_LOCAL, -1, false, &out->region);

    if (status == CENOTE_BAD_ADDRESS && !written) {
        status = rdma_region_make(c->devices, base, len, RDMA_ACCESS_LOCAL_SOURCE, -1, false,
                                  &out->region);
        out->source = true;
    }
    if (status == CENOTE_OK && !rdma_watch_knows(range->begin, range->end)) {
        rdma_region_free(out->region);
        status = CENOTE_NOT_SUPPORTED;
    }
    if (status == CENOTE_NO_MEMORY && !atomic_exchange(&c->warned, true))
        log_warn("rdma", "devices take no more memory that wasn't registered: the rest is copied "
                         "on its way (see ulimit -l, LimitMEMLOCK=)");
    return status;
}

static void end_making(struct rdma_cache *c, struct rdma_held *e, int status,
                       const struct made *made)
{
    e->making = false;
    if (status == CENOTE_OK) {
        e->region = made->region;
        e->source = made->source;
    } else {
        c->bytes -= e->bytes;
        e->bytes = 0;
        unwatch(c, e);
    }
    /* devices won't have more than this at a time: no use to try again and again */
    if (status == CENOTE_NO_MEMORY && c->bytes_max > c->bytes)
        c->bytes_max = c->bytes;
    if (e->gone || e->region == NULL)
        e->users--;
    bury_unused(c, e);
}

/* The caller is its user. NULL: bounce. */
static struct rdma_held *make(struct rdma_cache *c, uintptr_t begin, uint64_t want, bool written)
{
    uintptr_t next;

    if (!make_room(c, want))
        return NULL;
    /* while the lock wasn't held, somebody else may have made something here */
    if (rdma_ranges_around(&c->table, begin, &next) != NULL || next - begin < want)
        return NULL;
    struct rdma_held *e = begin_making(c, begin, want);
    struct rdma_range range = e->range;
    struct made made = {.region = NULL};
    int status = rdma_watch_add(c->watch, range.begin, range.end);
    if (status == CENOTE_OK) {
        pthread_mutex_unlock(c->lock);
        status = register_it(c, &range, written, &made);
        pthread_mutex_lock(c->lock);
    }
    end_making(c, e, status, &made);
    bool usable = e->region != NULL && !e->gone;
    end_dead(c);
    return usable ? e : NULL;
}

/* ---- looking up ------------------------------------------------------------------------------ */

static void shorten(uint64_t *len, uint64_t most)
{
    if (*len > most)
        *len = most;
}

/* The one around this address, if it may be relied upon. Sets *bounce: it may not, or it is no use;
 * shortens *len to what this is said of. */
static struct rdma_held *lookup(struct rdma_cache *c, uintptr_t begin, uint64_t *len, bool written,
                                bool *bounce)
{
    uintptr_t next;
    struct rdma_held *e = (struct rdma_held *)rdma_ranges_around(&c->table, begin, &next);

    *bounce = false;
    if (e != NULL && !rdma_watch_settled(c->watch)) {
        *bounce = true;
        shorten(len, RDMA_BOUNCE_SLOT_BYTES);
        return NULL;
    }
    if (e != NULL && !e->gone && !e->making &&
        ((e->region == NULL && ++e->refusals > REFUSALS_MAX) || (written && e->source)))
        dismiss(c, e);
    if (e != NULL && e->gone)
        e = (struct rdma_held *)rdma_ranges_around(&c->table, begin, &next);
    shorten(len, (e != NULL ? e->range.end : next) - begin);
    if (e != NULL && e->making)
        shorten(len, RDMA_BOUNCE_SLOT_BYTES); /* what is behind may have a key soon */
    *bounce = e != NULL && e->region == NULL;
    return e;
}

bool rdma_cache_find(struct rdma_cache *c, unsigned device, const void *addr, uint64_t *len,
                     bool written, uint32_t *lkey, struct rdma_held **held)
{
    bool bounce;
    struct rdma_held *e = lookup(c, (uintptr_t)addr, len, written, &bounce);

    if (bounce)
        return false;
    if (e != NULL) {
        e->users++;
        unlink_use(c, e);
        link_newest(c, e);
    } else {
        if (*len < RDMA_CACHE_FROM_BYTES)
            return false;
        shorten(len, RDMA_CACHE_PART_BYTES);
        e = make(c, (uintptr_t)addr, *len, written);
        if (e == NULL)
            return false;
    }
    *held = e;
    if (rdma_region_local(e->region, device, addr, len, lkey))
        return true;
    rdma_cache_release(c, e);
    *held = NULL;
    return false;
}

void rdma_cache_release(struct rdma_cache *c, struct rdma_held *held)
{
    assert(held->users > 0);
    held->users--;
    bury_unused(c, held);
    end_dead(c);
}

void rdma_cache_empty(struct rdma_cache *c)
{
    for (struct rdma_held *e = c->oldest, *newer; e != NULL; e = newer) {
        newer = e->newer;
        if (e->users == 0)
            dismiss(c, e);
    }
    end_dead(c);
}

/* ---- beginning and end ----------------------------------------------------------------------- */

struct rdma_cache *rdma_cache_new(pthread_mutex_t *lock, const struct rdma_devices *devices)
{
    struct rdma_cache *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->lock = lock;
    c->devices = devices;
    c->bytes_max = RDMA_CACHE_BYTES_MAX;
    for (size_t i = 0; i < RDMA_CACHE_REGIONS_MAX; i++) {
        c->all[i].older = c->idle;
        c->idle = &c->all[i];
    }
    struct rdma_watcher watcher = {.arg = c, .lock = lock, .gone = gone, .clean = clean};
    if (rdma_ranges_reserve(&c->table, RDMA_CACHE_REGIONS_MAX) &&
        rdma_watch_new(&watcher, &c->watch) == CENOTE_OK)
        return c;
    rdma_ranges_free(&c->table);
    free(c);
    return NULL;
}

void rdma_cache_free(struct rdma_cache *c)
{
    pthread_mutex_lock(c->lock);
    rdma_cache_empty(c);
    assert(c->table.count == 0);
    pthread_mutex_unlock(c->lock);
    rdma_watch_free(c->watch);
    assert(c->bytes == 0 && c->dead == NULL);
    rdma_ranges_free(&c->table);
    free(c);
}

void rdma_cache_abandon(struct rdma_cache *c)
{
    for (size_t i = 0; i < c->table.count; i++) {
        const struct rdma_held *e = (const struct rdma_held *)c->table.at[i].range;
        if (e->region != NULL)
            rdma_region_abandon(e->region);
    }
    rdma_watch_abandon(c->watch);
    rdma_ranges_free(&c->table);
    free(c);
}
