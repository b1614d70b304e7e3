/* SPDX-License-Identifier: Apache-2.0 */
#include "client/coverage.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

/* The first run that ends behind this place; count: none. */
static size_t run_behind(const struct coverage *c, uint64_t place)
{
    size_t low = 0, high = c->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c->runs[middle].end > place)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int make_room(struct coverage *c)
{
    size_t room = c->room ? c->room * 2 : 16;
    struct coverage_run *grown;

    if (c->count < c->room)
        return CENOTE_OK;
    if (c->count == COVERAGE_RUNS_MAX)
        return CENOTE_LIMIT;
    grown = realloc(c->runs, room * sizeof *grown);
    if (!grown)
        return CENOTE_NO_MEMORY;
    c->runs = grown;
    c->room = room;
    return CENOTE_OK;
}

static int insert(struct coverage *c, size_t i, uint64_t begin, uint64_t end)
{
    int status = make_room(c);

    if (status != CENOTE_OK)
        return status;
    memmove(&c->runs[i + 1], &c->runs[i], (c->count - i) * sizeof c->runs[0]);
    c->runs[i] = (struct coverage_run){begin, end};
    c->count++;
    return CENOTE_OK;
}

/* Run i and the one before it have met. */
static void join(struct coverage *c, size_t i)
{
    c->runs[i - 1].end = c->runs[i].end;
    memmove(&c->runs[i], &c->runs[i + 1], (c->count - i - 1) * sizeof c->runs[0]);
    c->count--;
}

int coverage_claim(struct coverage *c, uint64_t begin, uint64_t end)
{
    size_t i = run_behind(c, begin);
    bool before = i > 0 && c->runs[i - 1].end == begin;

    assert(begin < end);
    if (i < c->count && c->runs[i].begin < end)
        return CENOTE_INVALID;
    bool after = i < c->count && c->runs[i].begin == end;
    if (before) {
        c->runs[i - 1].end = end;
        if (after)
            join(c, i);
        return CENOTE_OK;
    }
    if (after) {
        c->runs[i].begin = begin;
        return CENOTE_OK;
    }
    return insert(c, i, begin, end);
}

void coverage_free(struct coverage *c)
{
    free(c->runs);
    *c = (struct coverage){0};
}
