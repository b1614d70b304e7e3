/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/lives.h"
#include "meta/core/record.h"
#include "tests/unit/meta/meta_rig.h"
#include "transport/base/bytes.h"

TestSuite(members, .init = rig_up, .fini = rig_down);

static int join(struct node_join_params p, struct end **out)
{
    int status;
    *out = node_join(world, &p, &status);
    return status;
}

static struct node_join_params kept(uint64_t boot)
{
    struct node_join_params p = node_params("n1", boot, 1, RIG_SEGMENT);
    p.segments[0].incarnation = node->joined.segments[0].incarnation;
    return p;
}

Test(members, join__bad_parameters)
{
    struct end *e;
    struct node_join_params p = node_params("n2", 1, 1, RIG_SEGMENT);
    p.protocol++;
    cr_assert_eq(join(p, &e), CENOTE_VERSION);
    p = node_params("n2", 1, 1, RIG_SEGMENT);
    p.highest_reign = 2;
    cr_assert_eq(join(p, &e), CENOTE_OLD_REIGN);
    cr_assert_eq(join(node_params("n2", 1, 1, 0), &e), CENOTE_INVALID);
    cr_assert_eq(join(node_params("n2", 1, 1, GVA_FIRST), &e), CENOTE_INVALID);
    p = node_params("n2", 1, 1, RIG_SEGMENT);
    p.segments[0].incarnation = 99;
    cr_assert_eq(join(p, &e), CENOTE_NODE_UNKNOWN);
}

/* Each start counts one up, so that a database that was put back comes to a reign above all that
 * the node knows: it must not be believed then either. */
Test(members, join__restored_database_stays_refused)
{
    struct end *e;
    struct node_join_params p = kept(7);
    rig_restart(0); /* reign 2: what the copy below knows of */
    world_run(world);
    struct memstore *copy = memstore_copy(world->store, 0);
    rig_restart(0);
    rig_restart(0);
    p.highest_reign = node->joined.reign;
    p.life = node->joined.life;
    cr_assert_eq(p.highest_reign, 4);
    world_crash(world, 0);
    memstore_free(world->store);
    world->store = copy;
    for (uint64_t reign = 3; reign < 8; reign++) {
        cr_assert_eq(world_start(world), CENOTE_OK);
        cr_assert_eq(join(p, &e), CENOTE_OLD_REIGN, "in reign %u", (unsigned)reign);
        world_crash(world, 0);
    }
    cr_assert_eq(world_start(world), CENOTE_OK);
    p.highest_reign = 0; /* one that has met nobody */
    p.life = 0;
    cr_assert_eq(join(p, &e), CENOTE_OK);
}

/* Lives are remembered for a while; of one that isn't any more nothing can be said. */
Test(members, join__lives_that_are_forgotten)
{
    struct end *e;
    struct node_join_params p = kept(7);
    p.highest_reign = node->joined.reign;
    p.life = node->joined.life + 1;
    for (unsigned i = 0; i < LIVES_MAX; i++) {
        cr_assert_eq(join(p, &e), CENOTE_OLD_REIGN);
        end_close(e);
        rig_restart(0);
    }
    cr_assert_neq(join(p, &e), CENOTE_OLD_REIGN);
}

Test(members, join__ranges_never_meet)
{
    struct end *second = node_up(world, "n2", 3, 2, 3 * GVA_ALIGN / 2);
    struct end *third = node_up(world, "n3", 4, 1, RIG_SEGMENT);
    cr_assert_eq(node->joined.segments[0].gva.v, GVA_FIRST);
    cr_assert_eq(second->joined.segments[0].gva.v, GVA_FIRST + GVA_ALIGN);
    cr_assert_eq(second->joined.segments[1].gva.v, GVA_FIRST + 3 * GVA_ALIGN);
    cr_assert_eq(third->joined.segments[0].gva.v, GVA_FIRST + 5 * GVA_ALIGN);
    cr_assert_neq(third->joined.segments[0].incarnation, second->joined.segments[0].incarnation);
}

Test(members, join__store_refuses)
{
    struct end *e;
    memstore_fail(world->store, 1, CENOTE_META_FULL);
    cr_assert_eq(join(node_params("n2", 1, 2, RIG_SEGMENT), &e), CENOTE_META_FULL);
    cr_assert_eq(join(node_params("n2", 1, 1, RIG_SEGMENT), &e), CENOTE_OK);
    cr_assert_eq(e->joined.segments[0].gva.v, GVA_FIRST + GVA_ALIGN); /* no address is wasted */
}

Test(members, join__same_process_again)
{
    struct end *again;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(join(node_params("n1", 7, 1, RIG_SEGMENT), &again), CENOTE_OK);
    cr_assert_eq(again->joined.segments[0].gva.v, node->joined.segments[0].gva.v);
    cr_assert(node->close_asked); /* the newer connection counts */
    world_run(world);
    end_close(node);
    node = again;
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
}

