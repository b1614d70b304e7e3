/* SPDX-License-Identifier: Apache-2.0 */
/* What becomes of extents that a node has found damaged. */
#include "tests/unit/meta/meta_rig.h"

static struct end *other;

static void up(void)
{
    rig_up();
    other = node_up(world, "n2", 8, 1, RIG_SEGMENT);
}

TestSuite(damage, .init = up, .fini = rig_down);

static int tell(struct end *e, uint64_t put_id, struct gva gva)
{
    struct wire_buf b;
    uint32_t msgid = end_request(e, &b, METHOD_EXTENT_DAMAGED);
    extent_damaged_params_put(&b, put_id, gva);
    return end_ask(e, &b, msgid, NULL);
}

static struct lookup_item found;
static struct stripe stripes[STRIPES_MAX];

static struct end *node_of(struct gva gva)
{
    return gva_covers(node->joined.segments[0].gva, RIG_SEGMENT, gva, 1) ? node : other;
}

static void put_two(void)
{
    struct put_start_item item;
    uint8_t states[2] = {EXTENT_VISIBLE, EXTENT_VISIBLE};
    cr_assert_eq(client_put_start(alice, "key", 1000, put_start_flags(false, 2), &item, NULL),
                 CENOTE_OK);
    uint32_t msgid = client_end_send(alice, METHOD_PUT_COMMIT, &item, states, 2);
    world_run(world);
    cr_assert_eq(client_commit_status(alice, msgid), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "key", &found, stripes), CENOTE_OK);
    cr_assert_eq(stripes[0].replicas, 2);
}

static void pass(uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += 100) {
        world_pass(world, 100);
        (void)node_heartbeat(node, 1, RIG_SEGMENT);
        (void)node_heartbeat(other, 1, RIG_SEGMENT);
    }
}

Test(damage, one_of_two__the_other_stays)
{
    put_two();
    struct gva bad = stripes[0].gva[1], good = stripes[0].gva[0];
    uint64_t put_id = found.put_id;
    cr_assert_eq(tell(node_of(bad), put_id, bad), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "key", &found, stripes), CENOTE_OK);
    cr_assert(found.put_id == put_id && stripes[0].replicas == 1);
    cr_assert_eq(stripes[0].gva[0].v, good.v);
    cr_assert_eq(rig_status("quarantine", "extents"), 1); /* somebody may read it still */
    pass(RIG_LEASE_MS * 2);
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
    cr_assert_eq(rig_status("damage", "dropped_replicas"), 1);
    cr_assert_eq(tell(node_of(bad), put_id, bad), CENOTE_OK); /* late: it is gone */
    cr_assert_eq(rig_status("damage", "extents"), 1);
    cr_assert_eq(tell(node_of(good), put_id, good), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "key", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(rig_status("damage", "lost_objects"), 1);
}

Test(damage, not_stored__nothing_changes)
{
    put_two();
    struct gva bad = stripes[0].gva[0];
    memstore_fail(world->store, 1, CENOTE_IO);
    (void)tell(node_of(bad), found.put_id, bad);
    world_run(world);
    cr_assert_eq(client_lookup(bob, "key", &found, stripes), CENOTE_OK);
    cr_assert_eq(stripes[0].replicas, 2);
    cr_assert_eq(tell(node_of(bad), found.put_id, bad), CENOTE_OK); /* again, with success */
    cr_assert_eq(client_lookup(bob, "key", &found, stripes), CENOTE_OK);
    cr_assert_eq(stripes[0].replicas, 1);
}

Test(damage, of_another_node_or_put__nothing)
{
    put_two();
    struct gva bad = stripes[0].gva[0];
    struct end *wrong = node_of(bad) == node ? other : node;
    cr_assert_eq(tell(wrong, found.put_id, bad), CENOTE_OK);
    cr_assert_eq(tell(node_of(bad), found.put_id + 2, bad), CENOTE_OK);
    cr_assert_eq(tell(node_of(bad), found.put_id, gva_add(bad, 16)), CENOTE_OK);
    cr_assert_eq(tell(alice, found.put_id, bad), CENOTE_NODE_UNKNOWN);
    cr_assert_eq(client_lookup(bob, "key", &found, stripes), CENOTE_OK);
    cr_assert_eq(stripes[0].replicas, 2);
    cr_assert_eq(rig_status("damage", "extents"), 0);
}

