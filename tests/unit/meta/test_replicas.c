/* SPDX-License-Identifier: Apache-2.0 */
/* Puts with replicas: where they are placed, what a commit drops, what survives a node. */
#include "tests/unit/meta/meta_rig.h"

#define TWO put_start_flags(false, 2)

static struct end *second, *third;
static struct put_start_item item;
static struct stripe granted[STRIPES_MAX];
static struct lookup_item found;
static struct stripe located[STRIPES_MAX];

static void up(void)
{
    rig_up();
    second = node_up(world, "n2", 8, 1, RIG_SEGMENT);
}

TestSuite(replicas, .init = up, .fini = rig_down);

/* Both nodes' hearts beat. */
static void pass(uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += 100) {
        rig_pass(100);
        cr_assert_eq(node_heartbeat(second, 1, RIG_SEGMENT), CENOTE_OK);
    }
}

static bool on(const struct end *n, struct gva gva)
{
    return gva_covers(n->joined.segments[0].gva, RIG_SEGMENT, gva, 1);
}

static int start(const char *key, uint64_t len, unsigned flags)
{
    return client_put_start(alice, key, len, flags, &item, granted);
}

/* Replica 0 is that of the first node, whichever place it has in the answer. */
static int commit(enum extent_state first, enum extent_state other)
{
    uint8_t states[2 * STRIPES_MAX];
    for (uint32_t i = 0; i < item.stripe_count; i++) {
        bool swapped = !on(node, granted[i].gva[0]);
        states[2 * i] = (uint8_t)(swapped ? other : first);
        states[2 * i + 1] = (uint8_t)(swapped ? first : other);
    }
    uint32_t msgid =
        client_end_send(alice, METHOD_PUT_COMMIT, &item, states, 2 * item.stripe_count);
    world_run(world);
    return client_commit_status(alice, msgid);
}

static uint32_t replicas_of(const char *key)
{
    return client_lookup(bob, key, &found, located) == CENOTE_OK ? located[0].replicas : 0;
}

static uint64_t used_bytes(void)
{
    return rig_status("capacity", "used_bytes");
}

Test(replicas, on_different_nodes)
{
    for (int i = 0; i < 20; i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%d", i);
        cr_assert_eq(start(key, 100000, TWO), CENOTE_OK);
        cr_assert_eq(granted[0].replicas, 2);
        cr_assert_neq(on(node, granted[0].gva[0]), on(node, granted[0].gva[1]));
        cr_assert_neq(granted[0].grant[0].boot, granted[0].grant[1].boot);
        cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_VISIBLE), CENOTE_OK);
        cr_assert_eq(replicas_of(key), 2);
        cr_assert_eq(located[0].root, item.put_id);
    }
}

/* Begins a put of 9 MiB for which no node has contiguous space. */
static void start_striped(void)
{
    static const char *const keys[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(start(keys[i], 5 * MIB, TWO), CENOTE_OK);
        cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_VISIBLE), CENOTE_OK);
    }
    cr_assert_eq(client_remove(alice, "a"), CENOTE_OK);
    cr_assert_eq(client_remove(alice, "c"), CENOTE_OK);
    cr_assert_eq(start("rest", 9 * MIB, TWO), CENOTE_OK);
    cr_assert_gt(item.stripe_count, 1);
}

Test(replicas, stripes_share_their_boundaries)
{
    uint64_t offset = 0;
    start_striped();
    for (uint32_t i = 0; i < item.stripe_count; i++) {
        cr_assert_eq(granted[i].offset, offset);
        cr_assert_neq(on(node, granted[i].gva[0]), on(node, granted[i].gva[1]));
        offset += granted[i].payload_len;
    }
    cr_assert_eq(offset, 9 * MIB);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "rest", &found, located), CENOTE_OK);
    cr_assert_eq(located[1].root, item.put_id + 1);
}

Test(replicas, too_few_nodes__nothing_is_taken)
{
    cr_assert_eq(start("k", 100, put_start_flags(false, 3)), CENOTE_NO_NODES);
    cr_assert_eq(start("k", 100, put_start_flags(false, REPLICAS_MAX + 1)), CENOTE_LIMIT);
    cr_assert_eq(start("k", 17 * MIB, TWO), CENOTE_VALUE_SIZE);
    cr_assert_eq(start("k", 16 * MIB, TWO), CENOTE_NO_SPACE);
    cr_assert_eq(used_bytes(), 0);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

static struct end *zoned(const char *name, uint64_t boot, const char *zone)
{
    int status;
    struct node_join_params p = node_params(name, boot, 1, RIG_SEGMENT);
    snprintf(p.zone, sizeof(p.zone), "%s", zone);
    struct end *n = node_join(world, &p, &status);
    cr_assert_eq(status, CENOTE_OK);
    cr_assert_eq(node_heartbeat(n, 1, RIG_SEGMENT), CENOTE_OK);
    return n;
}

Test(replicas, different_zones_first)
{
    struct end *east[2];
    world_free(world);
    rig_up();
    end_close(node); /* the zoneless one is away */
    east[0] = zoned("e1", 11, "east");
    east[1] = zoned("e2", 12, "east");
    node = zoned("w1", 13, "west");
    for (int i = 0; i < 10; i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%d", i);
        cr_assert_eq(start(key, MIB, TWO), CENOTE_OK);
        cr_assert(on(node, granted[0].gva[0]) || on(node, granted[0].gva[1]));
        cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_VISIBLE), CENOTE_OK);
    }
    /* The west is nearly full: better in one zone than not at all. */
    cr_assert_eq(start("k", 8 * MIB, TWO), CENOTE_OK);
    cr_assert(!on(node, granted[0].gva[0]) && !on(node, granted[0].gva[1]));
    cr_assert_neq(on(east[0], granted[0].gva[0]), on(east[0], granted[0].gva[1]));
}

