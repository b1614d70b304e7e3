/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/support/fakemr.h"
#include "transport/base/log.h"
#include "transport/rdma/region.h"

#define PIECE ((uint64_t)65536)

static struct rdma_devices *devices;
static uint8_t memory[10 * PIECE];
static char logged[512];
static unsigned lines;

static void sink(void *arg, enum log_level level, const char *module, const char *text)
{
    (void)arg;
    (void)level;
    (void)module;
    lines++;
    snprintf(logged, sizeof logged, "%s", text);
}

static void begin(unsigned count)
{
    log_set_sink(sink, NULL);
    devices = fake_devices_new(count);
    cr_assert_not_null(devices);
}

static void end(void)
{
    fake_fail_from(0, 0);
    fake_devices_free(devices);
}

static int make(void *base, uint64_t len, enum rdma_access access, struct rdma_region **out)
{
    const struct rdma_region_how how = {
        .access = access, .dmabuf_fd = -1, .log_limit = true, .piece_bytes = PIECE};
    return rdma_region_make_as(devices, base, len, &how, out);
}

Test(rdma_region, make__pieces_at_every_device)
{
    struct rdma_region *r = NULL;
    uint64_t covered = 0;

    begin(3);
    cr_assert_eq(make(memory, 4 * PIECE + 100, RDMA_ACCESS_REMOTE_WRITE, &r), CENOTE_OK);
    cr_assert_eq(rdma_region_pieces(r), 5);
    cr_assert_eq(fake_alive(), 15);
    for (unsigned d = 0; d < 3; d++) {
        cr_assert_eq(atomic_load(&devices->at[d].regions), 5);
        for (uint32_t p = 0; p < 5; p++) {
            struct rdma_key key;
            struct fake_mr mr;
            cr_assert(rdma_region_key(r, d, p, &key));
            cr_assert(fake_mr_of(key.lkey, &mr));
            cr_assert_eq(mr.device, d);
            cr_assert_eq(mr.begin, (uintptr_t)memory + key.offset);
            cr_assert_eq(mr.end - mr.begin, key.len_bytes);
            cr_assert_eq(key.offset, p * PIECE);
            cr_assert_eq(key.rkey, key.lkey + 0x10000);
            covered += key.len_bytes;
        }
    }
    cr_assert_eq(covered, 3 * (4 * PIECE + 100));
    cr_assert_eq(rdma_region_piece_at(r, 0), 0);
    cr_assert_eq(rdma_region_piece_at(r, PIECE - 1), 0);
    cr_assert_eq(rdma_region_piece_at(r, 4 * PIECE + 99), 4);
    rdma_region_free(r);
    end();
}

Test(rdma_region, local__ends_with_its_piece)
{
    struct rdma_region *r = NULL;
    struct fake_mr mr;
    uint64_t len = 5 * PIECE;
    uint32_t lkey;

    begin(1);
    cr_assert_eq(make(memory, 4 * PIECE, RDMA_ACCESS_LOCAL, &r), CENOTE_OK);
    cr_assert(rdma_region_local(r, 0, memory + PIECE + 10, &len, &lkey));
    cr_assert_eq(len, PIECE - 10);
    cr_assert(fake_mr_of(lkey, &mr));
    cr_assert_eq(mr.begin, (uintptr_t)memory + PIECE);
    rdma_region_free(r);
    end();
}

Test(rdma_region, make__access)
{
    static const int flags[] = {
        [RDMA_ACCESS_LOCAL] = IBV_ACCESS_LOCAL_WRITE,
        [RDMA_ACCESS_LOCAL_SOURCE] = 0,
        [RDMA_ACCESS_REMOTE_READ] = IBV_ACCESS_REMOTE_READ,
        [RDMA_ACCESS_REMOTE_WRITE] =
            IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ,
    };

    begin(1);
    for (unsigned i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        struct rdma_region *r = NULL;
        struct rdma_key key;
        struct fake_mr mr;
        cr_assert_eq(make(memory, 100, (enum rdma_access)i, &r), CENOTE_OK);
        cr_assert(rdma_region_key(r, 0, 0, &key));
        cr_assert(fake_mr_of(key.lkey, &mr));
        cr_assert_eq(mr.access, flags[i]);
        rdma_region_free(r);
    }
    end();
}

