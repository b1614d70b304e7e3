/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/memstore.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

bool in_service;

struct entry {
    uint8_t *key, *value;
    uint32_t key_len, value_len;
};

struct tree {
    struct entry *entries; /* sorted */
    uint32_t count, room;
};

struct waiting {
    struct waiting *next;
    struct store_change change;
    bool applied; /* its owner is told later: */
    int status;
};

struct memstore {
    struct store store;
    struct tree trees[STORE_TREES];
    struct waiting *first, *last;
    unsigned waiting, done;
    unsigned fail_skip, fail_count;
    int fail_status;
};

static void *copy(const void *data, uint32_t len)
{
    void *out = malloc(len + 1u);
    assert(out != NULL);
    if (len > 0)
        memcpy(out, data, len);
    return out;
}

static int compare(const struct entry *e, const void *key, uint32_t key_len)
{
    uint32_t common = e->key_len < key_len ? e->key_len : key_len;
    int order = common == 0 ? 0 : memcmp(e->key, key, common);
    return order != 0 ? order : (e->key_len > key_len) - (e->key_len < key_len);
}

/* Index of the first entry that isn't less. */
static uint32_t find(const struct tree *t, const void *key, uint32_t key_len, bool *there)
{
    uint32_t low = 0, high = t->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (compare(&t->entries[mid], key, key_len) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    *there = low < t->count && compare(&t->entries[low], key, key_len) == 0;
    return low;
}

static void entry_free(struct entry *e)
{
    free(e->key);
    free(e->value);
}

static void apply_write(struct tree *t, const struct store_write *w)
{
    bool there;
    uint32_t at = find(t, w->key, w->key_len, &there);
    struct entry fresh = {0};
    if (!w->remove) {
        fresh = (struct entry){.key = copy(w->key, w->key_len), .key_len = w->key_len};
        fresh.value = copy(w->value, w->value_len);
        fresh.value_len = w->value_len;
    }
    if (there) {
        entry_free(&t->entries[at]);
        if (w->remove) {
            t->count--;
            memmove(&t->entries[at], &t->entries[at + 1], (t->count - at) * sizeof(fresh));
        } else {
            t->entries[at] = fresh;
        }
        return;
    }
    if (w->remove)
        return;
    if (t->count == t->room) {
        t->room = t->room * 2 + 16;
        t->entries = realloc(t->entries, t->room * sizeof(*t->entries));
        assert(t->entries != NULL);
    }
    memmove(&t->entries[at + 1], &t->entries[at], (t->count - at) * sizeof(fresh));
    t->entries[at] = fresh;
    t->count++;
}

static void apply(struct memstore *m, const struct store_change *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        apply_write(&m->trees[c->writes[i].tree], &c->writes[i]);
}

/* ---- the store's operations ---- */

static void queue(struct memstore *m, const struct store_change *change)
{
    struct waiting *w = calloc(1, sizeof(*w));
    struct store_write *writes = calloc(change->count, sizeof(*writes));
    assert(w != NULL && writes != NULL && change->count > 0);
    for (uint32_t i = 0; i < change->count; i++) {
        writes[i] = change->writes[i];
        writes[i].key = copy(change->writes[i].key, change->writes[i].key_len);
        writes[i].value = copy(change->writes[i].value, change->writes[i].value_len);
    }
    w->change = *change;
    w->change.writes = writes;
    if (m->last == NULL)
        m->first = w;
    else
        m->last->next = w;
    m->last = w;
    m->waiting++;
}

static void submit(struct store *s, const struct store_change *change)
{
    bool before = in_service;
    in_service = false;
    queue((struct memstore *)s, change);
    in_service = before;
}

static int get(struct store *s, enum store_tree tree, const void *key, uint32_t key_len,
               const void **value, uint32_t *value_len)
{
    const struct memstore *m = (const struct memstore *)s;
    bool there;
    uint32_t at = find(&m->trees[tree], key, key_len, &there);
    if (!there)
        return CENOTE_NOT_FOUND;
    *value = m->trees[tree].entries[at].value;
    *value_len = m->trees[tree].entries[at].value_len;
    return CENOTE_OK;
}

static int scan(struct store *s, enum store_tree tree, const void *from, uint32_t from_len,
                bool (*each)(void *arg, const void *key, uint32_t key_len, const void *value,
                             uint32_t value_len),
                void *arg)
{
    const struct tree *t = &((const struct memstore *)s)->trees[tree];
    bool there;
    for (uint32_t at = find(t, from, from_len, &there); at < t->count; at++) {
        const struct entry *e = &t->entries[at];
        if (!each(arg, e->key, e->key_len, e->value, e->value_len))
            break;
    }
    return CENOTE_OK;
}

static void usage(struct store *s, struct store_usage *out)
{
    const struct memstore *m = (const struct memstore *)s;
    *out = (struct store_usage){.limit_bytes = 1 << 30, .commits = m->done, .changes = m->done};
}

static const struct store_ops ops = {.submit = submit, .get = get, .scan = scan, .usage = usage};

/* ---- what tests do with it ---- */

struct memstore *memstore_new(void)
{
    struct memstore *m = calloc(1, sizeof(*m));
    assert(m != NULL);
    m->store.ops = &ops;
    return m;
}

void memstore_free(struct memstore *m)
{
    assert(m->waiting == 0);
    for (unsigned i = 0; i < STORE_TREES; i++) {
        for (uint32_t k = 0; k < m->trees[i].count; k++)
            entry_free(&m->trees[i].entries[k]);
        free(m->trees[i].entries);
    }
    free(m);
}

struct store *memstore_store(struct memstore *m)
{
    return &m->store;
}

unsigned memstore_waiting(const struct memstore *m)
{
    return m->waiting;
}

unsigned memstore_done(const struct memstore *m)
{
    return m->done;
}

uint32_t memstore_count(const struct memstore *m, enum store_tree tree)
{
    return m->trees[tree].count;
}

void memstore_fail(struct memstore *m, unsigned count, int status)
{
    memstore_fail_later(m, 0, count, status);
}

void memstore_fail_later(struct memstore *m, unsigned skip, unsigned count, int status)
{
    m->fail_skip = skip;
    m->fail_count = count;
    m->fail_status = status;
}

void memstore_put(struct memstore *m, const struct store_write *w)
{
    apply_write(&m->trees[w->tree], w);
}

static struct waiting *take_first(struct memstore *m)
{
    struct waiting *w = m->first;
    m->first = w->next;
    if (m->first == NULL)
        m->last = NULL;
    m->waiting--;
    return w;
}

static void forget_writes(struct waiting *w)
{
    for (uint32_t i = 0; i < w->change.count; i++) {
        free((void *)(uintptr_t)w->change.writes[i].key);
        free((void *)(uintptr_t)w->change.writes[i].value);
    }
    free((void *)(uintptr_t)w->change.writes);
}

/* What becomes of the next change. */
static int do_change(struct memstore *m, const struct store_change *change)
{
    int status = CENOTE_OK;
    m->done++;
    if (m->fail_skip > 0) {
        m->fail_skip--;
    } else if (m->fail_count > 0) {
        m->fail_count--;
        status = m->fail_status;
    }
    if (status == CENOTE_OK)
        apply(m, change);
    return status;
}

bool memstore_step(struct memstore *m)
{
    if (m->first == NULL)
        return false;
    struct waiting *w = take_first(m);
    int status = w->applied ? w->status : do_change(m, &w->change);
    forget_writes(w);
    in_service = true;
    w->change.done(w->change.arg, status);
    in_service = false;
    free(w);
    return true;
}

bool memstore_apply(struct memstore *m)
{
    struct waiting *w = m->first;
    if (w == NULL || w->applied)
        return false;
    w->status = do_change(m, &w->change);
    w->applied = true;
    return true;
}

void memstore_crash(struct memstore *m, unsigned applied)
{
    for (; m->first != NULL; applied -= applied > 0) {
        struct waiting *w = take_first(m);
        if (applied > 0 && !w->applied)
            (void)do_change(m, &w->change);
        forget_writes(w);
        free(w);
    }
}

void memstore_run(struct memstore *m)
{
    while (memstore_step(m))
        ;
}

struct memstore *memstore_copy(const struct memstore *m, unsigned applied)
{
    struct memstore *out = memstore_new();
    memstore_fail_later(out, m->fail_skip, m->fail_count, m->fail_status);
    out->done = m->done;
    for (unsigned i = 0; i < STORE_TREES; i++) {
        for (uint32_t k = 0; k < m->trees[i].count; k++) {
            const struct entry *e = &m->trees[i].entries[k];
            struct store_write w = {
                .key = e->key, .key_len = e->key_len, .value = e->value, .value_len = e->value_len};
            apply_write(&out->trees[i], &w);
        }
    }
    for (struct waiting *w = m->first; w != NULL && applied > 0; w = w->next, applied--)
        if (!w->applied)
            apply(out, &w->change);
    return out;
}
