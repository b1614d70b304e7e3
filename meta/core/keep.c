/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/keep.h"

#include <assert.h>
#include <string.h>

#include "meta/core/objects.h"
#include "meta/core/session_record.h"
#include "meta/core/use.h"
#include "transport/base/log.h"

/* ---- times ---- */

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

static struct hash128 group_name(const struct space *s, const struct keep *keep)
{
    return space_hash(s, keep->group, keep->group_len);
}

int keep_join(struct core *c, struct object *o, const struct keep *keep)
{
    const struct space *s = spaces_by_id(c, o->name_space);
    if (keep->group_len == 0 || s == NULL)
        return CENOTE_OK;
    struct hash128 name = group_name(s, keep);
    return groups_join(&c->evict.groups, o, &name);
}

void keep_begin(struct core *c, struct object *o, const struct keep *keep)
{
    if (keep->ttl_ms > 0)
        o->expires = expire_stamp(c, keep->ttl_ms);
    if (keep->pin == KEEP_PIN_SOFT && keep->pin_ms > 0)
        o->pinned_until = expire_stamp(c, keep->pin_ms);
}

static void resume_times(struct core *c, struct object *o, const struct kept *kept)
{
    const struct keep *keep = &kept->keep;
    uint64_t wall_ms = core_wall_ms(c);
    uint64_t pin_left_ms = left_of(keep->pin_ms, kept->pin_from_ms, wall_ms);
    if (keep->ttl_ms > 0)
        o->expires = expire_stamp(c, left_of(keep->ttl_ms, kept->ttl_from_ms, wall_ms));
    if (keep->pin_ms > 0 && pin_left_ms == 0)
        o->pin = KEEP_PIN_NONE;
    else if (keep->pin_ms > 0)
        o->pinned_until = expire_stamp(c, pin_left_ms);
}

int keep_resume(struct core *c, struct object *o, const struct kept *kept)
{
    if (!keep_asks(&kept->keep))
        return CENOTE_OK;
    o->pin = kept->keep.pin & 3u;
    if (o->state == OBJECT_COMMITTED)
        resume_times(c, o, kept);
    int status = keep_join(c, o, &kept->keep);
    return status == CENOTE_LIMIT ? CENOTE_OK : status; /* it goes alone, then */
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

static uint64_t ttl_of(const struct keeping *k)
{
    return k->keep->ttl_ms > 0 ? k->keep->ttl_ms : k->session->space->settings.ttl_ms;
}

static void merge(struct kept *kept, const struct keeping *k, uint64_t wall_ms)
{
    const struct keep *keep = k->keep;
    if (k->fields & KEEP_TTL) {
        kept->keep.ttl_ms = ttl_of(k);
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

static void regroup(struct core *c, struct object *o, const struct keep *keep)
{
    groups_leave(&c->evict.groups, o);
    if (keep_join(c, o, keep) != CENOTE_OK)
        log_error("meta", "no room for put %llx in its group: it goes alone",
                  (unsigned long long)o->put_id);
}

/* From now on. */
static void apply(struct keeping *k, struct object *o)
{
    struct core *c = k->core;
    const struct keep *keep = k->keep;
    uint64_t ttl_ms = ttl_of(k);
    struct evict_times times = {.expires = o->expires, .pinned_until = o->pinned_until};
    uint32_t pin = o->pin;
    if (k->fields & KEEP_TTL)
        times.expires = ttl_ms > 0 ? expire_stamp(c, ttl_ms) : 0;
    if (k->fields & KEEP_PIN) {
        times.pinned_until = keep->pin_ms > 0 ? expire_stamp(c, keep->pin_ms) : 0;
        pin = keep->pin;
    }
    evict_keep(c, o, times, pin);
    if (k->fields & KEEP_GROUP)
        regroup(c, o, keep);
    directory_changed(c, o);
}

static void changed(struct change *ch, int status)
{
    struct keeping *k = container_of(ch, struct keeping, change);
    struct core *c = k->core;
    struct claim *claim = k->claim;
    struct object *o = table_by_put(&c->table, k->put_id);
    assert(claim->busy && o != NULL && o->visible);
    claim->busy = false;
    k->session->space->use.pinned_bytes -= k->pinned_bytes;
    if (status == CENOTE_OK)
        apply(k, o);
    k->outcome->done(k->outcome, status); /* k may be gone now */
    claims_wake(&c->claims, claim);
}

/* May it be kept like this? Pins count from here on, so that many at once don't pass the limit. */
static int admit(struct keeping *k, struct object *o)
{
    struct space *s = k->session->space;
    if ((k->fields & KEEP_GROUP) && k->keep->group_len > 0) {
        struct hash128 name = group_name(s, k->keep);
        if (!groups_has_room(&k->core->evict.groups, &name))
            return CENOTE_LIMIT;
    }
    if (!(k->fields & KEEP_PIN) || k->keep->pin != KEEP_PIN_HARD || o->pin == KEEP_PIN_HARD)
        return CENOTE_OK;
    uint64_t bytes = use_bytes(o);
    if (!use_pinnable(k->core, s, bytes))
        return CENOTE_LIMIT;
    k->pinned_bytes = bytes;
    s->use.pinned_bytes += bytes;
    return CENOTE_OK;
}

/* The claim is free; it stays busy, and the object visible, until the change is durable. */
static int change(struct keeping *k, struct claim *claim, struct object *o)
{
    struct core *c = k->core;
    struct record r;
    int status = objects_record(c, o, &r);
    if (status == CENOTE_OK)
        status = admit(k, o);
    if (status != CENOTE_OK)
        return status;
    merge(&r.kept, k, core_wall_ms(c));
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
