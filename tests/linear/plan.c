/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/linear/plan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- the model ------------------------------------------------------------------------------- */

static bool has_outcome(const struct linear_op *op)
{
    static const uint8_t outcomes[LINEAR_KINDS] = {
        [LINEAR_PUT] = 1 << LINEAR_DONE | 1 << LINEAR_THERE | 1 << LINEAR_UNKNOWN,
        [LINEAR_REPLACE] = 1 << LINEAR_DONE | 1 << LINEAR_UNKNOWN,
        [LINEAR_REMOVE] = 1 << LINEAR_DONE | 1 << LINEAR_MISSING | 1 << LINEAR_UNKNOWN,
        [LINEAR_GET] = 1 << LINEAR_DONE | 1 << LINEAR_MISSING,
        [LINEAR_EXISTS] = 1 << LINEAR_THERE | 1 << LINEAR_MISSING,
    };
    return op->kind < LINEAR_KINDS && op->outcome < LINEAR_OUTCOMES &&
           (outcomes[op->kind] >> op->outcome & 1) != 0;
}

static uint64_t end_of(const struct linear_op *op)
{
    return op->outcome == LINEAR_UNKNOWN ? PLAN_NEVER : op->returned_ns;
}

uint64_t plan_value(const struct plan *p, uint32_t state)
{
    return state == 0 ? 0 : p->history->ops[state - 1].value;
}

static uint32_t effect_of_remove(const struct linear_op *op, uint32_t state, bool may_miss)
{
    if (op->outcome == LINEAR_MISSING)
        return may_miss ? 0 : PLAN_IMPOSSIBLE;
    return state != 0 ? 0 : PLAN_IMPOSSIBLE;
}

uint32_t plan_effect(const struct plan *p, uint32_t state, uint32_t index)
{
    const struct linear_op *op = &p->history->ops[index];
    bool may_miss = state == 0 || (p->lost_from_ns[state - 1] != PLAN_NEVER &&
                                   p->lost_from_ns[state - 1] <= end_of(op));
    bool possible = false;

    switch (op->kind) {
    case LINEAR_PUT:
        if (op->outcome != LINEAR_THERE)
            return may_miss ? index + 1 : PLAN_IMPOSSIBLE;
        possible = state != 0;
        break;
    case LINEAR_REPLACE:
        return index + 1;
    case LINEAR_REMOVE:
        return effect_of_remove(op, state, may_miss);
    case LINEAR_GET:
        possible =
            op->outcome == LINEAR_DONE ? state != 0 && plan_value(p, state) == op->value : may_miss;
        break;
    case LINEAR_EXISTS:
        possible = op->outcome == LINEAR_THERE ? state != 0 : may_miss;
        break;
    case LINEAR_KINDS:
        assert(!"no kind");
    }
    return possible ? state : PLAN_IMPOSSIBLE;
}

/* ---- making it ------------------------------------------------------------------------------- */

struct moment {
    uint64_t at_ns;
    uint32_t op;
    bool returns;
};

/* What happens at the same time is concurrent: invocations come first. */
static int by_time(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    if (x->at_ns != y->at_ns)
        return x->at_ns < y->at_ns ? -1 : 1;
    if (x->returns != y->returns)
        return x->returns ? 1 : -1;
    return (x->op > y->op) - (x->op < y->op);
}

static enum linear_verdict gather(const struct linear_history *h, struct moment *moments,
                                  size_t *count)
{
    size_t n = 0;
    for (size_t i = 0; i < h->count; i++) {
        const struct linear_op *op = &h->ops[i];
        bool writes = op->kind == LINEAR_PUT || op->kind == LINEAR_REPLACE ||
                      (op->kind == LINEAR_GET && op->outcome == LINEAR_DONE);
        if (!has_outcome(op) || end_of(op) < op->invoked_ns || (writes && op->value == 0))
            return LINEAR_MALFORMED;
        moments[n++] = (struct moment){op->invoked_ns, (uint32_t)i, false};
        if (op->outcome != LINEAR_UNKNOWN)
            moments[n++] = (struct moment){op->returned_ns, (uint32_t)i, true};
    }
    qsort(moments, n, sizeof *moments, by_time);
    *count = n;
    return LINEAR_GOOD;
}

static uint64_t lost_from(const struct linear_history *h, const struct linear_op *op)
{
    uint64_t from_ns = PLAN_NEVER;
    for (size_t i = 0; i < h->loss_count; i++) {
        if (op->invoked_ns < h->losses[i].until_ns && h->losses[i].from_ns < from_ns)
            from_ns = h->losses[i].from_ns;
    }
    return from_ns;
}

/* What is open while the moments go by. */
struct walk {
    uint32_t open[LINEAR_OPEN_MAX];
    uint64_t used; /* slots */
    size_t open_room;
};

static bool enter(struct plan *p, struct walk *w, uint32_t op)
{
    if (~w->used == 0)
        return false;
    p->slot[op] = (uint8_t)__builtin_ctzll(~w->used);
    w->used |= UINT64_C(1) << p->slot[op];
    w->open[p->slot[op]] = op;
    return true;
}

