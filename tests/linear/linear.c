/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/linear/linear.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/linear/plan.h"

/* ---- configurations -------------------------------------------------------------------------- */

#define UNKNOWN_WORDS (LINEAR_UNKNOWN_MAX / 64)

/* Where a search stands. The cursor is never 0 in a table: it is kept plus 1. */
struct config {
    uint32_t cursor; /* returns before it are behind */
    uint32_t state;
    uint64_t taken;                        /* slots of open operations that have taken effect */
    uint64_t taken_unknown[UNKNOWN_WORDS]; /* likewise, never answered */
};

struct pile {
    struct config *items;
    size_t count, room;
};

static bool pile_push(struct pile *p, const struct config *c)
{
    if (p->count == p->room) {
        size_t room = p->room ? p->room * 2 : 64;
        struct config *grown = realloc(p->items, room * sizeof *grown);
        if (!grown)
            return false;
        p->items = grown;
        p->room = room;
    }
    p->items[p->count++] = *c;
    return true;
}

/* Beyond that, what was seen is forgotten at a quiescent moment. */
#define SEEN_KEPT 4096u

/* Open writes that a window may begin with. */
#define LOOSE_WRITES_MAX 10

/* In a cursor that is kept. */
#define CURSOR_ENDS (UINT32_C(1) << 31)

/* What has been searched already: open addressing, at most half full. */
struct seen {
    struct config *slots;
    size_t mask, count;
};

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t hash(const struct config *c)
{
    uint64_t h = mix((uint64_t)c->cursor << 32 | c->state);
    h = mix(h ^ c->taken);
    for (size_t i = 0; i < UNKNOWN_WORDS; i++)
        h = mix(h + c->taken_unknown[i] + i + 1);
    return h;
}

static struct config *seen_place(const struct seen *s, const struct config *c)
{
    size_t at = hash(c) & s->mask;
    while (s->slots[at].cursor != 0 && memcmp(&s->slots[at], c, sizeof *c) != 0)
        at = (at + 1) & s->mask;
    return &s->slots[at];
}

static bool seen_resize(struct seen *s, size_t room)
{
    struct seen old = *s;
    s->slots = calloc(room, sizeof *s->slots);
    if (!s->slots) {
        *s = old;
        return false;
    }
    s->mask = room - 1;
    for (size_t i = 0; old.slots && i <= old.mask; i++) {
        if (old.slots[i].cursor != 0)
            *seen_place(s, &old.slots[i]) = old.slots[i];
    }
    free(old.slots);
    return true;
}

enum added { ADDED, KNOWN, NO_MEMORY };

/* A segment's end is the next one's beginning: these two are told apart. */
static enum added seen_add(struct seen *s, const struct config *c, bool ends)
{
    struct config key = *c;
    key.cursor = (key.cursor + 1) | (ends ? CURSOR_ENDS : 0);
    if ((!s->slots || s->count * 2 > s->mask) &&
        !seen_resize(s, s->slots ? (s->mask + 1) * 2 : 1024))
        return NO_MEMORY;
    struct config *place = seen_place(s, &key);
    if (place->cursor != 0)
        return KNOWN;
    *place = key;
    s->count++;
    return ADDED;
}

static void seen_forget(struct seen *s)
{
    free(s->slots);
    *s = (struct seen){.slots = NULL};
}

/* ---- the search ------------------------------------------------------------------------------ */

struct search {
    struct plan plan;
    bool *skip; /* reads that are taken for explained */
    struct pile starts, todo, ends;
    struct seen seen;
    uint32_t end;      /* the cursor at which this segment is done */
    uint32_t furthest; /* cursor that was reached */
    uint64_t configs;
    struct linear_result *result;
};

static uint64_t slot_bit(const struct search *s, uint32_t op)
{
    return UINT64_C(1) << s->plan.slot[op];
}

/* An operation that changes nothing and fits the state may as well take effect at once: if it did
 * so later in some order that explains the history, moving it here gives another one. */
static bool take_reads(const struct search *s, struct config *c)
{
    const struct plan *p = &s->plan;
    uint64_t before = c->taken;

    for (uint32_t i = p->open_from[c->cursor]; i < p->open_from[c->cursor + 1]; i++) {
        uint32_t op = p->open[i];
        if (s->skip[op] || plan_effect(p, c->state, op) == c->state)
            c->taken |= slot_bit(s, op);
    }
    return c->taken != before;
}

