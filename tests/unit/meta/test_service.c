/* SPDX-License-Identifier: Apache-2.0 */
/* The service from outside: every method as it is meant, and as it isn't. */
#include "tests/unit/meta/meta_rig.h"

TestSuite(service, .init = rig_up, .fini = rig_down);

/* Sends a method with parameters of a wrong shape. */
static int ask_badly(struct end *e, const char *method)
{
    struct wire_buf b;
    uint32_t msgid = end_request(e, &b, method);
    wire_put_array(&b, 1);
    wire_put_map(&b, 0);
    return end_ask(e, &b, msgid, NULL);
}

Test(service, put__is_found)
{
    struct put_start_item item;
    struct lookup_item found;
    struct stripe granted[1], located[1];
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(client_put_start(alice, "k", 5000, 0, &item, granted), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", &found, located), CENOTE_OK);
    cr_assert_eq(found.put_id, item.put_id);
    cr_assert_eq(found.len_bytes, 5000);
    cr_assert_eq(found.sum_kind, SUM_XXH3);
    cr_assert_eq(found.lease_ms, RIG_LEASE_MS);
    cr_assert_eq(located[0].gva[0].v, granted[0].gva[0].v);
    cr_assert_eq(located[0].root, item.put_id);
    cr_assert_eq(located[0].payload_len, 5000);
}

Test(service, put__key_is_there)
{
    struct lookup_item found;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_put(bob, "k", 100, 0), CENOTE_EXISTS);
    cr_assert_eq(client_put(bob, "k", 200, PUT_START_REPLACE), CENOTE_OK);
    cr_assert_eq(client_lookup(alice, "k", &found, NULL), CENOTE_OK);
    cr_assert_eq(found.len_bytes, 200);
}

Test(service, remove__is_gone)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert(client_exists(bob, "k"));
    cr_assert_eq(client_remove(bob, "k"), CENOTE_OK);
    cr_assert_not(client_exists(alice, "k"));
    cr_assert_eq(client_remove(alice, "k"), CENOTE_NOT_FOUND);
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
}

Test(service, namespaces__keys_never_meet)
{
    struct end *other = client_open(world, "other");
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_not(client_exists(other, "k"));
    cr_assert_eq(client_put(other, "k", 200, 0), CENOTE_OK);
    cr_assert_eq(client_remove(other, "k"), CENOTE_OK);
    cr_assert(client_exists(alice, "k"));
}

Test(service, without_a_session)
{
    static const char *const closed[] = {
        METHOD_SESSION_CLOSE, METHOD_MAP,    METHOD_PUT_START, METHOD_PUT_COMMIT, METHOD_PUT_ABORT,
        METHOD_LOOKUP,        METHOD_EXISTS, METHOD_REMOVE,    METHOD_STAT,       METHOD_LIST};
    struct end *stranger = end_open(world);
    for (size_t i = 0; i < sizeof(closed) / sizeof(*closed); i++)
        cr_assert_eq(ask_badly(stranger, closed[i]), CENOTE_NO_SESSION);
    cr_assert_eq(ask_badly(stranger, METHOD_NODE_HEARTBEAT), CENOTE_NODE_UNKNOWN);
    cr_assert_eq(ask_badly(stranger, METHOD_NODE_LEAVE), CENOTE_NODE_UNKNOWN);
    cr_assert_eq(ask_badly(stranger, METHOD_STATUS), CENOTE_OK);
}

Test(service, malformed_parameters)
{
    static const char *const methods[] = {
        METHOD_MAP,       METHOD_PUT_START,    METHOD_PUT_COMMIT,     METHOD_LOOKUP,
        METHOD_PUT_ABORT, METHOD_EXISTS,       METHOD_REMOVE,         METHOD_STAT,
        METHOD_LIST,      METHOD_SESSION_OPEN, METHOD_SESSION_RESUME, METHOD_NODE_JOIN};
    for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
        cr_assert_eq(ask_badly(alice, methods[i]), CENOTE_MALFORMED, "%s", methods[i]);
    cr_assert_eq(ask_badly(node, METHOD_NODE_HEARTBEAT), CENOTE_MALFORMED);
    cr_assert_eq(ask_badly(alice, "lookups"), CENOTE_NO_METHOD);
}

