/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/keep.h"
#include "meta/core/objects.h"
#include "meta/core/place.h"
#include "meta/core/put_phases.h"
#include "meta/core/put_wait.h"
#include "meta/core/session_record.h"
#include "meta/core/use.h"
#include "transport/base/log.h"

/* Of one call, so that its answer fits a frame. */
#define START_EXTENTS_MAX 65536u

/* What a session may have in quarantine, of puts that it hasn't finished: so many extents, and such
 * a part of the pool. */
#define SESSION_QUARANTINE_EXTENTS 65536u
#define SESSION_QUARANTINE_PART    2u

static struct put *put_new(struct core *c, struct object *o, struct session *s, const void *key,
                           size_t key_len)
{
    struct put *p = pool_take(&c->small, sizeof(*p) + key_len);
    if (p == NULL)
        return NULL;
    p->key_len = (uint16_t)key_len;
    if (key_len > 0)
        memcpy(p->key, key, key_len);
    p->ending = ending_new(c, o);
    if (p->ending == NULL) {
        pool_give(&c->small, p, sizeof(*p) + key_len);
        return NULL;
    }
    p->ending->session = s;
    p->core = c;
    p->object = o;
    p->session = s;
    o->put = p;
    list_append(&s->puts, &p->by_session);
    s->put_count++;
    c->pending++;
    return p;
}

void put_forget(struct put *p)
{
    struct session *s = p->session;
    struct core *c = p->core;
    assert(p->outcomes.first == NULL && p->older == NULL && p->dropped == NULL);
    p->object->put = NULL;
    link_remove(&p->by_age);
    link_remove(&p->by_session);
    s->put_count--;
    c->pending--;
    pool_give(&c->small, p->keep, sizeof(*p->keep));
    pool_give(&c->small, p, sizeof(*p) + p->key_len);
}

/* False: no memory; what is there of the put goes with the rest. */
static bool put_keep(struct put *p, const struct keep *keep)
{
    if (!keep_asks(keep))
        return true;
    p->keep = pool_take(&p->core->small, sizeof(*keep));
    if (p->keep == NULL)
        return false;
    *p->keep = *keep;
    return true;
}

void put_pend(struct put *p)
{
    p->phase = PUT_PENDING;
    p->deadline_ms = p->core->patient_ms + p->core->options.put_timeout_ms;
    list_append(&p->core->puts, &p->by_age);
}

struct put *puts_recover(struct core *c, struct object *o, struct session *s,
                         const struct record *r)
{
    struct put *p = put_new(c, o, s, r->key, r->key_len);
    if (p == NULL || !put_keep(p, &r->kept.keep))
        return NULL;
    for (uint32_t i = 0; i < object_extents(o); i++) {
        struct incarnation *in = extent_incarnation(&p->ending->extents[i]);
        if (in != NULL && sessions_fence(c, s, in->node) == NULL)
            return NULL; /* the start fails; what there is goes with the rest */
    }
    put_pend(p);
    return p;
}

bool puts_recover_showing(struct core *c, struct object *o, struct session *s)
{
    struct put *p = put_new(c, o, s, NULL, 0);
    if (p != NULL)
        p->phase = PUT_SHOWING;
    return p != NULL;
}

/* Of all its extents, if it isn't cut into stripes: those may take a little more. */
static uint64_t item_bytes(const struct start *s, const struct start_item *item)
{
    uint64_t len = item->len_bytes < EXTENT_PAYLOAD_MAX ? item->len_bytes : EXTENT_PAYLOAD_MAX;
    return alloc_rounding(len).size * s->replicas;
}

static int admit(const struct start *s, const struct start_item *item)
{
    const struct session *session = s->session;
    if (session->put_count >= SESSION_PENDING_MAX || s->core->pending >= PENDING_MAX ||
        s->extents > START_EXTENTS_MAX)
        return CENOTE_LIMIT;
    if (session->ending_extents > SESSION_QUARANTINE_EXTENTS ||
        session->ending_bytes > s->core->capacity_bytes / SESSION_QUARANTINE_PART)
        return CENOTE_LIMIT;
    return use_admit(s->core, session->space, &s->keep, item_bytes(s, item));
}