Test(members, join__name_is_taken)
{
    struct end *thief;
    cr_assert_eq(join(node_params("n1", 8, 1, RIG_SEGMENT), &thief), CENOTE_NODE_KNOWN);
    end_close(thief);
    cr_assert_eq(join(kept(8), &thief), CENOTE_NODE_KNOWN);
}

Test(members, join__restarted_with_its_memory)
{
    struct end *again;
    struct node_join_params p = kept(8);
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    end_close(node);
    cr_assert_eq(join(p, &again), CENOTE_OK); /* at once */
    node = again;
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    cr_assert_eq(client_put(alice, "l", 100, 0), CENOTE_OK);
}

Test(members, join__restarted_without_its_memory)
{
    struct end *again;
    uint64_t gva = node->joined.segments[0].gva.v;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    end_close(node);
    cr_assert_eq(join(node_params("n1", 8, 1, RIG_SEGMENT), &again), CENOTE_NODE_KNOWN);
    end_close(again);
    world_pass(world, RIG_SUSPECT_MS);
    cr_assert_eq(join(node_params("n1", 8, 1, RIG_SEGMENT), &again), CENOTE_OK);
    node = again;
    cr_assert_gt(node->joined.segments[0].gva.v, gva);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_NOT_FOUND);
    struct put_start_item item;
    uint32_t msgid = client_put_start_send(alice, "k", 200, 0); /* not populated yet */
    cr_assert_eq(client_put_start_status(alice, msgid, &item), 1);
    cr_assert_eq(node_heartbeat(node, 1, RIG_SEGMENT), CENOTE_OK);
    world_pass(world, SERVICE_TICK_MS);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    rig_pass(500);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 1); /* the lost one was swept */
}

Test(members, heartbeat__bad_parameters)
{
    cr_assert_eq(node_heartbeat(node, 2, RIG_SEGMENT), CENOTE_INVALID);
    cr_assert_eq(node_heartbeat(node, 1, RIG_SEGMENT + 1), CENOTE_INVALID);
    cr_assert_eq(node_heartbeat(alice, 1, RIG_SEGMENT), CENOTE_NODE_UNKNOWN);
}

Test(members, heartbeat__extends_the_segment)
{
    struct end *second = end_open(world);
    end_close(second);
    struct end *slow;
    cr_assert_eq(join(node_params("n2", 1, 1, 64 * MIB), &slow), CENOTE_OK);
    struct put_start_item item;
    uint32_t msgid = client_put_start_send(alice, "k", 30 * MIB, 0);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), 1);
    cr_assert_eq(node_heartbeat(slow, 1, 40 * MIB), CENOTE_OK);
    world_pass(world, SERVICE_TICK_MS);
    cr_assert_eq(client_put_start_status(alice, msgid, &item), CENOTE_OK);
}

Test(members, silent__suspect_then_dead)
{
    struct put_start_item pending;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "p", 100, 0, &pending, NULL), CENOTE_OK);
    world_pass(world, RIG_SUSPECT_MS + 100);
    cr_assert_eq(client_put(alice, "l", 100, 0), CENOTE_NO_NODES);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK); /* it may still answer */
    world_pass(world, RIG_DEAD_MS);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_null(node->peer); /* its connection was closed */
    world_pass(world, 2 * RIG_LEASE_MS);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
    cr_assert_eq(memstore_count(world->store, STORE_MEMBERS), 0);
    cr_assert_eq(client_commit(alice, &pending, EXTENT_VISIBLE), CENOTE_NO_SUCH_PUT);
    struct end *again;
    cr_assert_eq(join(kept(7), &again), CENOTE_NODE_UNKNOWN); /* its incarnation has ended */
}

Test(members, silent__not_while_the_service_stalls)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    world->now_ms += 10 * RIG_DEAD_MS; /* nobody ran */
    service_tick(world->service);
    world_run(world);
    cr_assert_eq(client_put(alice, "l", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
}

Test(members, death__store_refuses)
{
    memstore_fail(world->store, 3, CENOTE_IO);
    world_pass(world, RIG_DEAD_MS + 3500); /* tried again each second */
    cr_assert_eq(memstore_count(world->store, STORE_MEMBERS), 0);
}

Test(members, death__lease_outlives_it)
{
    struct put_start_item item;
    struct end *second = node_up(world, "n2", 3, 1, RIG_SEGMENT / 2);
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK); /* on n1, the emptier */
    world_pass(world, RIG_DEAD_MS - 100);
    cr_assert_eq(node_heartbeat(second, 1, RIG_SEGMENT / 2), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    world_pass(world, 200);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_NOT_FOUND);
    /* A reader on the node's side of the net may go on with the old one until its lease is over. */
    cr_assert_eq(client_put_start(alice, "k", 200, 0, &item, NULL), CENOTE_OK);
    uint32_t msgid = client_commit_send(alice, &item, EXTENT_VISIBLE);
    world_run(world);
    cr_assert_eq(client_commit_status(alice, msgid), 1);
    world_pass(world, RIG_LEASE_MS + 300);
    cr_assert_eq(client_commit_status(alice, msgid), CENOTE_OK);
}

