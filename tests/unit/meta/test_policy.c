/* SPDX-License-Identifier: Apache-2.0 */
/* Which object goes next. */
#include <criterion/criterion.h>
#include <string.h>

#include "meta/core/policy.h"

#define MANY 5000u

struct world {
    struct table table;
    struct policy policy;
    uint64_t refused; /* put ids below may not go */
    uint64_t allowed; /* but for this one */
    unsigned looked;  /* how often may() was asked */
};

static void begin(struct world *w)
{
    *w = (struct world){0};
    table_init(&w->table);
    policy_init(&w->policy);
}

static void end(struct world *w)
{
    cr_assert(policy_check(&w->policy, &w->table));
    policy_free(&w->policy);
    table_free(&w->table);
}

static struct object *add_behind(struct world *w, uint64_t key, struct object *head)
{
    struct object *o = table_add(&w->table, key, 1, 1);
    cr_assert(o != NULL);
    uint64_t half[2] = {hash_xxh3_seeded(&key, sizeof(key), 1),
                        hash_xxh3_seeded(&key, sizeof(key), 2)};
    memcpy(o->key_hash.b, half, sizeof(half));
    policy_add(&w->policy, &w->table, o, head);
    return o;
}

static struct object *add(struct world *w, uint64_t key)
{
    return add_behind(w, key, NULL);
}

static bool may(void *arg, struct object *o)
{
    struct world *w = arg;
    w->looked++;
    return o->put_id >= w->refused || o->put_id == w->allowed;
}

/* The put id of the next victim, which goes; 0: none. */
static uint64_t evict(struct world *w)
{
    struct object *o = policy_victim(&w->policy, &w->table, may, w);
    if (o == NULL)
        return 0;
    uint64_t key = o->put_id;
    policy_remove(&w->policy, &w->table, o);
    table_delete(&w->table, o);
    return key;
}

Test(policy_victim, none__of_none)
{
    struct world w;
    begin(&w);
    cr_assert_eq(evict(&w), 0);
    end(&w);
}

Test(policy_victim, unused__in_order_of_arrival)
{
    struct world w;
    begin(&w);
    for (uint64_t key = 1; key <= 5; key++)
        add(&w, key);
    for (uint64_t key = 1; key <= 5; key++)
        cr_assert_eq(evict(&w), key);
    cr_assert_eq(w.policy.count, 0);
    end(&w);
}

Test(policy_victim, chain__tail_first)
{
    struct world w;
    begin(&w);
    struct object *head = NULL;
    add(&w, 10);
    for (uint64_t key = 1; key <= 4; key++)
        head = add_behind(&w, key, head);
    add(&w, 11);
    const uint64_t order[] = {10, 4, 3, 2, 1, 11};
    for (size_t i = 0; i < 6; i++)
        cr_assert_eq(evict(&w), order[i]);
    end(&w);
}

/* What is added behind something old is no older than the rest for it. */
Test(policy_add, head_of_another_call__is_new)
{
    struct world w;
    begin(&w);
    struct object *old = add(&w, 1);
    add(&w, 2);
    add_behind(&w, 3, old);
    cr_assert_eq(evict(&w), 1);
    cr_assert_eq(evict(&w), 2);
    cr_assert_eq(evict(&w), 3);
    end(&w);
}

Test(policy_add, head_that_left__is_forgotten)
{
    struct world w;
    begin(&w);
    add(&w, 1);
    struct object *head = add(&w, 2);
    policy_remove(&w.policy, &w.table, head);
    add_behind(&w, 3, head);
    cr_assert_eq(evict(&w), 1);
    cr_assert_eq(evict(&w), 3);
    end(&w);
}

Test(policy_use, counts_to_three)
{
    struct world w;
    begin(&w);
    struct object *o = add(&w, 1);
    for (unsigned i = 1; i <= 10; i++) {
        policy_use(o);
        cr_assert_eq(o->uses, i < 3 ? i : 3);
    }
    end(&w);
}

/* Twenty times as much as there is room for passes by, and what was used is still there. */
Test(policy_victim, used__stays_through_a_scan)
{
    struct world w;
    begin(&w);
    for (uint64_t key = 1; key <= 90; key++)
        policy_use(add(&w, key));
    for (uint64_t key = 91; key <= 200; key++)
        add(&w, key);
    for (uint64_t key = 201; key <= 4200; key++) {
        uint64_t gone = evict(&w);
        if (gone == 0) /* all that it looked at had been used */
            gone = evict(&w);
        cr_assert_gt(gone, 90);
        add(&w, key);
    }
    cr_assert_eq(w.policy.queue[POLICY_MAIN - 1].count, 90);
    end(&w);
}

