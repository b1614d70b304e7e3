/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/core.h"

#include "meta/core/objects.h"
#include "meta/core/puts.h"
#include "meta/core/rebuild.h"
#include "meta/core/reuse.h"

#define NS_PER_MS UINT64_C(1000000)

void core_clock(struct core *c)
{
    c->now_ns = c->env.now_ns(c->env.arg);
    uint64_t now = c->now_ns / NS_PER_MS;
    uint64_t gap = now > c->now_ms ? now - c->now_ms : 0;
    c->now_ms += gap;
    c->patient_ms += gap < CORE_GAP_MAX_MS ? gap : CORE_GAP_MAX_MS;
}

uint64_t core_wall_ms(struct core *c)
{
    uint64_t wall_ms = c->env.wall_ms(c->env.arg);
    if (wall_ms > c->wall_ms)
        c->wall_ms = wall_ms;
    return c->wall_ms;
}

void outcomes_add(struct outcomes *list, struct outcome *o)
{
    o->next = list->first;
    list->first = o;
}

void outcomes_tell(struct outcomes *list, int status)
{
    while (list->first != NULL) {
        struct outcome *o = list->first;
        list->first = o->next;
        o->next = NULL;
        o->done(o, status);
    }
}

void core_tick(struct core *c)
{
    changes_tick(&c->changes);
    members_tick(c);
    sessions_tick(c);
    puts_tick(c);
    objects_sweep(c);
    reuse_tick(c);
    rebuild_tick(c);
    notes_tick(c);
    fsck_tick(c);
    directory_tick(c);
    evict_tick(c);
}

void core_turn(struct core *c)
{
    reuse_delete(c);
    evict_turn(c);
}

void core_free(struct core *c)
{
    evict_free(c);
    puts_free(c);
    reuse_free(c);
    fsck_free(c);
    rebuild_free(c);
    members_free(c);
    sessions_free(c);
    claims_free(&c->claims);
    spaces_free(c);
    table_free(&c->table);
    changes_free(&c->changes);
    pool_free(&c->small);
}
