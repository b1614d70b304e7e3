/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces: made, set, listed and removed, through restarts and lost answers. */
#include "meta/core/spaces.h"
#include "tests/unit/meta/meta_rig.h"

TestSuite(spaces, .init = rig_up, .fini = rig_down);

static const struct space_settings some = {
    .quota_bytes = 5 * MIB, .quota_objects = 7, .ttl_ms = 60000, .pin_limit_bytes = MIB};
static const struct space_settings nothing;

static struct space_item listed(const char *name)
{
    struct space_item item;
    cr_assert(client_space(alice, name, &item), "%s", name);
    return item;
}

static bool is_listed(const char *name)
{
    struct space_item item;
    return client_space(alice, name, &item);
}

static void close_session(struct end *e)
{
    struct wire_buf b;
    uint32_t msgid = end_request(e, &b, METHOD_SESSION_CLOSE);
    wire_put_array(&b, 0);
    cr_assert_eq(end_ask(e, &b, msgid, NULL), CENOTE_OK);
    end_close(e);
}

/* ---- set ---- */

Test(spaces, set__makes_and_changes)
{
    struct space_item item = listed("default");
    cr_assert_eq(memcmp(&item.settings, &nothing, sizeof(nothing)), 0);
    cr_assert_eq(client_space_set(alice, "a", &some, 0), CENOTE_NOT_FOUND);
    cr_assert_eq(client_space_set(alice, "a", &some, SPACE_SET_CREATE), CENOTE_OK);
    cr_assert_eq(client_space_set(alice, "a", &nothing, SPACE_SET_CREATE), CENOTE_EXISTS);
    item = listed("a");
    cr_assert_eq(memcmp(&item.settings, &some, sizeof(some)), 0);
    cr_assert_eq(client_space_set(alice, "default", &some, 0), CENOTE_OK);
    rig_restart(0);
    item = listed("default");
    cr_assert_eq(memcmp(&item.settings, &some, sizeof(some)), 0);
    item = listed("a");
    cr_assert_eq(memcmp(&item.settings, &some, sizeof(some)), 0);
    cr_assert_eq(client_space_set(alice, "a", &nothing, 0), CENOTE_OK);
    item = listed("a");
    cr_assert_eq(memcmp(&item.settings, &nothing, sizeof(nothing)), 0);
}

Test(spaces, set__refuses_bad_names_and_settings)
{
    static const char *const names[] = {"", "a b", "a/b", "\xc3\xa4"};
    struct space_settings forever = {.ttl_ms = KEEP_TTL_MAX_MS + 1};
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        cr_assert_eq(client_space_set(alice, names[i], &some, SPACE_SET_CREATE), CENOTE_INVALID);
        cr_assert_eq(client_space_remove(alice, names[i]), CENOTE_INVALID);
    }
    cr_assert_eq(client_space_set(alice, "a", &forever, SPACE_SET_CREATE), CENOTE_INVALID);
    cr_assert_eq(client_space_set(alice, "a", &some, 2), CENOTE_INVALID);
    cr_assert_not(is_listed("a"));
    char longest[CENOTE_NAMESPACE_MAX + 1] = {0};
    memset(longest, 'x', CENOTE_NAMESPACE_MAX);
    cr_assert_eq(client_space_set(alice, longest, &some, SPACE_SET_CREATE), CENOTE_OK);
    cr_assert(is_listed(longest));
}

Test(spaces, set__while_it_is_being_made)
{
    uint32_t first = client_space_set_send(alice, "a", &some, SPACE_SET_CREATE);
    uint32_t second = client_space_set_send(bob, "a", &some, SPACE_SET_CREATE);
    uint32_t third = client_space_set_send(alice, "a", &nothing, 0);
    uint32_t removed = client_space_remove_send(bob, "a");
    struct end *carol = client_open(world, "a"); /* it needs no more than that it is made */
    cr_assert_eq(client_remove_status(alice, first), CENOTE_OK);
    cr_assert_eq(client_remove_status(bob, second), CENOTE_EXISTS);
    cr_assert_eq(client_remove_status(alice, third), CENOTE_OK);
    cr_assert_eq(client_remove_status(bob, removed), CENOTE_IN_USE);
    cr_assert_eq(client_put(carol, "k", 100, 0), CENOTE_OK);
}

