/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/groups.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <cenote/status.h>

#define FIRST_ROOM    64u
#define FIRST_MEMBERS 4u

static uint64_t hash_of_name(const struct hash128 *name)
{
    uint64_t h;
    memcpy(&h, name->b, sizeof(h));
    return h;
}

/* The index goes by the upper half; no two references share it (the constant is odd). */
static uint64_t hash_of_member(const struct object *o)
{
    return (uint64_t)(o->ref * 0x9e3779b1u) << 32;
}

void groups_free(struct groups *g)
{
    for (uint32_t i = 0; i < g->room; i++) {
        if (g->all[i] == NULL)
            continue;
        free(g->all[i]->members);
        free(g->all[i]);
    }
    free(g->all);
    free(g->spare);
    index_free(&g->by_name);
    index_free(&g->by_member);
    *g = (struct groups){0};
}

static struct group *by_name(const struct groups *g, const struct hash128 *name)
{
    struct index_visit visit = {.hash = hash_of_name(name)};
    uint32_t id;
    while ((id = index_next(&g->by_name, &visit)) != INDEX_NONE)
        if (memcmp(&g->all[id]->name, name, sizeof(*name)) == 0)
            return g->all[id];
    return NULL;
}

struct group *groups_of(const struct groups *g, const struct object *o)
{
    struct index_visit visit = {.hash = hash_of_member(o)};
    return o->grouped ? g->all[index_next(&g->by_member, &visit)] : NULL;
}

static bool grow(struct groups *g)
{
    uint32_t room = g->room == 0 ? FIRST_ROOM : g->room * 2;
    struct group **all = realloc(g->all, room * sizeof(*all));
    if (all == NULL)
        return false;
    g->all = all;
    uint32_t *spare = realloc(g->spare, room * sizeof(*spare));
    if (spare == NULL)
        return false;
    g->spare = spare;
    for (uint32_t id = g->room; id < room; id++) {
        all[id] = NULL;
        spare[room - 1 - id] = id;
    }
    g->room = room;
    return true;
}

static struct group *add(struct groups *g, const struct hash128 *name)
{
    if (index_reserve(&g->by_name, g->count + 1) != CENOTE_OK)
        return NULL;
    if (g->count == g->room && !grow(g))
        return NULL;
    struct group *group = calloc(1, sizeof(*group));
    if (group == NULL)
        return NULL;
    group->name = *name;
    group->id = g->spare[g->room - 1 - g->count++];
    g->all[group->id] = group;
    index_insert(&g->by_name, hash_of_name(name), group->id);
    return group;
}

static void drop(struct groups *g, struct group *group)
{
    index_remove(&g->by_name, hash_of_name(&group->name), group->id);
    g->all[group->id] = NULL;
    g->spare[g->room - g->count--] = group->id;
    free(group->members);
    free(group);
}

static bool room_for_one(struct group *group)
{
    if (group->count < group->room)
        return true;
    uint32_t room = group->room == 0 ? FIRST_MEMBERS : group->room * 2;
    uint32_t *members = realloc(group->members, room * sizeof(*members));
    if (members == NULL)
        return false;
    group->members = members;
    group->room = room;
    return true;
}

bool groups_has_room(const struct groups *g, const struct hash128 *name)
{
    const struct group *group = by_name(g, name);
    return group == NULL || group->count < GROUP_MEMBERS_MAX;
}

int groups_join(struct groups *g, struct object *o, const struct hash128 *name)
{
    assert(!o->grouped);
    struct group *group = by_name(g, name);
    if (group == NULL)
        group = add(g, name);
    if (group == NULL)
        return CENOTE_NO_MEMORY;
    if (group->count == GROUP_MEMBERS_MAX)
        return CENOTE_LIMIT;
    if (!room_for_one(group) || index_reserve(&g->by_member, g->members + 1) != CENOTE_OK) {
        if (group->count == 0)
            drop(g, group);
        return CENOTE_NO_MEMORY;
    }
    group->members[group->count++] = o->ref;
    g->members++;
    index_insert(&g->by_member, hash_of_member(o), group->id);
    o->grouped = true;
    return CENOTE_OK;
}

void groups_leave(struct groups *g, struct object *o)
{
    struct group *group = groups_of(g, o);
    if (group == NULL)
        return;
    uint32_t i = group->count;
    while (group->members[--i] != o->ref)
        assert(i > 0);
    group->members[i] = group->members[--group->count];
    index_remove(&g->by_member, hash_of_member(o), group->id);
    g->members--;
    o->grouped = false;
    group->again_ms = 0;
    if (group->count == 0)
        drop(g, group);
}

bool groups_check(const struct groups *g, const struct table *t)
{
    uint32_t groups = 0, members = 0;
    for (uint32_t id = 0; id < g->room; id++) {
        const struct group *group = g->all[id];
        if (group == NULL)
            continue;
        groups++;
        for (uint32_t i = 0; i < group->count; i++, members++) {
            const struct object *o = table_at(t, group->members[i]);
            if (o == NULL || !o->grouped || groups_of(g, o) != group)
                return false;
        }
        if (group->count == 0 || by_name(g, &group->name) != group)
            return false;
    }
    return groups == g->count && members == g->members;
}
