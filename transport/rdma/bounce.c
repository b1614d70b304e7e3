/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/bounce.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "transport/base/log.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define ARENA_SLOTS      16u
#define ARENA_BYTES      (ARENA_SLOTS * RDMA_BOUNCE_SLOT_BYTES)
#define BOUNCE_SLOTS_MAX ((uint32_t)(RDMA_BOUNCE_BYTES_MAX / RDMA_BOUNCE_SLOT_BYTES))
#define PAGE_BYTES       4096u

/* Some slots that are registered as one. */
struct arena {
    struct arena *next;
    uint8_t *base;
    uint64_t len_bytes;
    struct rdma_region *region;
    uint32_t count;
    struct rdma_bounce_slot slots[ARENA_SLOTS];
};

struct rdma_bounce {
    const struct rdma_devices *devices;
    pthread_mutex_t lock;
    struct rdma_bounce_slot *idle;
    struct arena *arenas;
    uint32_t made;  /* slots, those that are being made included */
    uint32_t limit; /* as many are made at most, as far as it isn't a matter of going on at all */
    uint32_t taken;
};

struct rdma_bounce *rdma_bounce_new(const struct rdma_devices *devices)
{
    struct rdma_bounce *b = calloc(1, sizeof *b);

    if (b == NULL)
        return NULL;
    b->devices = devices;
    b->limit = BOUNCE_SLOTS_MAX;
    pthread_mutex_init(&b->lock, NULL);
    return b;
}

/* ---- arenas; the lock isn't held ------------------------------------------------------------- */

/* Memory that begins at a multiple of its length, so that a huge page can hold it, and that no
 * forked child has: a fork would copy what devices have pinned. All of it is touched here, huge
 * pages where the kernel has some, and not while a device pins it. */
static uint8_t *map_arena(uint64_t len_bytes)
{
    uint8_t *wide =
        mmap(NULL, 2 * len_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (wide == MAP_FAILED)
        return NULL;
    uint64_t before = (len_bytes - (uintptr_t)wide % len_bytes) % len_bytes;
    uint8_t *base = wide + before;
    if (before > 0)
        munmap(wide, before);
    if (before < len_bytes)
        munmap(base + len_bytes, len_bytes - before);
    madvise(base, len_bytes, MADV_HUGEPAGE);
    if (madvise(base, len_bytes, MADV_POPULATE_WRITE) != 0)
        for (uint64_t i = 0; i < len_bytes; i += PAGE_BYTES)
            base[i] = 0;
    if (madvise(base, len_bytes, MADV_DONTFORK) == 0)
        return base;
    munmap(base, len_bytes);
    return NULL;
}

static void cut_slots(struct arena *a, const struct rdma_devices *devices)
{
    for (uint32_t i = 0; i < a->count; i++) {
        struct rdma_bounce_slot *slot = &a->slots[i];
        slot->at = a->base + i * RDMA_BOUNCE_SLOT_BYTES;
        for (unsigned d = 0; d < devices->count; d++) {
            uint64_t len = RDMA_BOUNCE_SLOT_BYTES; /* a piece has whole arenas */
            rdma_region_local(a->region, d, slot->at, &len, &slot->lkeys[d]);
        }
        slot->next = i + 1 < a->count ? &a->slots[i + 1] : NULL;
    }
}

static struct arena *make_arena(const struct rdma_devices *devices, uint32_t count, bool log_limit)
{
    struct arena *a = calloc(1, sizeof *a);

    if (a == NULL)
        return NULL;
    a->count = count;
    a->len_bytes = count * RDMA_BOUNCE_SLOT_BYTES;
    a->base = map_arena(a->len_bytes);
    if (a->base == NULL)
        goto free_arena;
    if (rdma_region_make(devices, a->base, a->len_bytes, RDMA_ACCESS_LOCAL, -1, log_limit,
                         &a->region) != CENOTE_OK)
        goto unmap;
    cut_slots(a, devices);
    return a;
unmap:
    munmap(a->base, a->len_bytes);
free_arena:
    free(a);
    return NULL;
}

/* ---- slots ----------------------------------------------------------------------------------- */

static struct rdma_bounce_slot *pop(struct rdma_bounce *b)
{
    struct rdma_bounce_slot *slot = b->idle;

    if (slot != NULL) {
        b->idle = slot->next;
        slot->next = NULL;
        b->taken++;
    }
    return slot;
}

/* The arena's first slot is the caller's. */
static struct rdma_bounce_slot *adopt(struct rdma_bounce *b, struct arena *a)
{
    a->next = b->arenas;
    b->arenas = a;
    a->slots[a->count - 1].next = b->idle;
    b->idle = &a->slots[0];
    return pop(b);
}

/* Many slots or, where locked memory is that scarce, one for who must have it. The lock is held,
 * except while memory is registered. */
static struct rdma_bounce_slot *grow(struct rdma_bounce *b, bool sure)
{
    b->made += ARENA_SLOTS;
    pthread_mutex_unlock(&b->lock);
    struct arena *a = make_arena(b->devices, ARENA_SLOTS, false);
    bool refused = a == NULL;
    if (refused && sure)
        a = make_arena(b->devices, 1, true);
    pthread_mutex_lock(&b->lock);
    b->made -= ARENA_SLOTS;
    if (refused)
        b->limit = b->made;
    if (a == NULL)
        return pop(b); /* somebody may have given one back */
    b->made += a->count;
    return adopt(b, a);
}

struct rdma_bounce_slot *rdma_bounce_take(struct rdma_bounce *b, bool sure)
{
    pthread_mutex_lock(&b->lock);
    struct rdma_bounce_slot *slot = pop(b);
    if (slot == NULL && (sure || b->made + ARENA_SLOTS <= b->limit))
        slot = grow(b, sure);
    pthread_mutex_unlock(&b->lock);
    if (slot == NULL && sure)
        log_error("rdma", "no registered memory for copies");
    return slot;
}

void rdma_bounce_give(struct rdma_bounce *b, struct rdma_bounce_slot *slot)
{
    pthread_mutex_lock(&b->lock);
    slot->next = b->idle;
    b->idle = slot;
    b->taken--;
    pthread_mutex_unlock(&b->lock);
}

void rdma_bounce_free(struct rdma_bounce *b)
{
    assert(b->taken == 0);
    for (struct arena *a = b->arenas, *next; a != NULL; a = next) {
        next = a->next;
        rdma_region_free(a->region);
        munmap(a->base, a->len_bytes);
        free(a);
    }
    pthread_mutex_destroy(&b->lock);
    free(b);
}

/* The arenas' memory isn't mapped here. */
void rdma_bounce_abandon(struct rdma_bounce *b)
{
    if (pthread_mutex_trylock(&b->lock) != 0)
        return; /* another thread was in the middle of a change, and doesn't exist here */
    for (struct arena *a = b->arenas, *next; a != NULL; a = next) {
        next = a->next;
        rdma_region_abandon(a->region);
        free(a);
    }
    free(b);
}