/* What the put asks for, or its namespace says. */
static struct keep keep_of(const struct start *s)
{
    struct keep keep = s->keep;
    if (keep.ttl_ms == 0)
        keep.ttl_ms = s->session->space->settings.ttl_ms;
    return keep;
}

static int take_keep(struct start *s, struct put *p)
{
    struct keep keep = keep_of(s);
    if (!put_keep(p, &keep))
        return CENOTE_NO_MEMORY;
    return keep_join(s->core, p->object, &keep);
}

/* Nobody has seen the put. */
static void discard(struct put *p)
{
    struct ending *e = p->ending;
    use_end(p->core, p->object);
    put_forget(p);
    reuse_discard(e);
}

static struct object *make_object(struct start *s, const struct placement *at,
                                  const struct hash128 *key_hash)
{
    struct core *c = s->core;
    struct object *o = table_add(&c->table, ids_next(&c->ids), at->stripes, at->replicas);
    if (o == NULL)
        return NULL;
    o->key_hash = *key_hash;
    o->session = s->session->id;
    o->name_space = s->session->space->id;
    o->replace = s->replace;
    o->pin = s->keep.pin & 3u;
    memcpy(object_piece(o, 0), at->pieces, object_extents(o) * sizeof(at->pieces[0]));
    return o;
}

static int make(struct start *s, struct start_item *item, const struct placement *at,
                const struct hash128 *key_hash)
{
    struct core *c = s->core;
    struct object *o = make_object(s, at, key_hash);
    struct put *p = o == NULL ? NULL : put_new(c, o, s->session, item->key, item->key_len);
    if (p == NULL) {
        if (o != NULL)
            table_delete(&c->table, o);
        place_undo(c, at->pieces, at->stripes * at->replicas);
        return CENOTE_NO_MEMORY;
    }
    s->session->space->extant++;
    use_begin(c, o);
    int status = take_keep(s, p);
    if (status != CENOTE_OK) {
        discard(p);
        return status;
    }
    ids_skip(&c->ids, PUT_IDS); /* those of one call follow each other */
    item->put = p;
    item->put_id = o->put_id;
    return CENOTE_OK;
}

static int start_one(struct start *s, struct start_item *item)
{
    struct core *c = s->core;
    struct space *space = s->session->space;
    struct hash128 key_hash = space_hash(space, item->key, item->key_len);
    struct placement at;
    if (!shard_owns(c, shard_slot(c, space, item->key, item->key_len)))
        return CENOTE_WRONG_SHARD;
    const struct claim *claim = claims_find(&c->claims, &key_hash);
    bool there = objects_find(c, &key_hash) != NULL || (claim != NULL && claim->successor != NULL);
    if (there && !s->replace)
        return CENOTE_EXISTS;
    int status = admit(s, item);
    if (status == CENOTE_OK)
        status = place_value(c, s->session, item->len_bytes, s->replicas, &at);
    if (status == CENOTE_OK)
        status = make(s, item, &at, &key_hash);
    if (status == CENOTE_OK)
        s->extents += (uint64_t)at.stripes * at.replicas;
    return status;
}

/* May the item be given room by waiting? */
static bool worth_waiting(const struct start *s, const struct start_item *item)
{
    struct evict_want all = {.bytes = item_bytes(s, item), .objects = 1};
    return (item->status == CENOTE_NO_SPACE && all.bytes <= s->core->capacity_bytes) ||
           (item->status == CENOTE_QUOTA && use_possible(s->session->space, all));
}

static void undo(struct start *s, uint32_t count)
{
    while (count-- > 0) {
        struct start_item *item = &s->items[count];
        if (item->put != NULL)
            discard(item->put);
        item->put = NULL;
        item->put_id = 0;
    }
}

