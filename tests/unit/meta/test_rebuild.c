/* SPDX-License-Identifier: Apache-2.0 */
/* A service whose store is lost, and nodes that have written down what lies on them. */
#include "meta/core/ids.h"
#include "server/node/directory.h"
#include "tests/unit/meta/meta_rig.h"

#define LIMIT   (UINT64_C(64) << 20)
#define WAIT_MS 4000u
#define NODES   3u

/* A node that outlives the service. */
struct there {
    char name[16];
    uint64_t boot;
    struct directory *directory;
    struct wire_buf notes;
    struct node_join_params params; /* as it comes back */
    uint64_t reign;
    struct end *end; /* NULL: not connected */
    uint32_t msgid;
};
static struct there nodes[NODES];

static void beat(struct there *t)
{
    cr_assert_eq(node_heartbeat_with(t->end, 1, RIG_SEGMENT, t->directory), CENOTE_OK);
}

static void pass(uint64_t ms)
{
    for (uint64_t passed = 0; passed < ms; passed += 100) {
        world_pass(world, 100);
        for (unsigned i = 0; i < NODES; i++)
            if (nodes[i].end != NULL && nodes[i].end->joined.node != 0)
                beat(&nodes[i]);
    }
}

static void up(void)
{
    struct service_options options = {.lease_ms = RIG_LEASE_MS,
                                      .put_timeout_ms = RIG_TIMEOUT_MS,
                                      .session_grace_ms = RIG_GRACE_MS,
                                      .heartbeat_ms = 100,
                                      .suspect_ms = RIG_SUSPECT_MS,
                                      .dead_ms = RIG_DEAD_MS,
                                      .stripe_bytes = MIB};
    world = world_new(&options);
    cr_assert_eq(world_start(world), CENOTE_OK);
    for (unsigned i = 0; i < NODES; i++) {
        struct there *t = &nodes[i];
        snprintf(t->name, sizeof(t->name), "n%u", i);
        t->boot = 100 + i;
        cr_assert_eq(directory_open(-1, LIMIT, NULL, 0, &t->directory), CENOTE_OK);
        t->end = node_up(world, t->name, t->boot, 1, RIG_SEGMENT);
        t->end->directory = t->directory;
        beat(t);
    }
    alice = client_open(world, "default");
    bob = client_open(world, "default");
}

static void down(void)
{
    world_run(world);
    cr_assert_eq(service_check(world->service), 0);
    world_free(world);
    for (unsigned i = 0; i < NODES; i++) {
        directory_close(nodes[i].directory);
        wire_buf_free(&nodes[i].notes);
    }
}

TestSuite(rebuild, .init = up, .fini = down);

/* The service dies, and its store with it. The nodes keep what they were told. */
static void lose_store(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        struct there *t = &nodes[i];
        t->params = node_params(t->name, t->boot, 1, RIG_SEGMENT);
        t->params.segments[0].incarnation = t->end->joined.segments[0].incarnation;
        t->params.segments[0].gva = t->end->joined.segments[0].gva;
        t->params.highest_reign = t->end->joined.reign;
        t->notes = t->end->notes;
        t->end->notes = (struct wire_buf){0};
        t->end = NULL;
    }
    world_crash(world, 0);
    memstore_free(world->store);
    world->store = memstore_new();
    world->options.rebuild = true;
    world->options.rebuild_wait_ms = WAIT_MS;
    cr_assert_eq(world_start(world), CENOTE_OK);
}

static void come(struct there *t)
{
    t->end = node_join_send(world, &t->params, &t->msgid);
    t->end->directory = t->directory;
    t->end->notes = t->notes;
    t->notes = (struct wire_buf){0};
    world_run(world);
}

static int joined(struct there *t)
{
    int status = node_join_status(t->end, t->msgid);
    return status;
}

static void all_come(void)
{
    for (unsigned i = 0; i < NODES; i++)
        come(&nodes[i]);
}

static bool is_over(void)
{
    struct end *e = client_open(world, "default");
    struct wire_buf b;
    struct answer *a;
    uint32_t msgid = end_request(e, &b, METHOD_STATUS);
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(e, &b, msgid, &a), CENOTE_OK);
    char *json = wire_to_json(a->msg.result);
    bool over = strstr(json, "\"phase\":\"done\"") != NULL || strstr(json, "\"phase\": \"done\"");
    free(json);
    answer_drop(e, a);
    end_close(e);
    return over;
}

static void clients_come(void)
{
    alice = client_open(world, "default");
    bob = client_open(world, "default");
}

