/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "transport/base/testswitch.h"
#include "transport/registry.h"

#define PAGE 4096u

static unsigned told, forgotten;
static int tell_status;

static int tell(void *context, void *addr, uint64_t len_bytes, enum memory_kind kind, void **handle)
{
    cr_assert(!context && addr && len_bytes > 0 && kind == MEMORY_HOST);
    if (tell_status != CENOTE_OK)
        return tell_status;
    told++;
    *handle = &told;
    return CENOTE_OK;
}

static void forget(void *context, void *handle)
{
    cr_assert_null(context);
    cr_assert_eq(handle, &told);
    forgotten++;
}

static const struct xcopy_transport as_it_comes = {.name = "plain"};
static const struct xcopy_transport must_know = {
    .name = "knowing", .register_memory = tell, .forget_memory = forget};
static const struct xcopy_transport *const transports[] = {&as_it_comes, &must_know, &must_know,
                                                           NULL};

static struct registry *r;
static uint8_t memory[16 * PAGE];

static void begin(void)
{
    cr_assert_eq(registry_new(transports, &(struct xcopy_settings){0}, &r), CENOTE_OK);
}

static void end(void)
{
    registry_free(r);
    cr_assert_eq(told, forgotten);
}

TestSuite(registry, .init = begin, .fini = end);

static int add(size_t at, size_t len, uint64_t *id)
{
    return registry_add(r, memory + at, len, MEMORY_HOST, id);
}

static struct fabric_req request(struct cenote_buffer *piece, size_t at, size_t len)
{
    *piece = (struct cenote_buffer){memory + at, len};
    return (struct fabric_req){.x = {.local = {.pieces = piece, .count = 1}, .len_bytes = len}};
}

Test(registry, add__transports_that_must_know_are_told)
{
    uint64_t id = 0;

    cr_assert_eq(add(0, PAGE, &id), CENOTE_OK);
    cr_assert_eq(told, 2);
    cr_assert_eq(registry_drop(r, id), CENOTE_OK);
    cr_assert_eq(forgotten, 2);
    cr_assert_eq(registry_drop(r, id), CENOTE_INVALID);
    cr_assert_eq(add(0, PAGE, &id), CENOTE_OK); /* ends with the registry */
}

Test(registry, add__a_transport_refuses)
{
    uint64_t id = 0;

    tell_status = CENOTE_NO_MEMORY;
    cr_assert_eq(add(0, PAGE, &id), CENOTE_NO_MEMORY);
    cr_assert_eq(id, 0);
    tell_status = CENOTE_OK;
    cr_assert_eq(add(0, PAGE, &id), CENOTE_OK);
}

Test(registry, add__overlaps)
{
    uint64_t id = 0, other = 0;

    cr_assert_eq(add(PAGE, PAGE, &id), CENOTE_OK);
    cr_assert_eq(add(PAGE + 5, 1, &other), CENOTE_INVALID);
    cr_assert_eq(add(PAGE - 1, 2, &other), CENOTE_INVALID);
    cr_assert_eq(add(2 * PAGE - 1, 2, &other), CENOTE_INVALID);
    cr_assert_eq(add(0, 4 * PAGE, &other), CENOTE_INVALID);
    cr_assert_eq(other, 0);
    cr_assert_eq(add(0, PAGE, &other), CENOTE_OK);
    cr_assert_neq(other, id);
    cr_assert_eq(add(2 * PAGE, 1, &other), CENOTE_OK);
}

Test(registry, add__limit)
{
    static uint8_t many[CENOTE_BUFFERS_MAX + 1];
    uint64_t id, first = 0;

    for (size_t i = 0; i < CENOTE_BUFFERS_MAX; i++)
        cr_assert_eq(
            registry_add(r, &many[CENOTE_BUFFERS_MAX - i], 1, MEMORY_HOST, i == 0 ? &first : &id),
            CENOTE_OK);
    cr_assert_eq(registry_add(r, many, 1, MEMORY_HOST, &id), CENOTE_LIMIT);
    cr_assert_eq(registry_drop(r, first), CENOTE_OK);
    cr_assert_eq(registry_add(r, many, 1, MEMORY_HOST, &id), CENOTE_OK);
}

Test(registry, add__memory_that_cannot_be_used)
{
    uint64_t id;
    uint8_t *at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq(at, MAP_FAILED);
    mprotect(at + PAGE, PAGE, PROT_NONE);
    munmap(at + 3 * PAGE, PAGE);
    cr_assert_eq(registry_add(r, at, 2 * PAGE, MEMORY_HOST, &id), CENOTE_BAD_ADDRESS);
    cr_assert_eq(registry_add(r, at + PAGE, 1, MEMORY_HOST, &id), CENOTE_BAD_ADDRESS);
    cr_assert_eq(registry_add(r, NULL, 1, MEMORY_HOST, &id), CENOTE_BAD_ADDRESS);
    cr_assert_eq(registry_add(r, at, SIZE_MAX, MEMORY_HOST, &id), CENOTE_BAD_ADDRESS);
    cr_assert_eq(registry_add(r, at, 0, MEMORY_HOST, &id), CENOTE_INVALID);
    cr_assert_eq(registry_add(r, at, PAGE, MEMORY_HBM, &id), CENOTE_NOT_SUPPORTED);
    cr_assert_eq(registry_add(r, at + 2 * PAGE, PAGE, MEMORY_HOST, &id), CENOTE_OK);
    cr_assert_eq(registry_drop(r, id), CENOTE_OK);
    munmap(at, 3 * PAGE);
}