static int open_session(struct end *e, uint32_t protocol, const char *name_space)
{
    struct wire_buf b;
    struct session_open_params p = {.protocol = protocol};
    strncpy(p.name_space, name_space, CENOTE_NAMESPACE_MAX);
    uint32_t msgid = end_request(e, &b, METHOD_SESSION_OPEN);
    session_open_params_put(&b, &p);
    return end_ask(e, &b, msgid, NULL);
}

Test(service, session_open__refused)
{
    struct end *e = end_open(world);
    cr_assert_eq(open_session(e, PROTOCOL_VERSION + 1, "default"), CENOTE_VERSION);
    cr_assert_eq(open_session(e, PROTOCOL_VERSION, "no spaces"), CENOTE_INVALID);
    cr_assert_eq(open_session(e, PROTOCOL_VERSION, ""), CENOTE_INVALID);
    memstore_fail(world->store, 1, CENOTE_META_FULL);
    cr_assert_eq(open_session(e, PROTOCOL_VERSION, "new"), CENOTE_META_FULL);
    cr_assert_eq(open_session(e, PROTOCOL_VERSION, "new"), CENOTE_OK);
    cr_assert_eq(open_session(e, PROTOCOL_VERSION, "new"), CENOTE_INVALID);
}

Test(service, session_resume__takes_the_connection)
{
    int status;
    struct put_start_item item;
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    struct end *again = client_resume(world, alice, &status);
    cr_assert_eq(status, CENOTE_OK);
    cr_assert_null(alice->peer);
    cr_assert_eq(client_commit(again, &item, EXTENT_VISIBLE), CENOTE_OK);
    end_close(alice);
    alice = again;
}

Test(service, notifications__only_what_needs_no_answer)
{
    struct wire_buf b = {0};
    wire_put_notification(&b, METHOD_STATUS);
    wire_put_array(&b, 0);
    end_send(alice, &b);
    b = (struct wire_buf){0};
    wire_put_notification(&b, METHOD_SESSION_CLOSE);
    wire_put_array(&b, 0);
    end_send(alice, &b);
    world_run(world);
    cr_assert_eq(alice->answer_count, 0);
    cr_assert_eq(ask_badly(alice, METHOD_MAP), CENOTE_NO_SESSION);
}

Test(service, map__known_version)
{
    struct wire_buf b;
    struct answer *a;
    uint64_t version = 0;
    for (unsigned round = 0; round < 2; round++) {
        uint32_t msgid = end_request(alice, &b, METHOD_MAP), count;
        wire_put_array(&b, 1);
        wire_put_uint(&b, version);
        cr_assert_eq(end_ask(alice, &b, msgid, &a), CENOTE_OK);
        cr_assert(wire_array(a->msg.result, &count));
        cr_assert_eq(count, round == 0 ? 3 : 1);
        cr_assert(wire_uint(wire_at(a->msg.result, 0), &version));
        if (round == 0) {
            struct map_node n;
            struct map_range r;
            cr_assert(map_node_get(wire_at(wire_at(a->msg.result, 1), 0), &n));
            cr_assert(map_range_get(wire_at(wire_at(a->msg.result, 2), 0), &r));
            cr_assert_str_eq(n.name, "n1");
            cr_assert_eq(n.boot, 7);
            cr_assert_eq(r.node, n.node);
            cr_assert_eq(r.gva.v, node->joined.segments[0].gva.v);
            cr_assert_eq(r.incarnation, node->joined.segments[0].incarnation);
        }
        answer_drop(alice, a);
    }
}

