/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/recover.h"

#include <string.h>

#include "meta/core/keep.h"
#include "meta/core/objects.h"
#include "meta/core/puts.h"
#include "meta/core/rebuild.h"
#include "meta/core/session_record.h"
#include "meta/core/use.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define META_FORMAT 1u

/* ---- named values ---- */

static int read_named(struct core *c, const char *name, void *out, uint32_t len)
{
    const void *value;
    uint32_t value_len;
    struct store *store = c->changes.store;
    int status =
        store->ops->get(store, STORE_META, name, (uint32_t)strlen(name), &value, &value_len);
    if (status != CENOTE_OK)
        return status;
    if (value_len != len) {
        log_error("meta", "the store's value %s can't be read", name);
        return CENOTE_IO;
    }
    memcpy(out, value, len);
    return CENOTE_OK;
}

/* A value that isn't there yet keeps what it has. */
static int read_u64(struct core *c, const char *name, uint64_t *out)
{
    uint8_t value[8];
    int status = read_named(c, name, value, sizeof(value));
    if (status == CENOTE_OK) {
        struct bytes b = bytes_over(value, sizeof(value));
        *out = bytes_get_u64(&b);
    }
    return status == CENOTE_NOT_FOUND ? CENOTE_OK : status;
}

static void write_u64(struct core *c, const char *name, uint64_t v)
{
    uint8_t value[8];
    struct bytes b = bytes_over(value, sizeof(value));
    bytes_put_u64(&b, v);
    change_put(&c->changes, STORE_META, name, strlen(name), value, sizeof(value));
}

/* ---- objects ---- */

/* Committed objects that are entered under their keys a little later, so that their slots come from
 * memory while others are read. */
#define SHOW_LATER 32u

struct scan {
    struct core *core;
    struct list endings; /* begun when everything has been read */
    struct object *later[SHOW_LATER];
    uint32_t later_at, later_count;
    uint64_t put_id; /* that is being recovered */
    int status;
};

int recover_reserve(struct core *c, struct gva gva, uint64_t payload_len)
{
    if (payload_len > EXTENT_PAYLOAD_MAX)
        return CENOTE_IO;
    uint64_t size = alloc_rounding(payload_len).size;
    struct incarnation *in = members_find(c, gva, size);
    if (in == NULL)
        return CENOTE_OK;
    uint64_t offset = gva.v - in->gva.v;
    uint64_t upto = alloc_upto(in->alloc);
    int status = CENOTE_OK;
    if (offset < upto && offset + size > upto)
        status = alloc_extend(in->alloc, offset + size); /* it was populated once */
    if (status == CENOTE_OK)
        status = offset < upto ? alloc_reserve(in->alloc, offset, size)
                               : alloc_reserve_behind(in->alloc, offset, size);
    return status == CENOTE_OK || status == CENOTE_NO_MEMORY ? status : CENOTE_IO;
}

static int reserve(struct core *c, struct object *o)
{
    int status = CENOTE_OK;
    for (uint32_t i = 0; i < object_extents(o) && status == CENOTE_OK; i++) {
        const struct piece *p = object_piece(o, i);
        status = recover_reserve(c, p->gva, p->payload_len);
    }
    return status;
}

static struct session *session_of(struct core *c, const struct object *o)
{
    struct session *s = sessions_find(c, o->session);
    struct space *space = spaces_by_id(c, o->name_space);
    return s != NULL || space == NULL ? s : sessions_add(c, o->session, space, "");
}

/* Its readers must wait for those of an older object; and so must its client, who may ask for the
 * answer to its commit again. */
static int hide(struct core *c, struct claim *claim, struct object *o)
{
    struct session *s = sessions_find(c, o->session);
    claim->successor = o;
    if (s == NULL || s->ended)
        return CENOTE_OK;
    return puts_recover_showing(c, o, s) ? CENOTE_OK : CENOTE_NO_MEMORY;
}

