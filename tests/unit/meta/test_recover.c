/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/record.h"
#include "meta/core/sessions.h"
#include "meta/service/peer.h"
#include "tests/unit/meta/meta_rig.h"

TestSuite(recover, .init = rig_up, .fini = rig_down);

static struct put_start_item item;

Test(recover, put_ids__never_come_back)
{
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &item, EXTENT_DRAINED), CENOTE_OK);
    uint64_t before = item.put_id;
    rig_restart(0);
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_gt(item.put_id, before);
}

/* Two services have begun with copies of one database: the reign is the same, the names aren't, and
 * a client of one can't go on with the other as somebody else. */
Test(recover, twins__give_different_names)
{
    uint64_t ids[2], versions[2];
    struct memstore *copy = memstore_copy(world->store, 0);
    for (unsigned i = 0; i < 2; i++) {
        world_crash(world, 0);
        if (i == 1) {
            memstore_free(world->store);
            world->store = copy;
        }
        cr_assert_eq(world_start(world), CENOTE_OK);
        struct core *c = &world->service->core;
        cr_assert_eq(c->ids.reign, 2);
        ids[i] = ids_next(&c->ids);
        versions[i] = c->members.map_version;
    }
    uint64_t apart = ids[0] < ids[1] ? ids[1] - ids[0] : ids[0] - ids[1];
    cr_assert_gt(apart, UINT64_C(1) << 24);
    cr_assert_neq(versions[0], versions[1]);
}

Test(recover, committed__is_found_before_the_node_is_back)
{
    struct lookup_item found;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    world_crash(world, 0);
    cr_assert_eq(world_start(world), CENOTE_OK);
    alice = client_open(world, "default");
    cr_assert_eq(client_lookup(alice, "k", &found, NULL), CENOTE_OK);
    world_pass(world, RIG_DEAD_MS + 500); /* and not any more when it doesn't come */
    cr_assert_eq(client_lookup(alice, "k", &found, NULL), CENOTE_NOT_FOUND);
}

Test(recover, commit__in_flight_is_all_or_nothing)
{
    for (unsigned applied = 0; applied < 2; applied++) {
        const char *key = applied == 0 ? "a" : "b";
        cr_assert_eq(client_put_start(alice, key, 100, 0, &item, NULL), CENOTE_OK);
        client_commit_send(alice, &item, EXTENT_VISIBLE);
        rig_restart(applied);
        cr_assert_eq(client_lookup(bob, key, NULL, NULL), applied ? CENOTE_OK : CENOTE_NOT_FOUND);
        cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK); /* said again */
        cr_assert_eq(client_lookup(bob, key, NULL, NULL), CENOTE_OK);
    }
}

Test(recover, start__in_flight_is_pending_or_nothing)
{
    for (unsigned applied = 0; applied < 2; applied++) {
        struct wire_buf b;
        end_request(alice, &b, METHOD_PUT_START);
        put_start_params_put(&b, ++alice->seq, 0, 1);
        put_start_key_put(&b, "k", 1, 100);
        end_send(alice, &b);
        rig_restart(applied);
        cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), applied);
    }
    rig_pass(RIG_TIMEOUT_MS + 500); /* nobody knows it: it is fenced some day */
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

Test(recover, remove__in_flight_is_all_or_nothing)
{
    for (unsigned applied = 0; applied < 2; applied++) {
        cr_assert_eq(client_put(alice, "k", 100, 0), applied == 0 ? CENOTE_OK : CENOTE_EXISTS);
        client_remove_send(alice, "k");
        rig_restart(applied);
        cr_assert_eq(client_lookup(bob, "k", NULL, NULL), applied ? CENOTE_NOT_FOUND : CENOTE_OK);
    }
}

Test(recover, removed__is_leased_after_the_start)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    node->holds_calls = true;
    client_remove_send(alice, "k");
    world_run(world);
    rig_restart(0);
    node->holds_calls = false;
    world_run(world);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 1); /* void, but leased */
    rig_pass(RIG_LEASE_MS + 500);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

Test(recover, removed__shorter_leases_configured)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    world->options.lease_ms = 10;
    rig_restart(0);
    uint32_t msgid = client_remove_send(alice, "k");
    world_run(world); /* void at once: answered, but not reused */
    cr_assert_eq(client_remove_status(alice, msgid), CENOTE_OK);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 1);
    rig_pass(RIG_LEASE_MS + 500);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

