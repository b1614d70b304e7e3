/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#include "transport/base/testswitch.h"

struct window *window_new(struct pool *pool)
{
    struct window *w = calloc(1, sizeof(*w));
    if (w != NULL)
        w->pool = pool;
    return w;
}

void window_free(struct window *w)
{
    if (w == NULL)
        return;
    for (uint32_t i = 0; i < WINDOW_CALLS; i++)
        if (w->slots[i] != NULL && !w->slots[i]->running)
            free(w->slots[i]);
    struct link *l;
    while ((l = list_pop(&w->running)) != NULL)
        free(container_of(l, struct numbered, link));
    free(w);
}

static struct numbered *numbered_new(struct window *w, uint64_t seq, enum numbered_kind kind,
                                     uint32_t count)
{
    struct numbered *n = pool_take(w->pool, sizeof(*n) + count);
    if (n == NULL)
        return NULL;
    n->seq = seq;
    n->kind = (uint8_t)kind;
    n->count = count;
    memset(n->statuses, NUMBERED_OPEN, count);
    return n;
}

/* The slot's present call makes room for n. */
static void keep(struct window *w, struct numbered *n)
{
    struct numbered **slot = &w->slots[window_slot(n->seq)], *before = *slot;
    if (before != NULL && before->running)
        before->kept = false;
    else if (before != NULL)
        pool_give(w->pool, before, sizeof(*before) + before->count);
    n->kept = true;
    *slot = n;
}

static struct numbered *find_running(const struct window *w, uint64_t seq)
{
    list_each(&w->running, l)
    {
        struct numbered *n = container_of(l, struct numbered, link);
        if (n->seq == seq)
            return n;
    }
    return NULL;
}

static int run(struct window *w, struct numbered *n, struct numbered **out)
{
    n->running = true;
    list_append(&w->running, &n->link);
    *out = n;
    return WINDOW_RUN;
}

static int repeat(struct window *w, struct numbered *n, enum numbered_kind kind, uint32_t count,
                  struct numbered **out)
{
    if (n->kind != kind || n->count != count)
        return CENOTE_INVALID;
    *out = n;
    if (n->running)
        return WINDOW_RUNNING;
    return n->whole ? WINDOW_ANSWERED : run(w, n, out);
}

int window_enter(struct window *w, uint64_t seq, enum numbered_kind kind, uint32_t count,
                 struct numbered **out)
{
    struct numbered *there = w->slots[window_slot(seq)];
    bool later = there != NULL && there->seq > seq;
    if (seq == 0)
        return CENOTE_INVALID;
    if (later)
        there = find_running(w, seq);
    if (!test_off(TEST_RETRY) && there != NULL && there->seq == seq)
        return repeat(w, there, kind, count, out);
    bool by_put_id = kind == NUMBERED_COMMIT || kind == NUMBERED_ABORT;
    if (later && !by_put_id)
        return WINDOW_PASSED;
    struct numbered *n = numbered_new(w, seq, kind, count);
    if (n == NULL)
        return CENOTE_NO_MEMORY;
    if (!later)
        keep(w, n);
    return run(w, n, out);
}

void window_leave(struct numbered *n)
{
    assert(n->running && list_empty(&n->also));
    link_remove(&n->link);
    n->running = false;
    n->whole = true;
    if (!n->kept)
        free(n);
}

void window_forget(struct window *w, struct numbered *n)
{
    assert(n->running && list_empty(&n->also));
    link_remove(&n->link);
    if (n->kept)
        w->slots[window_slot(n->seq)] = NULL;
    free(n);
}

int window_recover(struct window *w, uint64_t seq, enum numbered_kind kind, uint32_t count,
                   struct numbered **out)
{
    struct numbered *n = w->slots[window_slot(seq)];
    *out = NULL;
    if (n != NULL && n->seq > seq)
        return CENOTE_OK;
    if (n == NULL || n->seq < seq) {
        n = numbered_new(w, seq, kind, count);
        if (n == NULL)
            return CENOTE_NO_MEMORY;
        n->whole = kind == NUMBERED_START;
        keep(w, n);
    }
    *out = n;
    return n->kind == kind && n->count == count ? CENOTE_OK : CENOTE_IO;
}