Test(policy_victim, main__a_lap_for_each_use)
{
    struct world w;
    begin(&w);
    struct object *often = add(&w, 1), *once = add(&w, 2);
    policy_use(often);
    policy_use(once);
    for (uint64_t key = 3; key <= 6; key++)
        add(&w, key);
    cr_assert_eq(evict(&w), 3);
    cr_assert_eq(often->queue, POLICY_MAIN);
    cr_assert_eq(once->queue, POLICY_MAIN);
    policy_use(often);
    policy_use(often);
    cr_assert_eq(evict(&w), 4);
    cr_assert_eq(evict(&w), 5);
    cr_assert_eq(evict(&w), 2); /* of three, one on probation is its share */
    cr_assert_eq(often->uses, 1);
    end(&w);
}

Test(policy_add, ghost__to_the_main_queue)
{
    struct world w;
    begin(&w);
    for (uint64_t key = 1; key <= 20; key++)
        add(&w, key);
    cr_assert_eq(evict(&w), 1);
    cr_assert_eq(add(&w, 1)->queue, POLICY_MAIN);
    cr_assert_eq(add(&w, 21)->queue, POLICY_PROBATION);
    cr_assert_eq(evict(&w), 2);
    for (uint64_t key = 22; key < 42; key++) {
        cr_assert_neq(evict(&w), 0);
        add(&w, key);
    }
    cr_assert_eq(add(&w, 2)->queue, POLICY_PROBATION); /* too long ago */
    end(&w);
}

/* Behind one that is on probation nothing goes to the main queue. */
Test(policy_add, ghosts_of_a_chain__only_its_beginning)
{
    struct world w;
    begin(&w);
    for (uint64_t key = 1; key <= 40; key++)
        add(&w, key);
    for (uint64_t key = 1; key <= 4; key++)
        cr_assert_eq(evict(&w), key);
    struct object *head = add(&w, 1);
    struct object *second = add_behind(&w, 2, head);
    struct object *fresh = add_behind(&w, 50, second);
    struct object *last = add_behind(&w, 3, fresh);
    cr_assert_eq(head->queue, POLICY_MAIN);
    cr_assert_eq(second->queue, POLICY_MAIN);
    cr_assert_eq(fresh->queue, POLICY_PROBATION);
    cr_assert_eq(last->queue, POLICY_PROBATION);
    cr_assert_eq(last->newer, fresh->ref);
    cr_assert_eq(second->newer, head->ref);
    end(&w);
}

/* However many may not go: a call looks at a bounded number, and the calls come to the one. */
Test(policy_victim, refused__hold_nobody_up)
{
    struct world w;
    begin(&w);
    for (uint64_t key = 1; key <= MANY; key++)
        add(&w, key);
    w.refused = MANY + 1;
    w.allowed = MANY / 3;
    uint64_t looks = 0, key = 0;
    while (key == 0 && looks < policy_round(&w.policy)) {
        w.looked = 0;
        key = evict(&w);
        cr_assert_leq(w.looked, POLICY_STEPS);
        looks += POLICY_STEPS;
    }
    cr_assert_eq(key, MANY / 3);
    cr_assert_eq(w.policy.count, MANY - 1);
    end(&w);
}

/* Those that may not go have filled the main queue; what comes new goes all the same. */
Test(policy_victim, refused_fill_the_main_queue__new_ones_go)
{
    struct world w;
    begin(&w);
    w.refused = MANY + 1;
    for (uint64_t key = 1; key <= MANY; key++)
        add(&w, key);
    while (w.policy.queue[POLICY_MAIN - 1].count < MANY)
        cr_assert_eq(evict(&w), 0);
    for (uint64_t key = MANY + 1; key <= MANY + 100; key++) {
        add(&w, key);
        cr_assert_eq(evict(&w), key);
    }
    end(&w);
}

/* policy_round() keeps its word, whatever the uses. */
Test(policy_victim, all_used__one_goes_in_a_round)
{
    struct world w;
    begin(&w);
    for (uint64_t key = 1; key <= MANY; key++) {
        struct object *o = add(&w, key);
        for (uint64_t i = 0; i < key % 5; i++)
            policy_use(o);
    }
    while (w.policy.count > 0) {
        uint64_t looks = 0;
        while (evict(&w) == 0) {
            looks += POLICY_STEPS;
            cr_assert_lt(looks, policy_round(&w.policy));
        }
    }
    end(&w);
}

Test(policy, random__stays_whole)
{
    struct world w;
    static struct object *there[300];
    uint64_t key = 1, random = 88172645463325252u;
    begin(&w);
    for (unsigned i = 0; i < 30000; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        struct object **o = &there[random % 300];
        if (*o == NULL) {
            *o = add_behind(&w, key++, there[random / 300 % 300]);
        } else if (random >> 32 & 1) {
            policy_use(*o);
        } else if (random >> 33 & 1) {
            policy_remove(&w.policy, &w.table, *o);
            table_delete(&w.table, *o);
            *o = NULL;
        } else {
            (void)policy_victim(&w.policy, &w.table, may, &w); /* and it isn't removed */
        }
        if (i % 100 == 0)
            cr_assert(policy_check(&w.policy, &w.table));
    }
    end(&w);
}
