/* SPDX-License-Identifier: Apache-2.0 */
/* What readers may still hold, when an object is removed or replaced. */
#include "tests/unit/meta/meta_rig.h"

TestSuite(removes, .init = rig_up, .fini = rig_down);

Test(removes, not_leased__answers_when_durable)
{
    node->holds_calls = true;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    uint32_t msgid = client_remove_send(alice, "k");
    cr_assert(client_exists(bob, "k")); /* not durable yet */
    world_run(world);
    cr_assert_eq(client_remove_status(alice, msgid), CENOTE_OK);
    cr_assert_not(client_exists(bob, "k"));
}

Test(removes, leased__answers_when_void)
{
    node->holds_calls = true;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    uint32_t msgid = client_remove_send(alice, "k");
    uint32_t again = client_remove_send(bob, "k");
    world_run(world);
    cr_assert_eq(client_remove_status(alice, msgid), 1);
    cr_assert_eq(client_remove_status(bob, again), 1);
    /* Bob may still find it by his lease: so nobody is told that it is gone. */
    uint32_t seen = client_lookup_send(alice, "k");
    world_run(world);
    cr_assert_eq(client_lookup_status(alice, seen), 1);
    cr_assert(client_exists(alice, "k"));
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(client_lookup_status(alice, seen), CENOTE_NOT_FOUND);
    cr_assert_not(client_exists(alice, "k"));
    cr_assert_eq(client_remove_status(alice, msgid), CENOTE_OK);
    cr_assert_eq(client_remove_status(bob, again), CENOTE_NOT_FOUND);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 1); /* the lease is not over */
    rig_pass(RIG_LEASE_MS + 500);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

Test(removes, leased__answers_when_the_lease_is_over)
{
    node->holds_calls = true;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    uint32_t msgid = client_remove_send(alice, "k");
    rig_pass(RIG_LEASE_MS - 200);
    cr_assert_eq(client_remove_status(alice, msgid), 1);
    rig_pass(700);
    cr_assert_eq(client_remove_status(alice, msgid), CENOTE_OK);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 1); /* the seal isn't void */
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

/* A miss after the death of a node is allowed: nobody waits for what is lost. */
Test(removes, leased__lost_is_missed_at_once)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    struct wire_buf b;
    uint32_t left = end_request(node, &b, METHOD_NODE_LEAVE);
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(node, &b, left, NULL), CENOTE_OK);
    world_pass(world, 200); /* swept */
    cr_assert_eq(client_lookup(alice, "k", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_not(client_exists(alice, "k"));
}

/* Whoever missed it is not told that it was there after all. */
Test(removes, lost__is_not_found)
{
    struct wire_buf b;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    uint32_t left = end_request(node, &b, METHOD_NODE_LEAVE);
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(node, &b, left, NULL), CENOTE_OK);
    cr_assert_eq(client_lookup(alice, "k", NULL, NULL), CENOTE_NOT_FOUND); /* not swept yet */
    cr_assert_eq(client_remove(alice, "k"), CENOTE_NOT_FOUND);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

Test(removes, on_the_way__is_found_by_lookups)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    memstore_fail(world->store, 1, CENOTE_META_FULL);
    uint32_t msgid = client_remove_send(alice, "k");
    uint32_t seen = client_lookup_send(bob, "k");
    cr_assert_eq(client_lookup_status(bob, seen), CENOTE_OK);
    world_run(world);
    cr_assert_eq(client_remove_status(alice, msgid), CENOTE_META_FULL);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
}

Test(removes, leased__newer_put_is_shown_afterwards)
{
    node->holds_calls = true;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    uint32_t removed = client_remove_send(alice, "k");
    world_run(world);
    struct put_start_item item;
    cr_assert_eq(client_put_start(alice, "k", 300, 0, &item, NULL), CENOTE_OK);
    uint32_t committed = client_commit_send(alice, &item, EXTENT_VISIBLE);
    uint32_t seen = client_lookup_send(bob, "k");
    world_run(world);
    cr_assert_eq(client_commit_status(alice, committed), 1);
    uint32_t waits = client_lookup_send(bob, "k");
    world_run(world);
    cr_assert_eq(client_lookup_status(bob, seen), 1);
    cr_assert_eq(client_lookup_status(bob, waits), 1);
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(client_remove_status(alice, removed), CENOTE_OK);
    cr_assert_eq(client_commit_status(alice, committed), CENOTE_OK);
    cr_assert_eq(client_lookup_status(bob, seen), CENOTE_OK);
    cr_assert_eq(client_lookup_status(bob, waits), CENOTE_OK);
}

