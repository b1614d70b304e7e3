/* SPDX-License-Identifier: Apache-2.0 */
#include <criterion/criterion.h>
#include <string.h>

#include <cenote/status.h>

#include "meta/core/groups.h"

static struct table table;
static struct groups groups;
static uint64_t next_put = 2;

static void up(void)
{
    table_init(&table);
}

static void down(void)
{
    cr_assert(groups_check(&groups, &table));
    groups_free(&groups);
    table_free(&table);
}

TestSuite(groups, .init = up, .fini = down);

static struct object *object(void)
{
    struct object *o = table_add(&table, next_put += 2, 1, 1);
    cr_assert_not_null(o);
    return o;
}

static struct hash128 name_of(uint32_t number)
{
    struct hash128 name = {{0}};
    uint64_t spread = (number + 1) * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(name.b, &spread, sizeof(spread));
    memcpy(name.b + 8, &number, sizeof(number));
    return name;
}

static void join(struct object *o, uint32_t number)
{
    struct hash128 name = name_of(number);
    cr_assert_eq(groups_join(&groups, o, &name), CENOTE_OK);
}

Test(groups, join__and_leave)
{
    struct object *a = object(), *b = object(), *c = object(), *none = object();
    join(a, 1);
    join(b, 1);
    join(c, 2);
    cr_assert_eq(groups.count, 2);
    cr_assert_eq(groups_of(&groups, a), groups_of(&groups, b));
    cr_assert_neq(groups_of(&groups, a), groups_of(&groups, c));
    cr_assert_null(groups_of(&groups, none));
    cr_assert(groups_check(&groups, &table));
    groups_leave(&groups, a);
    groups_leave(&groups, none);
    cr_assert_not(a->grouped);
    cr_assert_eq(groups_of(&groups, b)->count, 1);
    groups_leave(&groups, b);
    cr_assert_eq(groups.count, 1);
    join(b, 3);
    cr_assert_eq(groups.count, 2);
}

Test(groups, join__limit)
{
    struct hash128 name = name_of(0);
    for (uint32_t i = 0; i < GROUP_MEMBERS_MAX; i++)
        join(object(), 0);
    struct object *more = object();
    cr_assert_eq(groups_join(&groups, more, &name), CENOTE_LIMIT);
    cr_assert_not(more->grouped);
}

Test(groups, many__come_and_go)
{
    static struct object *objects[20000];
    for (uint32_t i = 0; i < 20000; i++)
        join(objects[i] = object(), i / 3);
    cr_assert(groups_check(&groups, &table));
    for (uint32_t i = 0; i < 20000; i += 2)
        groups_leave(&groups, objects[i]);
    cr_assert(groups_check(&groups, &table));
    for (uint32_t i = 0; i < 20000; i += 2)
        join(objects[i], i % 100);
    cr_assert(groups_check(&groups, &table));
    for (uint32_t i = 0; i < 20000; i++)
        groups_leave(&groups, objects[i]);
    cr_assert_eq(groups.count, 0);
    cr_assert_eq(groups.members, 0);
}
