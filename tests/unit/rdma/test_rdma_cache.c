/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/fakemr.h"
#include "transport/rdma/cache.h"
#include "transport/rdma/memory.h"

#define KIB   (UINT64_C(1) << 10)
#define MIB   (UINT64_C(1) << 20)
#define PIECE RDMA_CACHE_FROM_BYTES

static struct rdma_devices *devices;
static struct rdma_memory *m;

static uint8_t *map_as(uint64_t len, int protection, int flags)
{
    uint8_t *at = mmap(NULL, len, protection, flags | MAP_ANONYMOUS, -1, 0);
    cr_assert(at != MAP_FAILED);
    return at;
}

static uint8_t *map(uint64_t len)
{
    return map_as(len, PROT_READ | PROT_WRITE, MAP_PRIVATE);
}

/* Whether addr has a key of the cache, for how much, and whose use it is. */
static bool find(const void *addr, uint64_t *len, bool written, struct rdma_held **held)
{
    uint32_t lkey;
    struct fake_mr mr;

    if (!rdma_memory_find(m, 0, addr, len, written, &lkey, held)) {
        cr_assert_null(*held);
        return false;
    }
    cr_assert_not_null(*held);
    cr_assert(fake_mr_of(lkey, &mr));
    cr_assert(mr.begin <= (uintptr_t)addr && (uintptr_t)addr + *len <= mr.end);
    cr_assert(!written || (mr.access & IBV_ACCESS_LOCAL_WRITE));
    return true;
}

/* The same for a moment; how much, 0: bounced. */
static uint64_t found(const void *addr, uint64_t len, bool written)
{
    struct rdma_held *held;

    if (!find(addr, &len, written, &held))
        return 0;
    rdma_memory_release(m, held);
    return len;
}

/* As find(), where it must be in the end: while the news of other memory are on their way, nothing
 * is relied upon. */
static bool find_at_last(const void *addr, uint64_t *len, bool written, struct rdma_held **held)
{
    uint64_t want = *len;

    for (unsigned i = 0; i < 5000; i++) {
        *len = want;
        if (find(addr, len, written, held))
            return true;
        usleep(1000);
    }
    return false;
}

/* The same for a moment; how much, 0: bounced all the time. */
static uint64_t kept(const void *addr, uint64_t len, bool written)
{
    struct rdma_held *held;

    if (!find_at_last(addr, &len, written, &held))
        return 0;
    rdma_memory_release(m, held);
    return len;
}

static uint64_t bounced(const void *addr, uint64_t len, bool written)
{
    struct rdma_held *held;
    cr_assert(!find(addr, &len, written, &held));
    return len;
}

/* The worker ends registrations in its own time. */
static void wait_alive(unsigned count)
{
    for (unsigned i = 0; i < 5000 && fake_alive() != count; i++)
        usleep(1000);
    cr_assert_eq(fake_alive(), count);
}

static void begin(void)
{
    devices = fake_devices_new(1);
    m = rdma_memory_new();
    cr_assert(devices != NULL && m != NULL);
    rdma_memory_use(m, devices);
    uint8_t *probe = map(PIECE);
    if (found(probe, PIECE, true) == 0)
        cr_skip_test("userfaultfd(2) isn't allowed here");
    munmap(probe, PIECE);
    wait_alive(0);
}

static void end(void)
{
    rdma_memory_free(m);
    fake_devices_free(devices);
}

Test(rdma_cache, find__large_pieces_are_registered_once)
{
    begin();
    uint8_t *at = map(2 * MIB);
    unsigned made = fake_made();
    cr_assert_eq(bounced(at, PIECE - 1, true), PIECE - 1);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(kept(at + 100, MIB, true), MIB);
    cr_assert_eq(fake_made(), made + 1);
    cr_assert_eq(kept(at + 500 * KIB, 10, false), 10, "a small one within");
    cr_assert_eq(kept(at + MIB, MIB, true), 100, "its end");
    cr_assert_eq(bounced(at, 200, true), 100, "up to where it begins");
    end();
    munmap(at, 2 * MIB);
}