Test(replicas, drained__dropped_and_freed)
{
    uint64_t used = used_bytes();
    cr_assert_eq(start("k", 100000, TWO), CENOTE_OK);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_DRAINED), CENOTE_OK);
    cr_assert_eq(replicas_of("k"), 1);
    cr_assert(on(node, located[0].gva[0]));
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 1);
    uint64_t one = used_bytes() - used;
    cr_assert_eq(client_put(alice, "other", 100000, 0), CENOTE_OK);
    cr_assert_eq(used_bytes() - used, 2 * one);
}

/* The fence goes up to the put and no younger one; the object is read meanwhile. */
Test(replicas, unknown__fenced_while_the_object_lives)
{
    struct put_start_item younger;
    struct fence_params fence;
    second->holds_calls = true;
    cr_assert_eq(start("k", 100000, TWO), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "younger", 10, 0, &younger, NULL), CENOTE_OK);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_UNKNOWN), CENOTE_OK);
    cr_assert_eq(second->call_count, 1);
    cr_assert_str_eq(second->calls[0].method, METHOD_FENCE);
    cr_assert(fence_params_get(second->calls[0].msg.params, &fence));
    cr_assert_eq(fence.session, alice->session.session);
    cr_assert(fence.horizon >= item.put_id && fence.horizon < younger.put_id);
    cr_assert_eq(client_commit(alice, &younger, EXTENT_VISIBLE), CENOTE_OK);
    pass(60000);
    cr_assert_eq(replicas_of("k"), 1);
    cr_assert(on(node, located[0].gva[0]));
    cr_assert_eq(rig_status("quarantine", "extents"), 1);
    cr_assert(end_reply(second, METHOD_FENCE, CENOTE_OK));
    cr_assert(end_reply(second, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
    cr_assert_eq(replicas_of("k"), 1);
}

/* Older puts of the session learn from the node that it takes nothing more of them. */
Test(replicas, unknown__older_puts_go_on)
{
    struct put_start_item older;
    cr_assert_eq(client_put_start(alice, "older", 10, 0, &older, NULL), CENOTE_OK);
    cr_assert_eq(start("k", 100000, TWO), CENOTE_OK);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_UNKNOWN), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &older, EXTENT_VISIBLE), CENOTE_OK);
}

Test(replicas, none_left__aborted)
{
    cr_assert_eq(start("k", 100000, TWO), CENOTE_OK);
    cr_assert_eq(commit(EXTENT_DRAINED, EXTENT_UNKNOWN), CENOTE_ABORTED);
    cr_assert_eq(replicas_of("k"), 0);
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

/* Other replicas of different stripes survive: that is enough. */
Test(replicas, each_stripe_by_itself)
{
    uint8_t states[2 * STRIPES_MAX];
    start_striped();
    memset(states, EXTENT_DRAINED, sizeof(states));
    for (uint32_t i = 0; i < item.stripe_count; i++)
        states[2 * i + i % 2] = EXTENT_VISIBLE;
    uint32_t msgid =
        client_end_send(alice, METHOD_PUT_COMMIT, &item, states, 2 * item.stripe_count);
    world_run(world);
    cr_assert_eq(client_commit_status(alice, msgid), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "rest", &found, located), CENOTE_OK);
    for (uint32_t i = 0; i < found.stripe_count; i++) {
        cr_assert_eq(located[i].replicas, 1);
        cr_assert_eq(located[i].gva[0].v, granted[i].gva[i % 2].v);
    }
}

Test(replicas, a_stripe_without_any)
{
    uint8_t states[2 * STRIPES_MAX] = {EXTENT_VISIBLE};
    start_striped();
    states[2 * item.stripe_count - 2] = states[2 * item.stripe_count - 1] = EXTENT_DRAINED;
    uint32_t msgid =
        client_end_send(alice, METHOD_PUT_COMMIT, &item, states, 2 * item.stripe_count);
    world_run(world);
    cr_assert_eq(client_commit_status(alice, msgid), CENOTE_ABORTED);
    cr_assert_eq(replicas_of("rest"), 0);
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
}

