/* SPDX-License-Identifier: Apache-2.0 */
/* How values are kept: what a put asks for reaches the object, its record and those who ask, and
 * stays as it is through restarts; and changes of what is there. */
#include "tests/unit/meta/meta_rig.h"

TestSuite(keep, .init = rig_up, .fini = rig_down);

#define HOUR_MS 3600000u

static const struct keep all = {.ttl_ms = HOUR_MS,
                                .pin = KEEP_PIN_SOFT,
                                .pin_ms = 2 * HOUR_MS,
                                .group_len = 5,
                                .group = "group"};
static const struct keep none;

static struct keep kept(const char *key)
{
    struct keep keep;
    cr_assert_eq(client_kept(alice, key, &keep), CENOTE_OK, "%s", key);
    return keep;
}

/* A time that had this much left a moment ago, in units as coarse as the object's. */
static bool about(uint64_t ms, uint64_t want_ms)
{
    return ms <= want_ms + 128 && ms + 1000 >= want_ms;
}

static bool is_all(const struct keep *k)
{
    return about(k->ttl_ms, HOUR_MS) && k->pin == KEEP_PIN_SOFT && about(k->pin_ms, 2 * HOUR_MS) &&
           k->group_len == 5 && memcmp(k->group, "group", 5) == 0;
}

/* ---- put_start ---- */

Test(keep, put__asks_for_nothing)
{
    cr_assert_eq(client_put(alice, "old", 100, 0), CENOTE_OK); /* without the parameter */
    cr_assert_eq(client_put_kept(alice, "none", 100, 0, &none), CENOTE_OK);
    const char *const keys[] = {"old", "none"};
    for (unsigned i = 0; i < 2; i++) {
        struct keep k = kept(keys[i]);
        cr_assert(!keep_asks(&k) && k.pin_ms == 0);
    }
}

Test(keep, put__asks_for_all)
{
    cr_assert_eq(client_put_kept(alice, "k", 100, 0, &all), CENOTE_OK);
    struct keep k = kept("k");
    cr_assert(is_all(&k));
    rig_pass(10000);
    k = kept("k");
    cr_assert(about(k.ttl_ms, HOUR_MS - 10000) && about(k.pin_ms, 2 * HOUR_MS - 10000));
}

/* Also as nil, and with more behind it. */
Test(keep, put__of_other_clients)
{
    struct wire_buf b;
    struct answer *a;
    struct put_start_item item;
    uint32_t msgid = end_request(alice, &b, METHOD_PUT_START);
    wire_put_array(&b, 5);
    wire_put_uint(&b, ++alice->seq);
    wire_put_uint(&b, 0);
    wire_put_array(&b, 1);
    put_start_key_put(&b, "k", 1, 100);
    wire_put_nil(&b);
    wire_put_str(&b, "later");
    cr_assert_eq(end_ask(alice, &b, msgid, &a), CENOTE_OK);
    cr_assert(put_start_item_get(wire_at(a->msg.result, 0), &item));
    cr_assert_eq(item.status, CENOTE_OK);
    answer_drop(alice, a);
    cr_assert_eq(client_abort(alice, &item, EXTENT_DRAINED), CENOTE_OK);
}

Test(keep, put__refuses_what_there_cannot_be)
{
    static const struct keep wrong[] = {{.ttl_ms = KEEP_TTL_MAX_MS + 1},
                                        {.ttl_ms = UINT64_MAX},
                                        {.pin = 3},
                                        {.pin = KEEP_PIN_SOFT, .pin_ms = KEEP_TTL_MAX_MS + 1},
                                        {.pin = KEEP_PIN_HARD, .pin_ms = 1},
                                        {.pin_ms = 1}};
    struct put_start_item item;
    cr_assert_eq(client_put(alice, "there", 100, 0), CENOTE_OK);
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_eq(client_put_start_kept(alice, "k", 100, 0, &wrong[i], &item), CENOTE_INVALID);
        cr_assert_eq(client_keep(alice, "there", &wrong[i], KEEP_ALL), CENOTE_INVALID);
    }
    cr_assert_eq(client_keep(alice, "there", &none, 0), CENOTE_INVALID);
    cr_assert_eq(client_keep(alice, "there", &none, KEEP_ALL + 1), CENOTE_INVALID);
    cr_assert_eq(memstore_count(world->store, STORE_OBJECTS), 1);
    /* The longest there can be. */
    struct keep longest = {.ttl_ms = KEEP_TTL_MAX_MS, .pin = KEEP_PIN_SOFT};
    longest.pin_ms = KEEP_TTL_MAX_MS;
    cr_assert_eq(client_put_kept(alice, "k", 100, 0, &longest), CENOTE_OK);
    struct keep k = kept("k");
    cr_assert(about(k.ttl_ms, KEEP_TTL_MAX_MS) && about(k.pin_ms, KEEP_TTL_MAX_MS));
}