/* Those that have come; they needn't have settled. */
static void all_join(void)
{
    world_pass(world, 2100);
    for (unsigned i = 0; i < NODES; i++)
        cr_assert_eq(joined(&nodes[i]), CENOTE_OK);
}

/* To the end, with all nodes. */
static void rebuild(void)
{
    all_come();
    all_join();
    pass(300);
    clients_come();
    cr_assert_eq(rig_status("rebuild", "nodes"), NODES);
}

static struct stripe stripes[STRIPES_MAX];

static uint64_t put_id_of(const char *key)
{
    struct lookup_item item;
    return client_lookup(bob, key, &item, stripes) == CENOTE_OK ? item.put_id : 0;
}

Test(rebuild, all_values__are_back)
{
    char key[16];
    uint64_t ids[40], gvas[40];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        cr_assert_eq(client_put(alice, key, 1000 + i * 100, 0), CENOTE_OK);
    }
    cr_assert_eq(client_put(alice, "striped", 5 * MIB, 0), CENOTE_OK);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        ids[i] = put_id_of(key);
        gvas[i] = stripes[0].gva[0].v;
    }
    uint64_t striped = put_id_of("striped");
    pass(300);
    lose_store();
    rebuild();
    cr_assert_eq(rig_status("rebuild", "objects"), 41);
    for (unsigned i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        cr_assert_eq(put_id_of(key), ids[i]);
        cr_assert_eq(stripes[0].gva[0].v, gvas[i]);
    }
    cr_assert_eq(put_id_of("striped"), striped);
    cr_assert_eq(client_put(alice, "key 3", 10, 0), CENOTE_EXISTS);
    cr_assert_eq(client_remove(alice, "striped"), CENOTE_OK);
}

Test(rebuild, how_it_is_kept__comes_back)
{
    struct keep keep = {.ttl_ms = 60000, .pin = KEEP_PIN_HARD, .group = "g", .group_len = 1}, told;
    struct keep later = {.pin = KEEP_PIN_SOFT, .pin_ms = 50000};
    cr_assert_eq(client_put_kept(alice, "kept", 1000, 0, &keep), CENOTE_OK);
    cr_assert_eq(client_put_kept(alice, "changed", 1000, 0, &keep), CENOTE_OK);
    keep.ttl_ms = 2000;
    cr_assert_eq(client_put_kept(alice, "over", 1000, 0, &keep), CENOTE_OK);
    pass(300);
    cr_assert_eq(client_keep(alice, "changed", &later, KEEP_PIN), CENOTE_OK);
    pass(300);
    lose_store();
    rebuild();
    cr_assert_eq(client_kept(alice, "kept", &told), CENOTE_OK);
    cr_assert(told.ttl_ms > 50000 && told.ttl_ms < 60000);
    cr_assert(told.pin == KEEP_PIN_HARD && told.group_len == 1 && told.group[0] == 'g');
    cr_assert_eq(client_kept(alice, "changed", &told), CENOTE_OK);
    cr_assert_eq(told.pin, KEEP_PIN_SOFT);
    cr_assert_eq(put_id_of("over"), 0);
}

Test(rebuild, reign_and_addresses__above_all)
{
    cr_assert_eq(client_put(alice, "key", 1000, 0), CENOTE_OK);
    uint64_t id = put_id_of("key"), incarnation = nodes[0].end->joined.segments[0].incarnation;
    pass(300);
    lose_store();
    nodes[1].params.highest_reign = 700;
    rebuild();
    for (unsigned i = 0; i < NODES; i++)
        cr_assert_gt(nodes[i].end->joined.reign, 700);
    cr_assert_eq(nodes[0].end->joined.segments[0].incarnation, incarnation);
    pass(2 * RIG_LEASE_MS);
    cr_assert_eq(client_put(alice, "new", 1000, 0), CENOTE_OK);
    cr_assert_gt(put_id_of("new"), id);
    cr_assert_gt(put_id_of("new") >> 44, 700);
    struct end *fresh = node_up(world, "fresh", 9, 1, RIG_SEGMENT);
    for (unsigned i = 0; i < NODES; i++)
        cr_assert_gt(fresh->joined.segments[0].gva.v,
                     nodes[i].end->joined.segments[0].gva.v + RIG_SEGMENT);
}

