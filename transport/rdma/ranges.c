/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/rdma/ranges.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 64u

bool rdma_ranges_reserve(struct rdma_ranges *t, size_t count)
{
    size_t capacity = t->capacity == 0 ? FIRST_CAPACITY : t->capacity;

    if (count <= t->capacity)
        return true;
    while (capacity < count)
        capacity *= 2;
    struct rdma_place *at = realloc(t->at, capacity * sizeof *at);
    if (at == NULL)
        return false;
    t->at = at;
    t->capacity = capacity;
    return true;
}

/* Halves without a branch, which nothing could predict. */
size_t rdma_ranges_before(const struct rdma_ranges *t, uintptr_t addr)
{
    const struct rdma_place *first = t->at;
    size_t left = t->count;

    if (left == 0)
        return 0;
    for (; left > 1; left -= left / 2)
        first += first[left / 2 - 1].begin < addr ? left / 2 : 0;
    return (size_t)(first - t->at) + (first->begin < addr);
}

static void reach_from(struct rdma_ranges *t, size_t i)
{
    uintptr_t reach = i > 0 ? t->at[i - 1].reach : 0;

    for (; i < t->count; i++) {
        if (reach < t->at[i].range->end)
            reach = t->at[i].range->end;
        t->at[i].reach = reach;
    }
}

void rdma_ranges_insert(struct rdma_ranges *t, struct rdma_range *range)
{
    size_t i = rdma_ranges_before(t, range->begin);

    assert(t->count < t->capacity && range->begin < range->end);
    memmove(&t->at[i + 1], &t->at[i], (t->count - i) * sizeof t->at[0]);
    t->at[i] = (struct rdma_place){.begin = range->begin, .range = range};
    t->count++;
    reach_from(t, i);
}

void rdma_ranges_remove(struct rdma_ranges *t, const struct rdma_range *range)
{
    size_t i = rdma_ranges_before(t, range->begin);

    while (t->at[i].range != range) {
        i++;
        assert(i < t->count);
    }
    t->count--;
    memmove(&t->at[i], &t->at[i + 1], (t->count - i) * sizeof t->at[0]);
    reach_from(t, i);
}

struct rdma_range *rdma_ranges_around(const struct rdma_ranges *t, uintptr_t addr, uintptr_t *next)
{
    size_t i = addr == UINTPTR_MAX ? t->count : rdma_ranges_before(t, addr + 1);

    *next = i < t->count ? t->at[i].begin : UINTPTR_MAX;
    for (; i > 0 && t->at[i - 1].reach > addr; i--)
        if (t->at[i - 1].range->end > addr)
            return t->at[i - 1].range;
    return NULL;
}

void rdma_ranges_free(struct rdma_ranges *t)
{
    free(t->at);
    *t = (struct rdma_ranges){0};
}
