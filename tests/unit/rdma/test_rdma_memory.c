/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/support/fakemr.h"
#include "transport/rdma/memory.h"

#define KIB (UINT64_C(1) << 10)

static struct rdma_devices *devices;
static struct rdma_memory *m;
static uint8_t buffer[256 * KIB];

static void begin(void)
{
    devices = fake_devices_new(2);
    m = rdma_memory_new();
    cr_assert(devices != NULL && m != NULL);
}

static void end(void)
{
    rdma_memory_free(m);
    fake_devices_free(devices);
}

/* How much at addr has a key, 0: none; bounced says how much then is to be bounced. */
static uint64_t find(unsigned device, const void *addr, uint64_t len, uint64_t *bounced)
{
    struct rdma_held *held;
    struct fake_mr mr;
    uint32_t lkey;

    if (!rdma_memory_find(m, device, addr, &len, true, &lkey, &held)) {
        *bounced = len;
        return 0;
    }
    cr_assert(fake_mr_of(lkey, &mr));
    cr_assert_eq(mr.device, device);
    cr_assert(mr.begin <= (uintptr_t)addr && (uintptr_t)addr + len <= mr.end);
    cr_assert_null(held, "its owner keeps it");
    return len;
}

Test(rdma_memory, add__noted_until_there_are_devices)
{
    uint64_t bounced;
    void *one, *two;

    begin();
    cr_assert_eq(rdma_memory_add(m, buffer, 64 * KIB, MEMORY_HOST, &one), CENOTE_OK);
    cr_assert_eq(find(0, buffer, 32 * KIB, &bounced), 0);
    cr_assert_eq(bounced, 32 * KIB);
    rdma_memory_use(m, devices);
    cr_assert_eq(fake_alive(), 2);
    cr_assert_eq(find(0, buffer, 32 * KIB, &bounced), 32 * KIB);
    cr_assert_eq(find(1, buffer + 10, 128 * KIB, &bounced), 64 * KIB - 10);
    cr_assert_eq(rdma_memory_add(m, buffer + 128 * KIB, 64 * KIB, MEMORY_HOST, &two), CENOTE_OK);
    cr_assert_eq(fake_alive(), 4);
    cr_assert_eq(find(0, buffer + 64 * KIB, 128 * KIB, &bounced), 0);
    cr_assert_eq(bounced, 64 * KIB, "up to where a key is");
    rdma_memory_drop(m, one);
    cr_assert_eq(find(0, buffer, 32 * KIB, &bounced), 0);
    rdma_memory_drop(m, two);
    cr_assert_eq(fake_alive(), 0);
    end();
}

Test(rdma_memory, drop__only_noted)
{
    void *one, *two, *three;

    begin();
    cr_assert_eq(rdma_memory_add(m, buffer, KIB, MEMORY_HOST, &one), CENOTE_OK);
    cr_assert_eq(rdma_memory_add(m, buffer + KIB, KIB, MEMORY_HOST, &two), CENOTE_OK);
    cr_assert_eq(rdma_memory_add(m, buffer + 2 * KIB, KIB, MEMORY_HOST, &three), CENOTE_OK);
    rdma_memory_drop(m, two);
    rdma_memory_use(m, devices);
    cr_assert_eq(fake_alive(), 4);
    rdma_memory_drop(m, one);
    rdma_memory_drop(m, three);
    end();
}

Test(rdma_memory, add__what_devices_refuse_is_bounced)
{
    uint64_t bounced;
    void *handle;

    begin();
    rdma_memory_use(m, devices);
    fake_fail_from(2, ENOMEM);
    cr_assert_eq(rdma_memory_add(m, buffer, 64 * KIB, MEMORY_HOST, &handle), CENOTE_OK);
    cr_assert_eq(fake_alive(), 0);
    cr_assert_eq(find(0, buffer + KIB, 256 * KIB, &bounced), 0);
    cr_assert_eq(bounced, 63 * KIB);
    rdma_memory_drop(m, handle);
    fake_fail_from(0, 0);
    end();
}

Test(rdma_memory, add__overlaps_for_a_moment)
{
    uint64_t bounced;
    void *old, *new;

    begin();
    rdma_memory_use(m, devices);
    cr_assert_eq(rdma_memory_add(m, buffer, 64 * KIB, MEMORY_HOST, &old), CENOTE_OK);
    cr_assert_eq(rdma_memory_add(m, buffer + 32 * KIB, 64 * KIB, MEMORY_HOST, &new), CENOTE_OK);
    rdma_memory_drop(m, old);
    cr_assert_eq(find(0, buffer + 32 * KIB, 64 * KIB, &bounced), 64 * KIB);
    cr_assert_eq(find(0, buffer, 64 * KIB, &bounced), 0);
    cr_assert_eq(bounced, 32 * KIB);
    rdma_memory_drop(m, new);
    end();
}

Test(rdma_memory, add__device_memory)
{
    void *handle;

    begin();
    cr_assert_eq(rdma_memory_add(m, buffer, KIB, MEMORY_HBM, &handle), CENOTE_NOT_SUPPORTED);
    end();
}
