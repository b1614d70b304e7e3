/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/check.h"

#include <stdlib.h>
#include <string.h>

#include "meta/core/objects.h"
#include "meta/core/reuse.h"
#include "meta/core/session_record.h"
#include "meta/core/use.h"
#include "transport/base/log.h"

struct check {
    struct core *core;
    unsigned faults;
    uint32_t records, committed, sessions;
};

#define FAULT(check, ...)                                                                          \
    do {                                                                                           \
        (check)->faults++;                                                                         \
        log_error("meta", "check: " __VA_ARGS__);                                                  \
    } while (0)

/* ---- records and table ---- */

static bool same_pieces(struct object *o, const struct record *r)
{
    if (o->stripes != r->stripes || o->replicas != r->replicas)
        return false;
    for (uint32_t i = 0; i < object_extents(o); i++) {
        struct piece a = *object_piece(o, i), b = record_piece(r, i);
        bool roots = a.root == b.root || r->state != OBJECT_COMMITTED;
        if (a.gva.v != b.gva.v || a.payload_len != b.payload_len || !roots)
            return false;
    }
    return true;
}

bool check_same(struct object *o, const struct record *r)
{
    return o->state == r->state && o->session == r->session && object_len(o) == r->len_bytes &&
           o->name_space == r->name_space && o->replace == r->replace && same_pieces(o, r) &&
           memcmp(&o->key_hash, &r->key_hash, sizeof(o->key_hash)) == 0;
}

static bool check_record(void *arg, const void *key, uint32_t key_len, const void *value,
                         uint32_t value_len)
{
    struct check *k = arg;
    struct record r;
    uint64_t id = 0;
    if (!record_key_read(key, key_len, &id) || record_decode(value, value_len, &r) != CENOTE_OK) {
        FAULT(k, "a record can't be read");
        return true;
    }
    struct object *o = table_by_put(&k->core->table, id);
    k->records++;
    k->committed += r.state == OBJECT_COMMITTED;
    if (o == NULL)
        FAULT(k, "put %llx is in the store only", (unsigned long long)id);
    else if (!check_same(o, &r))
        FAULT(k, "put %llx differs, state %u in the store, %u in the table", (unsigned long long)id,
              (unsigned)r.state, (unsigned)o->state);
    return true;
}

static bool check_name(void *arg, const void *key, uint32_t key_len, const void *value,
                       uint32_t value_len)
{
    struct check *k = arg;
    uint64_t id = 0;
    (void)key;
    (void)key_len;
    struct object *o =
        record_key_read(value, value_len, &id) ? table_by_put(&k->core->table, id) : NULL;
    if (o == NULL || o->state != OBJECT_COMMITTED)
        FAULT(k, "a name leads to put %llx, which is no object", (unsigned long long)id);
    else
        k->committed--;
    return true;
}

static void check_table(struct check *k)
{
    struct core *c = k->core;
    uint32_t visible = 0;
    for (uint32_t ref = 0; ref < table_refs(&c->table); ref++) {
        struct object *o = table_at(&c->table, ref);
        if (o == NULL)
            continue;
        const struct claim *claim = claims_find(&c->claims, &o->key_hash);
        bool hidden = claim != NULL && claim->successor == o;
        visible += o->visible;
        if ((o->state == OBJECT_COMMITTED) != (o->visible || hidden) ||
            (o->visible && table_by_key(&c->table, &o->key_hash) != o))
            FAULT(k, "put %llx is wrongly visible or hidden", (unsigned long long)o->put_id);
    }
    if (visible != c->table.visible || c->table.by_key.used != visible)
        FAULT(k, "%u objects are visible, not %u", visible, c->table.visible);
    if (k->records != c->table.count)
        FAULT(k, "the store has %u objects, the table %u", k->records, c->table.count);
}

/* ---- what namespaces hold, and in which order it goes ---- */

struct sums {
    struct space_use use;
    uint32_t queued, soft;
};

