/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that the machine doesn't have for once is offered when it has it: a node that met a
 * shortage while it started offered less for all its life. Linked with --wrap.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>

#include <cenote/status.h>

#include "server/roles/node_memory.h"
#include "tests/scenario/check.h"
#include "transport/base/clock.h"

#define LEN_BYTES  (UINT64_C(8) << 20)
#define PATIENT_MS 20000u

static atomic_uint refused; /* of the next ones */
static _Atomic uint64_t offered_bytes;

int __real_madvise(void *at, size_t len_bytes, int advice);
int __wrap_madvise(void *at, size_t len_bytes, int advice);
int __wrap_madvise(void *at, size_t len_bytes, int advice)
{
    unsigned left = atomic_load(&refused);
    if (advice != MADV_POPULATE_WRITE || left == 0)
        return __real_madvise(at, len_bytes, advice);
    atomic_store(&refused, left - 1);
    errno = ENOMEM;
    return -1;
}

void __wrap_node_set_populated(struct node *n, uint32_t segment, uint64_t populated_bytes);
void __wrap_node_set_populated(struct node *n, uint32_t segment, uint64_t populated_bytes)
{
    CHECK(n == NULL && segment == 0);
    atomic_store(&offered_bytes, populated_bytes);
}

struct trace *__wrap_node_trace(const struct node *n);
struct trace *__wrap_node_trace(const struct node *n)
{
    CHECK(n == NULL);
    return NULL;
}

static struct node_memory *start(unsigned refusals)
{
    struct node_memory_options o = {
        .lens_bytes = {LEN_BYTES}, .count = 1, .pages = MEMORY_PAGES_SMALL, .numa_node = -1};
    struct node_memory *m;
    atomic_store(&refused, refusals);
    atomic_store(&offered_bytes, 0);
    CHECK(node_memory_make(&o, false, &m) == CENOTE_OK);
    CHECK(node_memory_populate_start(m, NULL) == CENOTE_OK);
    return m;
}

static void stop(struct node_memory *m)
{
    node_memory_populate_stop(m);
    node_memory_free(m);
}

int main(void)
{
    struct node_memory *m = start(1);
    uint64_t until_ms = clock_now_ms() + PATIENT_MS;
    while (atomic_load(&offered_bytes) < LEN_BYTES && clock_now_ms() < until_ms)
        poll(NULL, 0, 5);
    CHECK(atomic_load(&offered_bytes) == LEN_BYTES);
    stop(m);

    /* It is always short: ending doesn't wait for the next try. */
    until_ms = clock_now_ms() + PATIENT_MS;
    m = start(UINT32_MAX);
    while (atomic_load(&refused) == UINT32_MAX)
        poll(NULL, 0, 1);
    stop(m);
    CHECK(atomic_load(&offered_bytes) == 0 && clock_now_ms() < until_ms);
    printf("passed\n");
    return 0;
}
