/* SPDX-License-Identifier: Apache-2.0 */
/* A full pool: what goes, what stays, and who waits for it. */
#include <stdio.h>
#include <string.h>

#include "meta/core/put_wait.h"
#include "meta/service/peer.h"
#include "tests/unit/meta/meta_rig.h"

TestSuite(evict, .init = rig_up, .fini = rig_down);

static struct core *core(void)
{
    return &world->service->core;
}

static const char *name_of(unsigned i)
{
    static char name[16];
    snprintf(name, sizeof(name), "k%u", i);
    return name;
}

/* So many of 1 MiB. */
static void fill(unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++)
        cr_assert_eq(client_put(alice, name_of(i), MIB, 0), CENOTE_OK, "%u", i);
}

static unsigned there(unsigned first, unsigned count)
{
    unsigned found = 0;
    for (unsigned i = first; i < first + count; i++)
        found += client_exists(bob, name_of(i));
    return found;
}

/* As rig_pass(), with a node that beats. */
static void pass(uint64_t ms)
{
    for (uint64_t done = 0; done < ms; done += 100) {
        world_pass(world, 100);
        cr_assert_eq(node_heartbeat(node, 1, RIG_SEGMENT), CENOTE_OK);
    }
}

static struct space *space_of(const struct end *e)
{
    return spaces_by_id(core(), e->session.name_space);
}

static struct object *object_of(struct end *e, const char *key)
{
    struct space *s = space_of(e);
    struct hash128 hash = space_hash(s, key, strlen(key));
    return table_by_key(&core()->table, &hash);
}

/* As if it had been put so. */
static void keep(struct end *e, const char *key, uint32_t pin)
{
    evict_keep(core(), object_of(e, key), (struct evict_times){0}, pin);
}

static void no_background(void)
{
    core()->options.evict_high = 100;
}

static uint64_t evicted(enum evict_reason reason)
{
    return core()->evict.counts[reason].objects;
}

Test(evict, full__puts_go_on)
{
    fill(0, 100);
    cr_assert_eq(there(99, 1), 1);
    cr_assert_eq(there(0, 50), 0);
    cr_assert_gt(there(50, 50), 10);
    cr_assert_eq(evicted(EVICT_SPACE) + evicted(EVICT_BACKGROUND), 100 - there(0, 100));
}

Test(evict, full__at_allocation_failure_only)
{
    no_background();
    fill(0, 100);
    cr_assert_eq(evicted(EVICT_BACKGROUND), 0);
    cr_assert_gt(evicted(EVICT_SPACE), 80);
}

Test(evict, background__keeps_some_free)
{
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert_eq(client_put(alice, name_of(i), 60000, 0), CENOTE_OK);
        cr_assert_leq(core()->evict.used_bytes, core()->evict.room_bytes / 100 * 99);
    }
    cr_assert_eq(evicted(EVICT_SPACE), 0);
    cr_assert_geq(core()->evict.used_bytes, core()->evict.room_bytes / 100 * 96);
}

Test(evict, leased__stays)
{
    no_background();
    fill(0, 10);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(client_lookup(bob, name_of(i), NULL, NULL), CENOTE_OK);
    fill(10, 40);
    cr_assert_eq(there(0, 3), 3);
    struct put_start_item item;
    uint32_t msgid = client_put_start_send(alice, "large", 15 * MIB, 0);
    pass(RIG_LEASE_MS / 2);
    cr_assert_eq(there(0, 3), 3);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), 1);
    pass(RIG_LEASE_MS);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), CENOTE_OK);
    cr_assert_eq(there(0, 3), 0);
}

Test(evict, used__stays_longer)
{
    no_background();
    fill(0, 14);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(client_lookup(bob, name_of(i), NULL, NULL), CENOTE_OK);
    pass(RIG_LEASE_MS + 500);
    fill(14, 8);
    cr_assert_eq(there(0, 3), 3);
    cr_assert_lt(there(3, 11), 11);
}