static bool note_open(struct plan *p, struct walk *w)
{
    uint32_t at = p->open_from[p->return_count];
    if (at + LINEAR_OPEN_MAX > w->open_room) {
        size_t room = w->open_room * 2 + LINEAR_OPEN_MAX;
        uint32_t *grown = realloc(p->open, room * sizeof *grown);
        if (!grown)
            return false;
        p->open = grown;
        w->open_room = room;
    }
    for (uint64_t left = w->used; left != 0; left &= left - 1)
        p->open[at++] = w->open[__builtin_ctzll(left)];
    p->open_from[p->return_count + 1] = at;
    return true;
}

static bool leave(struct plan *p, struct walk *w, uint32_t op)
{
    if (!note_open(p, w))
        return false;
    p->unknown_at[p->return_count] = p->unknown_count;
    p->returns[p->return_count++] = op;
    w->used &= ~(UINT64_C(1) << p->slot[op]);
    p->quiet[p->return_count] = w->used == 0;
    return true;
}

static enum linear_verdict walk(struct plan *p, const struct moment *moments, size_t count)
{
    struct walk w = {.used = 0};
    for (size_t i = 0; i < count; i++) {
        uint32_t op = moments[i].op;
        if (moments[i].returns) {
            if (!leave(p, &w, op))
                return LINEAR_NO_MEMORY;
        } else if (p->history->ops[op].outcome == LINEAR_UNKNOWN) {
            if (p->unknown_count == LINEAR_UNKNOWN_MAX)
                return LINEAR_LIMIT;
            p->unknown[p->unknown_count++] = op;
        } else if (!enter(p, &w, op)) {
            return LINEAR_LIMIT;
        }
    }
    return LINEAR_GOOD;
}

static bool allocate(struct plan *p, size_t count)
{
    p->returns = calloc(count, sizeof *p->returns);
    p->unknown = calloc(LINEAR_UNKNOWN_MAX, sizeof *p->unknown);
    p->slot = calloc(count, sizeof *p->slot);
    p->open_from = calloc(count + 1, sizeof *p->open_from);
    p->unknown_at = calloc(count, sizeof *p->unknown_at);
    p->source = calloc(count, sizeof *p->source);
    p->quiet = calloc(count + 1, sizeof *p->quiet);
    p->lost_from_ns = calloc(count, sizeof *p->lost_from_ns);
    return p->returns && p->unknown && p->slot && p->open_from && p->unknown_at && p->source &&
           p->quiet && p->lost_from_ns;
}

struct written {
    uint64_t value;
    uint32_t op;
};

static int by_value(const void *a, const void *b)
{
    const struct written *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

static enum linear_verdict find_sources(struct plan *p)
{
    const struct linear_history *h = p->history;
    struct written *writes = calloc(h->count + 1, sizeof *writes);
    size_t count = 0;

    if (!writes)
        return LINEAR_NO_MEMORY;
    for (uint32_t i = 0; i < h->count; i++) {
        if (h->ops[i].kind == LINEAR_PUT || h->ops[i].kind == LINEAR_REPLACE)
            writes[count++] = (struct written){h->ops[i].value, i};
    }
    qsort(writes, count, sizeof *writes, by_value);
    enum linear_verdict verdict = LINEAR_GOOD;
    for (size_t i = 1; i < count; i++)
        verdict = writes[i].value == writes[i - 1].value ? LINEAR_MALFORMED : verdict;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct written key = {.value = h->ops[i].value};
        const struct written *w = h->ops[i].kind == LINEAR_GET
                                      ? bsearch(&key, writes, count, sizeof *writes, by_value)
                                      : NULL;
        p->source[i] = w ? w->op : PLAN_IMPOSSIBLE;
    }
    free(writes);
    return verdict;
}

enum linear_verdict plan_make(struct plan *p, const struct linear_history *h)
{
    enum linear_verdict verdict = LINEAR_NO_MEMORY;
    struct moment *moments = NULL;
    size_t count = 0;

    *p = (struct plan){.history = h};
    if (h->count > LINEAR_OPS_MAX)
        return LINEAR_LIMIT;
    moments = calloc(2 * h->count + 1, sizeof *moments);
    if (moments && allocate(p, h->count + 1))
        verdict = gather(h, moments, &count);
    for (size_t i = 0; verdict == LINEAR_GOOD && i < h->count; i++)
        p->lost_from_ns[i] = lost_from(h, &h->ops[i]);
    if (verdict == LINEAR_GOOD)
        verdict = find_sources(p);
    if (verdict == LINEAR_GOOD)
        verdict = walk(p, moments, count);
    free(moments);
    if (verdict != LINEAR_GOOD)
        plan_free(p);
    return verdict;
}

void plan_free(struct plan *p)
{
    free(p->returns);
    free(p->unknown);
    free(p->slot);
    free(p->open);
    free(p->open_from);
    free(p->unknown_at);
    free(p->source);
    free(p->quiet);
    free(p->lost_from_ns);
    *p = (struct plan){.history = NULL};
}