static int recover_committed(struct core *c, struct object *o)
{
    struct claim *claim = claims_find(&c->claims, &o->key_hash);
    if (table_by_key(&c->table, &o->key_hash) != NULL ||
        (claim != NULL && claim->successor != NULL))
        return CENOTE_IO; /* two objects of one key */
    directory_recovered(c, o);
    if (claim != NULL)
        return hide(c, claim, o);
    objects_show(c, o, NULL);
    return CENOTE_OK;
}

int recover_removed(struct core *c, struct ending *e)
{
    struct object *o = e->object;
    struct claim *claim = claims_get(&c->claims, &o->key_hash);
    if (claim == NULL)
        return CENOTE_NO_MEMORY;
    struct object *newer = table_by_key(&c->table, &o->key_hash);
    claim->unsettled++;
    e->missed = !objects_lost(c, o);
    claim->missed += e->missed;
    e->recovered = true;
    claim->recovered++;
    e->claim = claim;
    e->lease_end_ms = reuse_lease_end(c, o);
    if (newer == NULL)
        return CENOTE_OK;
    objects_hide(c, newer);
    return hide(c, claim, newer);
}

static int recover_aborting(struct core *c, struct ending *e, bool fence)
{
    struct object *o = e->object;
    e->session = session_of(c, o);
    if (e->session == NULL)
        return CENOTE_NO_MEMORY;
    for (uint32_t i = 0; i < object_extents(o); i++) {
        struct incarnation *in = extent_incarnation(&e->extents[i]);
        if (in != NULL && sessions_fence(c, e->session, in->node) == NULL)
            return CENOTE_NO_MEMORY;
        e->extents[i].may_write = fence;
    }
    return CENOTE_OK;
}

static int recover_ending(struct scan *scan, struct object *o, bool fence)
{
    struct ending *e = ending_new(scan->core, o);
    if (e == NULL)
        return CENOTE_NO_MEMORY;
    list_append(&scan->endings, &e->link);
    return o->state == OBJECT_REMOVED ? recover_removed(scan->core, e)
                                      : recover_aborting(scan->core, e, fence);
}

static int recover_pending(struct core *c, struct object *o, const struct record *r)
{
    struct session *s = session_of(c, o);
    return s != NULL && puts_recover(c, o, s, r) != NULL ? CENOTE_OK : CENOTE_NO_MEMORY;
}

static struct object *add(struct core *c, uint64_t put_id, const struct record *r)
{
    struct object *o = table_add(&c->table, put_id, r->stripes, r->replicas);
    if (o == NULL)
        return NULL;
    o->key_hash = r->key_hash;
    o->session = r->session;
    o->name_space = r->name_space;
    o->state = r->state & OBJECT_STATE;
    o->sum_kind = r->sum_kind & OBJECT_SUM_KIND;
    o->replace = r->replace;
    for (uint32_t i = 0; i < object_extents(o); i++)
        *object_piece(o, i) = record_piece(r, i);
    struct space *space = spaces_by_id(c, r->name_space);
    if (space != NULL)
        space->extant++;
    bool wanted = o->state == OBJECT_PENDING || o->state == OBJECT_COMMITTED;
    if (wanted && keep_resume(c, o, &r->kept) != CENOTE_OK)
        return NULL; /* the start fails; what there is goes with the rest */
    if (wanted)
        use_begin(c, o);
    return o;
}

/* Enters all but so many of the objects that wait for it, in their order. */
static int show_down_to(struct scan *scan, uint32_t count)
{
    int status = CENOTE_OK;
    while (status == CENOTE_OK && scan->later_count > count) {
        struct object *o = scan->later[scan->later_at];
        scan->later_at = (scan->later_at + 1) % SHOW_LATER;
        scan->later_count--;
        scan->put_id = o->put_id;
        status = recover_committed(scan->core, o);
    }
    return status;
}

static int show_later(struct scan *scan, struct object *o)
{
    int status = show_down_to(scan, SHOW_LATER - 1);
    if (status != CENOTE_OK)
        return status;
    table_prefetch(&scan->core->table, &o->key_hash);
    scan->later[(scan->later_at + scan->later_count++) % SHOW_LATER] = o;
    return CENOTE_OK;
}

