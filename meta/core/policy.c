/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/policy.h"

#include <assert.h>

/* The only queue; 0: in none. */
#define QUEUED 1u

static struct object *at(const struct table *t, uint32_t ref)
{
    return ref == INDEX_NONE ? NULL : table_at(t, ref);
}

void policy_init(struct policy *p)
{
    *p = (struct policy){.newest = INDEX_NONE, .oldest = INDEX_NONE};
}

/* Behind (older than) newer; NULL: as the newest. */
static void link_behind(struct policy *p, const struct table *t, struct object *o,
                        struct object *newer)
{
    uint32_t older = newer == NULL ? p->newest : newer->older;
    o->newer = newer == NULL ? INDEX_NONE : newer->ref;
    o->older = older;
    if (newer == NULL)
        p->newest = o->ref;
    else
        newer->older = o->ref;
    if (older == INDEX_NONE)
        p->oldest = o->ref;
    else
        at(t, older)->newer = o->ref;
}

void policy_add(struct policy *p, const struct table *t, struct object *o, struct object *head)
{
    assert(o->queue == 0);
    link_behind(p, t, o, head != NULL && head->queue == QUEUED ? head : NULL);
    o->queue = QUEUED;
    o->uses = 0;
    p->count++;
}

static void unlink_it(struct policy *p, const struct table *t, struct object *o)
{
    if (o->newer == INDEX_NONE)
        p->newest = o->older;
    else
        at(t, o->newer)->older = o->older;
    if (o->older == INDEX_NONE)
        p->oldest = o->newer;
    else
        at(t, o->older)->newer = o->newer;
    o->newer = o->older = INDEX_NONE;
}

void policy_remove(struct policy *p, const struct table *t, struct object *o)
{
    assert(o->queue == QUEUED && p->count > 0);
    unlink_it(p, t, o);
    o->queue = 0;
    p->count--;
}

struct object *policy_victim(struct policy *p, const struct table *t,
                             bool (*may)(void *arg, struct object *o), void *arg)
{
    uint64_t round = policy_round(p);
    for (uint32_t n = 0; n < POLICY_STEPS && n < round; n++) {
        struct object *o = at(t, p->oldest);
        if (o->uses == 0 && may(arg, o))
            return o;
        if (o->uses > 0)
            o->uses--;
        unlink_it(p, t, o);
        link_behind(p, t, o, NULL);
    }
    return NULL;
}

bool policy_check(const struct policy *p, const struct table *t)
{
    uint32_t count = 0, newer = INDEX_NONE;
    for (uint32_t ref = p->newest; ref != INDEX_NONE; count++) {
        const struct object *o = at(t, ref);
        if (o == NULL || o->queue != QUEUED || o->newer != newer || count >= p->count)
            return false;
        newer = ref;
        ref = o->older;
    }
    return count == p->count && p->oldest == newer;
}