Test(rdma_cache, find__parts_do_not_overlap)
{
    begin();
    uint8_t *at = map(4 * MIB);
    cr_assert_eq(kept(at + 2 * MIB, MIB, true), MIB);
    unsigned made = fake_made();
    cr_assert_eq(kept(at + 64 * KIB, 4 * MIB - 64 * KIB, true), 2 * MIB - 64 * KIB);
    cr_assert_eq(fake_made(), made + 1);
    cr_assert_eq(kept(at + 3 * MIB, MIB, true), MIB);
    cr_assert_eq(kept(at + 2 * MIB + 5, 4 * MIB, true), MIB - 5);
    end();
    munmap(at, 4 * MIB);
}

Test(rdma_cache, find__very_long_ones_part_by_part)
{
    begin();
    uint8_t *at = map(2 * RDMA_CACHE_PART_BYTES);
    cr_assert_eq(kept(at, 2 * RDMA_CACHE_PART_BYTES, true), RDMA_CACHE_PART_BYTES);
    end();
    munmap(at, 2 * RDMA_CACHE_PART_BYTES);
}

Test(rdma_cache, find__least_recently_used_out_first)
{
    begin();
    uint64_t len = (RDMA_CACHE_REGIONS_MAX + 2) * PIECE;
    uint8_t *at = map_as(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
    struct rdma_held *held;
    uint64_t one = PIECE;
    cr_assert(find_at_last(at, &one, true, &held));
    for (unsigned i = 1; i < RDMA_CACHE_REGIONS_MAX; i++)
        cr_assert_eq(kept(at + i * PIECE, PIECE, true), PIECE);
    cr_assert_eq(fake_alive(), RDMA_CACHE_REGIONS_MAX);
    cr_assert_eq(kept(at + PIECE, 5, true), 5); /* used: the next one is the oldest */
    cr_assert_eq(kept(at + RDMA_CACHE_REGIONS_MAX * PIECE, PIECE, true), PIECE);
    cr_assert_eq(fake_alive(), RDMA_CACHE_REGIONS_MAX);
    cr_assert_eq(kept(at, 5, true), 5, "in use");
    cr_assert_eq(kept(at + PIECE, 5, true), 5);
    cr_assert_eq(found(at + 2 * PIECE, 5, true), 0);
    cr_assert_eq(kept(at + 3 * PIECE, 5, true), 5);
    rdma_memory_release(m, held);
    end();
    munmap(at, len);
}

Test(rdma_cache, find__all_in_use)
{
    static struct rdma_held *held[RDMA_CACHE_REGIONS_MAX];

    begin();
    uint64_t len = (RDMA_CACHE_REGIONS_MAX + 1) * PIECE;
    uint8_t *at = map_as(len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
    for (unsigned i = 0; i < RDMA_CACHE_REGIONS_MAX; i++) {
        uint64_t one = PIECE;
        cr_assert(find_at_last(at + i * PIECE, &one, true, &held[i]));
    }
    cr_assert_eq(bounced(at + RDMA_CACHE_REGIONS_MAX * PIECE, PIECE, true), PIECE);
    for (unsigned i = 0; i < RDMA_CACHE_REGIONS_MAX; i++)
        rdma_memory_release(m, held[i]);
    cr_assert_eq(kept(at + RDMA_CACHE_REGIONS_MAX * PIECE, PIECE, true), PIECE);
    end();
    munmap(at, len);
}

Test(rdma_cache, find__devices_limit_is_learned)
{
    begin();
    uint8_t *at = map(16 * PIECE);
    fake_limit_bytes(4 * PIECE);
    unsigned hits = 0;
    for (unsigned i = 0; i < 16; i++)
        hits += found(at + i * PIECE, PIECE, true) > 0;
    cr_assert_geq(hits, 14);
    unsigned made = fake_made();
    cr_assert_eq(found(at, 16 * PIECE, true), 0, "more than there can ever be");
    cr_assert_eq(fake_made(), made);
    end();
    fake_limit_bytes(0);
    munmap(at, 16 * PIECE);
}

Test(rdma_cache, add__comes_before_what_is_cached)
{
    void *handle;

    begin();
    uint8_t *at = map(8 * PIECE);
    fake_limit_bytes(4 * PIECE);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(kept(at + i * PIECE, PIECE, true), PIECE);
    cr_assert_eq(rdma_memory_add(m, at + 4 * PIECE, 4 * PIECE, MEMORY_HOST, &handle), CENOTE_OK);
    struct rdma_held *held;
    uint32_t lkey;
    uint64_t len = 9 * PIECE;
    cr_assert(rdma_memory_find(m, 0, at + 4 * PIECE, &len, true, &lkey, &held));
    cr_assert(len == 4 * PIECE && held == NULL);
    len = 6 * PIECE;
    cr_assert(!rdma_memory_find(m, 0, at, &len, true, &lkey, &held));
    cr_assert_eq(len, 4 * PIECE, "up to what is registered");
    rdma_memory_drop(m, handle);
    fake_limit_bytes(0);
    end();
    munmap(at, 8 * PIECE);
}

Test(rdma_cache, find__read_only_sources)
{
    begin();
    uint8_t *at = map_as(2 * PIECE, PROT_READ, MAP_PRIVATE);
    cr_assert_eq(kept(at, PIECE, false), PIECE);
    cr_assert_eq(kept(at, PIECE, false), PIECE);
    mprotect(at, 2 * PIECE, PROT_READ | PROT_WRITE);
    cr_assert_eq(kept(at, PIECE, true), PIECE, "registered anew");
    cr_assert_eq(kept(at, PIECE, false), PIECE);
    cr_assert_eq(fake_alive(), 1);
    end();
    munmap(at, 2 * PIECE);
}

Test(rdma_cache, find__memory_of_others_is_never_cached)
{
    begin();
    uint8_t *at = map_as(PIECE, PROT_READ | PROT_WRITE, MAP_SHARED);
    cr_assert_eq(found(at, PIECE, true), 0);
    unsigned made = fake_made();
    cr_assert_eq(found(at, PIECE, true), 0);
    cr_assert_eq(fake_made(), made, "the refusal is kept in mind");
    cr_assert_eq(fake_alive(), 0);
    munmap(at, PIECE);
    at = mmap(at, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    unsigned tries = 1;
    for (; found(at, PIECE, true) == 0; usleep(1000))
        cr_assert(++tries < 5000);
    munmap(at, PIECE);
    end();
}

Test(rdma_cache, find__what_is_not_mapped)
{
    begin();
    uint8_t *at = map(PIECE);
    munmap(at, PIECE);
    cr_assert_eq(bounced(at, PIECE, true), PIECE);
    end();
}

Test(rdma_cache, gone__however_it_goes)
{
    begin();
    for (unsigned way = 0; way < 6; way++) {
        uint8_t *at = map(4 * PIECE), *moved = NULL;
        cr_assert_eq(kept(at + 10, 2 * PIECE, true), 2 * PIECE);
        switch (way) {
        case 0:
            munmap(at, 4 * PIECE);
            break;
        case 1:
            munmap(at + PIECE, 4096);
            break;
        case 2:
            madvise(at, 4096, MADV_DONTNEED);
            break;
        case 3:
            moved = mremap(at, PIECE, 8 * PIECE, MREMAP_MAYMOVE | MREMAP_FIXED, map(8 * PIECE));
            cr_assert(moved != MAP_FAILED);
            break;
        case 4:
            cr_assert(mmap(at, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
                      at);
            break;
        case 5:
            mremap(at, 4 * PIECE, PIECE, 0);
            break;
        }
        cr_assert_eq(found(at + 10, 5, true), 0, "way %u", way);
        cr_assert_eq(found(at + PIECE, 5, true), 0, "way %u", way);
        wait_alive(0);
        munmap(at, 4 * PIECE);
        if (moved != NULL)
            munmap(moved, 8 * PIECE);
    }
    end();
}

Test(rdma_cache, gone__what_is_in_use_stays_registered)
{
    struct rdma_held *held;
    uint64_t len = PIECE;

    begin();
    uint8_t *at = map(PIECE);
    cr_assert(find_at_last(at, &len, true, &held));
    munmap(at, PIECE);
    cr_assert_eq(found(at, 5, true), 0);
    cr_assert_eq(fake_alive(), 1);
    rdma_memory_release(m, held);
    wait_alive(0);
    end();
}

/* Neighbours share a page: the end of one is not the end of the other, and what goes is told of all
 * the same. */
Test(rdma_cache, gone__neighbours_in_one_page)
{
    begin();
    uint8_t *at = map(4 * PIECE);
    cr_assert_eq(kept(at, PIECE + 100, true), PIECE + 100);
    cr_assert_eq(kept(at + PIECE + 100, PIECE, true), PIECE);
    cr_assert_eq(fake_alive(), 2);
    madvise(at, 4096, MADV_DONTNEED); /* the first one goes, and isn't watched any more */
    cr_assert_eq(found(at + PIECE, 5, true), 0);
    cr_assert_eq(kept(at + PIECE + 100, 5, true), 5);
    madvise(at + PIECE, 4096, MADV_DONTNEED); /* the page they shared */
    cr_assert_eq(found(at + PIECE + 100, 5, true), 0);
    wait_alive(0);
    munmap(at, 4 * PIECE);
    end();
}

/* Many at once, more than anybody keeps. */
Test(rdma_cache, gone__no_message_is_lost)
{
    enum { COUNT = 600 };
    begin();
    uint8_t *at = map(COUNT * PIECE);
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert_eq(kept(at + i * PIECE, PIECE, true), PIECE);
    for (unsigned i = 0; i < COUNT; i++)
        madvise(at + i * PIECE, 4096, MADV_DONTNEED);
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert_eq(found(at + i * PIECE, 5, true), 0);
    wait_alive(0);
    munmap(at, COUNT * PIECE);
    end();
}

/* An application closes all descriptors that it finds: not this one, which needs some. */
static int close_everything(void)
{
    uint8_t *at = map(PIECE), *other = map(PIECE);

    if (found(at, PIECE, true) != PIECE)
        return 1;
    for (int fd = 0; fd < 64; fd++)
        close(fd);
    if (found(at, PIECE, true) != 0 || found(other, PIECE, true) != 0)
        return 2;
    munmap(at, PIECE);
    rdma_memory_free(m);
    munmap(other, PIECE);
    return fake_alive() == 0 ? 0 : 3;
}

Test(rdma_cache, find__descriptor_was_closed)
{
    int status = 1;

    begin();
    end();
    pid_t child = fork();
    if (child == 0) {
        begin();
        _exit(close_everything());
    }
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(status == 0, "status 0x%x", (unsigned)status);
}

/* A child keeps the descriptor; the parent must be able to unmap when the client is closed. */
Test(rdma_cache, free__nothing_stays_watched)
{
    int ready[2];

    begin();
    uint8_t *at = map(PIECE), *wide = map(8 * PIECE);
    munmap(wide, 8 * PIECE);
    wide = mmap(wide, PIECE, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    cr_assert(wide != MAP_FAILED);
    cr_assert_eq(kept(at, PIECE, true), PIECE);
    cr_assert_eq(kept(wide, PIECE, true), PIECE);
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(ready[1]);
        _exit(read(ready[0], &byte, 1) == 0 ? 0 : 1);
    }
    uint8_t *grown = mremap(wide, PIECE, 8 * PIECE, 0), *far = map(PIECE);
    cr_assert(grown == wide);
    uint8_t *moved = mremap(at, PIECE, PIECE, MREMAP_MAYMOVE | MREMAP_FIXED, far);
    cr_assert(moved == far);
    end();
    munmap(moved, PIECE);
    munmap(wide, 8 * PIECE);
    close(ready[1]);
    cr_assert_eq(waitpid(child, NULL, 0), child);
}

Test(rdma_cache, abandon__in_a_child)
{
    begin();
    uint8_t *at = map(PIECE);
    cr_assert_eq(kept(at, PIECE, true), PIECE);
    pid_t child = fork();
    if (child == 0) {
        rdma_memory_abandon(m);
        munmap(at, PIECE);
        _exit(0);
    }
    int status = 1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert_eq(status, 0);
    cr_assert_eq(kept(at, PIECE, true), PIECE, "the parent goes on");
    munmap(at, PIECE);
    cr_assert_eq(found(at, 5, true), 0);
    end();
}
