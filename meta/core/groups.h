/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups: values that are evicted together. A group is there as long as it has a member. An object
 * is a member from its put_start until it is no longer wanted; the bit "grouped" says so, and what
 * isn't grouped costs nothing here.
 *
 * Its name is a hash, as that of a key is: keyed with the secret of its namespace, so that groups
 * of two namespaces don't meet.
 */
#ifndef CENOTE_META_GROUPS_H
#define CENOTE_META_GROUPS_H

#include "meta/core/index.h"
#include "meta/core/table.h"

#define GROUP_MEMBERS_MAX 1024u

struct group {
    struct hash128 name;
    uint32_t id;
    uint32_t count, room;
    uint32_t *members; /* references */
    uint64_t again_ms; /* a member couldn't go: none of them is asked before */
};

struct groups {
    struct group **all;              /* by id; NULL: there is none */
    uint32_t *spare;                 /* ids without a group */
    uint32_t room;                   /* of both */
    uint32_t count;                  /* groups */
    uint32_t members;                /* of all groups */
    struct index by_name, by_member; /* both lead to ids */
};

void groups_free(struct groups *g);
/* Could one more join? */
bool groups_has_room(const struct groups *g, const struct hash128 *name);
/* CENOTE_OK, CENOTE_LIMIT (it is full), CENOTE_NO_MEMORY. */
int groups_join(struct groups *g, struct object *o, const struct hash128 *name);
/* Nothing if it is in none. */
void groups_leave(struct groups *g, struct object *o);
/* Of an object; NULL: it is in none. */
struct group *groups_of(const struct groups *g, const struct object *o);
/* Does every member exist and lead back to its group? */
bool groups_check(const struct groups *g, const struct table *t);

#endif