Test(removes, replace__old_or_new_but_never_neither)
{
    struct put_start_item item;
    struct lookup_item found;
    node->holds_calls = true;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "k", 300, PUT_START_REPLACE, &item, NULL), CENOTE_OK);
    uint32_t committed = client_commit_send(alice, &item, EXTENT_VISIBLE);
    uint32_t before = client_lookup_send(bob, "k");
    cr_assert_eq(client_lookup_status(bob, before), CENOTE_OK); /* the old one */
    world_run(world);
    uint32_t during = client_lookup_send(bob, "k");
    world_run(world);
    cr_assert_eq(client_lookup_status(bob, during), 1);
    cr_assert_eq(client_commit_status(alice, committed), 1);
    cr_assert(client_exists(bob, "k"));
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(client_commit_status(alice, committed), CENOTE_OK);
    cr_assert_eq(client_lookup_status(bob, during), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", &found, NULL), CENOTE_OK);
    cr_assert_eq(found.len_bytes, 300);
}

Test(removes, replace__two_at_once_in_order_of_commit)
{
    struct put_start_item first, second;
    struct lookup_item found;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "k", 200, PUT_START_REPLACE, &first, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(bob, "k", 300, PUT_START_REPLACE, &second, NULL), CENOTE_OK);
    uint32_t later = client_commit_send(bob, &second, EXTENT_VISIBLE);
    uint32_t last = client_commit_send(alice, &first, EXTENT_VISIBLE);
    uint32_t gone = client_remove_send(bob, "k");
    world_run(world);
    cr_assert_eq(client_commit_status(bob, later), CENOTE_OK);
    cr_assert_eq(client_commit_status(alice, last), CENOTE_OK);
    cr_assert_eq(client_remove_status(bob, gone), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", &found, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

Test(removes, store_refuses)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    memstore_fail(world->store, 1, CENOTE_IO);
    cr_assert_eq(client_remove(alice, "k"), CENOTE_IO);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    memstore_fail(world->store, 1, CENOTE_IO);
    struct put_start_item item;
    cr_assert_eq(client_remove(alice, "k"), CENOTE_IO);
    cr_assert_eq(client_put_start(alice, "k", 1, PUT_START_REPLACE, &item, NULL), CENOTE_OK);
    memstore_fail(world->store, 1, CENOTE_IO);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_IO);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
}

Test(removes, deleting_the_record_fails__is_tried_again)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    node->holds_calls = true;
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK);
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    memstore_fail(world->store, 1, CENOTE_IO);
    world_run(world);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 1);
    rig_pass(200);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
    cr_assert_eq(rig_status("capacity", "used_bytes"), 0);
}

Test(removes, exists_and_stat_take_no_lease)
{
    struct wire_buf b;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    node->holds_calls = true;
    cr_assert(client_exists(bob, "k"));
    uint32_t msgid = end_request(bob, &b, METHOD_STAT);
    keys_params_put(&b, 1);
    wire_put_bin(&b, "k", 1);
    cr_assert_eq(end_ask(bob, &b, msgid, NULL), CENOTE_OK);
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK);
}

/* In the life before, the remove was answered: its key is not there, and whoever asks is told so as
 * soon as that is known again. */
Test(removes, exists__does_not_come_back_with_a_restart)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    node->holds_calls = true;
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK); /* not looked up: there is no lease */
    cr_assert_not(client_exists(bob, "k"));
    rig_restart(1);
    node->holds_calls = true;
    struct wire_buf b;
    uint32_t msgid = end_request(bob, &b, METHOD_EXISTS);
    keys_params_put(&b, 1);
    wire_put_bin(&b, "k", 1);
    end_send(bob, &b);
    world_run(world);
    cr_assert_null(end_answer(bob, msgid));
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_not(client_exists(bob, "k"));
}

/* The other seals become void all the same. */
Test(removes, void__of_one_extent_is_refused_for_ever)
{
    char key[8];
    unsigned calls = 0;
    node->holds_calls = true;
    for (int n = 0; n < 9; n++) {
        snprintf(key, sizeof(key), "k%d", n);
        cr_assert_eq(client_put(alice, key, 100, 0), CENOTE_OK);
    }
    for (int n = 0; n < 9; n++) {
        snprintf(key, sizeof(key), "k%d", n);
        client_remove_send(alice, key);
    }
    world_run(world);
    for (; rig_status("quarantine", "extents") > 1 && calls < 40; calls++) {
        struct gva gva;
        uint64_t len, reign;
        uint32_t count;
        struct wire_value extents;
        cr_assert_eq(node->call_count, 1);
        cr_assert(void_params_get(node->calls[0].msg.params, &reign, &count, &extents));
        bool bad = false;
        for (uint32_t i = 0; i < count; i++) {
            cr_assert(void_extent_get(wire_at(extents, i), &gva, &len));
            bad = bad || gva.v == node->joined.segments[0].gva.v; /* of the first object */
        }
        end_reply(node, METHOD_VOID, bad ? CENOTE_BAD_RANGE : CENOTE_OK);
        rig_pass(1100);
    }
    cr_assert_eq(rig_status("quarantine", "extents"), 1);
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
}
