/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads unmap, map, move, strip and free memory, at addresses that others get at once, and look
 * all of it up. A lookup must never find the registration of what was there before.
 *
 * What memory is, is told by a mark in it: only a page that is new, and thus zero, gets one, and
 * no two get the same. A registration remembers the mark that it found.
 *
 *   watch [seed]
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/scenario/check.h"
#include "tests/support/fakemr.h"
#include "transport/rdma/cache.h"
#include "transport/rdma/memory.h"

#define THREADS   4u
#define ROUNDS    600u
#define SLOTS     3u
#define HELD      8u
#define PAGE      ((uint64_t)4096)
#define BLOCK     (RDMA_CACHE_FROM_BYTES + 2 * PAGE)
#define SLOT_SIZE (2 * BLOCK)
#define MARK      (UINT64_C(0x6d61726b) << 32)
#define LIMIT_SEC 250

static struct rdma_devices *devices;
static struct rdma_memory *memory;
static _Atomic uint64_t marks, hits, lookups;

/* Addresses that threads share, one after the other. */
static struct slot {
    pthread_mutex_t lock;
    uint8_t *at;
} slots[SLOTS];

struct actor {
    pthread_t thread;
    unsigned seed;
    struct rdma_held *held[HELD];
    uint32_t keys[HELD];
};

static unsigned pick(struct actor *a, unsigned n)
{
    return (unsigned)rand_r(&a->seed) % n;
}

/* 0: something else has written there. */
static uint64_t mark_of(uintptr_t begin)
{
    uint64_t *at = fake_mark_at(begin), mark = __atomic_load_n(at, __ATOMIC_RELAXED);

    if (mark == 0) {
        mark = MARK | (atomic_fetch_add(&marks, 1) + 1);
        __atomic_store_n(at, mark, __ATOMIC_RELAXED);
    }
    return mark >> 32 == MARK >> 32 ? mark : 0;
}

/* ---- looking up ------------------------------------------------------------------------------ */

/* What is in use stays registered, whatever becomes of the memory. */
static void let_go(struct actor *a, unsigned i)
{
    struct fake_mr mr;

    if (a->held[i] == NULL)
        return;
    CHECK(fake_mr_of(a->keys[i], &mr));
    rdma_memory_release(memory, a->held[i]);
    a->held[i] = NULL;
}

static void judge(uintptr_t block, uintptr_t begin, uint32_t key)
{
    struct fake_mr mr;

    CHECK(fake_mr_of(key, &mr));
    CHECK(mr.begin <= begin && begin < mr.end);
    if (mr.begin < block || mr.mark >> 32 != MARK >> 32)
        return;
    uint64_t mark = mark_of(mr.begin);
    if (mark != 0 && mark != mr.mark) {
        fprintf(stderr, "a stale registration: of %llx, found for %llx\n",
                (unsigned long long)mr.mark, (unsigned long long)mark);
        exit(1);
    }
    atomic_fetch_add(&hits, 1);
}

/* The memory is this thread's. */
static void look_up(struct actor *a, uint8_t *at, uint64_t room)
{
    uint64_t offset = pick(a, 3) * PAGE, len = room - offset;
    unsigned i = pick(a, HELD);
    uint32_t key;

    let_go(a, i);
    mark_of((uintptr_t)at);
    mark_of((uintptr_t)at + offset);
    atomic_fetch_add(&lookups, 1);
    if (!rdma_memory_find(memory, 0, at + offset, &len, pick(a, 2) == 0, &key, &a->held[i]))
        return;
    judge((uintptr_t)at, (uintptr_t)at + offset, key);
    a->keys[i] = key;
    if (pick(a, 2) == 0)
        let_go(a, i);
}

/* ---- what becomes of memory ------------------------------------------------------------------ */

/* Whoever maps next gets the same address, often before the call that unmapped it has returned. */
static void map_and_unmap(struct actor *a)
{
    uint8_t *at = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(at != MAP_FAILED);
    look_up(a, at, BLOCK);
    look_up(a, at, BLOCK);
    munmap(at, BLOCK);
}