Test(evict, all_leased__waits_for_the_leases)
{
    struct put_start_item item;
    no_background();
    fill(0, 15);
    for (unsigned i = 0; i < 15; i++)
        (void)client_lookup(bob, name_of(i), NULL, NULL);
    uint32_t msgid = client_put_start_send(alice, "new", 4 * MIB, 0);
    pass(RIG_LEASE_MS / 2);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), 1);
    cr_assert_eq(core()->evict.waiting_count, 1);
    pass(RIG_LEASE_MS);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), CENOTE_OK);
    cr_assert_eq(core()->evict.waiting_count, 0);
}

Test(evict, pinned__no_space_at_once)
{
    struct put_start_item item;
    no_background();
    fill(0, 15);
    for (unsigned i = 0; i < 15; i++)
        if (object_of(alice, name_of(i)) != NULL)
            keep(alice, name_of(i), KEEP_PIN_HARD);
    uint32_t msgid = client_put_start_send(alice, "new", 4 * MIB, 0);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), CENOTE_NO_SPACE);
    keep(alice, "k3", KEEP_PIN_SOFT); /* nothing else is left */
    cr_assert_eq(client_put(alice, "new", MIB, 0), CENOTE_OK);
    cr_assert_not(client_exists(bob, "k3"));
    cr_assert_gt(there(0, 15), 12);
}

Test(evict, soft__last)
{
    no_background();
    fill(0, 5);
    for (unsigned i = 0; i < 5; i++)
        keep(alice, name_of(i), KEEP_PIN_SOFT);
    fill(5, 60);
    cr_assert_eq(there(0, 5), 5);
}

Test(evict, pending__stays)
{
    struct put_start_item item;
    no_background();
    cr_assert_eq(client_put_start(alice, "pending", 3 * MIB, 0, &item, NULL), CENOTE_OK);
    fill(0, 40);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert(client_exists(bob, "pending"));
}

Test(evict, large__small_ones_make_room)
{
    no_background();
    for (unsigned i = 0; i < 230; i++)
        cr_assert_eq(client_put(alice, name_of(i), 64 << 10, 0), CENOTE_OK);
    for (unsigned i = 0; i < 230; i += 3) /* holes */
        (void)client_remove(alice, name_of(i));
    cr_assert_eq(client_put(alice, "large", 12 * MIB, 0), CENOTE_OK);
    cr_assert(client_exists(bob, "large"));
}

Test(evict, waiting__in_order)
{
    struct put_start_item item;
    no_background();
    fill(0, 15);
    for (unsigned i = 0; i < 15; i++)
        (void)client_lookup(bob, name_of(i), NULL, NULL);
    uint32_t first = client_put_start_send(alice, "large", 12 * MIB, 0);
    pass(PUT_OVERTAKE_MS + 100);
    uint32_t second = client_put_start_send(bob, "small", 1000, 0); /* it would fit */
    pass(100);
    cr_assert_eq(client_put_start_status(bob, second, &item), 1);
    cr_assert_eq(client_put_start_status(alice, first, &item), 1);
    pass(RIG_LEASE_MS + 500);
    cr_assert_eq(client_put_start_status(alice, first, &item), CENOTE_OK);
    cr_assert_eq(client_put_start_status(bob, second, &item), CENOTE_OK);
}

/* The pool full of puts that aren't over. */
static uint32_t wait_behind_pending(struct end *e)
{
    struct put_start_item item;
    no_background();
    core()->options.put_timeout_ms = 60000;
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(client_put_start(bob, name_of(i), 5 * MIB, 0, &item, NULL), CENOTE_OK);
    uint32_t msgid = client_put_start_send(e, "new", 4 * MIB, 0);
    cr_assert_eq(client_put_start_status(e, msgid, &item), 1);
    return msgid;
}