Test(spaces, set__again)
{
    cr_assert_eq(client_space_set(alice, "a", &some, SPACE_SET_CREATE), CENOTE_OK);
    uint64_t seq = alice->seq;
    cr_assert_eq(client_space_set(bob, "a", &nothing, 0), CENOTE_OK);
    for (unsigned restart = 0; restart < 2; restart++) {
        if (restart == 1)
            rig_restart(0);
        alice->seq = seq - 1;
        cr_assert_eq(client_space_set(alice, "a", &some, SPACE_SET_CREATE), CENOTE_OK);
        cr_assert_eq(listed("a").settings.quota_bytes, 0);
    }
    alice->seq = seq - 1;
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_INVALID);
}

Test(spaces, set__lost_answer)
{
    for (unsigned applied = 0; applied < 2; applied++) {
        const char *name = applied == 0 ? "a" : "b";
        client_space_set_send(alice, name, &some, SPACE_SET_CREATE);
        uint64_t seq = alice->seq;
        rig_restart(applied);
        cr_assert_eq(is_listed(name), applied == 1);
        alice->seq = seq - 1;
        cr_assert_eq(client_space_set(alice, name, &some, SPACE_SET_CREATE), CENOTE_OK);
        cr_assert(is_listed(name));
    }
}

Test(spaces, set__refused_by_the_store)
{
    memstore_fail(world->store, 1, CENOTE_META_FULL);
    cr_assert_eq(client_space_set(alice, "a", &some, SPACE_SET_CREATE), CENOTE_META_FULL);
    cr_assert_not(is_listed("a"));
    cr_assert_eq(client_space_set(alice, "a", &some, SPACE_SET_CREATE), CENOTE_OK);
    memstore_fail(world->store, 1, CENOTE_META_FULL);
    cr_assert_eq(client_space_set(alice, "a", &nothing, 0), CENOTE_META_FULL);
    cr_assert_eq(listed("a").settings.quota_bytes, some.quota_bytes);
    memstore_fail(world->store, 1, CENOTE_META_FULL);
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_META_FULL);
    struct end *carol = client_open(world, "a");
    cr_assert_eq(client_put(carol, "k", 100, 0), CENOTE_OK);
}

/* Its time to live is that of puts that don't say. */
Test(spaces, ttl__of_values_that_do_not_say)
{
    struct keep keep, own = {.ttl_ms = 30000}, pin = {.pin = KEEP_PIN_SOFT};
    cr_assert_eq(client_space_set(alice, "a", &some, SPACE_SET_CREATE), CENOTE_OK);
    struct end *carol = client_open(world, "a");
    cr_assert_eq(client_put(carol, "default", 100, 0), CENOTE_OK);
    cr_assert_eq(client_put_kept(carol, "pinned", 100, 0, &pin), CENOTE_OK);
    cr_assert_eq(client_put_kept(carol, "own", 100, 0, &own), CENOTE_OK);
    cr_assert_eq(client_kept(carol, "default", &keep), CENOTE_OK);
    cr_assert(keep.ttl_ms > 59000 && keep.ttl_ms <= 60000);
    cr_assert_eq(client_kept(carol, "pinned", &keep), CENOTE_OK);
    cr_assert(keep.ttl_ms > 59000 && keep.pin == KEEP_PIN_SOFT);
    cr_assert_eq(client_kept(carol, "own", &keep), CENOTE_OK);
    cr_assert(keep.ttl_ms <= 30000);
    /* Of values put later, not of those that are there. */
    cr_assert_eq(client_space_set(alice, "a", &nothing, 0), CENOTE_OK);
    cr_assert_eq(client_put(carol, "later", 100, 0), CENOTE_OK);
    cr_assert_eq(client_kept(carol, "later", &keep), CENOTE_OK);
    cr_assert_eq(keep.ttl_ms, 0);
    cr_assert_eq(client_kept(carol, "default", &keep), CENOTE_OK);
    cr_assert_gt(keep.ttl_ms, 0);
}

/* ---- remove ---- */

Test(spaces, remove__nothing_is_left)
{
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_NOT_FOUND);
    cr_assert_eq(client_space_remove(alice, "default"), CENOTE_INVALID);
    cr_assert_eq(client_space_set(alice, "a", &some, SPACE_SET_CREATE), CENOTE_OK);
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_OK);
    cr_assert_not(is_listed("a"));
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_NOT_FOUND);
    rig_restart(0);
    cr_assert_not(is_listed("a"));
}

