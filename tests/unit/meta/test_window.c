/* SPDX-License-Identifier: Apache-2.0 */
/* Numbered calls that are sent again: in the same life of the service, and in the next. */
#include "meta/core/session_record.h"
#include "tests/unit/meta/meta_rig.h"

TestSuite(window, .init = rig_up, .fini = rig_down);

static struct put_start_item item, again;
static struct stripe stripe, same;

/* The next numbered call of this client has this number. */
static void number(struct end *e, uint64_t seq)
{
    e->seq = seq - 1;
}

static int start(uint64_t seq, struct put_start_item *out, struct stripe *out_stripe)
{
    number(alice, seq);
    return client_put_start(alice, "k", 100, 0, out, out_stripe);
}

static uint32_t start_send(uint64_t seq)
{
    struct wire_buf b;
    uint32_t msgid = end_request(alice, &b, METHOD_PUT_START);
    put_start_params_put(&b, seq, 0, 1);
    put_start_key_put(&b, "k", 1, 100);
    end_send(alice, &b);
    return msgid;
}

static uint64_t started(uint32_t msgid)
{
    struct answer *a = end_answer(alice, msgid);
    cr_assert_not_null(a);
    cr_assert_eq(a->msg.error, CENOTE_OK);
    cr_assert(put_start_item_get(wire_at(a->msg.result, 0), &again));
    cr_assert_eq(again.status, CENOTE_OK);
    answer_drop(alice, a);
    return again.put_id;
}

static int remove_numbered(uint64_t seq, const char *key)
{
    number(alice, seq);
    return client_remove(alice, key);
}

static uint32_t removes_send(uint64_t seq, const char *const *keys, uint32_t count)
{
    struct wire_buf b;
    uint32_t msgid = end_request(alice, &b, METHOD_REMOVE);
    remove_params_put(&b, seq, count);
    for (uint32_t i = 0; i < count; i++)
        wire_put_bin(&b, keys[i], strlen(keys[i]));
    end_send(alice, &b);
    return msgid;
}

static int removes_status(uint32_t msgid, uint32_t i)
{
    struct answer *a = end_answer(alice, msgid);
    int32_t status;
    cr_assert_not_null(a);
    cr_assert_eq(a->msg.error, CENOTE_OK);
    cr_assert(wire_i32(wire_at(a->msg.result, i), &status));
    return status;
}

static int commit(uint64_t seq)
{
    number(alice, seq);
    return client_commit(alice, &item, EXTENT_VISIBLE);
}

static int abort_put(uint64_t seq)
{
    number(alice, seq);
    return client_abort(alice, &item, EXTENT_DRAINED);
}

static uint32_t objects(void)
{
    return memstore_count(world->store, STORE_OBJECTS);
}

static void close_send(struct end *e)
{
    struct wire_buf b;
    end_request(e, &b, METHOD_SESSION_CLOSE);
    wire_put_array(&b, 0);
    end_send(e, &b);
}

static void close_session(struct end *e)
{
    close_send(e);
    world_run(world);
}

/* ---- put_start ---- */

Test(window, start__again_is_the_same_put)
{
    cr_assert_eq(start(1, &item, &stripe), CENOTE_OK);
    cr_assert_eq(start(1, &again, &same), CENOTE_OK);
    cr_assert_eq(again.put_id, item.put_id);
    cr_assert_eq(same.gva[0].v, stripe.gva[0].v);
    cr_assert_eq(same.grant[0].mac, stripe.grant[0].mac);
    cr_assert_eq(objects(), 1);
}

Test(window, start__while_it_runs)
{
    uint32_t first = start_send(1), second = start_send(1);
    world_run(world);
    cr_assert_eq(started(first), started(second));
    cr_assert_eq(objects(), 1);
}

Test(window, start__again_after_a_restart)
{
    for (unsigned applied = 0; applied < 2; applied++) {
        start_send(1 + applied);
        rig_restart(applied);
        cr_assert_eq(objects(), applied);
        cr_assert_eq(start(1 + applied, &item, NULL), CENOTE_OK);
        cr_assert_eq(objects(), 1);
        rig_restart(0);
        cr_assert_eq(start(1 + applied, &again, NULL), CENOTE_OK);
        cr_assert_eq(again.put_id, item.put_id);
        cr_assert_eq(abort_put(10 + applied), CENOTE_OK);
        cr_assert_eq(objects(), 0);
    }
}

