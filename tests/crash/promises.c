/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/crash/promises.h"

#include <stdlib.h>
#include <string.h>

#include "meta/service/peer.h"
#include "tests/scenario/check.h"

#define ANSWERS_MAX 8u

void promises_add(struct promises *p, const struct event *e)
{
    if (p->count == p->room) {
        p->room = p->room * 2 + 256;
        p->events = realloc(p->events, p->room * sizeof(*p->events));
        CHECK(p->events != NULL);
    }
    p->events[p->count++] = *e;
}

void promises_free(struct promises *p)
{
    free(p->events);
    *p = (struct promises){0};
}

bool promises_any(const struct promises *p, size_t at)
{
    return p->count > 0 && p->events[0].stamp <= at;
}

/* ---- keys ------------------------------------------------------------------------------------ */

/* Where a key may lead: to what was acknowledged, or to what was asked for since. */
struct may {
    uint64_t put_ids[ANSWERS_MAX];
    unsigned count;
};

static bool may_be(const struct may *m, uint64_t put_id)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->put_ids[i] == put_id)
            return true;
    return false;
}

static void may_of(const struct promises *p, size_t at, unsigned key, struct may *out)
{
    *out = (struct may){.count = 1};
    for (size_t i = 0; i < p->count && p->events[i].stamp <= at; i++) {
        const struct event *e = &p->events[i];
        if (e->key != key || (e->kind != EVENT_ASKED && e->kind != EVENT_TOLD))
            continue;
        if (e->kind == EVENT_TOLD)
            out->count = 0;
        if (may_be(out, e->put_id))
            continue;
        CHECK(out->count < ANSWERS_MAX);
        out->put_ids[out->count++] = e->put_id;
    }
}

/* The committed object of a key, shown or still hidden behind an older one; 0: none. */
static uint64_t found(struct core *c, const struct space *space, unsigned key)
{
    char name[STORY_KEY_BYTES];
    story_key(key, name);
    struct hash128 hash = space_hash(space, name, strlen(name));
    for (uint32_t ref = 0; ref < table_refs(&c->table); ref++) {
        const struct object *o = table_at(&c->table, ref);
        if (o != NULL && o->state == OBJECT_COMMITTED &&
            memcmp(&o->key_hash, &hash, sizeof(hash)) == 0)
            return o->put_id;
    }
    return 0;
}

static const struct space *space_named(const struct core *c, const char *name)
{
    list_each(&c->spaces.list, l)
    {
        const struct space *s = container_of(l, struct space, link);
        if (strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

static bool keys_kept(const struct promises *p, size_t at, struct core *c)
{
    const struct space *space = space_named(c, "default");
    for (unsigned key = 0; key < STORY_KEYS; key++) {
        struct may may;
        may_of(p, at, key, &may);
        uint64_t put_id = space != NULL ? found(c, space, key) : 0;
        if (may_be(&may, put_id))
            continue;
        fprintf(stderr, "key %u leads to put %llx, not to %llx\n", key, (unsigned long long)put_id,
                (unsigned long long)may.put_ids[0]);
        return false;
    }
    return true;
}

/* ---- puts, reigns, addresses ----------------------------------------------------------------- */

static bool ended(const struct promises *p, size_t at, uint64_t put_id)
{
    for (size_t i = 0; i < p->count && p->events[i].stamp <= at; i++)
        if (p->events[i].kind == EVENT_ENDS && p->events[i].put_id == put_id)
            return true;
    return false;
}

/* Its space must not be given to anybody else: somebody may be writing there. */
static bool granted_kept(const struct promises *p, size_t at, const struct event *e, struct core *c)
{
    const struct object *o = table_by_put(&c->table, e->put_id);
    bool kept = o != NULL && (o->state == OBJECT_PENDING || o->state == OBJECT_ABORTING);
    if (kept || ended(p, at, e->put_id))
        return true;
    fprintf(stderr, "put %llx was granted and isn't known\n", (unsigned long long)e->put_id);
    return false;
}

static bool life_kept(const struct event *e, const struct core *c)
{
    if (c->ids.reign > e->put_id && c->members.gva_next >= e->gva)
        return true;
    fprintf(stderr, "reign %llu, addresses from %llx on, were used: now %llu and %llx\n",
            (unsigned long long)e->put_id, (unsigned long long)e->gva,
            (unsigned long long)c->ids.reign, (unsigned long long)c->members.gva_next);
    return false;
}

bool promises_kept(const struct promises *p, size_t at, struct world *w)
{
    struct core *c = &w->service->core;
    if (!keys_kept(p, at, c))
        return false;
    for (size_t i = 0; i < p->count && p->events[i].stamp <= at; i++) {
        const struct event *e = &p->events[i];
        if (e->kind == EVENT_GRANTED && !granted_kept(p, at, e, c))
            return false;
        if (e->kind == EVENT_LIFE && !life_kept(e, c))
            return false;
    }
    return true;
}