/* Moves the cursor over what has taken effect. */
static void settle(const struct search *s, struct config *c)
{
    const struct plan *p = &s->plan;
    while (c->cursor < s->end) {
        take_reads(s, c);
        uint64_t bit = slot_bit(s, p->returns[c->cursor]);
        if ((c->taken & bit) == 0)
            return;
        c->taken &= ~bit;
        c->cursor++;
    }
}

static bool push(struct search *s, const struct config *from, uint32_t state, uint64_t slot,
                 uint32_t unknown)
{
    struct config next = *from;
    next.state = state;
    next.taken |= slot;
    if (slot == 0)
        next.taken_unknown[unknown / 64] |= UINT64_C(1) << unknown % 64;
    return pile_push(&s->todo, &next);
}

static bool push_unknown(struct search *s, const struct config *c)
{
    const struct plan *p = &s->plan;
    bool removed = false; /* removes that were never answered are all the same */

    for (uint32_t i = 0; i < p->unknown_at[c->cursor]; i++) {
        uint32_t op = p->unknown[i], state = plan_effect(p, c->state, op);
        bool removes = p->history->ops[op].kind == LINEAR_REMOVE;
        if ((c->taken_unknown[i / 64] >> i % 64 & 1) != 0 || state == PLAN_IMPOSSIBLE ||
            state == c->state || (removes && removed))
            continue;
        removed = removed || removes;
        if (!push(s, c, state, 0, i))
            return false;
    }
    return true;
}

/* Whatever is open may be next. What has to return first is tried first. */
static bool expand(struct search *s, const struct config *c)
{
    const struct plan *p = &s->plan;
    uint32_t due = p->returns[c->cursor];

    if (!push_unknown(s, c))
        return false;
    for (uint32_t i = p->open_from[c->cursor]; i < p->open_from[c->cursor + 1]; i++) {
        uint32_t op = p->open[i], state = plan_effect(p, c->state, op);
        if (op != due && (c->taken & slot_bit(s, op)) == 0 && state != PLAN_IMPOSSIBLE &&
            !push(s, c, state, slot_bit(s, op), 0))
            return false;
    }
    uint32_t state = plan_effect(p, c->state, due);
    return state == PLAN_IMPOSSIBLE || push(s, c, state, slot_bit(s, due), 0);
}

static enum linear_verdict visit(struct search *s, struct config *c)
{
    settle(s, c);
    if (c->cursor > s->furthest)
        s->furthest = c->cursor;
    enum added added = seen_add(&s->seen, c, c->cursor == s->end);
    if (added != ADDED)
        return added == KNOWN ? LINEAR_GOOD : LINEAR_NO_MEMORY;
    s->configs++;
    if (s->seen.count > LINEAR_CONFIGS_MAX)
        return LINEAR_LIMIT;
    bool room = c->cursor == s->end ? pile_push(&s->ends, c) : expand(s, c);
    return room ? LINEAR_GOOD : LINEAR_NO_MEMORY;
}

/* All ways from the starts to the segment's end. LINEAR_BAD: there is none. */
static enum linear_verdict run_segment(struct search *s, uint32_t end)
{
    enum linear_verdict verdict = LINEAR_GOOD;

    s->end = end;
    s->furthest = 0;
    s->ends.count = s->todo.count = 0;
    for (size_t i = 0; i < s->starts.count; i++) {
        if (!pile_push(&s->todo, &s->starts.items[i]))
            return LINEAR_NO_MEMORY;
    }
    while (s->todo.count > 0 && verdict == LINEAR_GOOD) {
        struct config c = s->todo.items[--s->todo.count];
        verdict = visit(s, &c);
    }
    return verdict == LINEAR_GOOD && s->ends.count == 0 ? LINEAR_BAD : verdict;
}

/* ---- telling --------------------------------------------------------------------------------- */

static void add_state(uint64_t states[LINEAR_STATES_MAX], uint32_t *count, uint64_t value)
{
    for (uint32_t i = 0; i < *count; i++) {
        if (states[i] == value)
            return;
    }
    if (*count < LINEAR_STATES_MAX)
        states[(*count)++] = value;
}

