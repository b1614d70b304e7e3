/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/policy/sim.h"

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void number_densely(struct sim *s, uint32_t *sorted)
{
    size_t count = s->trace->id_count;
    if (count > 0)
        memcpy(sorted, s->trace->ids, count * sizeof(*sorted));
    qsort(sorted, count, sizeof(*sorted), by_number);
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || sorted[i] != sorted[s->unique - 1])
            sorted[s->unique++] = sorted[i];
    }
    for (size_t i = 0; i < count; i++) {
        const uint32_t *at =
            bsearch(&s->trace->ids[i], sorted, s->unique, sizeof(*sorted), by_number);
        s->ids[i] = (uint32_t)(at - sorted);
    }
}

static void find_chains(struct sim *s)
{
    memset(s->before, 0xff, s->unique * sizeof(*s->before));
    for (size_t r = 0; r < s->trace->request_count; r++) {
        const struct trace_request *request = &s->trace->requests[r];
        for (uint32_t i = 1; i < request->count; i++)
            s->before[s->ids[request->first + i]] = s->ids[request->first + i - 1];
    }
}

bool sim_init(struct sim *s, const struct trace *trace, uint32_t room)
{
    size_t count = trace->id_count + 1;
    *s = (struct sim){.trace = trace, .room = room, .high_percent = 100, .low_percent = 100};
    uint32_t *sorted = calloc(count, sizeof(*sorted));
    s->ids = calloc(count, sizeof(*s->ids));
    s->before = calloc(count, sizeof(*s->before));
    s->leased_until = calloc(count, sizeof(*s->leased_until));
    s->cached = calloc(count, sizeof(*s->cached));
    bool good = sorted != NULL && s->ids != NULL && s->before != NULL && s->leased_until != NULL &&
                s->cached != NULL;
    if (good) {
        number_densely(s, sorted);
        find_chains(s);
    } else {
        sim_free(s);
    }
    free(sorted);
    return good;
}

void sim_free(struct sim *s)
{
    free(s->ids);
    free(s->before);
    free(s->leased_until);
    free(s->cached);
    *s = (struct sim){0};
}

struct run {
    struct sim *s;
    const struct sim_policy *policy;
    void *state;
    struct result *out;
};

static void evict_down_to(struct run *r, uint32_t count)
{
    while (r->s->cached_count > count) {
        uint32_t block = r->policy->victim(r->state);
        if (block == BLOCK_NONE)
            return;
        assert(r->s->cached[block]);
        r->s->cached[block] = false;
        r->s->cached_count--;
    }
}

static void put_one(struct run *r, uint32_t block, uint32_t *head)
{
    if (r->s->cached_count >= r->s->room) {
        r->out->refused++;
        return;
    }
    r->policy->add(r->state, block, *head);
    r->s->cached[block] = true;
    r->s->cached_count++;
    *head = block;
}

/* The gets of the prefix, and what the puts of others find there. */
static void use_all(struct run *r, const uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t block = ids[r->policy->tail_first ? count - 1 - i : i];
        if (!r->s->cached[block])
            continue;
        r->policy->use(r->state, block);
        r->s->leased_until[block] = r->s->now_ms + r->s->lease_ms;
    }
}

static void put_all(struct run *r, const uint32_t *ids, uint32_t count, uint32_t missing)
{
    uint32_t head = BLOCK_NONE, room = r->s->room;
    bool was_there[TRACE_BLOCKS_MAX];
    for (uint32_t i = 0; i < count; i++)
        was_there[i] = r->s->cached[ids[i]];
    evict_down_to(r, missing > room ? 0 : room - missing);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t k = r->policy->tail_first ? count - 1 - i : i;
        if (!was_there[k] && !r->s->cached[ids[k]])
            put_one(r, ids[k], &head);
    }
}

static void serve(struct run *r, const struct trace_request *request)
{
    const uint32_t *ids = r->s->ids + request->first;
    uint32_t prefix = 0, there = 0;
    while (prefix < request->count && r->s->cached[ids[prefix]])
        prefix++;
    for (uint32_t i = 0; i < request->count; i++)
        there += r->s->cached[ids[i]];
    r->out->blocks += request->count;
    r->out->prefix_hits += prefix;
    r->out->block_hits += there;
    r->s->now_ms = request->at_ms;
    use_all(r, ids, request->count);
    put_all(r, ids, request->count, request->count - there);
    uint64_t room = r->s->room;
    if (r->s->cached_count > room * r->s->high_percent / 100)
        evict_down_to(r, (uint32_t)(room * r->s->low_percent / 100));
}

bool sim_run(struct sim *s, const struct sim_policy *policy, struct result *out)
{
    struct run r = {.s = s, .policy = policy, .out = out};
    *out = (struct result){0};
    s->cached_count = 0;
    memset(s->cached, 0, s->unique * sizeof(*s->cached));
    memset(s->leased_until, 0, s->unique * sizeof(*s->leased_until));
    r.state = policy->open(s);
    if (r.state == NULL)
        return false;
    for (size_t i = 0; i < s->trace->request_count; i++)
        serve(&r, &s->trace->requests[i]);
    policy->close(r.state);
    return true;
}