/* ---- restarts ---- */

Test(keep, committed__comes_back)
{
    struct keep pinned = {.pin = KEEP_PIN_SOFT}, hard = {.pin = KEEP_PIN_HARD};
    cr_assert_eq(client_put_kept(alice, "all", 100, 0, &all), CENOTE_OK);
    cr_assert_eq(client_put_kept(alice, "soft", 100, 0, &pinned), CENOTE_OK);
    cr_assert_eq(client_put_kept(alice, "hard", 100, 0, &hard), CENOTE_OK);
    rig_pass(3000);
    rig_restart(0);
    struct keep k = kept("all");
    cr_assert(about(k.ttl_ms, HOUR_MS - 3000) && about(k.pin_ms, 2 * HOUR_MS - 3000));
    cr_assert(k.pin == KEEP_PIN_SOFT && k.group_len == 5);
    k = kept("soft");
    cr_assert(k.pin == KEEP_PIN_SOFT && k.pin_ms == 0 && k.ttl_ms == 0);
    k = kept("hard");
    cr_assert(k.pin == KEEP_PIN_HARD && k.ttl_ms == 0 && k.group_len == 0);
}

/* Its times begin with its commit. */
Test(keep, pending__comes_back)
{
    struct put_start_item item;
    cr_assert_eq(client_put_start_kept(alice, "k", 100, 0, &all, &item), CENOTE_OK);
    rig_pass(3000);
    rig_restart(0);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    struct keep k = kept("k");
    cr_assert(is_all(&k));
}

/* What is over while nobody is there is over; a clock that was set back makes nothing longer. */
Test(keep, committed__wall_clock)
{
    struct keep soft = {.pin = KEEP_PIN_SOFT, .pin_ms = 60000};
    cr_assert_eq(client_put_kept(alice, "all", 100, 0, &all), CENOTE_OK);
    cr_assert_eq(client_put_kept(alice, "soft", 100, 0, &soft), CENOTE_OK);
    world->wall_ahead_ms = -5 * (int64_t)HOUR_MS;
    rig_restart(0);
    struct keep k = kept("all");
    cr_assert(is_all(&k));
    world->wall_ahead_ms = HOUR_MS / 2;
    rig_restart(0);
    k = kept("all");
    cr_assert(about(k.ttl_ms, HOUR_MS / 2));
    k = kept("soft");
    cr_assert(k.pin == KEEP_PIN_NONE && k.pin_ms == 0);
}

/* ---- keep ---- */

Test(keep, set__changes_what_it_names)
{
    struct keep change = {.ttl_ms = 60000, .pin = KEEP_PIN_HARD, .group_len = 1, .group = "g"};
    cr_assert_eq(client_put_kept(alice, "k", 100, 0, &all), CENOTE_OK);
    cr_assert_eq(client_keep(bob, "k", &change, KEEP_TTL), CENOTE_OK);
    struct keep k = kept("k");
    cr_assert(about(k.ttl_ms, 60000) && k.pin == KEEP_PIN_SOFT && k.group_len == 5);
    cr_assert_eq(client_keep(bob, "k", &change, KEEP_PIN), CENOTE_OK);
    k = kept("k");
    cr_assert(about(k.ttl_ms, 60000) && k.pin == KEEP_PIN_HARD && k.pin_ms == 0);
    cr_assert_eq(k.group_len, 5);
    cr_assert_eq(client_keep(bob, "k", &change, KEEP_GROUP), CENOTE_OK);
    rig_restart(0);
    k = kept("k");
    cr_assert(about(k.ttl_ms, 60000) && k.pin == KEEP_PIN_HARD && k.group_len == 1);
    cr_assert_eq(client_keep(bob, "k", &none, KEEP_ALL), CENOTE_OK);
    k = kept("k");
    cr_assert(!keep_asks(&k));
    rig_restart(0);
    k = kept("k");
    cr_assert(!keep_asks(&k));
}

Test(keep, set__needs_a_value)
{
    struct put_start_item item;
    cr_assert_eq(client_keep(alice, "k", &all, KEEP_ALL), CENOTE_NOT_FOUND);
    cr_assert_eq(client_put_start(alice, "k", 100, 0, &item, NULL), CENOTE_OK);
    cr_assert_eq(client_keep(alice, "k", &all, KEEP_ALL), CENOTE_NOT_FOUND);
    cr_assert_eq(client_commit(alice, &item, EXTENT_VISIBLE), CENOTE_OK);
    cr_assert_eq(client_keep(alice, "k", &all, KEEP_ALL), CENOTE_OK);
    cr_assert_eq(client_remove(alice, "k"), CENOTE_OK);
    cr_assert_eq(client_keep(alice, "k", &all, KEEP_ALL), CENOTE_NOT_FOUND);
}

