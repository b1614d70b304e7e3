/* SPDX-License-Identifier: Apache-2.0 */
/* Extents that somebody looks at: nobody waits for him, and nobody gets his space. */
#include "tests/unit/meta/meta_rig.h"

TestSuite(holds, .init = rig_up, .fini = rig_down);

#define LEN 100000u

/* Puts a value that somebody looks at. */
static struct gva hold(const char *key)
{
    struct stripe s;
    cr_assert_eq(client_put(alice, key, LEN, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, key, NULL, &s), CENOTE_OK);
    world_hold(world, s.gva[0]);
    return s.gva[0];
}

static uint64_t held(void)
{
    return rig_status("quarantine", "held_extents");
}

static uint64_t quarantined(void)
{
    return rig_status("quarantine", "extents");
}

Test(holds, remove__answers_at_once)
{
    struct gva extent = hold("k");
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(held(), 1);
    cr_assert_geq(rig_status("quarantine", "held_bytes"), LEN);
    rig_pass(20 * RIG_LEASE_MS);
    cr_assert_eq(quarantined(), 1);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 1);
    world_unhold(world, extent);
    rig_pass(1000);
    cr_assert_eq(held(), 0);
    cr_assert_eq(quarantined(), 0);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

Test(holds, commit_of_a_newer_value__does_not_wait)
{
    struct gva extent = hold("k");
    cr_assert_eq(client_put(alice, "k", LEN, PUT_START_REPLACE), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    cr_assert_eq(held(), 1);
    world_unhold(world, extent);
    rig_pass(3 * RIG_LEASE_MS);
    cr_assert_eq(quarantined(), 0);
}

/* The node is asked ever less often, and others of the same call aren't kept. */
Test(holds, one_of_many)
{
    struct gva extent = hold("held");
    for (int i = 0; i < 20; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%d", i);
        cr_assert_eq(client_put(alice, key, LEN, 0), CENOTE_OK);
        cr_assert_eq(client_remove(alice, key), CENOTE_OK);
    }
    cr_assert_eq(client_remove(alice, "held"), CENOTE_OK);
    rig_pass(3 * RIG_LEASE_MS);
    cr_assert_eq(quarantined(), 1);
    node->holds_calls = true;
    rig_pass(1000);
    cr_assert_eq(node->call_count, 1);
    for (unsigned calls = 0; node->call_count > 0; calls++) {
        cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
        cr_assert_eq(node->call_count, 0);
        rig_pass(500);
        cr_assert_leq(calls, 1);
    }
    node->holds_calls = false;
    world_unhold(world, extent);
    rig_pass(1000);
    cr_assert_eq(quarantined(), 0);
}

Test(holds, restart__is_asked_for_again)
{
    struct gva extent = hold("k");
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK);
    rig_restart(UINT32_MAX);
    rig_pass(500);
    cr_assert_eq(held(), 1);
    rig_pass(5 * RIG_LEASE_MS);
    cr_assert_eq(quarantined(), 1);
    world_unhold(world, extent);
    rig_pass(1000);
    cr_assert_eq(quarantined(), 0);
}

/* What has ended with its node is nobody's space. */
Test(holds, node_leaves)
{
    struct wire_buf b;
    (void)hold("k");
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK);
    cr_assert_eq(held(), 1);
    uint32_t left = end_request(node, &b, METHOD_NODE_LEAVE);
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(node, &b, left, NULL), CENOTE_OK);
    world_pass(world, 3 * RIG_LEASE_MS);
    cr_assert_eq(held(), 0);
    cr_assert_eq(quarantined(), 0);
}

/* A node that says nonsense is not believed: the extent waits. */
Test(holds, garbage__is_refused)
{
    (void)hold("k");
    node->answers_garbage = true;
    uint32_t msgid = client_remove_send(alice, "k");
    rig_pass(100);
    cr_assert_eq(client_remove_status(alice, msgid), 1);
    cr_assert_eq(quarantined(), 1);
    cr_assert_eq(held(), 0);
    node->answers_garbage = false;
    rig_pass(3000);
    cr_assert_eq(client_remove_status(alice, msgid), CENOTE_OK);
    cr_assert_eq(held(), 1);
}
