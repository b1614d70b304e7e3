/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/puts.h"
#include "meta/service/peer.h"
#include "tests/unit/meta/meta_rig.h"

TestSuite(puts, .init = rig_up, .fini = rig_down);

static struct put_start_item item, other;

Test(puts, first_commit_wins)
{
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(bob, "k", 200, 0, &other, NULL), CENOTE_OK);
    cr_assert_eq(client_commit(bob, &other, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_EXISTS);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_NO_SUCH_PUT);
    struct lookup_item found;
    cr_assert_eq(client_lookup(alice, "k", &found, NULL), CENOTE_OK);
    cr_assert_eq(found.put_id, other.put_id);
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
}

Test(puts, first_commit_wins__both_on_the_way)
{
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(bob, "k", 200, 0, &other, NULL), CENOTE_OK);
    uint32_t first = client_commit_send(bob, &other, EXTENT_VISIBLE);
    uint32_t second = client_commit_send(alice, &item, EXTENT_VISIBLE);
    world_run(world);
    cr_assert_eq(client_commit_status(bob, first), CENOTE_OK);
    cr_assert_eq(client_commit_status(alice, second), CENOTE_EXISTS);
}

Test(puts, first_commit_wins__unless_the_store_refuses_it)
{
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(bob, "k", 200, 0, &other, NULL), CENOTE_OK);
    memstore_fail(world->store, 1, CENOTE_META_FULL);
    uint32_t first = client_commit_send(bob, &other, EXTENT_VISIBLE);
    uint32_t second = client_commit_send(alice, &item, EXTENT_VISIBLE);
    world_run(world);
    cr_assert_eq(client_commit_status(bob, first), CENOTE_META_FULL);
    cr_assert_eq(client_commit_status(alice, second), CENOTE_OK);
    cr_assert_eq(client_commit(bob, &other, EXTENT_VISIBLE), CENOTE_EXISTS);
}

Test(puts, commit__twice_is_once)
{
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    uint32_t first = client_commit_send(alice, &item, EXTENT_VISIBLE);
    uint32_t again = client_commit_send(alice, &item, EXTENT_VISIBLE);
    world_run(world);
    cr_assert_eq(client_commit_status(alice, first), CENOTE_OK);
    cr_assert_eq(client_commit_status(alice, again), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &item, EXTENT_VISIBLE), CENOTE_EXISTS);
}

/* Late, when the client has begun the key anew: the put id alone says which put is meant. */
Test(puts, commit__late_spares_the_next_put)
{
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &item, EXTENT_DRAINED), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &other, NULL), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_NO_SUCH_PUT);
    cr_assert_eq(client_lookup(alice, "k", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(client_commit(alice, &other, EXTENT_VISIBLE), CENOTE_OK);
}

Test(puts, commit__of_another_session)
{
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_commit(bob, &item, EXTENT_VISIBLE), CENOTE_DENIED);
    cr_assert_eq(client_abort(bob, &item, EXTENT_DRAINED), CENOTE_DENIED);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
}

Test(puts, commit__wrong_counts)
{
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    item.stripe_count = 2;
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_INVALID);
    item.stripe_count = 0;
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_INVALID);
    item.stripe_count = 1;
    item.put_id++;
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_NO_SUCH_PUT);
    item.put_id--;
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
}

Test(puts, commit__not_before_it_was_answered)
{
    struct wire_buf b;
    cr_assert_eq(client_put_start(alice, "before", 100, 0, &item, NULL), CENOTE_OK);
    uint32_t msgid = end_request(alice, &b, METHOD_PUT_START);
    put_start_params_put(&b, ++alice->seq, 0, 1);
    put_start_key_put(&b, "k", 1, 100);
    end_send(alice, &b);
    cr_assert_null(end_answer(alice, msgid)); /* not durable yet */
    item.put_id += PUT_IDS;
    uint32_t guess = client_commit_send(alice, &item, EXTENT_VISIBLE);
    cr_assert_eq(client_commit_status(alice, guess), CENOTE_NO_SUCH_PUT);
}

Test(puts, drained__needs_no_fence)
{
    node->holds_calls = true;
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &item, EXTENT_DRAINED), CENOTE_ABORTED);
    cr_assert_eq(node->call_count, 1);
    cr_assert_str_eq(node->calls[0].method, METHOD_VOID);
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
}

Test(puts, unknown__is_fenced_then_void_then_free)
{
    struct fence_params fence;
    node->holds_calls = true;
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    uint32_t msgid = client_commit_send(alice, &item, EXTENT_UNKNOWN);
    cr_assert_eq(node->call_count, 0); /* not before ABORTING is durable */
    world_run(world);
    cr_assert_eq(client_commit_status(alice, msgid), CENOTE_ABORTED);
    cr_assert_eq(node->call_count, 1);
    cr_assert_str_eq(node->calls[0].method, METHOD_FENCE);
    cr_assert(fence_params_get(node->calls[0].msg.params, &fence));
    cr_assert_eq(fence.session, alice->session.session);
    cr_assert_eq(fence.horizon, item.put_id);
    rig_pass(60000); /* time proves nothing */
    cr_assert_eq(node->call_count, 1);
    cr_assert_eq(rig_status("quarantine", "extents"), 1);
    cr_assert_eq(rig_status("quarantine", "session"), alice->session.session);
    cr_assert(end_reply(node, METHOD_FENCE, CENOTE_OK));
    cr_assert_str_eq(node->calls[0].method, METHOD_VOID);
    rig_pass(60000);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 1);
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
    cr_assert_eq(rig_status("quarantine", "bytes"), 0);
}

