/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/support/fakemr.h"
#include "transport/rdma/bounce.h"

#define SLOTS_MAX (RDMA_BOUNCE_BYTES_MAX / RDMA_BOUNCE_SLOT_BYTES)

static struct rdma_devices *devices;
static struct rdma_bounce *b;
static struct rdma_bounce_slot *taken[SLOTS_MAX + 64];
static unsigned count;

static void begin(void)
{
    devices = fake_devices_new(2);
    b = rdma_bounce_new(devices);
    cr_assert(devices != NULL && b != NULL);
}

static void end(void)
{
    while (count > 0)
        rdma_bounce_give(b, taken[--count]);
    rdma_bounce_free(b);
    fake_devices_free(devices);
}

static bool take(bool sure)
{
    struct rdma_bounce_slot *slot = rdma_bounce_take(b, sure);
    if (slot != NULL)
        taken[count++] = slot;
    return slot != NULL;
}

Test(rdma_bounce, take__registered_with_every_device)
{
    begin();
    for (unsigned i = 0; i < 40; i++) {
        cr_assert(take(false));
        const struct rdma_bounce_slot *slot = taken[i];
        memset(slot->at, (int)i, RDMA_BOUNCE_SLOT_BYTES);
        for (unsigned d = 0; d < 2; d++) {
            struct fake_mr mr;
            cr_assert(fake_mr_of(slot->lkeys[d], &mr));
            cr_assert_eq(mr.device, d);
            cr_assert(mr.begin <= (uintptr_t)slot->at);
            cr_assert(mr.end >= (uintptr_t)slot->at + RDMA_BOUNCE_SLOT_BYTES);
        }
    }
    for (unsigned i = 0; i < 40; i++)
        cr_assert(taken[i]->at[0] == i && taken[i]->at[RDMA_BOUNCE_SLOT_BYTES - 1] == i);
    cr_assert_eq(fake_alive(), 6, "three arenas at two devices");
    end();
}

Test(rdma_bounce, give__is_taken_again)
{
    begin();
    cr_assert(take(false));
    unsigned made = fake_made();
    struct rdma_bounce_slot *slot = taken[0];
    for (unsigned i = 0; i < 100; i++) {
        rdma_bounce_give(b, taken[--count]);
        cr_assert(take(false));
        cr_assert_eq(taken[0], slot);
    }
    cr_assert_eq(fake_made(), made);
    end();
}

Test(rdma_bounce, take__limit)
{
    begin();
    for (unsigned i = 0; i < SLOTS_MAX; i++)
        cr_assert(take(false));
    cr_assert(!take(false));
    cr_assert(take(true), "who must go on may go beyond");
    cr_assert(take(false), "what was made is used");
    end();
}

Test(rdma_bounce, take__little_locked_memory)
{
    begin();
    fake_limit_bytes(3 * RDMA_BOUNCE_SLOT_BYTES);
    cr_assert(!take(false));
    unsigned made = fake_made();
    cr_assert(!take(false));
    cr_assert_eq(fake_made(), made, "it isn't tried again and again");
    cr_assert(take(true), "one slot at two devices");
    cr_assert(!take(true));
    cr_assert_eq(fake_alive(), 2);
    rdma_bounce_give(b, taken[--count]);
    cr_assert(take(false));
    end();
}

Test(rdma_bounce, take__no_device_left)
{
    begin();
    atomic_store(&devices->at[0].lost, true);
    atomic_store(&devices->at[1].lost, true);
    cr_assert(!take(true));
    end();
}