Test(rebuild, clients__wait)
{
    struct session_open_params open = {.protocol = PROTOCOL_VERSION};
    struct wire_buf b;
    pass(300);
    lose_store();
    struct end *e = end_open(world);
    strcpy(open.name_space, "default");
    uint32_t msgid = end_request(e, &b, METHOD_SESSION_OPEN);
    session_open_params_put(&b, &open);
    cr_assert_eq(end_ask(e, &b, msgid, NULL), CENOTE_UNAVAILABLE);
    all_come();
    all_join();
    clients_come();
    cr_assert(is_over());
}

Test(rebuild, sessions__are_gone)
{
    int status;
    pass(300);
    struct end before = *alice;
    lose_store();
    rebuild();
    (void)client_resume(world, &before, &status);
    cr_assert_eq(status, CENOTE_NO_SESSION);
}

/* The entry of the older one is still there: its void was owed. */
Test(rebuild, two_of_one_key__the_newer_commit_wins)
{
    struct put_start_item first, second;
    for (unsigned i = 0; i < NODES; i++)
        nodes[i].end->holds_calls = false;
    cr_assert_eq(client_put_start(alice, "key", 1000, PUT_START_REPLACE, &first, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(bob, "key", 2000, PUT_START_REPLACE, &second, NULL), CENOTE_OK);
    cr_assert_eq(client_commit(bob, &second, EXTENT_VISIBLE), CENOTE_OK);
    pass(300);
    for (unsigned i = 0; i < NODES; i++) { /* voids are kept from them */
        struct there *t = &nodes[i];
        struct directory_entry e;
        uint64_t cursor = 0;
        if (!directory_next(t->directory, &cursor, &e))
            continue;
        struct directory_entry older = e;
        uint8_t key[8];
        memcpy(key, e.key, e.key_len);
        older.key = key;
        cr_assert_eq(client_commit(alice, &first, EXTENT_VISIBLE), CENOTE_OK);
        pass(300);
        cr_assert_eq(directory_set(t->directory, &older), CENOTE_OK);
        break;
    }
    cr_assert_eq(put_id_of("key"), first.put_id);
    lose_store();
    rebuild();
    cr_assert_eq(rig_status("rebuild", "older"), 1);
    pass(2 * RIG_LEASE_MS);
    cr_assert_eq(put_id_of("key"), first.put_id); /* lower, but committed later */
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
}

/* ---- entries of two lives -------------------------------------------------------------------- */

/* A copy of an entry, and whose it is. */
struct found {
    struct there *at;
    struct directory_entry e;
    uint8_t key[16], kept[DIRECTORY_KEPT_MAX];
};

static void find_entry(const char *key, struct found *out)
{
    for (unsigned i = 0; i < NODES; i++) {
        struct directory_entry e;
        uint64_t cursor = 0;
        while (directory_next(nodes[i].directory, &cursor, &e)) {
            if (e.key_len != strlen(key) || memcmp(e.key, key, e.key_len) != 0)
                continue;
            *out = (struct found){.at = &nodes[i], .e = e};
            memcpy(out->key, e.key, e.key_len);
            memcpy(out->kept, e.kept, e.kept_len);
            out->e.key = out->key;
            out->e.kept = out->kept;
            return;
        }
    }
    cr_assert_fail("no entry of %s", key);
}

static uint64_t reign_of(uint64_t put_id)
{
    return put_id >> IDS_COUNT_BITS;
}

/* The service was lost twice. What it was told to void in its second life is still there. */
Test(rebuild, two_lives__of_one_key)
{
    struct found old, now;
    cr_assert_eq(client_put(alice, "key", 1000, 0), CENOTE_OK);
    pass(300);
    find_entry("key", &old);
    lose_store();
    rebuild();
    pass(1000);
    cr_assert_eq(put_id_of("key"), old.e.put_id);
    cr_assert_eq(client_put(alice, "key", 2000, PUT_START_REPLACE), CENOTE_OK);
    pass(2 * RIG_LEASE_MS);
    find_entry("key", &now);
    cr_assert_gt(reign_of(now.e.put_id), reign_of(old.e.put_id));
    cr_assert_eq(directory_set(old.at->directory, &old.e), CENOTE_OK);
    lose_store();
    rebuild();
    cr_assert_eq(put_id_of("key"), now.e.put_id);
    cr_assert_eq(rig_status("rebuild", "older"), 1);
    cr_assert_eq(rig_status("rebuild", "objects"), 1);
    pass(2 * RIG_LEASE_MS + 500);
    cr_assert(!directory_find(old.at->directory, old.e.gva, &now.e)); /* void at last */
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
}

static uint64_t stale_put;

static bool is_not_stale(const struct directory_entry *e)
{
    return e->put_id != stale_put;
}

/* The address was given to another value, of which the node hasn't heard yet. The seal there is
 * that one's, so the node says that the entry's isn't live. */
Test(rebuild, two_lives__an_entry_behind_its_extent)
{
    struct found stale;
    cr_assert_eq(client_put(alice, "stale", 1000, 0), CENOTE_OK);
    cr_assert_eq(client_put(alice, "key", 1000, 0), CENOTE_OK);
    pass(300);
    find_entry("stale", &stale);
    stale_put = stale.e.put_id;
    lose_store();
    all_come();
    stale.at->end->is_live = is_not_stale;
    all_join();
    pass(300);
    clients_come();
    cr_assert_eq(put_id_of("stale"), 0);
    cr_assert_neq(put_id_of("key"), 0);
    cr_assert_eq(rig_status("rebuild", "left_out"), 1);
    cr_assert_eq(rig_status("rebuild", "strange"), 0);
}

/* Extents that overlap, and a put of a life that hasn't been: no harm is done to the others. */
Test(rebuild, two_lives__what_cannot_be_is_strange)
{
    struct found a, b;
    cr_assert_eq(client_put(alice, "a", 1000, 0), CENOTE_OK);
    cr_assert_eq(client_put(alice, "b", 1000, 0), CENOTE_OK);
    pass(300);
    find_entry("a", &a);
    find_entry("b", &b);
    uint64_t put_id = a.e.put_id;
    a.e.gva = gva_add(a.e.gva, 16);
    a.e.put_id = 1;
    cr_assert_eq(directory_set(a.at->directory, &a.e), CENOTE_OK);
    uint64_t b_put_id = b.e.put_id;
    b.e.gva = gva_add(b.at->end->joined.segments[0].gva, RIG_SEGMENT / 2);
    b.e.put_id = UINT64_C(1000) << IDS_COUNT_BITS;
    cr_assert_eq(directory_set(b.at->directory, &b.e), CENOTE_OK);
    lose_store();
    rebuild();
    cr_assert_eq(put_id_of("a"), put_id);
    cr_assert_eq(put_id_of("b"), b_put_id);
    cr_assert_eq(rig_status("rebuild", "strange"), 2);
    cr_assert_eq(rig_status("rebuild", "objects"), 2);
}

static bool no_live_seal(const struct directory_entry *e)
{
    return e->key_len != 4;
}

Test(rebuild, void_seals__are_left_out)
{
    cr_assert_eq(client_put(alice, "dead", 1000, 0), CENOTE_OK);
    cr_assert_eq(client_put(alice, "alive", 1000, 0), CENOTE_OK);
    pass(300);
    lose_store();
    all_come();
    for (unsigned i = 0; i < NODES; i++)
        nodes[i].end->is_live = no_live_seal;
    all_join();
    pass(300);
    clients_come();
    cr_assert_eq(put_id_of("dead"), 0);
    cr_assert_neq(put_id_of("alive"), 0);
    cr_assert_eq(rig_status("rebuild", "left_out"), 1);
    pass(1000); /* and the node forgets it */
    for (unsigned i = 0; i < NODES; i++) {
        struct directory_entry e;
        for (uint64_t cursor = 0; directory_next(nodes[i].directory, &cursor, &e);)
            cr_assert_eq(e.key_len, 5);
    }
}

Test(rebuild, a_node_is_missing__what_is_whole_comes_back)
{
    char key[16];
    for (unsigned i = 0; i < 12; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        cr_assert_eq(client_put(alice, key, 1000, 0), CENOTE_OK);
    }
    cr_assert_eq(client_put(alice, "striped", 6 * MIB, 0), CENOTE_OK);
    pass(300);
    uint64_t there =
        directory_sum(nodes[0].directory).entries + directory_sum(nodes[1].directory).entries;
    lose_store();
    come(&nodes[0]);
    come(&nodes[1]);
    world_pass(world, 3000); /* n2 is known, and waited for */
    cr_assert_eq(joined(&nodes[0]), 1);
    world_pass(world, WAIT_MS - 2500);
    cr_assert_eq(joined(&nodes[0]), CENOTE_OK);
    cr_assert_eq(joined(&nodes[1]), CENOTE_OK);
    pass(300);
    clients_come();
    cr_assert_eq(rig_status("rebuild", "missing_nodes"), 1);
    cr_assert_eq(rig_status("rebuild", "nodes"), 2);
    cr_assert_eq(rig_status("rebuild", "entries"), there);
    cr_assert_eq(rig_status("rebuild", "incomplete"), 1);
    cr_assert_eq(put_id_of("striped"), 0);
    cr_assert_gt(rig_status("rebuild", "objects"), 0);
    come(&nodes[2]); /* too late */
    cr_assert_eq(joined(&nodes[2]), CENOTE_NODE_UNKNOWN);
    pass(2 * RIG_LEASE_MS);
    cr_assert_eq(rig_status("quarantine", "extents"), 0); /* what wasn't whole is free */
}

Test(rebuild, number_of_nodes__is_enough)
{
    pass(300);
    world->options.rebuild_nodes = 2;
    lose_store();
    come(&nodes[0]);
    world_pass(world, 2500);
    cr_assert_eq(joined(&nodes[0]), 1);
    come(&nodes[1]);
    world_pass(world, 200);
    cr_assert_eq(joined(&nodes[0]), CENOTE_OK);
    cr_assert_eq(joined(&nodes[1]), CENOTE_OK);
}

/* A value is there, and on all nodes somebody writes while they come. */
static void lose_with_writers(void)
{
    cr_assert_eq(client_put(alice, "key", 1000, 0), CENOTE_OK);
    pass(300);
    lose_store();
    all_come();
    for (unsigned i = 0; i < NODES; i++)
        nodes[i].end->writes = true;
    all_join();
}

Test(rebuild, nothing_is_placed__before_a_node_has_settled)
{
    lose_with_writers();
    pass(2 * RIG_LEASE_MS + 500);
    clients_come();
    cr_assert_neq(put_id_of("key"), 0);
    cr_assert_neq(client_put(alice, "new", 1000, 0), CENOTE_OK);
    nodes[0].end->writes = false;
    nodes[0].end->strays = 1;
    pass(1000);
    cr_assert_neq(client_put(alice, "new", 1000, 0), CENOTE_OK);
    nodes[0].end->strays = 0;
    pass(1000);
    cr_assert_eq(client_put(alice, "new", 1000, 0), CENOTE_OK);
    cr_assert_eq(rig_status("rebuild", "unsettled_nodes"), 2);
}

/* The service dies once more, with its new store this time. */
Test(rebuild, restart__nodes_still_have_to_settle)
{
    lose_with_writers();
    pass(300);
    world_crash(world, 0);
    world->options.rebuild = false;
    cr_assert_eq(world_start(world), CENOTE_OK);
    for (unsigned i = 0; i < NODES; i++) {
        int status;
        nodes[i].params.highest_reign = nodes[i].end->joined.reign;
        nodes[i].end = node_join(world, &nodes[i].params, &status);
        nodes[i].end->writes = true;
        cr_assert_eq(status, CENOTE_OK);
    }
    pass(2 * RIG_LEASE_MS + 500);
    clients_come();
    cr_assert_neq(put_id_of("key"), 0);
    cr_assert_neq(client_put(alice, "new", 1000, 0), CENOTE_OK);
    for (unsigned i = 0; i < NODES; i++)
        nodes[i].end->writes = false;
    pass(1000);
    cr_assert_eq(client_put(alice, "new", 1000, 0), CENOTE_OK);
    cr_assert_eq(rig_status("rebuild", "unsettled_nodes"), 0);
}

Test(rebuild, unfinished__is_not_believed)
{
    pass(300);
    lose_store();
    come(&nodes[0]);
    nodes[0].end = NULL;
    world_crash(world, 0);
    world->options.rebuild = false;
    cr_assert_eq(world_start(world), CENOTE_UNTRUSTED);
    world->options.rebuild = true; /* nor is it gone on with */
    memstore_free(world->store);
    world->store = memstore_new();
    world->service = NULL;
    cr_assert_eq(world_start(world), CENOTE_OK);
}

/* A segment that says it was given what another has. */
Test(rebuild, two_of_one_address__the_second_is_refused)
{
    pass(300);
    lose_store();
    nodes[1].params.segments[0].gva = nodes[0].params.segments[0].gva;
    all_come();
    world_pass(world, 2100);
    cr_assert_eq(joined(&nodes[0]), CENOTE_OK);
    cr_assert_eq(joined(&nodes[1]), CENOTE_NODE_UNKNOWN);
    cr_assert_eq(joined(&nodes[2]), CENOTE_OK);
    pass(WAIT_MS + 500);
    clients_come();
    cr_assert_eq(rig_status("rebuild", "nodes"), 2);
}