static void tell_states(struct search *s, uint32_t cursor)
{
    struct linear_result *r = s->result;
    for (size_t i = 0; i < s->starts.count; i++)
        add_state(r->before, &r->before_count, plan_value(&s->plan, s->starts.items[i].state));
    for (size_t i = 0; i <= s->seen.mask; i++) {
        const struct config *c = &s->seen.slots[i];
        if (c->cursor == cursor + 1)
            add_state(r->states, &r->state_count, plan_value(&s->plan, c->state));
    }
}

static bool is_read(const struct linear_op *op)
{
    return op->kind == LINEAR_GET || op->kind == LINEAR_EXISTS || op->outcome == LINEAR_THERE;
}

static bool fails_without(struct search *s, const uint32_t *reads, uint32_t count, uint32_t culprit)
{
    for (uint32_t i = 0; i < count; i++)
        s->skip[reads[i]] = true;
    seen_forget(&s->seen);
    bool fails = run_segment(s, culprit + 1) == LINEAR_BAD;
    for (uint32_t i = 0; i < count; i++)
        s->skip[reads[i]] = fails;
    return fails;
}

/* Leaves reads out, many at once first, as long as the rest still fails at the same place. */
static void shrink(struct search *s, uint32_t *reads, uint32_t count, uint32_t culprit)
{
    uint32_t searches = 0;

    for (uint32_t part = count; part > 0; part /= 2) {
        uint32_t kept = 0;
        for (uint32_t at = 0; at < count; at += part) {
            uint32_t n = count - at < part ? count - at : part;
            if (searches++ < LINEAR_SHRINK_MAX && fails_without(s, reads + at, n, culprit))
                continue;
            memmove(reads + kept, reads + at, n * sizeof *reads);
            kept += n;
        }
        count = kept;
    }
}

/* What the key may have held at some moment, as far as it matters up to the culprit: a value that
 * is read, one that isn't, or nothing. */
static bool *possible_states(const struct plan *p, uint32_t cursor, uint32_t culprit)
{
    size_t count = p->history->count;
    bool *states = calloc(count + 1, sizeof *states);

    if (!states)
        return NULL;
    states[0] = true;
    for (uint32_t i = cursor; i <= culprit; i++) {
        if (p->source[p->returns[i]] != PLAN_IMPOSSIBLE)
            states[p->source[p->returns[i]] + 1] = true;
    }
    for (size_t i = 0; i < count; i++) {
        const struct linear_op *op = &p->history->ops[i];
        if ((op->kind == LINEAR_PUT || op->kind == LINEAR_REPLACE) && !states[i + 1]) {
            states[i + 1] = true;
            break;
        }
    }
    return states;
}

/* Starts at the cursor with each such state, whatever of the open writes has taken effect. */
static bool start_anyhow(struct search *s, uint32_t cursor, uint32_t culprit)
{
    const struct plan *p = &s->plan;
    uint64_t writes = 0, taken = 0;
    bool *states, room = true;

    for (uint32_t i = p->open_from[cursor]; i < p->open_from[cursor + 1]; i++)
        writes |= is_read(&p->history->ops[p->open[i]]) ? 0 : slot_bit(s, p->open[i]);
    if (__builtin_popcountll(writes) > LOOSE_WRITES_MAX)
        return false;
    states = possible_states(p, cursor, culprit);
    s->starts.count = 0;
    for (uint32_t state = 0; states && room && state <= p->history->count; state++) {
        do {
            struct config c = {.cursor = cursor, .state = state, .taken = taken};
            room = room && (!states[state] || pile_push(&s->starts, &c));
            taken = (taken - writes) & writes; /* the next subset; 0 after the last */
        } while (taken != 0 && states[state]);
    }
    room = room && states;
    free(states);
    return room;
}

/* The latest moment from which it fails, whatever was before; where that is too long ago, the
 * segment's beginning, where what was possible is known. */
static uint32_t latest_start(struct search *s, uint32_t first, uint32_t culprit)
{
    struct pile known = s->starts;
    uint32_t low = 0, high = culprit + 1;

    s->starts = (struct pile){.items = NULL};
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        seen_forget(&s->seen);
        if (start_anyhow(s, middle, culprit) && run_segment(s, culprit + 1) == LINEAR_BAD)
            low = middle;
        else
            high = middle;
    }
    bool near = low > 0 && culprit - low < LINEAR_WINDOW;
    if (near && start_anyhow(s, low, culprit)) {
        free(known.items);
        s->result->before_count = 0;
        return low;
    }
    free(s->starts.items);
    s->starts = known;
    return first;
}

