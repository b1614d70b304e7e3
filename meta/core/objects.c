/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/objects.h"

#include <assert.h>

#include "meta/core/puts.h"
#include "meta/core/reuse.h"
#include "meta/core/session_record.h"
#include "meta/core/use.h"
#include "transport/base/log.h"

/* References of the table looked at, and objects removed, in one tick. */
#define SWEEP_REFS    20000u
#define SWEEP_REMOVES 1000u

bool objects_alive(const struct core *c, struct object *o, uint32_t i)
{
    const struct piece *p = object_piece(o, i);
    return members_find(c, p->gva, p->payload_len) != NULL;
}

bool objects_lost(const struct core *c, struct object *o)
{
    uint32_t replicas = o->replicas;
    for (uint32_t first = 0; first < object_extents(o); first += replicas) {
        uint32_t k = 0;
        while (k < replicas && !objects_alive(c, o, first + k))
            k++;
        if (k == replicas)
            return true;
    }
    return false;
}

struct object *objects_find(struct core *c, const struct hash128 *key_hash)
{
    struct object *o = table_by_key(&c->table, key_hash);
    return o != NULL && !o->leaving && !objects_lost(c, o) && !expire_over(c, o) ? o : NULL;
}

void objects_show(struct core *c, struct object *o, struct object *head)
{
    table_show(&c->table, o);
    evict_entered(c, o, head);
}

void objects_hide(struct core *c, struct object *o)
{
    evict_left(c, o);
    table_hide(&c->table, o);
}

void objects_stamp(struct core *c, struct object *o)
{
    o->lease_stamp = (uint32_t)((c->now_ms - c->started_ms) / LEASE_UNIT_MS + 1);
}

int objects_record(struct core *c, const struct object *o, struct record *out)
{
    struct record_key key = record_key(o->put_id);
    const void *value;
    uint32_t len;
    struct store *store = c->changes.store;
    int status = store->ops->get(store, STORE_OBJECTS, key.b, sizeof(key.b), &value, &len);
    if (status == CENOTE_OK)
        status = record_decode(value, len, out);
    if (status != CENOTE_OK)
        log_error("meta", "the record of put %llx can't be read: %s", (unsigned long long)o->put_id,
                  cenote_status_text(status));
    return status == CENOTE_OK ? CENOTE_OK : CENOTE_IO;
}

void objects_draft(struct core *c, const struct object *o, uint8_t state, bool fence,
                   uint64_t created_ms, const void *key, uint32_t key_len)
{
    uint8_t value[RECORD_MAX];
    struct record_key id = record_key(o->put_id);
    uint32_t len = record_encode(o, state, fence, created_ms, key, key_len, value);
    change_put(&c->changes, STORE_OBJECTS, id.b, sizeof(id.b), value, len);
}

/* Where there are other services, a removed value must be known by its slot to the end. */
void objects_draft_removed(struct core *c, const struct object *o, const void *key,
                           uint32_t key_len)
{
    objects_draft(c, o, OBJECT_REMOVED, false, 0, key, c->shard.all ? 0 : key_len);
}

/* ---- removal ---- */

void objects_retire(struct ending *e, struct claim *claim)
{
    struct core *c = e->core;
    if (e->object->visible)
        objects_hide(c, e->object);
    e->object->state = OBJECT_REMOVED;
    use_end(c, e->object);
    directory_retired(c, e->object);
    e->lease_end_ms = reuse_lease_end(c, e->object);
    e->claim = claim;
    e->missed = !objects_lost(c, e->object) && !expire_over(c, e->object);
    claim->unsettled++;
    claim->missed += e->missed;
    reuse_begin(e);
}

void objects_ended(struct ending *e, int status)
{
    struct core *c = e->core;
    struct claim *claim = e->claim;
    struct hash128 key_hash = claim->key_hash;
    claim->busy = false;
    if (e->evicted)
        evict_ended(e, status);
    if (status == CENOTE_OK) {
        objects_retire(e, claim);
    } else {
        outcomes_tell(&e->outcomes, status);
        ending_free(e);
    }
    claim = claims_find(&c->claims, &key_hash); /* it may be over */
    if (claim != NULL)
        claims_wake(&c->claims, claim);
}

static void removed(struct change *ch, int status)
{
    objects_ended(container_of(ch, struct ending, change), status);
}

