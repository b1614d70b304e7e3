/* SPDX-License-Identifier: Apache-2.0 */
/* What the service tells its nodes of the extents that lie on them. */
#include "meta/core/directory.h"
#include "server/node/directory.h"
#include "tests/unit/meta/meta_rig.h"
#include "transport/base/testswitch.h"

#define LIMIT (UINT64_C(64) << 20)

static struct directory *kept;

static struct directory *new_directory(void)
{
    struct directory *d;
    cr_assert_eq(directory_open(-1, LIMIT, NULL, 0, &d), CENOTE_OK);
    return d;
}

static void up(void)
{
    rig_up();
    kept = new_directory();
    node->directory = kept;
    cr_assert_eq(node_heartbeat(node, 1, RIG_SEGMENT), CENOTE_OK);
}

static void down(void)
{
    rig_down();
    directory_close(kept);
}

TestSuite(told, .init = up, .fini = down);

static uint64_t lag(void)
{
    return rig_status("nodes", "directory_lag");
}

static uint64_t entries(void)
{
    cr_assert_eq(rig_status("nodes", "directory_entries"), directory_sum(kept).entries);
    return directory_sum(kept).entries;
}

/* What the directory says of a key's first extent; false: nothing. */
static bool entry_of(struct directory *d, const char *key, struct directory_entry *e)
{
    for (uint64_t cursor = 0; directory_next(d, &cursor, e);)
        if (e->key_len == strlen(key) && memcmp(e->key, key, e->key_len) == 0)
            return true;
    return false;
}

static void put_many(unsigned from, unsigned to)
{
    char key[16];
    for (unsigned i = from; i < to; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        cr_assert_eq(client_put(alice, key, 1000, 0), CENOTE_OK);
    }
}

Test(told, commit__entry)
{
    struct directory_entry e;
    struct lookup_item found;
    struct stripe stripes[STRIPES_MAX];
    cr_assert_eq(lag(), 0);
    cr_assert_eq(client_put(alice, "key", 5000, PUT_START_REPLACE), CENOTE_OK);
    cr_assert_eq(lag(), 1);
    cr_assert(!entry_of(kept, "key", &e));
    world_pass(world, 100);
    cr_assert_eq(lag(), 0);
    cr_assert_eq(entries(), 1);
    cr_assert(entry_of(kept, "key", &e));
    cr_assert_eq(client_lookup(bob, "key", &found, stripes), CENOTE_OK);
    cr_assert_eq(e.put_id, found.put_id);
    cr_assert_eq(e.gva.v, stripes[0].gva[0].v);
    cr_assert_eq(e.root, stripes[0].root);
    cr_assert_eq(e.len_bytes, 5000);
    cr_assert_eq(e.payload_len, 5000);
    cr_assert_eq(e.name_space, alice->session.name_space);
    cr_assert_str_eq(e.space_name, "default");
    cr_assert_eq(e.sum_kind, found.sum_kind);
    cr_assert(e.created_ms > 0 && e.flags == DIRECTORY_REPLACE);
    cr_assert(e.stripe == 0 && e.stripes == 1 && e.replicas == 1 && e.offset == 0);
}

/* In a build with test switches the control "entries" makes this fail. */
Test(told, remove__entry_goes_with_the_void)
{
    struct directory_entry e;
    put_many(0, 3);
    world_pass(world, 100);
    cr_assert_eq(entries(), 3);
    node->holds_calls = true;
    client_remove_send(alice, "key 1");
    world_run(world);
    cr_assert(entry_of(kept, "key 1", &e));
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    cr_assert(!entry_of(kept, "key 1", &e), "the entry is still there");
    node->holds_calls = false;
    rig_pass(200);
    cr_assert_eq(entries(), 2);
    cr_assert_eq(lag(), 0);
}