Test(recover, replaced__is_hidden_until_the_old_one_has_settled)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "k", 200, PUT_START_REPLACE, &item, NULL), CENOTE_OK);
    node->holds_calls = true;
    client_commit_send(alice, &item, EXTENT_VISIBLE);
    rig_restart(1);
    uint32_t msgid = client_lookup_send(bob, "k");
    world_run(world);
    cr_assert_eq(client_lookup_status(bob, msgid), 1);
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(client_lookup_status(bob, msgid), CENOTE_OK);
}

Test(recover, aborting__is_fenced_again)
{
    node->holds_calls = true;
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &item, EXTENT_UNKNOWN), CENOTE_OK);
    cr_assert(end_reply(node, METHOD_FENCE, CENOTE_OK));
    rig_restart(0);
    cr_assert_eq(node->call_count, 1);
    cr_assert_str_eq(node->calls[0].method, METHOD_FENCE);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_ABORTED);
    node->holds_calls = false;
    world_run(world);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

Test(recover, session__has_a_fresh_grace)
{
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    rig_pass(RIG_GRACE_MS * 2);
    rig_restart(0);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
}

Test(recover, session__ended_in_this_life)
{
    int status;
    struct wire_buf b;
    uint32_t msgid = end_request(alice, &b, METHOD_SESSION_CLOSE);
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(alice, &b, msgid, NULL), CENOTE_OK);
    client_resume(world, alice, &status);
    cr_assert_eq(status, CENOTE_NO_SESSION);
    alice->session.token.b[0] ^= 1;
    client_resume(world, alice, &status);
    cr_assert_eq(status, CENOTE_NO_SESSION);
}

Test(recover, damaged_record__does_not_start)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    world_crash(world, 0);
    struct store_write w = {
        .tree = STORE_OBJECTS, .key = "12345678", .key_len = 8, .value = "junk", .value_len = 4};
    memstore_put(world->store, &w);
    cr_assert_eq(world_start(world), CENOTE_IO);
    w.remove = true;
    memstore_put(world->store, &w);
    world_crash(world, 0);
    cr_assert_eq(world_start(world), CENOTE_OK);
}

Test(recover, damaged_session__does_not_start)
{
    static const struct store_write bad[] = {
        {.key = "1", .key_len = 1, .value = "x", .value_len = 1},
        {.key = "12345678", .key_len = 8, .value = "junk", .value_len = 4},
        {.key = "12345678123", .key_len = 11, .value = "junk", .value_len = 4},
        {.key = "12345678\xff\0\0", .key_len = 11, .value = "junk", .value_len = 4},
    };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct store_write w = bad[i];
        w.tree = STORE_SESSIONS;
        world_crash(world, 0);
        memstore_put(world->store, &w);
        cr_assert_eq(world_start(world), CENOTE_IO);
        w.remove = true;
        memstore_put(world->store, &w);
    }
    world_crash(world, 0);
    cr_assert_eq(world_start(world), CENOTE_OK);
}

Test(recover, store_refuses_the_reign)
{
    world_crash(world, 0);
    memstore_fail(world->store, 1, CENOTE_IO);
    cr_assert_eq(world_start(world), CENOTE_IO);
    world_crash(world, 0);
    cr_assert_eq(world_start(world), CENOTE_OK);
}

static void put_pending(uint64_t put_id, uint64_t session)
{
    uint8_t value[RECORD_MAX];
    struct object o = {.session = session, .name_space = 1, .stripes = 1, .replicas = 1};
    struct record_key key = record_key(put_id);
    o.one.gva = gva_make(GVA_END - GVA_ALIGN + put_id * 4096); /* lost */
    uint32_t len = record_encode(&o, OBJECT_PENDING, false, 0, "k", 1, value);
    memstore_put(world->store, &(struct store_write){.tree = STORE_OBJECTS,
                                                     .key = &key,
                                                     .key_len = sizeof(key),
                                                     .value = value,
                                                     .value_len = len});
}

/* Sessions that have ended don't count, but what they left is found again. */
Test(recover, more_sessions_than_clients_may_open)
{
    world_crash(world, 0);
    for (uint64_t n = 0; n <= SESSIONS_MAX; n++)
        put_pending(1000 + n, 1 + n);
    cr_assert_eq(world_start(world), CENOTE_OK);
    struct end *late = end_open(world);
    struct wire_buf b;
    struct session_open_params p = {.protocol = PROTOCOL_VERSION, .name_space = "default"};
    uint32_t msgid = end_request(late, &b, METHOD_SESSION_OPEN);
    session_open_params_put(&b, &p);
    cr_assert_eq(end_ask(late, &b, msgid, NULL), CENOTE_LIMIT);
}