/* Sessions, puts, values, quarantine: each of them keeps it. */
Test(spaces, remove__something_is_left)
{
    struct put_start_item item;
    struct end *carol = client_open(world, "a");
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_IN_USE);
    cr_assert_eq(client_put_start(carol, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_commit(carol, &item, EXTENT_VISIBLE), CENOTE_OK);
    close_session(carol);
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_IN_USE);
    rig_restart(0);
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_IN_USE);
    carol = client_open(world, "a");
    cr_assert_eq(client_lookup(carol, "k", NULL, NULL), CENOTE_OK);
    cr_assert_eq(client_remove(carol, "k"), CENOTE_OK);
    close_session(carol);
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_IN_USE); /* the lease */
    rig_restart(0);
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_IN_USE);
    rig_pass(RIG_LEASE_MS + 500);
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_OK);
}

Test(spaces, remove__of_an_aborted_put)
{
    struct put_start_item item;
    struct end *carol = client_open(world, "a");
    node->holds_calls = true;
    cr_assert_eq(client_put_start(carol, "k", 100, 0, &item, NULL), CENOTE_OK);
    close_session(carol);
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_IN_USE); /* it may still be written */
    cr_assert(end_reply(node, METHOD_FENCE, CENOTE_OK));
    world_run(world);
    while (end_reply(node, METHOD_VOID, CENOTE_OK))
        world_run(world);
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_OK);
}

/* Whoever comes while it is being removed gets another one of the name, or this one after all. */
Test(spaces, remove__while_a_session_begins)
{
    cr_assert_eq(client_space_set(alice, "a", &some, SPACE_SET_CREATE), CENOTE_OK);
    uint32_t id = listed("a").id;
    memstore_fail(world->store, 1, CENOTE_META_FULL);
    uint32_t removed = client_space_remove_send(alice, "a");
    struct end *carol = client_open(world, "a");
    cr_assert_eq(client_remove_status(alice, removed), CENOTE_META_FULL);
    cr_assert_eq(carol->session.name_space, id);
    close_session(carol);
    removed = client_space_remove_send(alice, "a");
    uint32_t set = client_space_set_send(bob, "a", &nothing, 0);
    carol = client_open(world, "a");
    cr_assert_eq(client_remove_status(alice, removed), CENOTE_OK);
    cr_assert_eq(client_remove_status(bob, set), CENOTE_NOT_FOUND);
    cr_assert_gt(carol->session.name_space, id);
    cr_assert_eq(client_put(carol, "k", 100, 0), CENOTE_OK);
}

/* The number is in seals and tokens: it isn't given again. */
Test(spaces, remove__its_number_never_comes_back)
{
    uint32_t last = 0;
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(client_space_set(alice, "a", &some, SPACE_SET_CREATE), CENOTE_OK);
        struct space_item item = listed("a");
        cr_assert_gt(item.id, last);
        last = item.id;
        cr_assert_eq(client_space_remove(alice, "a"), CENOTE_OK);
        if (i % 2 == 0)
            rig_restart(0);
    }
}

Test(spaces, remove__again)
{
    cr_assert_eq(client_space_set(alice, "a", &some, SPACE_SET_CREATE), CENOTE_OK);
    cr_assert_eq(client_space_remove(alice, "a"), CENOTE_OK);
    uint64_t seq = alice->seq;
    cr_assert_eq(client_space_set(bob, "a", &some, SPACE_SET_CREATE), CENOTE_OK);
    for (unsigned restart = 0; restart < 2; restart++) {
        if (restart == 1)
            rig_restart(0);
        alice->seq = seq - 1;
        cr_assert_eq(client_space_remove(alice, "a"), CENOTE_OK);
        cr_assert(is_listed("a"), "after %u restarts", restart);
    }
}

Test(spaces, limit)
{
    char name[16];
    unsigned made = 1; /* the default one */
    int status = CENOTE_OK;
    for (; status == CENOTE_OK && made <= SPACES_MAX; made += status == CENOTE_OK) {
        snprintf(name, sizeof(name), "space%u", made);
        status = client_space_set(alice, name, &nothing, SPACE_SET_CREATE);
    }
    cr_assert_eq(status, CENOTE_LIMIT);
    cr_assert_eq(made, SPACES_MAX);
    cr_assert_eq(client_space_remove(alice, "space1"), CENOTE_OK);
    cr_assert_eq(client_space_set(alice, "other", &nothing, SPACE_SET_CREATE), CENOTE_OK);
}