/* The store refuses: the put is pending with all of its extents, and is committed by a retry. */
Test(replicas, refused_by_the_store)
{
    cr_assert_eq(start("k", 100000, TWO), CENOTE_OK);
    memstore_fail(world->store, 1, CENOTE_META_FULL);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_DRAINED), CENOTE_META_FULL);
    cr_assert_eq(service_check(world->service), 0);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(replicas_of("k"), 2);
}

Test(replicas, wrong_counts)
{
    cr_assert_eq(start("k", 100, TWO), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_INVALID);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_VISIBLE), CENOTE_OK);
}

/* A node dies: the object lives on, until the other one dies too. */
Test(replicas, sweep__lives_as_long_as_each_stripe_has_one)
{
    cr_assert_eq(start("k", 100000, TWO), CENOTE_OK);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(start("kept", 100000, TWO), CENOTE_OK); /* pending when the node dies */
    end_close(second);
    rig_pass(RIG_DEAD_MS + 500);
    cr_assert_eq(replicas_of("k"), 1);
    cr_assert(on(node, located[0].gva[0]));
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_UNKNOWN), CENOTE_OK);
    cr_assert_eq(replicas_of("kept"), 1);
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
    cr_assert_eq(service_check(world->service), 0);
    third = node_up(world, "n3", 9, 1, RIG_SEGMENT);
    end_close(node);
    node = third;
    rig_pass(RIG_DEAD_MS + 500);
    cr_assert_eq(replicas_of("k"), 0);
    rig_pass(2 * RIG_LEASE_MS);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

/* What a dead node holds may still be read from the other side of a split: a remove waits. */
Test(replicas, remove__waits_for_readers_of_a_lost_replica)
{
    cr_assert_eq(start("k", 100000, TWO), CENOTE_OK);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_VISIBLE), CENOTE_OK);
    end_close(second);
    rig_pass(RIG_DEAD_MS - 200);
    cr_assert_eq(replicas_of("k"), 2); /* with a lease */
    rig_pass(400);
    uint32_t msgid = client_remove_send(alice, "k");
    world_run(world);
    cr_assert_eq(client_remove_status(alice, msgid), 1);
    rig_pass(2 * RIG_LEASE_MS);
    cr_assert_eq(client_remove_status(alice, msgid), CENOTE_OK);
}

/* A remove voids all of them; one that was dropped at the commit makes nobody wait. */
Test(replicas, remove__all_and_at_once)
{
    cr_assert_eq(start("k", 100000, TWO), CENOTE_OK);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(start("one", 100000, TWO), CENOTE_OK);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_DRAINED), CENOTE_OK);
    cr_assert_eq(replicas_of("k") + replicas_of("one"), 3);
    node->holds_calls = second->holds_calls = true;
    uint32_t msgid = client_remove_send(alice, "one");
    world_run(world);
    cr_assert_eq(client_remove_status(alice, msgid), 1);
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    cr_assert_eq(client_remove_status(alice, msgid), CENOTE_OK);
    cr_assert_eq(second->call_count, 0);
    msgid = client_remove_send(alice, "k");
    world_run(world);
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    cr_assert_eq(client_remove_status(alice, msgid), 1);
    cr_assert(end_reply(second, METHOD_VOID, CENOTE_OK));
    cr_assert_eq(client_remove_status(alice, msgid), CENOTE_OK);
    pass(2 * RIG_LEASE_MS);
    cr_assert_eq(used_bytes(), 0);
}

static void second_comes_back(void)
{
    int status;
    struct node_join_params p = node_params("n2", 8, 1, RIG_SEGMENT);
    p.segments[0].incarnation = second->joined.segments[0].incarnation;
    end_close(second);
    second = node_join(world, &p, &status);
    cr_assert_eq(status, CENOTE_OK);
}

/* A restart between commit and fence: the object is there without the replica, which is fenced. */
Test(replicas, recovery__of_a_dropped_replica)
{
    node->holds_calls = second->holds_calls = true;
    cr_assert_eq(start("k", 100000, TWO), CENOTE_OK);
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_UNKNOWN), CENOTE_OK);
    rig_restart(0);
    cr_assert_eq(replicas_of("k"), 1);
    cr_assert_eq(rig_status("quarantine", "extents"), 1);
    second_comes_back();
    world_run(world);
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
    cr_assert_eq(service_check(world->service), 0);
    cr_assert_eq(replicas_of("k"), 1);
}

/* A put that was pending at a restart is committed with what is left of it. */
Test(replicas, recovery__of_a_pending_put)
{
    cr_assert_eq(start("k", 100000, TWO), CENOTE_OK);
    rig_restart(0);
    second_comes_back();
    cr_assert_eq(commit(EXTENT_VISIBLE, EXTENT_UNKNOWN), CENOTE_OK);
    cr_assert_eq(replicas_of("k"), 1);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK); /* a lost answer */
    rig_restart(0);
    cr_assert_eq(replicas_of("k"), 1);
}