Test(service, batches__leading_keys)
{
    struct wire_buf b;
    struct answer *a;
    uint64_t leading;
    cr_assert_eq(client_put(alice, "a", 1, 0), CENOTE_OK);
    cr_assert_eq(client_put(alice, "b", 1, 0), CENOTE_OK);
    cr_assert_eq(client_put(alice, "d", 1, 0), CENOTE_OK);
    for (unsigned round = 0; round < 2; round++) {
        uint32_t msgid = end_request(bob, &b, round == 0 ? METHOD_LOOKUP : METHOD_EXISTS);
        keys_params_put(&b, 4);
        wire_put_bin(&b, "a", 1);
        wire_put_bin(&b, "b", 1);
        wire_put_bin(&b, "c", 1);
        wire_put_bin(&b, "d", 1);
        cr_assert_eq(end_ask(bob, &b, msgid, &a), CENOTE_OK);
        cr_assert(wire_uint(wire_at(a->msg.result, 0), &leading));
        cr_assert_eq(leading, 2);
        uint8_t bitmap;
        if (round == 1)
            cr_assert(wire_fixed(wire_at(a->msg.result, 1), &bitmap, 1) && bitmap == 0xb);
        answer_drop(bob, a);
    }
}

Test(service, stat__tells_when)
{
    struct wire_buf b;
    struct answer *a;
    struct lookup_item stat;
    cr_assert_eq(client_put(alice, "k", 77, 0), CENOTE_OK);
    uint32_t msgid = end_request(bob, &b, METHOD_STAT);
    keys_params_put(&b, 2);
    wire_put_bin(&b, "k", 1);
    wire_put_bin(&b, "l", 1);
    cr_assert_eq(end_ask(bob, &b, msgid, &a), CENOTE_OK);
    cr_assert(stat_item_get(wire_at(a->msg.result, 0), &stat));
    cr_assert_eq(stat.len_bytes, 77);
    cr_assert_eq(stat.created_ms, 1700000000000u + world->now_ms);
    cr_assert(stat_item_get(wire_at(a->msg.result, 1), &stat));
    cr_assert_eq(stat.status, CENOTE_NOT_FOUND);
    answer_drop(bob, a);
}

Test(service, status__adds_up)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(rig_status("service", "objects"), 1);
    cr_assert_eq(rig_status("service", "reign"), 1);
    cr_assert_eq(rig_status("service", "sessions"), 2);
    cr_assert_eq(rig_status("capacity", "total_bytes"), RIG_SEGMENT);
    cr_assert_eq(rig_status("capacity", "used_bytes") + rig_status("capacity", "free_bytes"),
                 RIG_SEGMENT);
    node->holds_calls = true;
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK);
    cr_assert_eq(rig_status("capacity", "used_bytes"), 0);
    cr_assert_eq(rig_status("capacity", "quarantined_bytes") + rig_status("capacity", "free_bytes"),
                 RIG_SEGMENT);
    cr_assert_gt(rig_status("segments", "quarantined_bytes"), 100);
    cr_assert_eq(rig_status("segments", "quarantined_bytes"),
                 rig_status("capacity", "quarantined_bytes"));
    while (end_reply(node, METHOD_VOID, CENOTE_OK))
        world_run(world);
    rig_pass(2000);
    cr_assert_eq(rig_status("segments", "quarantined_bytes"), 0);
}

Test(service, status__what_goes_on)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_put(alice, "k", 50, PUT_START_REPLACE), CENOTE_OK);
    cr_assert_eq(client_put(alice, "k", 7, 0), CENOTE_EXISTS);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "other", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(rig_status("live", "bytes_in"), 150);
    cr_assert_eq(rig_status("live", "bytes_out"), 150);
    cr_assert_eq(rig_status("live", "hits"), 3);
    cr_assert_eq(rig_status("live", "misses"), 1);
}

Test(service, peer_goes_while_its_requests_wait)
{
    struct put_start_item item;
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    client_commit_send(alice, &item, EXTENT_VISIBLE);
    client_remove_send(alice, "k");
    client_remove_send(bob, "k");
    end_close(alice);
    world_run(world);
    cr_assert_not(client_exists(bob, "k"));
    alice = client_open(world, "default");
}

Test(service, freed_while_requests_wait)
{
    node->holds_calls = true;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    client_remove_send(alice, "k");
    client_remove_send(alice, "k");
    world_run(world);
}