Test(registry, add__touches_the_pages)
{
    uint64_t id;
    unsigned char there[4];
    uint8_t *at = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (madvise(at, PAGE, 23 /* MADV_POPULATE_WRITE */) != 0)
        cr_skip_test("this kernel can't");
    cr_assert_eq(registry_add(r, at + 1, 3 * PAGE - 2, MEMORY_HOST, &id), CENOTE_OK);
    cr_assert_eq(mincore(at, 4 * PAGE, there), 0);
    cr_assert(there[0] & there[1] & there[2] & 1);
    cr_assert_eq(there[3] & 1, 0);
    cr_assert_eq(registry_drop(r, id), CENOTE_OK);
    munmap(at, 4 * PAGE);
}

/* ---- pins ------------------------------------------------------------------------------------ */

struct dropper {
    pthread_t thread;
    uint64_t id;
    atomic_bool done;
};

static void *drop(void *arg)
{
    struct dropper *d = arg;
    cr_assert_eq(registry_drop(r, d->id), CENOTE_OK);
    atomic_store(&d->done, true);
    return NULL;
}

/* Until somebody else finds it being dropped. */
static void begin_drop(struct dropper *d)
{
    struct cenote_buffer piece;
    struct fabric_req probe = request(&piece, 0, 1);
    uint64_t before = registry_pin(r, &probe, 1), now = before;

    registry_unpin(r, &probe, 1, before);
    cr_assert_eq(pthread_create(&d->thread, NULL, drop, d), 0);
    while (now == before) {
        now = registry_pin(r, &probe, 1);
        registry_unpin(r, &probe, 1, now);
    }
}

Test(registry, drop__waits_for_transfers)
{
    struct dropper d = {0};
    struct cenote_buffer piece[2];

    cr_assert_eq(add(0, 8 * PAGE, &d.id), CENOTE_OK);
    struct fabric_req reqs[2] = {request(&piece[0], PAGE + 3, 100),
                                 request(&piece[1], 5 * PAGE, PAGE)};
    uint64_t ticket = registry_pin(r, reqs, 2);
    cr_assert_neq(ticket, 0);
    begin_drop(&d);
    while (test_off(TEST_PIN) && !atomic_load(&d.done)) /* its control: it gets there */
        sched_yield();
    cr_assert(!atomic_load(&d.done));
    /* Who comes now has no pin, and takes none away. */
    uint64_t late = registry_pin(r, reqs, 1);
    registry_unpin(r, reqs, 1, late);
    cr_assert(!atomic_load(&d.done));
    registry_unpin(r, reqs, 2, ticket);
    pthread_join(d.thread, NULL);
    cr_assert(atomic_load(&d.done));
}

Test(registry, pin__memory_outside_counts_for_nothing)
{
    uint64_t id, later;
    struct cenote_buffer piece[3];

    cr_assert_eq(registry_pin(r, NULL, 0), 0);
    cr_assert_eq(add(0, PAGE, &id), CENOTE_OK);
    struct fabric_req reqs[3] = {request(&piece[0], PAGE - 1, 2), /* half of it inside */
                                 request(&piece[1], 2 * PAGE, 5), request(&piece[2], 0, 0)};
    uint64_t ticket = registry_pin(r, reqs, 3);
    cr_assert_eq(add(2 * PAGE, PAGE, &later), CENOTE_OK); /* after the transfer began */
    cr_assert_eq(registry_drop(r, id), CENOTE_OK);
    registry_unpin(r, reqs, 3, ticket);
    cr_assert_eq(registry_drop(r, later), CENOTE_OK);
}

/* ---- contexts -------------------------------------------------------------------------------- */

static unsigned opened, closed;
static int open_status;

static int open_one(const struct xcopy_settings *settings, void **context)
{
    cr_assert_str_eq(settings->rdma, "settings");
    if (opened == 1 && open_status != CENOTE_OK)
        return open_status;
    opened++;
    *context = &opened;
    return CENOTE_OK;
}

static void close_one(void *context)
{
    cr_assert_eq(context, &opened);
    closed++;
}

static void tell_devices(void *context, struct xcopy_report *out)
{
    cr_assert_eq(context, &opened);
    cr_assert_eq(out->queue_pairs, 0);
    out->queue_pairs = 7;
}

static const struct xcopy_transport with_devices = {
    .name = "devices", .open = open_one, .close = close_one, .report = tell_devices};
static const struct xcopy_transport *const two_with_devices[] = {&with_devices, &as_it_comes,
                                                                 &with_devices, NULL};

Test(registry, new__settings_are_refused)
{
    const struct xcopy_settings settings = {.rdma = "settings"};
    struct registry *other = NULL;

    open_status = CENOTE_INVALID;
    cr_assert_eq(registry_new(two_with_devices, &settings, &other), CENOTE_INVALID);
    cr_assert_null(other);
    cr_assert_eq(closed, opened);
}

Test(registry, report__of_those_with_devices)
{
    const struct xcopy_settings settings = {.rdma = "settings"};
    struct xcopy_report report;
    struct registry *other;

    cr_assert_eq(registry_new(two_with_devices, &settings, &other), CENOTE_OK);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_str_eq(registry_report(other, i, &report), "devices");
        cr_assert_eq(report.queue_pairs, 7);
    }
    cr_assert_null(registry_report(other, 2, &report));
    registry_free(other);
    cr_assert_eq(closed, 2);
}