Test(told, removed_before_it_was_told__nothing)
{
    struct directory_entry e;
    put_many(0, 2);
    cr_assert_eq(client_remove(alice, "key 0"), CENOTE_OK);
    rig_pass(200);
    cr_assert(!entry_of(kept, "key 0", &e));
    cr_assert(entry_of(kept, "key 1", &e));
    cr_assert_eq(lag(), 0);
}

/* The call that tells of it is on its way when it is removed. */
Test(told, void_behind_the_entry)
{
    struct directory_entry e;
    node->holds_calls = true;
    put_many(0, 1);
    world_pass(world, 100);
    client_remove_send(alice, "key 0");
    world_run(world);
    cr_assert_eq(node->call_count, 2);
    cr_assert_str_eq(node->calls[0].method, METHOD_DIRECTORY);
    node->holds_calls = false;
    rig_pass(200);
    cr_assert(!entry_of(kept, "key 0", &e));
    cr_assert_eq(entries(), 0);
    cr_assert_eq(lag(), 0);
    cr_assert_eq(node->directory_calls, 1, "no list was needed");
}

Test(told, replace__the_newer_one_stays)
{
    struct directory_entry e;
    struct lookup_item found;
    struct stripe stripes[STRIPES_MAX];
    put_many(0, 1);
    world_pass(world, 100);
    cr_assert_eq(client_put(alice, "key 0", 2000, PUT_START_REPLACE), CENOTE_OK);
    rig_pass(200);
    cr_assert_eq(entries(), 1);
    cr_assert_eq(client_lookup(bob, "key 0", &found, stripes), CENOTE_OK);
    cr_assert(entry_of(kept, "key 0", &e) && e.put_id == found.put_id && e.len_bytes == 2000);
    cr_assert_eq(lag(), 0);
}

Test(told, aborted__nothing)
{
    struct put_start_item item;
    cr_assert_eq(client_put_start(alice, "key", 1000, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &item, EXTENT_UNKNOWN), CENOTE_OK);
    rig_pass(200);
    cr_assert_eq(entries(), 0);
    cr_assert_eq(node->directory_calls, 0);
}