Test(damage, while_it_is_removed__not_now)
{
    put_two();
    struct wire_buf b;
    struct gva bad = stripes[0].gva[0];
    uint32_t removing = client_remove_send(alice, "key");
    uint32_t msgid = end_request(node_of(bad), &b, METHOD_EXTENT_DAMAGED);
    extent_damaged_params_put(&b, found.put_id, bad);
    cr_assert_eq(end_ask(node_of(bad), &b, msgid, NULL), CENOTE_LIMIT);
    pass(RIG_LEASE_MS * 2);
    cr_assert_eq(client_remove_status(alice, removing), CENOTE_OK);
}

static uint32_t tell_send(struct end *e, uint64_t put_id, struct gva gva)
{
    struct wire_buf b;
    uint32_t msgid = end_request(e, &b, METHOD_EXTENT_DAMAGED);
    extent_damaged_params_put(&b, put_id, gva);
    end_send(e, &b);
    return msgid;
}

static uint32_t leave_send(struct end *e)
{
    struct wire_buf b;
    uint32_t msgid = end_request(e, &b, METHOD_NODE_LEAVE);
    wire_put_array(&b, 0);
    end_send(e, &b);
    return msgid;
}

/* The replica's own way out, and the end of its incarnation, in either order. */
Test(damage, while_its_node_leaves)
{
    put_two();
    struct gva bad = stripes[0].gva[1], good = stripes[0].gva[0];
    (void)tell_send(node_of(bad), found.put_id, bad);
    (void)leave_send(node_of(bad));
    world_run(world);
    cr_assert_eq(client_lookup(bob, "key", &found, stripes), CENOTE_OK);
    cr_assert(stripes[0].replicas == 1 && stripes[0].gva[0].v == good.v);
    pass(RIG_LEASE_MS * 2);
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
}

Test(damage, told_while_its_node_leaves)
{
    put_two();
    struct gva bad = stripes[0].gva[1], good = stripes[0].gva[0];
    (void)leave_send(node_of(bad));
    (void)tell_send(node_of(bad), found.put_id, bad);
    world_run(world);
    cr_assert_eq(client_lookup(bob, "key", &found, stripes), CENOTE_OK);
    cr_assert(stripes[0].replicas == 1 && stripes[0].gva[0].v == good.v);
    pass(RIG_LEASE_MS * 2);
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
}

/* It was scrubbed to its end by a node that has been declared dead since, and is back as a new one.
 */
Test(damage, of_an_incarnation_that_has_ended__nothing)
{
    put_two();
    struct gva bad = gva_covers(other->joined.segments[0].gva, RIG_SEGMENT, stripes[0].gva[1], 1)
                         ? stripes[0].gva[1]
                         : stripes[0].gva[0];
    uint64_t put_id = found.put_id;
    end_close(other);
    rig_pass(RIG_DEAD_MS + 1000);
    other = node_up(world, "n2", 9, 1, RIG_SEGMENT);
    cr_assert_neq(other->joined.segments[0].gva.v, bad.v);
    cr_assert_eq(tell(other, put_id, bad), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "key", &found, stripes), CENOTE_OK);
    cr_assert(found.put_id == put_id && stripes[0].replicas == 1);
    cr_assert_eq(rig_status("damage", "extents"), 0);
}

/* Durable, and nobody has heard of it. */
Test(damage, restart__the_replica_stays_away)
{
    put_two();
    struct wire_buf b;
    struct gva bad = stripes[0].gva[1];
    struct end *e = node_of(bad);
    uint64_t second = other->joined.segments[0].incarnation;
    (void)end_request(e, &b, METHOD_EXTENT_DAMAGED);
    extent_damaged_params_put(&b, found.put_id, bad);
    end_send(e, &b);
    world_crash(world, 1);
    cr_assert_eq(world_start(world), CENOTE_OK);
    cr_assert_eq(service_check(world->service), 0);
    int status;
    struct node_join_params p = node_params("n1", 7, 1, RIG_SEGMENT);
    p.segments[0].incarnation = node->joined.segments[0].incarnation;
    node = node_join(world, &p, &status);
    cr_assert_eq(status, CENOTE_OK);
    p = node_params("n2", 8, 1, RIG_SEGMENT);
    p.segments[0].incarnation = second;
    other = node_join(world, &p, &status);
    cr_assert_eq(status, CENOTE_OK);
    pass(RIG_LEASE_MS * 3);
    alice = client_open(world, "default");
    bob = client_open(world, "default");
    cr_assert_eq(client_lookup(bob, "key", &found, stripes), CENOTE_OK);
    cr_assert_eq(stripes[0].replicas, 1);
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
}