/* Places all items, or (unless it is the last try) nothing. */
static int place_all(struct start *s, bool last)
{
    struct put *before = NULL;
    s->extents = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        struct start_item *item = &s->items[i];
        item->status = start_one(s, item);
        if (!last && worth_waiting(s, item)) {
            undo(s, i);
            s->missing_bytes = 0;
            for (uint32_t k = i; k < s->count; k++)
                s->missing_bytes += item_bytes(s, &s->items[k]);
            return item->status;
        }
        if (item->put != NULL)
            item->put->chained = before != NULL;
        before = item->put;
    }
    return CENOTE_OK;
}

/* The window's answer: statuses, and the first of the put ids. */
static void note(const struct start *s)
{
    struct numbered *n = s->call;
    n->first_put_id = 0;
    for (uint32_t i = s->count; i-- > 0;) {
        n->statuses[i] = (int8_t)s->items[i].status;
        if (s->items[i].status == CENOTE_OK)
            n->first_put_id = s->items[i].put_id;
    }
}

static void started(struct change *ch, int status)
{
    struct start *s = container_of(ch, struct start, change);
    struct session *session = s->session;
    struct core *c = s->core;
    for (uint32_t i = 0; i < s->count; i++) {
        struct start_item *item = &s->items[i];
        if (item->put == NULL)
            continue;
        if (status == CENOTE_OK) {
            put_pend(item->put);
            continue;
        }
        discard(item->put);
        item->put = NULL;
        item->status = status;
    }
    if (session->ended) {
        for (uint32_t i = 0; i < s->count; i++)
            if (s->items[i].put != NULL)
                puts_abort_unsent(s->items[i].put);
        for (uint32_t i = 0; i < s->count; i++)
            s->items[i].status = CENOTE_NO_SESSION;
    }
    note(s);
    s->done(s); /* s may be gone now */
    session->holds--;
    sessions_release(c, session);
}

static void submit(struct start *s)
{
    struct core *c = s->core;
    uint64_t drafted_bytes = 0;
    note(s);
    for (uint32_t i = 0; i < s->count; i++) {
        const struct start_item *item = &s->items[i];
        if (item->put == NULL)
            continue;
        struct kept kept = {.keep = keep_of(s)};
        keep_draft(c, item->put->object, OBJECT_PENDING, &kept, 0, item->key, item->key_len);
        drafted_bytes += item_bytes(s, item);
    }
    if (drafted_bytes == 0) {
        s->done(s);
        return;
    }
    session_record_started(c, s->session, s->call);
    s->session->holds++;
    s->change.done = started;
    change_submit(&c->changes, &s->change, 0);
    evict_owe(c, drafted_bytes);
}

void puts_start(struct start *s)
{
    bool behind = put_wait_first(s->core);
    int status = behind ? CENOTE_NO_SPACE : place_all(s, false);
    for (uint32_t i = 0; behind && i < s->count; i++)
        s->missing_bytes += item_bytes(s, &s->items[i]);
    if (status == CENOTE_OK)
        submit(s);
    else
        put_wait(s, status);
}

int puts_start_try(struct start *s)
{
    int status = place_all(s, false);
    if (status == CENOTE_OK)
        submit(s);
    return status;
}

void puts_start_finally(struct start *s)
{
    (void)place_all(s, true);
    submit(s);
}

void puts_start_refuse(struct start *s, int status)
{
    for (uint32_t i = 0; i < s->count; i++)
        s->items[i].status = status;
    submit(s);
}

bool puts_start_possible(const struct start *s)
{
    struct evict_want all = {.objects = s->count};
    for (uint32_t i = 0; i < s->count; i++)
        all.bytes += item_bytes(s, &s->items[i]);
    return all.bytes <= s->core->capacity_bytes && use_possible(s->session->space, all);
}