static void allocate_and_free(struct actor *a)
{
    uint8_t *at[2];

    for (unsigned i = 0; i < 2; i++) {
        at[i] = malloc(2 * BLOCK);
        CHECK(at[i] != NULL);
        look_up(a, at[i], 2 * BLOCK);
    }
    free(at[0]);
    uint8_t *longer = realloc(at[1], 3 * BLOCK);
    CHECK(longer != NULL);
    look_up(a, longer, 3 * BLOCK);
    free(longer);
}

/* At an address, or anywhere. */
static uint8_t *map_slot(uint8_t *at)
{
    int how = MAP_PRIVATE | MAP_ANONYMOUS | (at != NULL ? MAP_FIXED : 0);
    uint8_t *got = mmap(at, SLOT_SIZE, PROT_READ | PROT_WRITE, how, -1, 0);

    CHECK(got != MAP_FAILED && (at == NULL || got == at));
    return got;
}

static void change(struct actor *a, struct slot *s)
{
    uint8_t *at = s->at;

    switch (pick(a, 5)) {
    case 0:
        madvise(at, SLOT_SIZE, MADV_DONTNEED);
        break;
    case 1:
        madvise(at + PAGE * pick(a, 4), PAGE, MADV_DONTNEED);
        break;
    case 2:
        map_slot(at);
        break;
    case 3:
        CHECK(munmap(at, SLOT_SIZE) == 0);
        s->at = map_slot(NULL);
        break;
    case 4: {
        void *moved = mremap(at, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
        if (moved != MAP_FAILED)
            munmap(moved, PAGE);
        map_slot(at);
        break;
    }
    }
}

static void use_slot(struct actor *a)
{
    struct slot *s = &slots[pick(a, SLOTS)];

    pthread_mutex_lock(&s->lock);
    if (pick(a, 2) == 0)
        change(a, s);
    look_up(a, s->at, SLOT_SIZE);
    pthread_mutex_unlock(&s->lock);
}

static void *act(void *arg)
{
    struct actor *a = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        switch (pick(a, 4)) {
        case 0:
            map_and_unmap(a);
            break;
        case 1:
            allocate_and_free(a);
            break;
        default:
            use_slot(a);
            break;
        }
    }
    for (unsigned i = 0; i < HELD; i++)
        let_go(a, i);
    return NULL;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static void prepare(void)
{
    devices = fake_devices_new(1);
    memory = rdma_memory_new();
    CHECK(devices != NULL && memory != NULL);
    rdma_memory_use(memory, devices);
    for (unsigned i = 0; i < SLOTS; i++) {
        slots[i].at = map_slot(NULL);
        pthread_mutex_init(&slots[i].lock, NULL);
    }
}

static void finish(void)
{
    for (unsigned i = 0; i < SLOTS; i++)
        munmap(slots[i].at, SLOT_SIZE);
    rdma_memory_free(memory);
    CHECK_EQ(fake_alive(), 0);
    fake_devices_free(devices);
}

int main(int argc, char **argv)
{
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : (unsigned)time(NULL);
    static struct actor actors[THREADS];

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("seed %u\n", seed);
    mallopt(M_MMAP_THRESHOLD,
            (int)RDMA_CACHE_FROM_BYTES); /* free() unmaps: marks don't come back */
    alarm(LIMIT_SEC);                    /* who unmaps must not wait for ever */
    prepare();
    for (unsigned i = 0; i < THREADS; i++) {
        actors[i].seed = seed + i;
        CHECK(pthread_create(&actors[i].thread, NULL, act, &actors[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(actors[i].thread, NULL);
    printf("%llu lookups, %llu of registered memory, %u registrations\n",
           (unsigned long long)atomic_load(&lookups), (unsigned long long)atomic_load(&hits),
           fake_made());
    finish();
    return 0;
}
