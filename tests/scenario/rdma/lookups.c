/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a lookup of local memory costs, a release included: among 122 registered buffers in turn, as
 * a block of a conversation has; in the cache, which asks the kernel whether memory is being
 * unmapped; of memory that must be bounced; and by several threads at once.
 *
 *   lookups [rounds]
 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/scenario/check.h"
#include "tests/support/fakemr.h"
#include "transport/rdma/cache.h"
#include "transport/rdma/memory.h"

#define PIECES  122u
#define PIECE   RDMA_CACHE_FROM_BYTES
#define THREADS 2u

static struct rdma_memory *memory;
static unsigned rounds = 200;

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static uint8_t *map(uint64_t len)
{
    uint8_t *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

/* Returns how many were found. */
static unsigned look_up_all(const uint8_t *at, uint64_t len)
{
    unsigned found = 0;

    for (unsigned i = 0; i < PIECES; i++) {
        struct rdma_held *held;
        uint64_t left = len;
        uint32_t key;
        found += rdma_memory_find(memory, 0, at + i * PIECE, &left, true, &key, &held);
        if (held != NULL)
            rdma_memory_release(memory, held);
    }
    return found;
}

static void measure(const char *what, const uint8_t *at, uint64_t len)
{
    unsigned found = look_up_all(at, len);
    double start = now_ns();

    for (unsigned i = 0; i < rounds; i++)
        CHECK_EQ(look_up_all(at, len), found);
    printf("%-24s %6.1f ns (%u of %u have a key)\n", what, (now_ns() - start) / rounds / PIECES,
           found, PIECES);
}

static void *look_up_often(void *at)
{
    for (unsigned i = 0; i < rounds; i++)
        CHECK_EQ(look_up_all(at, PIECE), PIECES);
    return NULL;
}

static void measure_threads(uint8_t *at)
{
    pthread_t threads[THREADS];
    double start = now_ns();

    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, look_up_often, at) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%-24s %6.1f ns a lookup of each thread\n", "registered, 2 threads",
           (now_ns() - start) / rounds / PIECES);
}

int main(int argc, char **argv)
{
    struct rdma_devices *devices = fake_devices_new(1);
    void *handles[PIECES];

    if (argc > 1)
        rounds = (unsigned)strtoul(argv[1], NULL, 0);
    memory = rdma_memory_new();
    CHECK(devices != NULL && memory != NULL && rounds > 0);
    uint8_t *named = map(PIECES * PIECE), *cached = map(PIECES * PIECE),
            *other = map(PIECES * PIECE);
    for (unsigned i = 0; i < PIECES; i++)
        CHECK(rdma_memory_add(memory, named + i * PIECE, PIECE, MEMORY_HOST, &handles[i]) ==
              CENOTE_OK);
    rdma_memory_use(memory, devices);
    measure("registered", named, PIECE);
    measure("cached", cached, PIECE);
    measure("bounced", other, PIECE / 2);
    measure_threads(named);
    for (unsigned i = 0; i < PIECES; i++)
        rdma_memory_drop(memory, handles[i]);
    rdma_memory_free(memory);
    fake_devices_free(devices);
    munmap(named, PIECES * PIECE);
    munmap(cached, PIECES * PIECE);
    munmap(other, PIECES * PIECE);
    return 0;
}