Test(told, stripes__each_has_an_entry)
{
    struct put_start_item item;
    struct stripe granted[STRIPES_MAX];
    struct directory_entry e;
    uint64_t bytes = 0, seen = 0;
    put_many(0, 3); /* holes of less than 9 MiB */
    cr_assert_eq(client_put(alice, "half", 8 * MIB, 0), CENOTE_OK);
    cr_assert_eq(client_remove(alice, "key 1"), CENOTE_OK);
    rig_pass(RIG_LEASE_MS);
    cr_assert_eq(client_put_start(alice, "large", 7 * MIB, 0, &item, granted), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    rig_pass(200);
    for (uint64_t cursor = 0; directory_next(kept, &cursor, &e);) {
        if (e.put_id != item.put_id)
            continue;
        cr_assert_eq(e.stripes, item.stripe_count);
        cr_assert_eq(e.gva.v, granted[e.stripe].gva[0].v);
        cr_assert_eq(e.offset, granted[e.stripe].offset);
        bytes += e.payload_len;
        seen++;
    }
    cr_assert_eq(bytes, 7 * MIB);
    cr_assert_eq(seen, item.stripe_count);
    cr_assert_eq(lag(), 0);
}

Test(told, replicas__one_that_was_dropped_has_none)
{
    struct directory *other = new_directory();
    struct end *second = node_up(world, "n2", 8, 1, RIG_SEGMENT);
    struct put_start_item item;
    struct stripe granted[STRIPES_MAX];
    uint8_t states[2] = {EXTENT_VISIBLE, EXTENT_VISIBLE};
    cr_assert_eq(node_heartbeat_with(second, 1, RIG_SEGMENT, other), CENOTE_OK);
    for (unsigned dropped = 0; dropped < 2; dropped++) {
        cr_assert_eq(client_put_start(alice, dropped ? "one" : "two", 1000,
                                      put_start_flags(false, 2), &item, granted),
                     CENOTE_OK);
        bool first_is_n1 =
            gva_covers(node->joined.segments[0].gva, RIG_SEGMENT, granted[0].gva[0], 1);
        states[first_is_n1] = dropped ? EXTENT_DRAINED : EXTENT_VISIBLE;
        client_end_send(alice, METHOD_PUT_COMMIT, &item, states, 2);
        world_run(world);
    }
    for (unsigned i = 0; i < 3; i++) {
        rig_pass(100);
        cr_assert_eq(node_heartbeat(second, 1, RIG_SEGMENT), CENOTE_OK);
    }
    cr_assert_eq(entries(), 2);
    cr_assert_eq(directory_sum(other).entries, 1);
    cr_assert_eq(lag(), 0);
    end_close(second);
    directory_close(other);
}

/* ---- nodes that are away, services that start again ---- */

static void rejoin(void)
{
    int status;
    struct node_join_params p = node_params("n1", 7, 1, RIG_SEGMENT);
    p.segments[0].incarnation = node->joined.segments[0].incarnation;
    end_close(node);
    node = node_join(world, &p, &status);
    node->directory = kept;
    cr_assert_eq(status, CENOTE_OK);
    cr_assert_eq(node_heartbeat(node, 1, RIG_SEGMENT), CENOTE_OK);
}

Test(told, away_at_the_commit__told_when_it_is_back)
{
    struct put_start_item item;
    struct directory_entry e;
    put_many(0, 1);
    cr_assert_eq(client_put_start(alice, "late", 1000, 0, &item, NULL), CENOTE_OK);
    rig_pass(100);
    node->holds_calls = true;
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    world_pass(world, 100);
    cr_assert_eq(lag(), 1);
    cr_assert_eq(node->call_count, 1);
    rejoin(); /* the call had no effect */
    cr_assert(!entry_of(kept, "late", &e));
    world_pass(world, 100);
    cr_assert(entry_of(kept, "late", &e));
    cr_assert_eq(lag(), 0);
}

Test(told, lost_answer__told_again)
{
    put_many(0, 2);
    node->holds_calls = true;
    world_pass(world, 100);
    cr_assert_eq(node->call_count, 1);
    struct directory_params p;
    struct directory_entry e;
    cr_assert(directory_params_get(node->calls[0].msg.params, &p));
    cr_assert(directory_entry_get(wire_at(p.entries, 0), &e));
    cr_assert_eq(directory_set(kept, &e), CENOTE_OK);
    rejoin();
    rig_pass(200);
    cr_assert_eq(entries(), 2);
    cr_assert_eq(lag(), 0);
}

Test(told, restart__quiet_costs_nothing)
{
    put_many(0, 20);
    world_pass(world, 100);
    rig_restart(UINT32_MAX);
    rig_pass(300);
    cr_assert_eq(lag(), 0);
    cr_assert_eq(node->directory_calls, 0);
}

Test(told, restart__what_was_not_told_is)
{
    put_many(0, 20);
    world_pass(world, 100);
    put_many(20, 30);
    cr_assert_eq(client_remove(alice, "key 3"), CENOTE_OK);
    rig_restart(UINT32_MAX);
    cr_assert_geq(lag(), 1);
    rig_pass(300);
    cr_assert_eq(entries(), 29);
    cr_assert_eq(lag(), 0);
}

Test(told, entries_too_many__dropped_by_a_list)
{
    struct directory_entry e;
    put_many(0, 5);
    world_pass(world, 100);
    cr_assert(entry_of(kept, "key 0", &e));
    struct directory_entry wrong = e;
    wrong.gva.v += 512 * EXTENT_ALIGN;
    cr_assert_eq(directory_set(kept, &wrong), CENOTE_OK);
    rig_pass(300);
    cr_assert_eq(entries(), 5);
    cr_assert(!directory_find(kept, wrong.gva, &e));
    cr_assert_eq(lag(), 0);
}

Test(told, directory_lost__told_anew)
{
    put_many(0, 40);
    world_pass(world, 100);
    directory_close(kept);
    kept = new_directory();
    rejoin();
    cr_assert_geq(lag(), 40);
    rig_pass(300);
    cr_assert_eq(entries(), 40);
    cr_assert_eq(lag(), 0);
}

Test(told, new_incarnation__empty)
{
    int status;
    put_many(0, 10);
    rig_pass(100);
    end_close(node);
    world_pass(world, RIG_SUSPECT_MS);
    directory_close(kept);
    kept = new_directory();
    struct node_join_params p = node_params("n1", 9, 1, RIG_SEGMENT);
    node = node_join(world, &p, &status);
    cr_assert_eq(status, CENOTE_OK);
    cr_assert_eq(node_heartbeat_with(node, 1, RIG_SEGMENT, kept), CENOTE_OK);
    rig_pass(300);
    cr_assert_eq(entries(), 0);
    cr_assert_eq(lag(), 0);
}

/* A node that can't take them doesn't keep the service from anything, and gets them later. */
Test(told, refused__later)
{
    node->directory_refusal = CENOTE_NO_SPACE;
    put_many(0, 10);
    rig_pass(3000);
    cr_assert_eq(lag(), 10);
    cr_assert_leq(node->directory_calls, 0);
    node->directory_refusal = CENOTE_OK;
    rig_pass(DIRECTORY_RETRY_MS + 200);
    cr_assert_eq(entries(), 10);
    cr_assert_eq(lag(), 0);
}

Test(told, garbage__told_again)
{
    node->answers_garbage = true;
    put_many(0, 3);
    rig_pass(300);
    cr_assert_geq(lag(), 3);
    node->answers_garbage = false;
    rig_pass(DIRECTORY_RETRY_MS + 200);
    cr_assert_eq(lag(), 0);
}

Test(told, no_directory__no_calls)
{
    node->directory = NULL;
    rejoin();
    node->directory = NULL;
    cr_assert_eq(node_heartbeat(node, 1, RIG_SEGMENT), CENOTE_OK);
    put_many(0, 3);
    rig_pass(300);
    cr_assert_eq(node->directory_calls, 0);
    cr_assert_eq(lag(), 3);
    node->directory = kept;
    rig_pass(300);
    cr_assert_eq(lag(), 0);
    cr_assert_eq(entries(), 3);
}

/* Commits never stop: a node that came back is told all the same, in time. */
Test(told, never_quiet__listed_when_due)
{
    struct directory_entry e;
    put_many(0, 5);
    world_pass(world, 100);
    cr_assert(entry_of(kept, "key 2", &e));
    directory_drop(kept, e.gva);
    rejoin();
    node->holds_calls = true;
    for (unsigned i = 0; i < DIRECTORY_LIST_PAUSE_MS / 100 + 5; i++) {
        put_many(5 + i, 6 + i);
        rig_pass(100);
        while (end_reply(node, METHOD_DIRECTORY, CENOTE_OK))
            put_many(1000 + i * 10 + node->directory_calls, 1001 + i * 10 + node->directory_calls);
        rig_pass(100);
    }
    cr_assert(entry_of(kept, "key 2", &e));
    node->holds_calls = false;
    rig_pass(200);
    cr_assert_eq(lag(), 0);
}

/* More commits than hints have room for: the rest is found by a list. */
Test(told, ring_full__listed)
{
    char key[16];
    node->holds_calls = true;
    for (unsigned i = 0; i < DIRECTORY_HINTS_MAX + 500; i++) {
        snprintf(key, sizeof(key), "%u", i);
        cr_assert_eq(client_put(alice, key, 8, 0), CENOTE_OK);
    }
    cr_assert_geq(lag(), DIRECTORY_HINTS_MAX);
    node->holds_calls = false;
    rig_pass(2000);
    cr_assert_eq(entries(), DIRECTORY_HINTS_MAX + 500);
    cr_assert_eq(lag(), 0);
}