static void sum_up(struct check *k, struct object *o, struct sums *sums)
{
    bool counts = o->state == OBJECT_PENDING || o->state == OBJECT_COMMITTED;
    bool queued = o->visible && !o->leaving && o->pin != KEEP_PIN_HARD;
    if (counts) {
        sums->use.objects++;
        sums->use.bytes += use_bytes(o);
        sums->use.pinned_bytes += o->pin == KEEP_PIN_HARD ? use_bytes(o) : 0;
    }
    sums->queued += queued && o->pin != KEEP_PIN_SOFT;
    sums->soft += queued && o->pin == KEEP_PIN_SOFT;
    if (queued != (o->queue != 0) || (o->grouped && !counts))
        FAULT(k, "put %llx is in a wrong queue or group", (unsigned long long)o->put_id);
}

static void check_space(struct check *k, const struct space *s, const struct sums *sums)
{
    const struct table *t = &k->core->table;
    const struct space_use *a = &sums->use, *b = &s->use;
    if (a->bytes != b->bytes || a->objects != b->objects || a->pinned_bytes != b->pinned_bytes)
        FAULT(k, "namespace %s has %llu bytes in %llu objects, not %llu in %llu", s->name,
              (unsigned long long)a->bytes, (unsigned long long)a->objects,
              (unsigned long long)b->bytes, (unsigned long long)b->objects);
    if (!policy_check(&s->evict.queue, t) || !policy_check(&s->evict.soft, t) ||
        s->evict.queue.count != sums->queued || s->evict.soft.count != sums->soft)
        FAULT(k, "the queues of namespace %s are broken", s->name);
}

static void check_sums(struct check *k, struct sums *sums)
{
    struct core *c = k->core;
    uint64_t bytes = 0;
    uint32_t spaces = 0;
    list_each(&c->spaces.list, l)
    {
        struct space *s = container_of(l, struct space, link);
        s->evict.number = spaces++;
    }
    for (uint32_t ref = 0; ref < table_refs(&c->table); ref++) {
        struct object *o = table_at(&c->table, ref);
        const struct space *s = o == NULL ? NULL : spaces_by_id(c, o->name_space);
        if (s != NULL)
            sum_up(k, o, &sums[s->evict.number]);
    }
    list_each(&c->spaces.list, l)
    {
        const struct space *s = container_of(l, struct space, link);
        check_space(k, s, &sums[s->evict.number]);
        bytes += s->use.bytes;
    }
    if (bytes != c->evict.used_bytes)
        FAULT(k, "namespaces have %llu bytes, not %llu", (unsigned long long)bytes,
              (unsigned long long)c->evict.used_bytes);
}

static void check_spaces(struct check *k)
{
    struct core *c = k->core;
    struct sums *sums = calloc(c->spaces.count + 1, sizeof(*sums));
    if (sums == NULL)
        FAULT(k, "no memory");
    else
        check_sums(k, sums);
    free(sums);
    if (!groups_check(&c->evict.groups, &c->table))
        FAULT(k, "groups and their members differ");
    if (!dues_check(&c->evict.dues))
        FAULT(k, "the ends of ttls and pins are out of order");
}

/* ---- sessions ---- */

static bool check_session(void *arg, const void *key, uint32_t key_len, const void *value,
                          uint32_t value_len)
{
    struct check *k = arg;
    uint32_t slot, item;
    (void)value;
    (void)value_len;
    uint64_t id = session_record_id(key, key_len, &slot, &item);
    const struct session *s = sessions_find(k->core, id);
    if (s == NULL || !s->durable)
        FAULT(k, "session %llu is in the store only", (unsigned long long)id);
    else if (slot == SESSION_RECORD_OWN)
        k->sessions++;
    else if (s->window == NULL || item >= s->window->stored[slot])
        FAULT(k, "session %llu doesn't know an answer that is stored", (unsigned long long)id);
    return true;
}

static void check_sessions(struct check *k)
{
    uint32_t durable = 0;
    for (uint32_t i = 0; i < SESSION_BUCKETS; i++)
        for (const struct session *s = k->core->sessions.buckets[i]; s != NULL; s = s->next)
            durable += s->durable && !s->ended;
    if (k->sessions < durable)
        FAULT(k, "the store has %u sessions, not %u", k->sessions, durable);
}

/* ---- extents and allocators ---- */

struct used {
    uint64_t at, size;
};

static int by_address(const void *a, const void *b)
{
    const struct used *x = a, *y = b;
    return (x->at > y->at) - (x->at < y->at);
}