Test(puts, fence__refused_is_sent_again)
{
    node->holds_calls = true;
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &item, EXTENT_UNKNOWN), CENOTE_ABORTED);
    cr_assert(end_reply(node, METHOD_FENCE, CENOTE_INTERNAL));
    cr_assert_eq(node->call_count, 0);
    rig_pass(1500);
    cr_assert_eq(node->call_count, 1);
    cr_assert_str_eq(node->calls[0].method, METHOD_FENCE);
}

static uint64_t horizon(unsigned call)
{
    struct fence_params fence;
    cr_assert_lt(call, node->call_count);
    cr_assert_str_eq(node->calls[call].method, METHOD_FENCE);
    cr_assert(fence_params_get(node->calls[call].msg.params, &fence));
    return fence.horizon;
}

Test(puts, fence__garbage_is_no_answer)
{
    node->holds_calls = node->answers_garbage = true;
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &item, EXTENT_UNKNOWN), CENOTE_OK);
    cr_assert(end_reply(node, METHOD_FENCE, CENOTE_OK));
    rig_pass(1200);
    cr_assert_not(end_reply(node, METHOD_VOID, CENOTE_OK));
    node->answers_garbage = false;
    cr_assert(end_reply(node, METHOD_FENCE, CENOTE_OK)); /* asked again */
    cr_assert(end_reply(node, METHOD_VOID, CENOTE_OK));
    world_run(world);
    cr_assert_eq(rig_status("quarantine", "extents"), 0);
}

Test(puts, fence__takes_older_puts_with_it)
{
    struct put_start_item younger;
    node->holds_calls = true;
    cr_assert_eq(client_put_start(alice, "a", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "b", 100, 0, &other, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "c", 100, 0, &younger, NULL), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &other, EXTENT_UNKNOWN), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_ABORTED);
    cr_assert_eq(client_commit(alice, &younger, EXTENT_VISIBLE), CENOTE_OK);
}

Test(puts, fence__one_in_flight_and_the_next_covers_the_rest)
{
    struct put_start_item last;
    node->holds_calls = true;
    cr_assert_eq(client_put_start(alice, "a", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "b", 100, 0, &other, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "c", 100, 0, &last, NULL), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &item, EXTENT_UNKNOWN), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &other, EXTENT_UNKNOWN), CENOTE_OK);
    cr_assert_eq(client_abort(alice, &last, EXTENT_UNKNOWN), CENOTE_OK);
    cr_assert_eq(node->call_count, 1);
    cr_assert_eq(horizon(0), item.put_id);
    cr_assert(end_reply(node, METHOD_FENCE, CENOTE_OK));
    cr_assert_eq(node->call_count, 2); /* and the void of the first */
    cr_assert_eq(horizon(0), last.put_id);
}

Test(puts, timeout__is_fenced)
{
    node->holds_calls = true;
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    rig_pass(RIG_TIMEOUT_MS - 500);
    cr_assert_eq(node->call_count, 0);
    rig_pass(1000);
    cr_assert_eq(node->call_count, 1);
    cr_assert_str_eq(node->calls[0].method, METHOD_FENCE);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_ABORTED);
    cr_assert_eq(client_abort(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
}

Test(puts, session__ends_and_its_puts_are_fenced)
{
    node->holds_calls = true;
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    end_close(alice);
    alice = client_open(world, "default");
    rig_pass(RIG_GRACE_MS - 500);
    cr_assert_eq(node->call_count, 0);
    rig_pass(1000);
    cr_assert_eq(node->call_count, 1);
    cr_assert_str_eq(node->calls[0].method, METHOD_FENCE);
}

Test(puts, session__ends_while_a_put_starts)
{
    struct wire_buf b;
    end_request(alice, &b, METHOD_PUT_START);
    put_start_params_put(&b, ++alice->seq, 0, 1);
    put_start_key_put(&b, "k", 1, 100);
    end_send(alice, &b);
    end_request(alice, &b, METHOD_SESSION_CLOSE);
    wire_put_array(&b, 0);
    end_send(alice, &b);
    world_run(world);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 0);
    cr_assert_eq(bob->answer_count, 0);
}

Test(puts, start__sizes)
{
    cr_assert_eq(client_put(alice, "empty", 0, 0), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "k", RIG_SEGMENT + 1, 0, &item, NULL), CENOTE_VALUE_SIZE);
    cr_assert_eq(client_put_start(alice, "k", UINT64_MAX, 0, &item, NULL), CENOTE_VALUE_SIZE);
    cr_assert_eq(client_put_start(alice, "k", RIG_SEGMENT, 0, &item, NULL), CENOTE_NO_SPACE);
    cr_assert_eq(client_put(alice, "k", 12 * MIB, 0), CENOTE_OK);
    cr_assert_eq(client_put(alice, "k", 12 * MIB, 0), CENOTE_EXISTS);
    cr_assert_eq(client_put(alice, "l", 8 * MIB, 0), CENOTE_OK);
    cr_assert_not(client_exists(alice, "k")); /* evicted: there is no room for both */
}