Test(window, start__connection_went_before_the_answer)
{
    int status;
    start_send(1);
    struct end *fresh = client_resume(world, alice, &status);
    cr_assert_eq(status, CENOTE_OK);
    end_close(alice);
    alice = fresh;
    cr_assert_eq(rig_status("service", "pending_puts"), 1);
    cr_assert_eq(start(1, &item, NULL), CENOTE_OK);
    cr_assert_eq(commit(2), CENOTE_OK);
    start_send(3);
    end_close(alice);
    alice = bob;
    rig_pass(RIG_GRACE_MS + 500); /* nobody asks again */
    cr_assert_eq(rig_status("service", "pending_puts"), 0);
}

static void start_mixed(int *statuses, uint64_t *put_ids)
{
    static const char *const keys[] = {"a", "there", "b", "c", "there"};
    struct wire_buf b;
    struct answer *a;
    uint32_t msgid = end_request(alice, &b, METHOD_PUT_START);
    put_start_params_put(&b, 50, 0, 5);
    for (unsigned i = 0; i < 5; i++)
        put_start_key_put(&b, keys[i], strlen(keys[i]), 100);
    cr_assert_eq(end_ask(alice, &b, msgid, &a), CENOTE_OK);
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert(put_start_item_get(wire_at(a->msg.result, i), &item));
        statuses[i] = item.status;
        put_ids[i] = item.status == CENOTE_OK ? item.put_id : 0;
    }
    answer_drop(alice, a);
}

Test(window, start__mixed_answers_after_a_restart)
{
    int first[5], second[5];
    uint64_t ids[5], same_ids[5];
    cr_assert_eq(client_put(bob, "there", 10, 0), CENOTE_OK);
    start_mixed(first, ids);
    rig_restart(0);
    start_mixed(second, same_ids);
    cr_assert_eq(memcmp(first, second, sizeof(first)), 0);
    cr_assert_eq(memcmp(ids, same_ids, sizeof(ids)), 0);
    cr_assert_eq(first[1], CENOTE_EXISTS);
    cr_assert_eq(first[4], CENOTE_EXISTS);
    cr_assert_neq(ids[3], 0);
}

Test(window, start__no_second_grant_for_a_finished_put)
{
    cr_assert_eq(start(1, &item, NULL), CENOTE_OK);
    cr_assert_eq(commit(2), CENOTE_OK);
    cr_assert_eq(start(1, &again, NULL), CENOTE_ABORTED);
    rig_restart(0);
    cr_assert_eq(start(1, &again, NULL), CENOTE_ABORTED);
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK);
    rig_pass(RIG_LEASE_MS + 500);
    cr_assert_eq(objects(), 0);
    cr_assert_eq(start(1, &again, NULL), CENOTE_ABORTED);
}

Test(window, start__node_is_not_back_yet)
{
    int status;
    struct put_start_item granted;
    cr_assert_eq(start(1, &granted, &stripe), CENOTE_OK);
    world_crash(world, 0);
    cr_assert_eq(world_start(world), CENOTE_OK);
    alice = client_resume(world, alice, &status);
    cr_assert_eq(status, CENOTE_OK);
    cr_assert_eq(start(1, &item, NULL), CENOTE_UNAVAILABLE);
    struct node_join_params p = node_params("n1", 7, 1, RIG_SEGMENT);
    p.segments[0].incarnation = node->joined.segments[0].incarnation;
    node = node_join(world, &p, &status);
    cr_assert_eq(status, CENOTE_OK);
    cr_assert_eq(start(1, &item, &same), CENOTE_OK);
    cr_assert_eq(item.put_id, granted.put_id);
    cr_assert_eq(same.grant[0].mac, stripe.grant[0].mac);
}

Test(window, start__store_refuses)
{
    memstore_fail(world->store, 1, CENOTE_IO);
    cr_assert_eq(start(1, &item, NULL), CENOTE_IO);
    cr_assert_eq(start(1, &item, NULL), CENOTE_IO);
    cr_assert_eq(start(2, &item, NULL), CENOTE_OK);
}

/* ---- remove ---- */