Test(evict, waiting__not_for_ever)
{
    struct put_start_item item;
    uint32_t msgid = wait_behind_pending(alice);
    pass(PUT_WAIT_MS - 500);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), 1);
    pass(1000);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), CENOTE_NO_SPACE);
}

Test(evict, waiting__session_closes)
{
    struct wire_buf b;
    struct put_start_item item;
    uint32_t msgid = wait_behind_pending(alice);
    uint32_t close = end_request(alice, &b, METHOD_SESSION_CLOSE);
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(alice, &b, close, NULL), CENOTE_OK);
    pass(100);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), CENOTE_NO_SESSION);
    cr_assert_eq(core()->evict.waiting_count, 0);
}

Test(evict, waiting__connection_closed)
{
    (void)wait_behind_pending(alice);
    end_close(alice);
    pass(100);
    cr_assert_eq(core()->evict.waiting_count, 0);
    alice = client_open(world, "default");
}

Test(evict, waiting__asked_again_over_another_connection)
{
    int status;
    struct put_start_item item;
    (void)wait_behind_pending(alice);
    struct end *fresh = client_resume(world, alice, &status);
    cr_assert_eq(status, CENOTE_OK);
    end_close(alice);
    alice = fresh;
    alice->seq--;
    uint32_t msgid = client_put_start_send(alice, "new", 4 * MIB, 0);
    pass(100);
    cr_assert_eq(core()->evict.waiting_count, 1);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), 1);
    struct wire_buf b;
    uint32_t close = end_request(bob, &b, METHOD_SESSION_CLOSE); /* its puts are fenced */
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(bob, &b, close, NULL), CENOTE_OK);
    pass(200);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
}

/* Somebody else puts the key meanwhile: there is nothing to store when its turn comes. */
Test(evict, waiting__key_is_there_by_then)
{
    struct put_start_item item;
    no_background();
    fill(0, 15);
    for (unsigned i = 0; i < 15; i++)
        (void)client_lookup(bob, name_of(i), NULL, NULL);
    uint32_t msgid = client_put_start_send(alice, "new", 4 * MIB, 0);
    cr_assert_eq(client_put(bob, "new", 100, 0), CENOTE_OK);
    pass(RIG_LEASE_MS + 500);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), CENOTE_EXISTS);
}

Test(evict, waiting__crash)
{
    (void)wait_behind_pending(alice);
    rig_restart(0);
    cr_assert_eq(core()->evict.waiting_count, 0);
}

Test(evict, crash__in_the_middle)
{
    no_background();
    fill(0, 15);
    pass(100);
    for (unsigned round = 0; round < 6; round++) {
        (void)client_put_start_send(alice, name_of(100 + round), 4 * MIB, 0);
        rig_restart(round);
        no_background();
        core()->leased_until_ms = 0;
        pass(500);
        cr_assert_eq(service_check(world->service), 0);
    }
}

Test(evict, node_away__its_values_stay)
{
    no_background();
    struct end *other = node_up(world, "n2", 9, 1, RIG_SEGMENT);
    fill(0, 28);
    end_close(other);
    for (unsigned i = 100; i < 140; i++)
        cr_assert_eq(client_put(alice, name_of(i), MIB, 0), CENOTE_OK);
    unsigned away = 0;
    for (uint32_t ref = 0; ref < table_refs(&core()->table); ref++) {
        struct object *o = table_at(&core()->table, ref);
        if (o == NULL || !o->visible)
            continue;
        away += members_find(core(), o->one.gva, MIB)->node->peer == NULL;
    }
    cr_assert_geq(away, 13);
}

/* Values that lie on this node. */
static unsigned on_node(const struct end *e)
{
    unsigned count = 0;
    for (uint32_t ref = 0; ref < table_refs(&core()->table); ref++) {
        struct object *o = table_at(&core()->table, ref);
        if (o != NULL && o->visible)
            count += gva_covers(e->joined.segments[0].gva, RIG_SEGMENT, o->one.gva, 1);
    }
    return count;
}