/* Can it be counted? A value lies in a namespace, and its extents have possible lengths. */
static bool is_sane(const struct core *c, const struct record *r)
{
    bool lives = r->state == OBJECT_PENDING || r->state == OBJECT_COMMITTED;
    for (uint32_t i = 0; i < r->stripes; i++)
        if (record_piece(r, i * r->replicas).payload_len > EXTENT_PAYLOAD_MAX)
            return false;
    return !lives || spaces_by_id(c, r->name_space) != NULL;
}

static int recover_object(struct scan *scan, uint64_t put_id, const struct record *r)
{
    struct core *c = scan->core;
    if (!is_sane(c, r))
        return CENOTE_IO;
    struct object *o = add(c, put_id, r);
    if (o == NULL)
        return CENOTE_NO_MEMORY;
    shard_count(c, o, r->key, r->key_len);
    int status = reserve(c, o);
    if (status != CENOTE_OK)
        return status;
    if (r->state == OBJECT_COMMITTED)
        return show_later(scan, o);
    status = show_down_to(scan, 0);
    scan->put_id = put_id;
    if (status != CENOTE_OK)
        return status;
    return r->state == OBJECT_PENDING ? recover_pending(c, o, r)
                                      : recover_ending(scan, o, r->fence);
}

static void log_failure(const struct scan *scan)
{
    log_error("meta", "the record of put %llx can't be recovered: %s",
              (unsigned long long)scan->put_id, cenote_status_text(scan->status));
}

static bool scan_object(void *arg, const void *key, uint32_t key_len, const void *value,
                        uint32_t value_len)
{
    struct scan *scan = arg;
    struct record r;
    uint64_t put_id = 0;
    scan->status =
        record_key_read(key, key_len, &put_id) ? record_decode(value, value_len, &r) : CENOTE_IO;
    scan->put_id = put_id;
    if (scan->status == CENOTE_OK && r.created_ms > scan->core->wall_ms)
        scan->core->wall_ms = r.created_ms;
    if (scan->status == CENOTE_OK)
        scan->status = recover_object(scan, put_id, &r);
    if (scan->status != CENOTE_OK)
        log_failure(scan);
    return scan->status == CENOTE_OK;
}

static void begin_endings(struct scan *scan, bool keep)
{
    struct link *l;
    while ((l = list_pop(&scan->endings)) != NULL) {
        struct ending *e = container_of(l, struct ending, link);
        if (keep)
            reuse_begin(e);
        else
            ending_free(e);
    }
}

static int load_objects(struct core *c)
{
    struct scan scan = {.core = c, .status = CENOTE_OK};
    struct store *store = c->changes.store;
    int status = store->ops->scan(store, STORE_OBJECTS, "", 0, scan_object, &scan);
    if (status == CENOTE_OK)
        status = scan.status;
    if (status == CENOTE_OK) {
        status = scan.status = show_down_to(&scan, 0);
        if (status != CENOTE_OK)
            log_failure(&scan);
    }
    begin_endings(&scan, status == CENOTE_OK);
    return status;
}

/* ---- the start ---- */

/* Nothing has been answered by it yet, and nothing in the store contradicts it. */
static void shard_durable(struct change *ch, int status)
{
    struct recover *r = container_of(ch, struct recover, change);
    r->done(r, status);
}

static void durable(struct change *ch, int status)
{
    struct recover *r = container_of(ch, struct recover, change);
    struct core *c = r->core;
    if (status == CENOTE_OK)
        status = spaces_load(c);
    if (status == CENOTE_OK)
        status = session_records_load(c);
    if (status == CENOTE_OK)
        status = members_load(c);
    if (status == CENOTE_OK)
        status = rebuild_recovered(c);
    if (status == CENOTE_OK)
        status = load_objects(c);
    if (status == CENOTE_OK)
        status = shard_check_objects(c);
    c->members.sweeping = true; /* what was lost before the start */
    if (status != CENOTE_OK || !c->shard.changed) {
        r->done(r, status);
        return;
    }
    shard_record(c);
    r->change.done = shard_durable;
    change_submit(&c->changes, &r->change, CHANGE_SYNC);
}

