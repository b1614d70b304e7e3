/* SPDX-License-Identifier: Apache-2.0 */
/* A service that owns a part of the keys. */
#include "meta/core/shard.h"
#include "tests/unit/meta/meta_rig.h"

static struct slot_map map;
static struct put_start_item item;

/* The lower slots up to "last" are of number 0, the others of number 1. */
static void divide(uint64_t epoch, uint32_t last)
{
    memset(&map, 0, sizeof(map));
    map.epoch = epoch;
    map.range_count = last == SLOTS - 1 ? 1 : 2;
    map.ranges[0] = (struct slot_range){0, last, 0};
    map.ranges[1] = (struct slot_range){last + 1, SLOTS - 1, 1};
    strcpy(map.endpoints[0], "unix:/a");
    strcpy(map.endpoints[1], "unix:/b");
}

static uint32_t slot(const char *key)
{
    return slot_of(slot_seed("default"), key, strlen(key));
}

static int start(void)
{
    int status = world_start(world);
    if (status != CENOTE_OK && world->service != NULL)
        service_free(world->service);
    if (status != CENOTE_OK)
        world->service = NULL;
    return status;
}

/* The service is killed and started as number n by the map. Nodes and clients are gone. */
static int start_as(uint32_t number)
{
    world_crash(world, 0);
    world->options.slots = &map;
    world->options.shard = number;
    return start();
}

/* The clients come back. */
static void back(void)
{
    int status;
    alice = client_resume(world, alice, &status);
    cr_assert_eq(status, CENOTE_OK);
}

/* "mine" lies in a lower slot than "others". */
static char mine[8], others[8];

static void up(void)
{
    rig_up();
    strcpy(mine, "k0");
    for (unsigned i = 1; strcmp(others, "") == 0; i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%u", i);
        if (slot(key) > slot(mine) && slot(mine) > 0)
            strcpy(others, key);
        else
            strcpy(mine, key);
    }
}

static void down(void)
{
    if (world->service == NULL) {
        divide(100, SLOTS - 1);
        world->options.slots = &map;
        world->options.shard = 0;
        cr_assert_eq(world_start(world), CENOTE_OK);
    }
    rig_down();
}

TestSuite(shard, .init = up, .fini = down);

/* The first item of an answer's list at "at"; at < 0: of the answer itself. */
static uint64_t refused_epoch(const char *method, const char *key, int at)
{
    struct wire_buf b;
    struct answer *a;
    int status;
    uint32_t msgid = end_request(alice, &b, method);
    if (strcmp(method, METHOD_REMOVE) == 0)
        remove_params_put(&b, ++alice->seq, 1);
    else
        keys_params_put(&b, 1);
    wire_put_bin(&b, key, strlen(key));
    cr_assert_eq(end_ask(alice, &b, msgid, &a), CENOTE_OK);
    struct wire_value list = at < 0 ? a->msg.result : wire_at(a->msg.result, (uint32_t)at);
    cr_assert(key_status_get(wire_at(list, 0), &status) && status == CENOTE_WRONG_SHARD);
    uint64_t epoch = wrong_shard_epoch(wire_at(list, 0));
    answer_drop(alice, a);
    return epoch;
}

Test(shard, calls__refuse_the_keys_of_others)
{
    struct wire_buf b;
    struct answer *a;
    const uint8_t *bits;
    size_t len;
    divide(7, slot(mine));
    cr_assert_eq(start_as(0), CENOTE_OK);
    alice = client_open(world, "default");
    node = node_up(world, "n2", 8, 1, RIG_SEGMENT);
    cr_assert_eq(client_put(alice, mine, 100, 0), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, others, 100, 0, &item, NULL), CENOTE_WRONG_SHARD);
    cr_assert_eq(refused_epoch(METHOD_LOOKUP, others, 1), 7);
    cr_assert_eq(refused_epoch(METHOD_STAT, others, -1), 7);
    cr_assert_eq(refused_epoch(METHOD_REMOVE, others, -1), 7);
    cr_assert_eq(client_lookup(alice, mine, NULL, NULL), CENOTE_OK);
    cr_assert(client_exists(alice, mine));
    uint32_t msgid = end_request(alice, &b, METHOD_EXISTS);
    keys_params_put(&b, 2);
    wire_put_bin(&b, mine, strlen(mine));
    wire_put_bin(&b, others, strlen(others));
    cr_assert_eq(end_ask(alice, &b, msgid, &a), CENOTE_OK);
    cr_assert(wire_bin(wire_at(a->msg.result, 1), &bits, &len) && len == 1 && bits[0] == 1);
    cr_assert(wire_bin(wire_at(a->msg.result, 3), &bits, &len) && len == 1 && bits[0] == 2);
    answer_drop(alice, a);
    cr_assert_eq(client_remove(alice, mine), CENOTE_OK);
    cr_assert_eq(memstore_count(world->store, STORE_NAMES), 0);
}

