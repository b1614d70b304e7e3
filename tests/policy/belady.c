/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "tests/policy/sim.h"

#define NEVER SIZE_MAX

/* The cached blocks by next use, the furthest on top. Entries whose use has come stay until they
 * are on top: next[] says what holds. */
struct use {
    size_t at; /* position; NEVER */
    uint32_t block;
};

struct future {
    struct use *heap;
    size_t count;
    size_t *next; /* of each block, from now on */
};

static void heap_push(struct future *f, struct use u)
{
    size_t i = f->count++;
    for (; i > 0 && f->heap[(i - 1) / 2].at < u.at; i = (i - 1) / 2)
        f->heap[i] = f->heap[(i - 1) / 2];
    f->heap[i] = u;
}

static struct use heap_pop(struct future *f)
{
    struct use top = f->heap[0], last = f->heap[--f->count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < f->count && f->heap[child + 1].at > f->heap[child].at)
            child++;
        if (child >= f->count || f->heap[child].at <= last.at)
            break;
        f->heap[i] = f->heap[child];
        i = child;
    }
    f->heap[i] = last;
    return top;
}

static void evict_furthest(struct sim *s, struct future *f)
{
    struct use u;
    do
        u = heap_pop(f);
    while (!s->cached[u.block] || f->next[u.block] != u.at);
    s->cached[u.block] = false;
    s->cached_count--;
}

/* after[position]: where its block is used next. */
static void find_uses(const struct sim *s, struct future *f, size_t *after)
{
    for (uint32_t b = 0; b < s->unique; b++)
        f->next[b] = NEVER;
    for (size_t i = s->trace->id_count; i-- > 0;) {
        after[i] = f->next[s->ids[i]];
        f->next[s->ids[i]] = i;
    }
}

static void play(struct sim *s, struct future *f, const size_t *after, bool bypass,
                 struct result *out)
{
    for (size_t r = 0; r < s->trace->request_count; r++) {
        const struct trace_request *request = &s->trace->requests[r];
        bool prefix = true;
        for (uint32_t i = 0; i < request->count; i++) {
            uint32_t block = s->ids[request->first + i];
            bool hit = s->cached[block];
            prefix = prefix && hit;
            out->block_hits += hit;
            out->prefix_hits += prefix;
            if (!hit && !bypass && s->cached_count == s->room)
                evict_furthest(s, f);
            f->next[block] = after[request->first + i];
            heap_push(f, (struct use){.at = f->next[block], .block = block});
            s->cached_count += !hit;
            s->cached[block] = true;
            if (s->cached_count > s->room)
                evict_furthest(s, f);
        }
        out->blocks += request->count;
    }
}

bool sim_min(struct sim *s, bool bypass, struct result *out)
{
    size_t count = s->trace->id_count + 1;
    struct future f = {.heap = calloc(count, sizeof(*f.heap)),
                       .next = calloc(count, sizeof(*f.next))};
    size_t *after = calloc(count, sizeof(*after));
    bool good = f.heap != NULL && f.next != NULL && after != NULL;
    *out = (struct result){0};
    s->cached_count = 0;
    memset(s->cached, 0, s->unique * sizeof(*s->cached));
    if (good) {
        find_uses(s, &f, after);
        play(s, &f, after, bypass, out);
    }
    free(f.heap);
    free(f.next);
    free(after);
    return good;
}