static int check_format(struct core *c)
{
    uint64_t format = META_FORMAT;
    int status = read_u64(c, "format", &format);
    if (status == CENOTE_OK && format != META_FORMAT) {
        log_error("meta", "the store has format %llu, this program knows %u",
                  (unsigned long long)format, META_FORMAT);
        return CENOTE_VERSION;
    }
    return status;
}

static int pool_key(struct core *c)
{
    int status = read_named(c, "pool_key", c->pool_key.b, sizeof(c->pool_key.b));
    if (status != CENOTE_NOT_FOUND)
        return status;
    c->env.random(c->env.arg, c->pool_key.b, sizeof(c->pool_key.b));
    change_put(&c->changes, STORE_META, "pool_key", strlen("pool_key"), c->pool_key.b,
               sizeof(c->pool_key.b));
    return CENOTE_OK;
}

/* Readers of earlier lives may hold leases as long as the longest that was ever granted. */
static int longest_lease(struct core *c)
{
    uint64_t longest_ms = 0;
    int status = read_u64(c, "lease_ms", &longest_ms);
    if (status != CENOTE_OK)
        return status;
    if (longest_ms > 0)
        c->leased_until_ms = c->now_ms + reuse_lease_total_ms(longest_ms);
    if (c->options.lease_ms > longest_ms)
        write_u64(c, "lease_ms", c->options.lease_ms);
    return CENOTE_OK;
}

/* 0: no address was ever given. */
static bool gva_mark_sane(const struct core *c)
{
    uint64_t next = c->members.gva_next;
    return next == 0 || (next >= GVA_FIRST && next <= GVA_END);
}

static int read_meta(struct core *c)
{
    int status = check_format(c);
    if (status == CENOTE_OK)
        status = rebuild_check(c);
    if (status == CENOTE_OK)
        status = read_u64(c, "reign", &c->ids.reign);
    if (status == CENOTE_OK)
        status = read_u64(c, "gva", &c->members.gva_next);
    if (status == CENOTE_OK)
        status = lives_read(c);
    if (status == CENOTE_OK && (c->ids.reign >= IDS_REIGN_MAX || !gva_mark_sane(c))) {
        log_error("meta", "the store's counters are used up or damaged");
        status = CENOTE_IO;
    }
    if (status == CENOTE_OK)
        status = shard_check(c);
    if (status == CENOTE_OK)
        status = pool_key(c);
    return status == CENOTE_OK ? longest_lease(c) : status;
}

int recover_start(struct recover *r)
{
    struct core *c = r->core;
    table_init(&c->table);
    core_clock(c);
    c->patient_ms = c->now_ms;
    c->started_ms = c->now_ms;
    c->reuse.slot = c->now_ms / LEASE_UNIT_MS;
    c->env.random(c->env.arg, &c->life, sizeof(c->life));
    c->life = c->life >> 1 | 1;
    notes_changed(c, true);
    return c->options.rebuild ? rebuild_start(c, r) : recover_run(r);
}

int recover_run(struct recover *r)
{
    struct core *c = r->core;
    int status = read_meta(c);
    if (status != CENOTE_OK)
        return status;
    if (!test_off(TEST_REIGN) || c->ids.reign == 0)
        c->ids.reign++;
    ids_begin(&c->ids, c->life);
    c->members.map_version = c->life; /* not one that a client knows from another life */
    write_u64(c, "format", META_FORMAT);
    write_u64(c, "reign", c->ids.reign);
    lives_begin(c);
    /* A failed draft is told by a tick, and there is none before the start is over. */
    if (c->changes.no_memory)
        return CENOTE_NO_MEMORY;
    r->change.done = durable;
    change_submit(&c->changes, &r->change, CHANGE_SYNC);
    return CENOTE_OK;
}
