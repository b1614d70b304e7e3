/* SPDX-License-Identifier: Apache-2.0 */
/* The service from outside: every method once as it is meant. */
#include <criterion/criterion.h>

#include "tests/support/metaworld.h"

#define MIB (UINT64_C(1) << 20)

static struct world *world;
static struct end *node, *client;

static void setup(void)
{
    world = world_new(NULL);
    cr_assert_eq(world_start(world), CENOTE_OK);
    node = node_up(world, "n1", 7, 1, 64 * MIB);
    client = client_open(world, "default");
}

static void teardown(void)
{
    world_run(world);
    cr_assert_eq(service_check(world->service), 0);
    world_free(world);
}

TestSuite(service, .init = setup, .fini = teardown);

Test(service, put__is_found)
{
    struct put_start_item item;
    struct lookup_item found;
    struct stripe granted[1], located[1];
    cr_assert_eq(client_lookup(client, "k", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(client_put_start(client, "k", 5000, 0, &item, granted), CENOTE_OK);
    cr_assert_eq(client_lookup(client, "k", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(client_commit(client, &item, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(client_lookup(client, "k", &found, located), CENOTE_OK);
    cr_assert_eq(found.put_id, item.put_id);
    cr_assert_eq(found.len_bytes, 5000);
    cr_assert_eq(found.lease_ms, 10000);
    cr_assert_eq(located[0].gva[0].v, granted[0].gva[0].v);
    cr_assert_eq(located[0].root, item.put_id);
    cr_assert_eq(located[0].payload_len, 5000);
}

Test(service, put__key_is_there)
{
    cr_assert_eq(client_put(client, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_put(client, "k", 100, 0), CENOTE_EXISTS);
    cr_assert_eq(client_put(client, "k", 200, PUT_START_REPLACE), CENOTE_OK);
    struct lookup_item found;
    cr_assert_eq(client_lookup(client, "k", &found, NULL), CENOTE_OK);
    cr_assert_eq(found.len_bytes, 200);
}

Test(service, remove__is_gone)
{
    cr_assert_eq(client_put(client, "k", 100, 0), CENOTE_OK);
    cr_assert(client_exists(client, "k"));
    cr_assert_eq(client_remove(client, "k"), CENOTE_OK);
    cr_assert_not(client_exists(client, "k"));
    cr_assert_eq(client_remove(client, "k"), CENOTE_NOT_FOUND);
    cr_assert_eq(client_put(client, "k", 100, 0), CENOTE_OK);
}