Test(rdma_region, make__read_only_memory_as_source_only)
{
    struct rdma_region *r = NULL;
    void *constant = mmap(NULL, PIECE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    begin(1);
    cr_assert_eq(make(constant, PIECE, RDMA_ACCESS_LOCAL, &r), CENOTE_BAD_ADDRESS);
    cr_assert_eq(make(constant, PIECE, RDMA_ACCESS_LOCAL_SOURCE, &r), CENOTE_OK);
    rdma_region_free(r);
    end();
    munmap(constant, PIECE);
}

Test(rdma_region, make__in_parallel)
{
    struct rdma_region *r = NULL;

    begin(1);
    fake_expect_threads(2);
    cr_assert_eq(make(memory, 8 * PIECE, RDMA_ACCESS_LOCAL, &r), CENOTE_OK);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    cr_assert_geq(fake_expect_threads(0), cpus > 1 ? 2 : 1);
    rdma_region_free(r);
    end();
}

Test(rdma_region, make__unwinds_every_failure)
{
    begin(2);
    for (unsigned n = 1; n <= 20; n++) {
        struct rdma_region *r = NULL;
        fake_fail_from(n, ENOMEM);
        cr_assert_eq(make(memory, sizeof memory, RDMA_ACCESS_LOCAL, &r), CENOTE_NO_MEMORY);
        cr_assert_null(r);
        cr_assert_eq(fake_alive(), 0);
        cr_assert_eq(atomic_load(&devices->at[0].regions), 0);
    }
    end();
}

Test(rdma_region, make__names_the_limit)
{
    struct rdma_region *r = NULL;
    struct rlimit limit;

    begin(1);
    getrlimit(RLIMIT_MEMLOCK, &limit);
    limit.rlim_cur = 8 << 20;
    setrlimit(RLIMIT_MEMLOCK, &limit);
    fake_fail_from(1, ENOMEM);
    cr_assert_eq(
        rdma_region_make(devices, memory, UINT64_C(64) << 30, RDMA_ACCESS_LOCAL, -1, true, &r),
        CENOTE_NO_MEMORY);
    cr_assert_str_eq(logged, "cannot register 64.0 GiB with fake0: the limit of locked memory "
                             "(ulimit -l, LimitMEMLOCK=) is 8.0 MiB");
    cr_assert_eq(lines, 1);
    cr_assert_eq(rdma_region_make(devices, memory, 100, RDMA_ACCESS_LOCAL, -1, false, &r),
                 CENOTE_NO_MEMORY);
    cr_assert_eq(lines, 1, "somebody who has another way hears nothing");
    end();
}

Test(rdma_region, make__dmabuf_where_the_library_has_it)
{
    struct rdma_region *r = NULL;
    struct rdma_key key;
    struct fake_mr mr;

    begin(1);
    fake_dmabuf(devices, false);
    cr_assert_eq(rdma_region_make(devices, memory, PIECE, RDMA_ACCESS_REMOTE_READ, 7, true, &r),
                 CENOTE_NOT_SUPPORTED);
    fake_dmabuf(devices, true);
    cr_assert_eq(rdma_region_make(devices, memory, PIECE, RDMA_ACCESS_REMOTE_READ, 7, true, &r),
                 CENOTE_OK);
    cr_assert(rdma_region_key(r, 0, 0, &key));
    cr_assert(fake_mr_of(key.lkey, &mr));
    cr_assert_eq(mr.dmabuf_fd, 7);
    cr_assert_eq(mr.begin, (uintptr_t)memory);
    rdma_region_free(r);
    fake_fail_from(1, EOPNOTSUPP);
    cr_assert_eq(rdma_region_make(devices, memory, PIECE, RDMA_ACCESS_REMOTE_READ, 7, true, &r),
                 CENOTE_NOT_SUPPORTED, "the device doesn't");
    cr_assert_eq(lines, 0);
    end();
}

Test(rdma_region, make__lost_devices_have_no_keys)
{
    struct rdma_region *r = NULL;
    struct rdma_key key;

    begin(2);
    atomic_store(&devices->at[0].lost, true);
    cr_assert_eq(make(memory, 2 * PIECE, RDMA_ACCESS_LOCAL, &r), CENOTE_OK);
    cr_assert(!rdma_region_key(r, 0, 1, &key));
    cr_assert(rdma_region_key(r, 1, 1, &key));
    atomic_store(&devices->at[1].lost, true);
    cr_assert(!rdma_region_key(r, 1, 1, &key), "it was lost later");
    rdma_region_free(r);
    cr_assert_eq(make(memory, 2 * PIECE, RDMA_ACCESS_LOCAL, &r), CENOTE_NODE_DOWN);
    end();
}

Test(rdma_region, make__device_goes_meanwhile)
{
    struct rdma_region *r = NULL;

    begin(1);
    fake_fail_from(2, ENODEV);
    cr_assert_eq(make(memory, 3 * PIECE, RDMA_ACCESS_LOCAL, &r), CENOTE_NODE_DOWN);
    cr_assert_eq(fake_alive(), 0);
    end();
}

Test(rdma_region, make__given_up)
{
    struct rdma_region *r = NULL;
    atomic_bool given_up = true;
    const struct rdma_region_how how = {.access = RDMA_ACCESS_LOCAL,
                                        .dmabuf_fd = -1,
                                        .log_limit = true,
                                        .piece_bytes = PIECE,
                                        .given_up = &given_up};

    begin(2);
    unsigned made = fake_made();
    cr_assert_eq(rdma_region_make_as(devices, memory, 4 * PIECE, &how, &r), CENOTE_CANCELLED);
    cr_assert_eq(fake_made(), made);
    cr_assert_eq(lines, 0);
    atomic_store(&given_up, false);
    cr_assert_eq(rdma_region_make_as(devices, memory, 4 * PIECE, &how, &r), CENOTE_OK);
    rdma_region_free(r);
    end();
}

Test(rdma_region, make__limits_of_devices)
{
    struct rdma_region *r = NULL;

    begin(2);
    devices->at[1].attr.max_mr_size = (UINT64_C(4) << 20) + 5;
    void *long_one =
        mmap(NULL, 10 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_eq(rdma_region_make(devices, long_one, 10 << 20, RDMA_ACCESS_LOCAL, -1, true, &r),
                 CENOTE_OK);
    cr_assert_eq(rdma_region_pieces(r), 3);
    rdma_region_free(r);
    munmap(long_one, 10 << 20);
    const struct rdma_region_how short_ones = {
        .access = RDMA_ACCESS_LOCAL, .dmabuf_fd = -1, .log_limit = true, .piece_bytes = 512};
    cr_assert_eq(rdma_region_make_as(devices, memory, sizeof memory, &short_ones, &r),
                 CENOTE_NO_MEMORY, "more pieces than there may be");
    cr_assert_eq(lines, 1);
    end();
}