Test(members, leave__is_death_at_once)
{
    struct wire_buf b;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    uint32_t msgid = end_request(node, &b, METHOD_NODE_LEAVE);
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(node, &b, msgid, NULL), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_NO_NODES);
}

Test(members, death__with_calls_in_flight)
{
    struct put_start_item item;
    node->holds_calls = true;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "p", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &item, EXTENT_UNKNOWN), CENOTE_OK);
    cr_assert_eq(node->call_count, 2);
    world_pass(world, RIG_DEAD_MS + 500);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

Test(members, rejoin__fence_and_void_are_sent_again)
{
    struct put_start_item item;
    node->holds_calls = true;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "p", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &item, EXTENT_UNKNOWN), CENOTE_OK);
    struct node_join_params p = kept(8);
    struct end *again;
    end_close(node);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 2);
    cr_assert_eq(join(p, &again), CENOTE_OK);
    node = again;
    world_run(world);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

/* ---- rdma ------------------------------------------------------------------------------------ */

static void assert_told(const char *part, bool told)
{
    char *json = rig_status_text();
    cr_assert_eq(strstr(json, part) != NULL, told, "%s\n%s", part, json);
    free(json);
}

static struct end *join_with_rdma(void)
{
    struct end *e;
    struct node_join_params p = node_params("n2", 3, 1, RIG_SEGMENT);
    strcpy(p.rdma, "10.0.0.1:7402");
    cr_assert_eq(join(p, &e), CENOTE_OK);
    return e;
}

static int beat_with_rdma(struct end *e, const struct rdma_report *report)
{
    struct wire_buf b;
    struct node_heartbeat_params p = {.segment_count = 1, .populated_bytes = {RIG_SEGMENT}};
    uint32_t msgid = end_request(e, &b, METHOD_NODE_HEARTBEAT);
    p.has_rdma = report != NULL;
    if (report != NULL)
        p.rdma = *report;
    node_heartbeat_params_put(&b, &p);
    return end_ask(e, &b, msgid, NULL);
}

Test(members, rdma__is_told_as_the_last_heartbeat_had_it)
{
    static const struct rdma_report report = {.rail_count = 2,
                                              .rails = {"rxe0:1 up", "rxe1:1 down"},
                                              .connections = 1,
                                              .queue_pairs = 2,
                                              .regions = 3,
                                              .errors = 4,
                                              .fenced = 5,
                                              .rails_lost = 6};
    struct end *e = join_with_rdma();
    assert_told("\"shm\":\"\",\"rdma\":null,\"tcp\":\"127.0.0.1:1\"", true); /* the other node */
    assert_told("\"rdma\":{\"endpoint\":\"10.0.0.1:7402\",\"rails\":[],\"connections\":0,", true);
    cr_assert_eq(beat_with_rdma(e, &report), CENOTE_OK);
    assert_told("\"rails\":[\"rxe0:1 up\",\"rxe1:1 down\"],\"connections\":1,\"queue_pairs\":2,"
                "\"regions\":3,\"errors\":4,\"fenced\":5,\"rails_lost\":6}",
                true);
    cr_assert_eq(beat_with_rdma(e, NULL), CENOTE_OK);
    assert_told("rxe0:1", false);
}

Test(members, rdma__endpoint_is_known_after_a_restart)
{
    join_with_rdma();
    rig_restart(0);
    assert_told("\"rdma\":{\"endpoint\":\"10.0.0.1:7402\"", true);
}

static void old_text(struct bytes *b, const char *text)
{
    bytes_put_u16(b, (uint16_t)strlen(text));
    bytes_put(b, text, strlen(text));
}

/* A node's record as it was before nodes had an rdma endpoint. */
static void put_old_record(uint8_t format)
{
    static const char *const texts[] = {"old", "host", "zone", "unix:/s", "127.0.0.1:9"};
    uint8_t key[9] = "n", record[128];
    struct record_key id = record_key(UINT64_C(1) << 20);
    struct bytes b = bytes_over(record, sizeof(record));
    memcpy(key + 1, id.b, sizeof(id.b));
    bytes_put_u8(&b, format);
    bytes_put_u64(&b, 5);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        old_text(&b, texts[i]);
    struct store_write w = {.tree = STORE_MEMBERS,
                            .key = key,
                            .key_len = sizeof(key),
                            .value = record,
                            .value_len = (uint32_t)(b.at - record)};
    memstore_put(world->store, &w);
}

Test(members, rdma__records_of_nodes_from_before_are_read)
{
    world_crash(world, 0);
    put_old_record(3);
    cr_assert_eq(world_start(world), CENOTE_IO);
    put_old_record(1);
    rig_restart(0);
    assert_told("\"name\":\"old\"", true);
    assert_told("\"shm\":\"unix:/s\",\"rdma\":null,\"tcp\":\"127.0.0.1:9\"", true);
}
