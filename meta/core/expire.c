/* SPDX-License-Identifier: Apache-2.0 */
/* Ends of ttls and of soft pins. */
#include <assert.h>

#include "meta/core/evict.h"
#include "meta/core/objects.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

/* Ends that one tick sees to. */
#define EXPIRE_TICK 4096u

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

static void add(struct core *c, const struct object *o, uint32_t at)
{
    struct due due = {.at = at, .ref = o->ref};
    if (at == 0 || dues_add(&c->evict.dues, due, stale, c))
        return;
    if (!c->evict.dues_lost)
        log_error("meta", "no memory to watch the ends of ttls: eviction finds them");
    c->evict.dues_lost = true;
}

void expire_watch(struct core *c, const struct object *o)
{
    add(c, o, o->expires);
    if (o->pin == KEEP_PIN_SOFT)
        add(c, o, o->pinned_until);
}

static void unpin(struct core *c, struct object *o)
{
    evict_keep(c, o, (struct evict_times){.expires = o->expires}, KEEP_PIN_NONE);
}

/* A lease ends with the ttl, as the life of the service that granted it reckoned that: from the
 * moment when the put was durable, and in its own units. An earlier one's may end a little later
 * than the ttl does now. */
void expire_tick(struct core *c)
{
    struct evict_batch *batch = NULL;
    struct due due;
    uint32_t now = stamp_now(c);
    for (uint32_t n = 0; n < EXPIRE_TICK && dues_next(&c->evict.dues, now, &due); n++) {
        if (stale(c, due))
            continue;
        struct object *o = table_at(&c->table, due.ref);
        if (!expire_over(c, o))
            unpin(c, o);
        else if (c->leased_until_ms > c->now_ms && !test_off(TEST_EVICT_LEASE))
            add(c, o, expire_stamp(c, c->leased_until_ms - c->now_ms));
        else if (evict_take(c, &batch, o, EVICT_EXPIRED) != CENOTE_OK)
            add(c, o, now + 1); /* something is under way with it */
    }
    evict_submit(c, &batch);
}