/* It stands still; its connection doesn't know. */
static struct end *silent_node(unsigned values)
{
    struct end *other = node_up(world, "n2", 9, 1, RIG_SEGMENT);
    fill(0, values);
    other->holds_calls = true;
    pass(RIG_SUSPECT_MS + 500);
    cr_assert_eq(members_of_peer(core(), other->peer)->state, NODE_SUSPECT);
    return other;
}

Test(evict, node_silent__its_values_stay)
{
    no_background();
    struct end *other = silent_node(28);
    unsigned before = on_node(other);
    cr_assert_geq(before, 13);
    for (unsigned i = 100; i < 140; i++) /* none waits for it */
        cr_assert_eq(client_put(alice, name_of(i), MIB, 0), CENOTE_OK);
    cr_assert_eq(on_node(other), before);
    other->holds_calls = false;
    cr_assert_eq(node_heartbeat(other, 1, RIG_SEGMENT), CENOTE_OK);
    pass(200);
    cr_assert_eq(on_node(other), before);
}

Test(evict, node_silent__its_memory_is_room)
{
    struct end *other = silent_node(22);
    pass(RIG_DEAD_MS - RIG_SUSPECT_MS - 1000);
    cr_assert_eq(there(0, 22), 22);
    fill(100, 4); /* into what the other one has free */
    cr_assert_eq(there(0, 22), 22);
    pass(1500); /* it is dead */
    cr_assert_eq(core()->members.node_count, 1);
    cr_assert_eq(core()->evict.room_bytes, RIG_SEGMENT);
    end_close(other);
}

/* Values that lie elsewhere. */
static void pin_all_but_on(const struct end *e, unsigned count)
{
    uint64_t first = e->joined.segments[0].gva.v;
    for (unsigned i = 0; i < count; i++) {
        uint64_t at = object_of(alice, name_of(i))->one.gva.v;
        if (at < first || at >= first + RIG_SEGMENT)
            keep(alice, name_of(i), KEEP_PIN_HARD);
    }
}

/* Within the tick in which nothing was found that may go. */
Test(evict, node_back__looked_at_at_once)
{
    no_background();
    struct end *other = silent_node(28);
    pin_all_but_on(other, 28);
    cr_assert_eq(client_put(alice, "large", 6 * MIB, 0), CENOTE_NO_SPACE);
    other->holds_calls = false;
    while (other->call_count > 0)
        end_reply(other, other->calls[0].method, CENOTE_OK);
    cr_assert_eq(node_heartbeat(other, 1, RIG_SEGMENT), CENOTE_OK);
    cr_assert_eq(client_put(alice, "large", 6 * MIB, 0), CENOTE_OK);
}

/* The put that asked for it is none the worse. */
Test(evict, refused__tried_again)
{
    no_background();
    fill(0, 15);
    for (unsigned i = 1; i < 15; i++)
        keep(alice, name_of(i), KEEP_PIN_HARD);
    memstore_fail(world->store, 1, CENOTE_IO);
    cr_assert_eq(client_put(alice, "new", MIB, 0), CENOTE_OK);
    cr_assert_eq(there(0, 1), 0);
}

/* What was evicted first is being looked at, and isn't free before that is over. */
Test(evict, waiting__not_for_what_is_stuck)
{
    struct put_start_item item;
    no_background();
    fill(0, 15);
    for (unsigned i = 0; i < 4; i++)
        world_hold(world, object_of(alice, name_of(i))->one.gva);
    uint32_t msgid = client_put_start_send(alice, "new", 4 * MIB, 0);
    pass(100);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), 1);
    pass(3 * PUT_STUCK_MS);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), CENOTE_OK);
    cr_assert_eq(there(8, 7), 7);
    world->held_count = 0;
    pass(2000);
}