/* LINEAR_BAD, or LINEAR_NO_MEMORY. */
static enum linear_verdict shrink_window(struct search *s, uint32_t first, uint32_t culprit)
{
    const struct plan *p = &s->plan;
    uint32_t count = 0, *reads = calloc(culprit - first + 1, sizeof *reads);

    if (!reads)
        return LINEAR_NO_MEMORY;
    for (uint32_t i = first; i < culprit; i++) {
        if (is_read(&p->history->ops[p->returns[i]]))
            reads[count++] = p->returns[i];
    }
    shrink(s, reads, count, culprit);
    free(reads);
    return LINEAR_BAD;
}

static int by_index(const void *a, const void *b)
{
    const size_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static enum linear_verdict tell_window(struct search *s, uint32_t first, uint32_t culprit)
{
    const struct plan *p = &s->plan;
    struct linear_result *r = s->result;
    size_t count = 0, room = p->open_from[culprit + 1] - p->open_from[culprit];

    r->window = calloc(room + (culprit - first) + p->unknown_count + 1, sizeof *r->window);
    if (!r->window)
        return LINEAR_NO_MEMORY;
    for (uint32_t i = first; i < culprit; i++) {
        if (!s->skip[p->returns[i]])
            r->window[count++] = p->returns[i];
    }
    for (uint32_t i = p->open_from[culprit]; i < p->open_from[culprit + 1]; i++) {
        uint32_t op = p->open[i];
        if (op == p->returns[culprit] || !is_read(&p->history->ops[op]))
            r->window[count++] = op;
    }
    for (uint32_t i = 0; i < p->unknown_at[culprit]; i++)
        r->window[count++] = p->unknown[i];
    qsort(r->window, count, sizeof *r->window, by_index);
    r->window_count = count;
    return LINEAR_BAD;
}

static enum linear_verdict tell_failure(struct search *s, uint32_t first)
{
    uint32_t culprit = s->furthest;

    s->result->culprit = s->plan.returns[culprit];
    tell_states(s, culprit);
    first = latest_start(s, first, culprit);
    enum linear_verdict verdict = shrink_window(s, first, culprit);
    return verdict == LINEAR_BAD ? tell_window(s, first, culprit) : verdict;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void swap(struct pile *a, struct pile *b)
{
    struct pile c = *a;
    *a = *b;
    *b = c;
}

static enum linear_verdict run(struct search *s)
{
    const struct plan *p = &s->plan;
    struct config absent = {.cursor = 0};
    enum linear_verdict verdict = LINEAR_GOOD;
    uint32_t first = 0;

    if (!pile_push(&s->starts, &absent))
        return LINEAR_NO_MEMORY;
    while (verdict == LINEAR_GOOD && first < p->return_count) {
        uint32_t end = first + 1;
        while (!p->quiet[end])
            end++;
        if (s->seen.count > SEEN_KEPT) /* cursors only grow: this saves memory, no more */
            seen_forget(&s->seen);
        verdict = run_segment(s, end);
        s->result->segments++;
        if (verdict == LINEAR_BAD)
            return tell_failure(s, first);
        swap(&s->starts, &s->ends);
        first = end;
    }
    return verdict;
}

void linear_check(const struct linear_history *h, struct linear_result *out)
{
    struct search s = {.result = out};

    *out = (struct linear_result){.verdict = LINEAR_NO_MEMORY};
    enum linear_verdict verdict = plan_make(&s.plan, h);
    if (verdict == LINEAR_GOOD) {
        s.skip = calloc(h->count + 1, sizeof *s.skip);
        verdict = s.skip ? run(&s) : LINEAR_NO_MEMORY;
        plan_free(&s.plan);
    }
    out->verdict = verdict;
    out->configs = s.configs;
    free(s.skip);
    free(s.starts.items);
    free(s.todo.items);
    free(s.ends.items);
    free(s.seen.slots);
}

void linear_result_free(struct linear_result *r)
{
    free(r->window);
    *r = (struct linear_result){.verdict = LINEAR_GOOD};
}
