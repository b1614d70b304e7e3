/* SPDX-License-Identifier: Apache-2.0 */
/* Ends of ttls and of soft pins. */
#include <assert.h>

#include "meta/core/evict.h"
#include "meta/core/objects.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

/* References of the table that one tick looks at, when entries were lost. */
#define WATCH_REFS 20000u

static uint32_t stamp_now(const struct core *c)
{
    return (uint32_t)((c->now_ms - c->started_ms) / LEASE_UNIT_MS + 1);
}

uint32_t expire_stamp(const struct core *c, uint64_t after_ms)
{
    uint64_t at = (c->now_ms - c->started_ms + after_ms) / LEASE_UNIT_MS + 2;
    return at < UINT32_MAX ? (uint32_t)at : UINT32_MAX;
}

bool expire_ttl_over(const struct core *c, const struct object *o)
{
    return o->expires <= stamp_now(c);
}

uint64_t expire_ttl_left(const struct core *c, const struct object *o)
{
    uint64_t end = c->started_ms + (o->expires - 1) * (uint64_t)LEASE_UNIT_MS;
    return end > c->now_ms ? end - c->now_ms : 0;
}

static bool due_for(uint32_t time, uint32_t at)
{
    return time != 0 && time <= at;
}

/* It means something if one of its object's times is over then. */
static bool stale(void *arg, struct due due)
{
    const struct core *c = arg;
    const struct object *o = table_at(&c->table, due.ref);
    return o == NULL || !o->visible ||
           !(due_for(o->expires, due.at) ||
             (o->pin == KEEP_PIN_SOFT && due_for(o->pinned_until, due.at)));
}

static bool add(struct core *c, const struct object *o, uint32_t at)
{
    struct due due = {.at = at, .ref = o->ref};
    if (at == 0 || dues_add(&c->evict.dues, due, stale, c))
        return true;
    if (!c->evict.dues_lost && !c->evict.dues_looked)
        log_error("meta", "no memory to watch the ends of ttls: they will be looked for");
    c->evict.dues_lost = true;
    return false;
}

void expire_watch(struct core *c, const struct object *o)
{
    if (add(c, o, o->expires) && o->pin == KEEP_PIN_SOFT)
        (void)add(c, o, o->pinned_until);
}

void expire_again(struct core *c, const struct object *o)
{
    if (expire_over(c, o))
        (void)add(c, o, expire_stamp(c, STORE_RETRY_MS));
}

/* After entries were lost all are made anew, in steps. What is over isn't served meanwhile, it only
 * keeps its space. */
static void watch_all(struct core *c)
{
    struct evict *e = &c->evict;
    if (e->dues_lost && !e->dues_looked) {
        e->dues_lost = false;
        e->dues_looked = true;
        e->dues_at = e->dues.count = 0;
    }
    for (uint32_t n = 0; e->dues_looked && n < WATCH_REFS; n++) {
        const struct object *o = NULL;
        if (e->dues_at < table_refs(&c->table))
            o = table_at(&c->table, e->dues_at);
        else
            e->dues_looked = false;
        e->dues_at++;
        if (o != NULL && o->visible)
            expire_watch(c, o);
        if (e->dues_lost)
            e->dues_looked = false; /* no memory yet: from the beginning, in the next tick */
    }
}

static void unpin(struct core *c, struct object *o)
{
    evict_keep(c, o, (struct evict_times){.expires = o->expires}, KEEP_PIN_NONE);
}

/* A lease ends with the ttl, as the life of the service that granted it reckoned that: from the
 * moment when the put was durable, and in its own units. An earlier one's may end a little later
 * than the ttl does now. */
static void end(struct core *c, struct object *o, uint32_t now, struct evict_batch **batch)
{
    if (o->leaving)
        (void)add(c, o, now + 1); /* it may be refused */
    else if (!expire_over(c, o))
        unpin(c, o);
    else if (c->leased_until_ms > c->now_ms && !test_off(TEST_EVICT_LEASE))
        (void)add(c, o, expire_stamp(c, c->leased_until_ms - c->now_ms));
    else if (evict_take(c, batch, o, EVICT_EXPIRED) != CENOTE_OK)
        (void)add(c, o, now + 1); /* something is under way with it */
}

void expire_turn(struct core *c)
{
    struct evict_batch *batch = NULL;
    struct due due;
    uint32_t now = stamp_now(c), n = 0;
    for (; n < EVICT_STEP && dues_next(&c->evict.dues, now, &due); n++)
        if (!stale(c, due))
            end(c, table_at(&c->table, due.ref), now, &batch);
    c->evict.expiring = n == EVICT_STEP;
    evict_submit(c, &batch);
}

void expire_tick(struct core *c)
{
    watch_all(c);
    expire_turn(c);
}