Test(keep, set__many_keys)
{
    static const char *const keys[] = {"a", "missing", "a", "b"};
    static const int want[] = {CENOTE_OK, CENOTE_NOT_FOUND, CENOTE_OK, CENOTE_OK};
    struct wire_buf b;
    struct answer *a;
    cr_assert_eq(client_put(alice, "a", 100, 0), CENOTE_OK);
    cr_assert_eq(client_put(alice, "b", 100, 0), CENOTE_OK);
    uint32_t msgid = end_request(alice, &b, METHOD_KEEP);
    keep_params_put(&b, ++alice->seq, 4);
    for (unsigned i = 0; i < 4; i++)
        wire_put_bin(&b, keys[i], strlen(keys[i]));
    keep_put(&b, &all);
    wire_put_uint(&b, KEEP_ALL);
    cr_assert_eq(end_ask(alice, &b, msgid, &a), CENOTE_OK);
    for (uint32_t i = 0; i < 4; i++) {
        int32_t status = 1;
        cr_assert(wire_i32(wire_at(a->msg.result, i), &status));
        cr_assert_eq(status, want[i]);
    }
    answer_drop(alice, a);
    struct keep k = kept("a"), other = kept("b");
    cr_assert(is_all(&k) && is_all(&other));
}

/* One after the other, in the order in which they came. */
Test(keep, set__with_other_changes_of_the_key)
{
    struct put_start_item item;
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_put_start(alice, "k", 200, PUT_START_REPLACE, &item, NULL), CENOTE_OK);
    uint32_t first = client_keep_send(bob, "k", &all, KEEP_ALL);
    uint32_t commit = client_commit_send(alice, &item, EXTENT_VISIBLE);
    uint32_t second = client_keep_send(bob, "k", &all, KEEP_PIN);
    uint32_t removed = client_remove_send(alice, "k");
    uint32_t third = client_keep_send(bob, "k", &all, KEEP_ALL);
    world_run(world);
    cr_assert_eq(client_remove_status(bob, first), CENOTE_OK);
    cr_assert_eq(client_commit_status(alice, commit), CENOTE_OK);
    cr_assert_eq(client_remove_status(bob, second), CENOTE_OK);
    cr_assert_eq(client_remove_status(alice, removed), CENOTE_OK);
    cr_assert_eq(client_remove_status(bob, third), CENOTE_NOT_FOUND);
}

/* The same call a second time has no second effect. */
Test(keep, set__again)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    cr_assert_eq(client_keep(alice, "k", &all, KEEP_ALL), CENOTE_OK);
    uint64_t seq = alice->seq;
    for (unsigned restart = 0; restart < 2; restart++) {
        if (restart == 1)
            rig_restart(0);
        cr_assert_eq(client_put(bob, "k", 50, PUT_START_REPLACE), CENOTE_OK);
        alice->seq = seq - 1;
        cr_assert_eq(client_keep(alice, "k", &all, KEEP_ALL), CENOTE_OK);
        struct keep k = kept("k");
        cr_assert(!keep_asks(&k), "after %u restarts", restart);
    }
    /* Under another name it is refused. */
    alice->seq = seq - 1;
    cr_assert_eq(client_remove(alice, "k"), CENOTE_INVALID);
}

/* Durable or not, the answer that was lost and the value agree. */
Test(keep, set__lost_answer)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    for (unsigned applied = 0; applied < 2; applied++) {
        client_keep_send(alice, "k", &all, KEEP_ALL);
        uint64_t seq = alice->seq;
        rig_restart(applied);
        struct keep k = kept("k");
        cr_assert_eq(is_all(&k), applied == 1);
        alice->seq = seq - 1;
        cr_assert_eq(client_keep(alice, "k", &all, KEEP_ALL), CENOTE_OK);
        cr_assert_eq(client_keep(alice, "k", &none, KEEP_ALL), CENOTE_OK);
    }
}

/* A store that refuses leaves everything as it was. */
Test(keep, set__refused_by_the_store)
{
    cr_assert_eq(client_put(alice, "k", 100, 0), CENOTE_OK);
    memstore_fail(world->store, 1, CENOTE_META_FULL);
    cr_assert_eq(client_keep(alice, "k", &all, KEEP_ALL), CENOTE_META_FULL);
    struct keep k = kept("k");
    cr_assert(!keep_asks(&k));
    cr_assert_eq(client_keep(alice, "k", &all, KEEP_ALL), CENOTE_OK);
}