Test(window, remove__again_spares_the_newer_value)
{
    cr_assert_eq(client_put(bob, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(remove_numbered(1, "k"), CENOTE_OK);
    cr_assert_eq(client_put(bob, "k", 200, 0), CENOTE_OK);
    cr_assert_eq(remove_numbered(1, "k"), CENOTE_OK);
    cr_assert(client_exists(bob, "k"));
    rig_restart(0);
    cr_assert_eq(remove_numbered(1, "k"), CENOTE_OK);
    cr_assert(client_exists(bob, "k"));
    cr_assert_eq(remove_numbered(2, "k"), CENOTE_OK);
    cr_assert_not(client_exists(bob, "k"));
}

Test(window, remove__nothing_found_is_an_answer_too)
{
    cr_assert_eq(remove_numbered(1, "k"), CENOTE_NOT_FOUND);
    cr_assert_eq(client_put(bob, "k", 200, 0), CENOTE_OK);
    cr_assert_eq(remove_numbered(1, "k"), CENOTE_NOT_FOUND);
    cr_assert(client_exists(bob, "k"));
}

Test(window, remove__killed_at_every_point)
{
    static const char *const keys[] = {"a", "b", "c"};
    for (unsigned applied = 0; applied <= 3; applied++) {
        for (unsigned i = 0; i < 3; i++)
            cr_assert_eq(client_put(bob, keys[i], 100, PUT_START_REPLACE), CENOTE_OK);
        removes_send(1 + applied, keys, 3);
        rig_restart(applied);
        for (unsigned i = 0; i < applied; i++)
            cr_assert_eq(client_put(bob, keys[i], 200, 0), CENOTE_OK);
        for (unsigned twice = 0; twice < 2; twice++) {
            uint32_t msgid = removes_send(1 + applied, keys, 3);
            world_run(world);
            for (uint32_t i = 0; i < 3; i++) {
                cr_assert_eq(removes_status(msgid, i), CENOTE_OK);
                cr_assert_eq(client_exists(bob, keys[i]), i < applied);
            }
        }
    }
}

Test(window, remove__while_it_waits_for_readers)
{
    node->holds_calls = true;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    number(alice, 10);
    uint32_t first = client_remove_send(alice, "k");
    world_run(world);
    number(alice, 10);
    uint32_t second = client_remove_send(alice, "k");
    world_run(world);
    cr_assert_eq(client_remove_status(alice, second), 1);
    rig_restart(0); /* durable, but readers may be there yet */
    number(alice, 10);
    second = client_remove_send(alice, "k");
    world_run(world);
    cr_assert_eq(client_remove_status(alice, second), 1);
    number(alice, 10);
    first = client_remove_send(alice, "k");
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(client_remove_status(alice, first), CENOTE_OK);
    cr_assert_eq(client_remove_status(alice, second), CENOTE_OK);
}

Test(window, remove__answer_of_a_broken_connection)
{
    int status;
    node->holds_calls = true;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    number(alice, 10);
    client_remove_send(alice, "k");
    world_run(world);
    struct end *fresh = client_resume(world, alice, &status);
    cr_assert_eq(status, CENOTE_OK);
    world_run(world);
    end_close(alice);
    alice = fresh;
    number(alice, 10);
    uint32_t msgid = client_remove_send(alice, "k");
    world_run(world);
    cr_assert_eq(client_remove_status(alice, msgid), 1);
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(client_remove_status(alice, msgid), CENOTE_OK);
}

/* ---- put_commit, put_abort ---- */

Test(window, commit__again_after_the_object_has_gone)
{
    cr_assert_eq(start(1, &item, NULL), CENOTE_OK);
    cr_assert_eq(commit(2), CENOTE_OK);
    cr_assert_eq(client_remove(bob, "k"), CENOTE_OK);
    cr_assert_eq(objects(), 0);
    cr_assert_eq(commit(2), CENOTE_OK);
    cr_assert_eq(commit(3), CENOTE_NO_SUCH_PUT);
    rig_restart(0);
    cr_assert_eq(commit(2), CENOTE_NO_SUCH_PUT); /* a client that lost an answer reads: unknown */
}

Test(window, commit__lost_race_again)
{
    cr_assert_eq(start(1, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_put(bob, "k", 1, 0), CENOTE_OK);
    cr_assert_eq(commit(2), CENOTE_EXISTS);
    cr_assert_eq(commit(2), CENOTE_EXISTS);
}

Test(window, commit__killed_before_and_after)
{
    for (unsigned applied = 0; applied < 2; applied++) {
        cr_assert_eq(start(1 + 2 * applied, &item, NULL), CENOTE_OK);
        number(alice, 2 + 2 * applied);
        client_commit_send(alice, &item, EXTENT_VISIBLE);
        rig_restart(applied);
        cr_assert_eq(commit(2 + 2 * applied), CENOTE_OK);
        cr_assert_eq(commit(2 + 2 * applied), CENOTE_OK);
        cr_assert(client_exists(bob, "k"));
        cr_assert_eq(client_remove(bob, "k"), CENOTE_OK);
    }
}

Test(window, commit__again_waits_for_the_readers_of_the_old_value)
{
    cr_assert_eq(client_put(bob, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "k", 200, PUT_START_REPLACE, &item, NULL), CENOTE_OK);
    node->holds_calls = true;
    number(alice, 2);
    client_commit_send(alice, &item, EXTENT_VISIBLE);
    rig_restart(1);
    number(alice, 2);
    uint32_t msgid = client_commit_send(alice, &item, EXTENT_VISIBLE);
    world_run(world);
    cr_assert_eq(client_commit_status(alice, msgid), 1);
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(client_commit_status(alice, msgid), CENOTE_OK);
}

Test(window, abort__again)
{
    cr_assert_eq(start(1, &item, NULL), CENOTE_OK);
    cr_assert_eq(abort_put(2), CENOTE_OK);
    cr_assert_eq(abort_put(2), CENOTE_OK);
    cr_assert_eq(objects(), 0);
}

/* ---- the window ---- */

Test(window, order__does_not_matter)
{
    cr_assert_eq(client_put(bob, "a", 1, 0), CENOTE_OK);
    cr_assert_eq(client_put(bob, "b", 1, 0), CENOTE_OK);
    cr_assert_eq(remove_numbered(WINDOW_CALLS, "a"), CENOTE_OK);
    cr_assert_eq(remove_numbered(1, "b"), CENOTE_OK);
    cr_assert_eq(client_put(bob, "a", 1, 0), CENOTE_OK);
    cr_assert_eq(client_put(bob, "b", 1, 0), CENOTE_OK);
    cr_assert_eq(remove_numbered(WINDOW_CALLS, "a"), CENOTE_OK);
    cr_assert_eq(remove_numbered(1, "b"), CENOTE_OK);
    cr_assert(client_exists(bob, "a") && client_exists(bob, "b"));
}

Test(window, passed__is_unknown)
{
    cr_assert_eq(start(1, &item, NULL), CENOTE_OK);
    cr_assert_eq(commit(2), CENOTE_OK);
    cr_assert_eq(remove_numbered(3, "none"), CENOTE_NOT_FOUND);
    for (uint64_t i = 4; i <= 3 + WINDOW_CALLS; i++)
        cr_assert_eq(remove_numbered(i, "none"), CENOTE_NOT_FOUND);
    cr_assert_eq(remove_numbered(4, "none"), CENOTE_NOT_FOUND);
    cr_assert_eq(remove_numbered(3, "none"), CENOTE_UNKNOWN);
    cr_assert_eq(start(1, &again, NULL), CENOTE_UNKNOWN);
    cr_assert_eq(commit(2), CENOTE_OK); /* the put tells */
    cr_assert_eq(objects(), 1);
}

Test(window, passed__while_it_runs)
{
    node->holds_calls = true;
    cr_assert_eq(client_put(bob, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_OK);
    number(alice, 1);
    uint32_t first = client_remove_send(alice, "k");
    world_run(world);
    cr_assert_eq(remove_numbered(1 + WINDOW_CALLS, "none"), CENOTE_NOT_FOUND);
    number(alice, 1);
    uint32_t second = client_remove_send(alice, "k");
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(client_remove_status(alice, first), CENOTE_OK);
    cr_assert_eq(client_remove_status(alice, second), CENOTE_OK);
    cr_assert_eq(remove_numbered(1, "k"), CENOTE_UNKNOWN);
}

Test(window, sessions__have_their_own)
{
    cr_assert_eq(client_put(bob, "a", 1, 0), CENOTE_OK);
    cr_assert_eq(client_put(bob, "b", 1, 0), CENOTE_OK);
    cr_assert_eq(remove_numbered(100, "a"), CENOTE_OK);
    number(bob, 100);
    cr_assert_eq(client_remove(bob, "b"), CENOTE_OK);
}

Test(window, number__of_another_call)
{
    cr_assert_eq(start(1, &item, NULL), CENOTE_OK);
    cr_assert_eq(remove_numbered(1, "k"), CENOTE_INVALID);
    rig_restart(0);
    cr_assert_eq(remove_numbered(1, "k"), CENOTE_INVALID);
    cr_assert_eq(remove_numbered(0, "k"), CENOTE_INVALID);
}

/* ---- the end ---- */

Test(window, closed__leaves_nothing)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK);
    cr_assert_eq(memstore_count(world->store, STORE_SESSIONS), 2 + 2);
    close_session(alice);
    close_session(bob);
    world_run(world);
    cr_assert_eq(memstore_count(world->store, STORE_SESSIONS), 0);
}

Test(window, closed__store_refuses_at_first)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    memstore_fail(world->store, 1, CENOTE_IO);
    close_session(alice);
    cr_assert_eq(memstore_count(world->store, STORE_SESSIONS), 3);
    rig_pass(100);
    cr_assert_eq(memstore_count(world->store, STORE_SESSIONS), 1);
}

Test(window, ended__is_not_resumed_in_the_next_life)
{
    int status;
    struct end before = *alice;
    cr_assert_eq(client_put(bob, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(remove_numbered(1, "k"), CENOTE_OK);
    end_close(alice);
    rig_pass(RIG_GRACE_MS + 500);
    alice = client_open(world, "default");
    rig_restart(0);
    end_close(client_resume(world, &before, &status));
    cr_assert_eq(status, CENOTE_NO_SESSION);
}

#define MANY CENOTE_BATCH_MAX

static void put_many(void)
{
    struct wire_buf b;
    struct answer *a;
    char key[16];
    uint64_t root = 1;
    uint8_t state = EXTENT_VISIBLE;
    uint32_t msgid = end_request(alice, &b, METHOD_PUT_START);
    put_start_params_put(&b, 1, 0, MANY);
    for (unsigned i = 0; i < MANY; i++)
        put_start_key_put(&b, key, (size_t)snprintf(key, sizeof(key), "%u", i), 10);
    cr_assert_eq(end_ask(alice, &b, msgid, &a), CENOTE_OK);
    cr_assert(put_start_item_get(wire_at(a->msg.result, 0), &item));
    answer_drop(alice, a);
    msgid = end_request(alice, &b, METHOD_PUT_COMMIT);
    put_end_params_put(&b, 2, MANY);
    for (unsigned i = 0; i < MANY; i++)
        put_end_item_put(&b, item.put_id + i, SUM_XXH3, &root, 1, &state, 1);
    cr_assert_eq(end_ask(alice, &b, msgid, NULL), CENOTE_OK);
}

static void remove_many(struct answer **a)
{
    struct wire_buf b;
    char key[16];
    uint32_t msgid = end_request(alice, &b, METHOD_REMOVE);
    remove_params_put(&b, 3, MANY);
    for (unsigned i = 0; i < MANY; i++)
        wire_put_bin(&b, key, (size_t)snprintf(key, sizeof(key), "%u", i));
    cr_assert_eq(end_ask(alice, &b, msgid, a), CENOTE_OK);
}

Test(window, large__is_stored_and_forgotten_in_steps)
{
    struct answer *a;
    int32_t status;
    put_many();
    remove_many(&a);
    answer_drop(alice, a);
    cr_assert_eq(memstore_count(world->store, STORE_SESSIONS), 2 + 1 + MANY);
    rig_restart(0);
    remove_many(&a);
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert(wire_i32(wire_at(a->msg.result, i), &status) && status == CENOTE_OK);
    answer_drop(alice, a);
    close_send(alice);
    memstore_step(world->store); /* the first step of the end: then a crash */
    world_crash(world, 0);
    cr_assert_eq(memstore_count(world->store, STORE_SESSIONS), 1 + MANY);
    cr_assert_eq(world_start(world), CENOTE_OK);
    bob = client_open(world, "default");
    world_pass(world, 100);
    cr_assert_eq(memstore_count(world->store, STORE_SESSIONS), 2);
}
