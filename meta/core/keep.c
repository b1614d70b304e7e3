/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/keep.h"

#include <assert.h>
#include <string.h>

#include "meta/core/objects.h"
#include "meta/core/session_record.h"

/* ---- times ---- */

uint32_t keep_stamp(const struct core *c, uint64_t left_ms)
{
    uint64_t at_ms = c->now_ms - c->started_ms + left_ms;
    uint64_t stamp = (at_ms + LEASE_UNIT_MS - 1) / LEASE_UNIT_MS + 1;
    return stamp < UINT32_MAX ? (uint32_t)stamp : UINT32_MAX;
}

uint64_t keep_left_ms(const struct core *c, uint32_t stamp)
{
    uint64_t at_ms = (uint64_t)(stamp - 1) * LEASE_UNIT_MS, now_ms = c->now_ms - c->started_ms;
    return stamp > 0 && at_ms > now_ms ? at_ms - now_ms : 0;
}

/* By the wall clock, which may have gone anywhere. */
static uint64_t left_of(uint64_t span_ms, uint64_t from_ms, uint64_t wall_ms)
{
    uint64_t gone_ms = wall_ms > from_ms ? wall_ms - from_ms : 0;
    return gone_ms < span_ms ? span_ms - gone_ms : 0;
}

/* ---- the object ---- */

static void set_pin(struct core *c, struct object *o, const struct keep *keep, uint64_t left_ms)
{
    bool over = keep->pin_ms > 0 && left_ms == 0;
    o->pin = over ? KEEP_PIN_NONE : keep->pin & 3u;
    o->pinned_until = keep->pin_ms > 0 && !over ? keep_stamp(c, left_ms) : 0;
}

void keep_begin(struct core *c, struct object *o, const struct keep *keep, unsigned fields)
{
    if (fields & KEEP_TTL)
        o->expires = keep->ttl_ms > 0 ? keep_stamp(c, keep->ttl_ms) : 0;
    if (fields & KEEP_PIN)
        set_pin(c, o, keep, keep->pin_ms);
    if (fields & KEEP_GROUP)
        o->grouped = keep->group_len > 0;
}

void keep_resume(struct core *c, struct object *o, const struct kept *kept)
{
    const struct keep *keep = &kept->keep;
    if (!keep_asks(keep))
        return;
    uint64_t wall_ms = c->env.wall_ms(c->env.arg);
    if (keep->ttl_ms > 0)
        o->expires = keep_stamp(c, left_of(keep->ttl_ms, kept->ttl_from_ms, wall_ms));
    set_pin(c, o, keep, left_of(keep->pin_ms, kept->pin_from_ms, wall_ms));
    o->grouped = keep->group_len > 0;
}

/* ---- the record ---- */

void keep_draft(struct core *c, const struct object *o, uint8_t state, const struct kept *kept,
                uint64_t created_ms, const void *key, uint32_t key_len)
{
    uint8_t value[RECORD_MAX];
    struct record_key id = record_key(o->put_id);
    uint32_t len = record_encode_kept(o, state, kept, created_ms, key, key_len, value);
    change_put(&c->changes, STORE_OBJECTS, id.b, sizeof(id.b), value, len);
}

static void merge(struct kept *kept, const struct keeping *k, uint64_t wall_ms)
{
    const struct keep *keep = k->keep;
    if (k->fields & KEEP_TTL) {
        kept->keep.ttl_ms = keep->ttl_ms > 0 ? keep->ttl_ms : k->session->space->settings.ttl_ms;
        kept->ttl_from_ms = wall_ms;
    }
    if (k->fields & KEEP_PIN) {
        kept->keep.pin = keep->pin;
        kept->keep.pin_ms = keep->pin_ms;
        kept->pin_from_ms = wall_ms;
    }
    if (k->fields & KEEP_GROUP) {
        kept->keep.group_len = keep->group_len;
        memcpy(kept->keep.group, keep->group, sizeof(keep->group));
    }
}

/* ---- changing a value that is there ---- */

static void changed(struct change *ch, int status)
{
    struct keeping *k = container_of(ch, struct keeping, change);
    struct core *c = k->core;
    struct claim *claim = k->claim;
    struct object *o = table_by_put(&c->table, k->put_id);
    assert(claim->busy && o != NULL && o->state == OBJECT_COMMITTED);
    claim->busy = false;
    if (status == CENOTE_OK) {
        struct keep keep = *k->keep;
        if (keep.ttl_ms == 0)
            keep.ttl_ms = k->session->space->settings.ttl_ms;
        keep_begin(c, o, &keep, k->fields);
    }
    k->outcome->done(k->outcome, status); /* k may be gone now */
    claims_wake(&c->claims, claim);
}

/* The claim is free; it stays busy, and the object visible, until the change is durable. */
static int change(struct keeping *k, struct claim *claim, const struct object *o)
{
    struct core *c = k->core;
    struct record r;
    int status = objects_record(c, o, &r);
    if (status != CENOTE_OK)
        return status;
    merge(&r.kept, k, c->env.wall_ms(c->env.arg));
    keep_draft(c, o, OBJECT_COMMITTED, &r.kept, r.created_ms, r.key, r.key_len);
    session_record_item(c, k->session, k->call, k->item);
    claim->busy = true;
    k->claim = claim;
    k->put_id = o->put_id;
    k->change.done = changed;
    change_submit(&c->changes, &k->change, 0);
    return CENOTE_OK;
}

static void set_again(struct waiter *w)
{
    keep_set(container_of(w, struct keeping, waiter));
}

void keep_set(struct keeping *k)
{
    struct core *c = k->core;
    struct outcome *told = k->outcome;
    if (!shard_owns(c, k->slot)) {
        told->done(told, CENOTE_WRONG_SHARD);
        return;
    }
    struct claim *claim = claims_get(&c->claims, &k->key_hash);
    if (claim == NULL) {
        told->done(told, CENOTE_NO_MEMORY);
        return;
    }
    int status;
    if (claim->busy || claim_hides(claim)) {
        k->waiter.run = set_again;
        status = claims_wait(&c->claims, claim, &k->waiter);
        if (status == CENOTE_OK)
            return;
    } else {
        struct object *o = objects_find(c, &k->key_hash);
        status = o == NULL ? CENOTE_NOT_FOUND : change(k, claim, o);
        if (status == CENOTE_OK)
            return;
        claims_wake(&c->claims, claim);
    }
    told->done(told, status);
}