Test(shard, slots__tells_the_map)
{
    struct slot_map *got = malloc(sizeof(*got));
    struct wire_buf b;
    struct answer *a;
    uint32_t own;
    divide(3, 99);
    cr_assert_eq(start_as(0), CENOTE_OK);
    struct end *e = end_open(world);
    uint32_t msgid = end_request(e, &b, METHOD_SLOTS);
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(e, &b, msgid, &a), CENOTE_OK);
    cr_assert(slots_result_get(a->msg.result, got, &own));
    cr_assert(own == 0 && got->epoch == 3 && got->range_count == 2 && got->ranges[0].last == 99);
    answer_drop(e, a);
    free(got);
    alice = e;
    cr_assert_eq(rig_status("service", "slots"), 100);
}

/* The put began when the key was ours. */
Test(shard, commit__after_the_slot_has_gone)
{
    cr_assert_eq(client_put_start(alice, others, 100, 0, &item, NULL), CENOTE_OK);
    divide(1, slot(mine));
    cr_assert_eq(start_as(0), CENOTE_OK);
    back();
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_WRONG_SHARD);
    cr_assert_eq(memstore_count(world->store, STORE_NAMES), 0);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_ABORTED);
}

Test(shard, commit__after_the_slot_has_gone_spares_one_that_stays)
{
    cr_assert_eq(client_put_start(alice, mine, 100, 0, &item, NULL), CENOTE_OK);
    divide(1, slot(mine));
    cr_assert_eq(start_as(0), CENOTE_OK);
    back();
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(client_lookup(alice, mine, NULL, NULL), CENOTE_OK);
}

Test(shard, start__is_refused_while_a_slot_has_values)
{
    cr_assert_eq(client_put(alice, others, 100, 0), CENOTE_OK);
    divide(1, slot(mine));
    cr_assert_eq(start_as(0), CENOTE_INVALID);
    divide(1, SLOTS - 1); /* the refused map has not become the store's */
    cr_assert_eq(start(), CENOTE_OK);
    back();
    cr_assert_eq(client_lookup(alice, others, NULL, NULL), CENOTE_OK);
}

/* Its reader would accept it after the new owner has another value. */
Test(shard, start__is_refused_while_a_removed_value_is_leased)
{
    divide(1, SLOTS - 1);
    cr_assert_eq(start_as(0), CENOTE_OK);
    alice = client_open(world, "default");
    node = node_up(world, "n2", 8, 1, RIG_SEGMENT);
    cr_assert_eq(client_put(alice, others, 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(alice, others, NULL, NULL), CENOTE_OK);
    node->holds_calls = true;
    client_remove_send(alice, others);
    world_run(world);
    divide(2, slot(mine));
    cr_assert_eq(start_as(0), CENOTE_INVALID);
    divide(1, SLOTS - 1);
    cr_assert_eq(start(), CENOTE_OK);
    world_pass(world, RIG_DEAD_MS + 500); /* the node, and with it the value */
    divide(2, slot(mine));
    cr_assert_eq(start_as(0), CENOTE_OK);
}

Test(shard, remove__again_after_the_slot_has_gone)
{
    cr_assert_eq(client_put(alice, others, 100, 0), CENOTE_OK);
    cr_assert_eq(client_remove(alice, others), CENOTE_OK);
    rig_pass(2 * RIG_LEASE_MS);
    divide(1, slot(mine));
    cr_assert_eq(start_as(0), CENOTE_OK);
    back();
    alice->seq--; /* the same number: it was removed, whoever has the key now */
    cr_assert_eq(client_remove(alice, others), CENOTE_OK);
    cr_assert_eq(refused_epoch(METHOD_REMOVE, others, -1), 1);
}

Test(shard, start__follows_the_epoch)
{
    divide(5, 99);
    cr_assert_eq(start_as(0), CENOTE_OK);
    cr_assert_eq(start_as(0), CENOTE_OK); /* the same again */
    divide(5, 100);
    cr_assert_eq(start_as(0), CENOTE_INVALID);
    divide(4, 99);
    cr_assert_eq(start(), CENOTE_INVALID);
    divide(6, 100);
    cr_assert_eq(start(), CENOTE_OK);
    world_crash(world, 0);
    world->options.slots = NULL;
    cr_assert_eq(start(), CENOTE_INVALID);
}

Test(shard, start__keeps_its_number)
{
    uint64_t first, end;
    divide(1, 99);
    cr_assert_eq(start_as(1), CENOTE_INVALID); /* the node's addresses are those of number 0 */
    divide(1, 99);
    cr_assert_eq(start(), CENOTE_INVALID);
    world_free(world);
    world = world_new(&(struct service_options){.slots = &map, .shard = 1});
    cr_assert_eq(start(), CENOTE_OK);
    node = node_up(world, "n1", 7, 1, RIG_SEGMENT);
    slot_gva_part(1, 1, &first, &end);
    cr_assert_eq(node->joined.segments[0].gva.v, first);
    divide(2, 99);
    cr_assert_eq(start_as(0), CENOTE_INVALID);
    world->options.shard = 1;
    cr_assert_eq(start(), CENOTE_OK);
}