int objects_draft_end(struct core *c, struct object *o, struct claim *claim, struct ending **out)
{
    struct record r;
    struct names_key name;
    int status = objects_record(c, o, &r);
    if (status != CENOTE_OK)
        return status;
    names_key_make(&name, o->name_space, r.key, r.key_len, &o->key_hash);
    struct ending *e = ending_new(c, o);
    if (e == NULL)
        return CENOTE_NO_MEMORY;
    claim->busy = true;
    e->claim = claim;
    change_remove(&c->changes, STORE_NAMES, name.data, name.len);
    objects_draft_removed(c, o, r.key, r.key_len);
    *out = e;
    return CENOTE_OK;
}

/* The claim is free, the object visible, and it stays so until its end is durable. asked is NULL
 * when nobody did. */
static int remove_object(struct core *c, struct object *o, struct claim *claim,
                         const struct removal *asked)
{
    struct ending *e;
    int status = objects_draft_end(c, o, claim, &e);
    if (status != CENOTE_OK)
        return status;
    if (asked != NULL) {
        outcomes_add(&e->outcomes, asked->outcome);
        session_record_item(c, asked->session, asked->call, asked->item);
    }
    e->change.done = removed;
    change_submit(&c->changes, &e->change, CHANGE_FREES);
    return CENOTE_OK;
}

static void remove_again(struct waiter *w)
{
    objects_remove(container_of(w, struct removal, waiter));
}

void objects_remove(struct removal *r)
{
    struct core *c = r->core;
    struct outcome *told = r->outcome;
    if (!shard_owns(c, r->slot)) {
        told->done(told, CENOTE_WRONG_SHARD);
        return;
    }
    struct claim *claim = claims_get(&c->claims, &r->key_hash);
    if (claim == NULL) {
        told->done(told, CENOTE_NO_MEMORY);
        return;
    }
    int status;
    struct object *o = table_by_key(&c->table, &r->key_hash);
    /* Not even "not found" is answered while a reader may still find the one that goes. */
    if (claim->busy || claim->successor != NULL || (o == NULL && claim->unsettled > 0)) {
        r->waiter.run = remove_again;
        status = claims_wait(&c->claims, claim, &r->waiter);
        if (status == CENOTE_OK)
            return;
    } else {
        status = o == NULL ? CENOTE_NOT_FOUND : remove_object(c, o, claim, r);
        if (status == CENOTE_OK)
            return;
        claims_wake(&c->claims, claim);
    }
    told->done(told, status);
}

static void look_again(struct waiter *w)
{
    objects_removed_before(container_of(w, struct removal, waiter));
}

void objects_removed_before(struct removal *r)
{
    struct core *c = r->core;
    struct claim *claim = claims_find(&c->claims, &r->key_hash);
    int status = CENOTE_OK;
    if (claim != NULL && claim->unsettled > 0) {
        r->waiter.run = look_again;
        if (claims_wait(&c->claims, claim, &r->waiter) == CENOTE_OK)
            return;
        status = CENOTE_UNKNOWN; /* too many wait; it is removed, but an error would deny that */
    }
    r->outcome->done(r->outcome, status);
}

/* ---- the sweep after an incarnation has ended ---- */

/* False: not now, something is under way with its key. */
static bool sweep_object(struct core *c, struct object *o)
{
    struct claim *claim = o->visible ? claims_get(&c->claims, &o->key_hash) : NULL;
    if (claim == NULL || claim->busy)
        return false;
    bool swept = remove_object(c, o, claim, NULL) == CENOTE_OK;
    if (!swept)
        claims_wake(&c->claims, claim);
    return swept;
}

static bool sweep_one(struct core *c, struct object *o, uint32_t *removes)
{
    if (o->state == OBJECT_PENDING && o->put->phase == PUT_PENDING) {
        puts_abort_lost(o->put);
        (*removes)++;
        return true;
    }
    if (o->state == OBJECT_COMMITTED && sweep_object(c, o)) {
        (*removes)++;
        return true;
    }
    /* What ends already is followed by reuse; the rest is looked at again. */
    return o->state != OBJECT_PENDING && o->state != OBJECT_COMMITTED;
}

void objects_sweep(struct core *c)
{
    struct members *m = &c->members;
    uint32_t removes = 0;
    if (!m->sweeping || rebuild_under_way(&c->rebuild))
        return;
    for (uint32_t n = 0; n < SWEEP_REFS && removes < SWEEP_REMOVES; n++) {
        if (m->sweep_at >= table_refs(&c->table)) {
            m->sweeping = m->sweep_again;
            m->sweep_again = false;
            m->sweep_at = 0;
            return;
        }
        struct object *o = table_at(&c->table, m->sweep_at++);
        if (o != NULL && objects_lost(c, o) && !sweep_one(c, o, &removes))
            m->sweep_again = true;
    }
}