/* All extents of the table, sorted. NULL: no memory. */
static struct used *collect(struct core *c, size_t *count)
{
    size_t n = 0;
    for (uint32_t ref = 0; ref < table_refs(&c->table); ref++) {
        struct object *o = table_at(&c->table, ref);
        n += o == NULL ? 0 : object_extents(o);
    }
    struct used *used = calloc(n + 1, sizeof(*used));
    *count = 0;
    for (uint32_t ref = 0; used != NULL && ref < table_refs(&c->table); ref++) {
        struct object *o = table_at(&c->table, ref);
        for (uint32_t i = 0; o != NULL && i < object_extents(o); i++) {
            const struct piece *p = object_piece(o, i);
            if (!piece_there(p))
                continue;
            used[*count].at = p->gva.v;
            used[(*count)++].size = alloc_rounding(p->payload_len).size;
        }
    }
    if (used != NULL)
        qsort(used, *count, sizeof(*used), by_address);
    return used;
}

/* The free ranges of an allocator must be exactly the gaps between the extents. */
static size_t check_range(struct check *k, const struct incarnation *in, const struct used *used,
                          size_t count, size_t at)
{
    uint64_t offset = 0, end = alloc_upto(in->alloc);
    struct alloc_range gap = {0};
    while (at < count && used[at].at < in->gva.v)
        at++;
    bool more = alloc_next_free(in->alloc, 0, &gap);
    while (offset < end) {
        bool extent = at < count && used[at].at == in->gva.v + offset;
        if (more && gap.offset == offset && !extent) {
            offset += gap.size;
            more = alloc_next_free(in->alloc, offset, &gap);
        } else if (extent && (!more || gap.offset >= offset + used[at].size)) {
            offset += used[at++].size;
        } else {
            FAULT(k, "at %llx extents and free space overlap, or leave a hole",
                  (unsigned long long)(in->gva.v + offset));
            break;
        }
    }
    return at;
}

static void check_extents(struct check *k)
{
    struct core *c = k->core;
    size_t count, at = 0;
    struct used *used = collect(c, &count);
    if (used == NULL) {
        FAULT(k, "no memory");
        return;
    }
    for (size_t i = 1; i < count; i++)
        if (used[i].at - used[i - 1].at < used[i - 1].size)
            FAULT(k, "two extents overlap at %llx", (unsigned long long)used[i].at);
    for (uint32_t i = 0; i < c->members.range_count; i++)
        at = check_range(k, c->members.ranges[i], used, count, at);
    free(used);
}

unsigned check_layout(struct core *c)
{
    struct check k = {.core = c};
    check_extents(&k);
    return k.faults;
}

/* ---- what the nodes must have in their directories ---- */

static void check_directories(struct check *k)
{
    struct core *c = k->core;
    for (uint32_t i = 0; i < c->members.range_count; i++) {
        const struct incarnation *in = c->members.ranges[i];
        struct directory_sum sum = {0};
        for (uint32_t ref = 0; ref < table_refs(&c->table); ref++) {
            struct object *o = table_at(&c->table, ref);
            for (uint32_t n = 0; o != NULL && n < object_extents(o); n++) {
                const struct piece *p = object_piece(o, n);
                if (o->state == OBJECT_COMMITTED && piece_there(p) &&
                    gva_covers(in->gva, in->len_bytes, p->gva, p->payload_len))
                    directory_sum_add(&sum, p->gva, o->put_id);
            }
        }
        if (sum.entries != in->directory.entries || sum.digest != in->directory.digest)
            FAULT(k, "at %llx there are %llu committed extents, not %llu",
                  (unsigned long long)in->gva.v, (unsigned long long)sum.entries,
                  (unsigned long long)in->directory.entries);
    }
}

unsigned core_check(struct core *c)
{
    struct check k = {.core = c};
    struct store *store = c->changes.store;
    if (store->ops->scan(store, STORE_OBJECTS, "", 0, check_record, &k) != CENOTE_OK ||
        store->ops->scan(store, STORE_NAMES, "", 0, check_name, &k) != CENOTE_OK ||
        store->ops->scan(store, STORE_SESSIONS, "", 0, check_session, &k) != CENOTE_OK) {
        FAULT(&k, "the store can't be read");
        return k.faults;
    }
    if (k.committed != 0)
        FAULT(&k, "names and committed objects differ by %d", (int)k.committed);
    check_sessions(&k);
    check_table(&k);
    check_spaces(&k);
    check_extents(&k);
    check_directories(&k);
    return k.faults;
}