static void join_group(const char *key, const char *group)
{
    struct space *s = spaces_by_id(core(), alice->session.name_space);
    struct hash128 name = space_hash(s, group, strlen(group));
    cr_assert_eq(groups_join(&core()->evict.groups, object_of(alice, key), &name), CENOTE_OK);
}

Test(evict, group__all_or_none)
{
    no_background();
    fill(0, 6);
    for (unsigned i = 0; i < 3; i++)
        join_group(name_of(i), "a");
    for (unsigned i = 3; i < 6; i++)
        join_group(name_of(i), "b");
    keep(alice, "k4", KEEP_PIN_HARD);
    fill(6, 12);
    cr_assert_eq(there(0, 3), 0);
    cr_assert_eq(there(3, 3), 3);
    cr_assert_gt(evicted(EVICT_GROUP), 0);
    fill(20, 40);
    cr_assert_eq(there(3, 3), 3);
    cr_assert_eq(core()->evict.groups.count, 1);
}

Test(evict, ttl__runs_out)
{
    struct lookup_item item;
    fill(0, 2);
    struct evict_times times = {.expires = expire_stamp(core(), 600)};
    evict_keep(core(), object_of(alice, "k0"), times, KEEP_PIN_NONE);
    cr_assert_eq(client_lookup(bob, "k0", &item, NULL), CENOTE_OK);
    cr_assert(item.lease_ms >= 600 && item.lease_ms <= 600 + 2 * LEASE_UNIT_MS);
    world->now_ms += 800; /* no tick has seen it */
    cr_assert_eq(client_lookup(bob, "k0", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_not(client_exists(bob, "k0"));
    cr_assert_eq(client_put(alice, "k0", 100, 0), CENOTE_OK);
    pass(RIG_LEASE_MS);
    cr_assert_eq(there(0, 2), 2);
    times.expires = expire_stamp(core(), 300);
    evict_keep(core(), object_of(alice, "k1"), times, KEEP_PIN_HARD); /* a pin doesn't help */
    pass(1000);
    cr_assert_eq(evicted(EVICT_EXPIRED), 1);
    cr_assert_eq(there(0, 2), 1);
}

/* Pinned, so that nothing but its ttl ends it. */
static void pin_briefly(const char *key, uint64_t ttl_ms)
{
    struct evict_times times = {.expires = expire_stamp(core(), ttl_ms)};
    evict_keep(core(), object_of(alice, key), times, KEEP_PIN_HARD);
}

Test(evict, ttl__tried_again_when_the_store_refuses)
{
    fill(0, 1);
    pin_briefly("k0", 300);
    pass(200);
    memstore_fail(world->store, 1, CENOTE_IO);
    pass(300);
    cr_assert_eq(space_of(alice)->use.objects, 1);
    pass(2 * STORE_RETRY_MS);
    cr_assert_eq(space_of(alice)->use.objects, 0);
}

Test(evict, ttl__found_after_want_of_memory)
{
    fill(0, 2);
    pin_briefly("k0", 300);
    core()->evict.dues.count = 0; /* as if there had been no memory for it */
    core()->evict.dues_lost = true;
    pass(1000);
    cr_assert_eq(there(0, 2), 1);
    cr_assert_eq(space_of(alice)->use.objects, 1);
    cr_assert_not(core()->evict.dues_lost || core()->evict.dues_looked);
}

Test(evict, ttl__many_end_in_steps)
{
    const struct keep brief = {.ttl_ms = 300};
    for (unsigned i = 0; i < 3 * EVICT_STEP; i++)
        cr_assert_eq(client_put_kept(alice, name_of(i), 100, 0, &brief), CENOTE_OK);
    world->now_ms += 1000;
    service_tick(world->service);
    cr_assert_eq(evicted(EVICT_EXPIRED), EVICT_STEP);
    service_turn(world->service);
    cr_assert_eq(evicted(EVICT_EXPIRED), 2 * EVICT_STEP);
    world_run(world);
    cr_assert_eq(evicted(EVICT_EXPIRED), 3 * EVICT_STEP);
}

Test(evict, ttl__leases_of_an_earlier_life)
{
    const struct keep brief = {.ttl_ms = 300};
    cr_assert_eq(client_put_kept(alice, "k", 100, 0, &brief), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    rig_restart(0);
    uint64_t left_ms = core()->leased_until_ms - world->now_ms;
    cr_assert_gt(left_ms, 1000);
    pass(1000);
    cr_assert_eq(evicted(EVICT_EXPIRED), 0);
    cr_assert_not(client_exists(bob, "k"));
    pass(left_ms);
    cr_assert_eq(evicted(EVICT_EXPIRED), 1);
}

Test(evict, soft__ends)
{
    no_background();
    fill(0, 2);
    struct evict_times times = {.pinned_until = expire_stamp(core(), 500)};
    evict_keep(core(), object_of(alice, "k0"), times, KEEP_PIN_SOFT);
    fill(2, 30);
    cr_assert(client_exists(bob, "k0"));
    pass(1000);
    cr_assert_eq(object_of(alice, "k0")->pin, KEEP_PIN_NONE);
    fill(40, 40);
    cr_assert_not(client_exists(bob, "k0"));
}

/* Whoever lowers quotas doesn't stop the others, and no namespace waits for the first one. */
Test(evict, quota__lowered_in_steps)
{
    struct end *carol = client_open(world, "other");
    for (unsigned i = 0; i < 2 * EVICT_STEP; i++) {
        cr_assert_eq(client_put(alice, name_of(i), 100, 0), CENOTE_OK);
        cr_assert_eq(client_put(carol, name_of(i), 100, 0), CENOTE_OK);
    }
    space_of(alice)->settings.quota_objects = space_of(carol)->settings.quota_objects = 1;
    service_tick(world->service);
    cr_assert_eq(evicted(EVICT_QUOTA), EVICT_STEP);
    pass(SERVICE_TICK_MS);
    cr_assert_eq(space_of(alice)->use.objects, 1);
    cr_assert_eq(space_of(carol)->use.objects, 1);
}

Test(evict, quota__within_the_namespace)
{
    no_background();
    struct end *carol = client_open(world, "other");
    fill(0, 4);
    space_of(carol)->settings.quota_bytes = 3 * MIB + MIB / 2;
    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(client_put(carol, name_of(i), MIB, 0), CENOTE_OK);
    cr_assert_leq(space_of(carol)->use.bytes, 3 * MIB + MIB / 2);
    cr_assert_eq(evicted(EVICT_QUOTA), 17);
    cr_assert_eq(there(0, 4), 4);
    cr_assert_eq(client_put(carol, "large", 4 * MIB, 0), CENOTE_QUOTA);
    space_of(carol)->settings.quota_objects = 2;
    pass(200);
    cr_assert_eq(space_of(carol)->use.objects, 2);
    for (unsigned i = 0; i < 20; i++)
        if (object_of(carol, name_of(i)) != NULL)
            keep(carol, name_of(i), KEEP_PIN_HARD);
    cr_assert_eq(client_put(carol, "small", 100, 0), CENOTE_QUOTA);
    cr_assert_eq(client_put(alice, "small", 100, 0), CENOTE_OK);
}

Test(evict, fair__who_has_most_gives)
{
    no_background();
    struct end *carol = client_open(world, "other");
    fill(0, 15);
    for (unsigned i = 0; i < 60; i++)
        cr_assert_eq(client_put(carol, name_of(i), MIB, 0), CENOTE_OK);
    uint64_t own = space_of(carol)->use.bytes, others = space_of(alice)->use.bytes;
    cr_assert(own >= 6 * MIB && own <= 10 * MIB, "%llu", (unsigned long long)own);
    cr_assert(others >= 5 * MIB, "%llu", (unsigned long long)others);
}
