/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/keep.h"
#include "meta/core/objects.h"
#include "meta/core/place.h"
#include "meta/core/put_phases.h"
#include "meta/core/session_record.h"
#include "transport/base/log.h"

/* Of one call, so that its answer fits a frame. */
#define START_EXTENTS_MAX 65536u

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

static int admit(const struct start *s)
{
    if (s->session->put_count >= SESSION_PENDING_MAX || s->core->pending >= PENDING_MAX ||
        s->extents > START_EXTENTS_MAX)
        return CENOTE_LIMIT;
    return CENOTE_OK;
}

struct value_key {
    struct hash128 hash;
    const void *data;
    size_t len;
};

/* Nobody has heard of it. */
static void unmake(struct put *p)
{
    struct core *c = p->core;
    struct object *o = p->object;
    ending_free(p->ending);
    put_forget(p);
    table_delete(&c->table, o);
}

static struct put *make(struct start *s, const struct placement *at, const struct value_key *key,
                        const struct keep *keep)
{
    struct core *c = s->core;
    struct object *o = table_add(&c->table, ids_next(&c->ids), at->stripes, at->replicas);
    if (o == NULL)
        return NULL;
    o->key_hash = key->hash;
    o->session = s->session->id;
    o->name_space = s->session->space->id;
    memcpy(object_piece(o, 0), at->pieces, object_extents(o) * sizeof(at->pieces[0]));
    struct put *p = put_new(c, o, s->session, key->data, key->len);
    if (p == NULL) {
        table_delete(&c->table, o);
        return NULL;
    }
    if (!put_keep(p, keep)) {
        unmake(p);
        return NULL;
    }
    s->session->space->extant++;
    ids_skip(&c->ids, PUT_IDS); /* those of one call follow each other */
    return p;
}

/* What the put asks for, or its namespace says. */
static struct kept kept_of(const struct start *s)
{
    struct kept kept = {.keep = s->keep};
    if (kept.keep.ttl_ms == 0)
        kept.keep.ttl_ms = s->session->space->settings.ttl_ms;
    return kept;
}

static int start_one(struct start *s, struct start_item *item, const struct value_key *key,
                     uint64_t len_bytes, bool replace)
{
    struct core *c = s->core;
    struct placement at;
    if (!shard_owns(c, shard_slot(c, s->session->space, key->data, key->len)))
        return CENOTE_WRONG_SHARD;
    const struct claim *claim = claims_find(&c->claims, &key->hash);
    bool there = objects_find(c, &key->hash) != NULL || (claim != NULL && claim->successor != NULL);
    if (there && !replace)
        return CENOTE_EXISTS;
    int status = admit(s);
    if (status == CENOTE_OK)
        status = place_value(c, s->session, len_bytes, s->replicas, &at);
    if (status != CENOTE_OK)
        return status;
    struct kept kept = kept_of(s);
    item->put = make(s, &at, key, &kept.keep);
    if (item->put == NULL) {
        place_undo(c, at.pieces, at.stripes * at.replicas);
        return CENOTE_NO_MEMORY;
    }
    struct object *o = item->put->object;
    o->replace = replace;
    item->put_id = o->put_id;
    s->extents += (uint64_t)at.stripes * at.replicas;
    s->drafted++;
    keep_draft(c, o, OBJECT_PENDING, &kept, 0, key->data, (uint32_t)key->len);
    return CENOTE_OK;
}

void puts_start(struct start *s, const void *key, size_t key_len, uint64_t len_bytes, bool replace)
{
    struct start_item *item = &s->items[s->count++];
    struct value_key named = {space_hash(s->session->space, key, key_len), key, key_len};
    *item = (struct start_item){0};
    item->status = start_one(s, item, &named, len_bytes, replace);
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

/* Nobody has seen the put. */
static void discard(struct put *p)
{
    struct ending *e = p->ending;
    put_forget(p);
    reuse_discard(e);
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
        *item = (struct start_item){.status = status};
    }
    if (session->ended) {
        for (uint32_t i = 0; i < s->count; i++)
            if (s->items[i].put != NULL)
                puts_abort_unsent(s->items[i].put);
        for (uint32_t i = 0; i < s->count; i++)
            s->items[i] = (struct start_item){.status = CENOTE_NO_SESSION};
    }
    note(s);
    s->done(s); /* s may be gone now */
    session->holds--;
    sessions_release(c, session);
}

void puts_start_submit(struct start *s)
{
    note(s);
    if (s->drafted == 0) {
        s->done(s);
        return;
    }
    session_record_started(s->core, s->session, s->call);
    s->session->holds++;
    s->change.done = started;
    change_submit(&s->core->changes, &s->change, 0);
}