Test(puts, start__in_stripes)
{
    static struct stripe stripes[STRIPES_MAX];
    struct end *second = node_up(world, "n2", 9, 2, RIG_SEGMENT);
    cr_assert_eq(client_put_start(alice, "k", 40 * MIB + 5, 0, &item, stripes), CENOTE_OK);
    cr_assert_gt(item.stripe_count, 2);
    uint64_t offset = 0;
    for (uint32_t i = 0; i < item.stripe_count; i++) {
        cr_assert_eq(stripes[i].offset, offset);
        cr_assert_eq(offset % SUMS_CHUNK_BYTES, 0);
        offset += stripes[i].payload_len;
    }
    cr_assert_eq(offset, 40 * MIB + 5);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(client_lookup(bob, "k", NULL, stripes), CENOTE_OK);
    cr_assert_eq(stripes[item.stripe_count - 1].root, item.put_id + item.stripe_count - 1);
    (void)second;
}

/* The death of a node takes the puts on it, not the older ones of the session elsewhere. */
Test(puts, lost__spares_older_puts_on_other_nodes)
{
    cr_assert_eq(client_put_start(alice, "older", 100, 0, &other, NULL), CENOTE_OK);
    struct end *second = node_up(world, "n2", 8, 1, RIG_SEGMENT);
    for (;;) { /* the first one on the new node */
        struct stripe s[STRIPES_MAX];
        cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, s), CENOTE_OK);
        if (s[0].gva[0].v >= second->joined.segments[0].gva.v)
            break;
    }
    struct wire_buf b;
    uint32_t left = end_request(second, &b, METHOD_NODE_LEAVE);
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(second, &b, left, NULL), CENOTE_OK);
    world_pass(world, 200);
    cr_assert_neq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(client_commit(alice, &other, EXTENT_VISIBLE), CENOTE_OK);
}

Test(puts, start__too_many_in_all)
{
    world->service->core.pending += PENDING_MAX - 1;
    cr_assert_eq(client_put_start(alice, "a", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_put_start(bob, "b", 100, 0, &other, NULL), CENOTE_LIMIT);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(client_put_start(bob, "b", 100, 0, &other, NULL), CENOTE_OK);
    world->service->core.pending -= PENDING_MAX - 1;
}

/* What a session leaves in quarantine is limited, and nobody else's limit. */
Test(puts, start__too_much_in_quarantine)
{
    node->holds_calls = true;
    while (rig_status("quarantine", "bytes") <= RIG_SEGMENT / 2) {
        cr_assert_eq(client_put_start(alice, "k", MIB, 0, &item, NULL), CENOTE_OK);
        cr_assert_eq(client_abort(alice, &item, EXTENT_UNKNOWN), CENOTE_OK);
    }
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_LIMIT);
    cr_assert_eq(client_put_start(bob, "b", 100, 0, &other, NULL), CENOTE_OK);
    node->holds_calls = false;
    while (end_reply(node, METHOD_FENCE, CENOTE_OK) || end_reply(node, METHOD_VOID, CENOTE_OK))
        continue;
    rig_pass(RIG_LEASE_MS);
    cr_assert_eq(rig_status("quarantine", "bytes"), 0);
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_abort(bob, &other, EXTENT_DRAINED), CENOTE_OK);
}

Test(puts, start__no_nodes)
{
    end_close(node);
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_NO_NODES);
    node = node_up(world, "n1", 7, 1, RIG_SEGMENT);
}

Test(puts, start__store_refuses)
{
    memstore_fail(world->store, 1, CENOTE_META_FULL);
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_META_FULL);
    cr_assert_eq(rig_status("capacity", "used_bytes"), 0);
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
}

Test(puts, start__grants_are_the_nodes)
{
    struct stripe s;
    struct hash_key key;
    memset(key.b, 7, sizeof(key.b));
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, &s), CENOTE_OK);
    cr_assert_eq(grant_check(&key, 7, alice->session.session, item.put_id, s.gva[0],
                             extent_size(100), &s.grant[0]),
                 CENOTE_OK);
}

Test(puts, commit__store_refuses)
{
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    memstore_fail(world->store, 1, CENOTE_IO);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_IO);
    cr_assert_eq(client_lookup(bob, "k", NULL, NULL), CENOTE_NOT_FOUND);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
}

Test(puts, abort__store_refuses)
{
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    memstore_fail(world->store, 1, CENOTE_IO);
    cr_assert_eq(client_abort(alice, &item, EXTENT_DRAINED), CENOTE_IO);
    cr_assert_eq(client_abort(alice, &item, EXTENT_DRAINED), CENOTE_OK);
    cr_assert_eq(rig_status("capacity", "used_bytes"), 0);
}
