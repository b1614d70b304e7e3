/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <string.h>

#include "meta/service/peer.h"
#include "tests/scenario/check.h"
#include "tests/scenario/service/actors.h"
#include "tests/scenario/service/story.h"

#define KEYS      STORY_KEYS
#define LEASE_MS  500u
#define KIB       UINT64_C(1024)
#define TRIES_MAX 200u
#define LIST_PAGE 3u

enum { ALICE, BOB };

static struct actors actors;
static uint64_t present[KEYS]; /* put ids; 0: not there */
static unsigned unsure;        /* a key whose remove may have failed; KEYS: none */
static bool may_fail;
static const struct story_watch *watch; /* NULL: nobody */
static bool item_failed;                /* of a call that did not fail as a whole */
static unsigned restarts;               /* of a service whose store takes no more changes */

static void take_items(unsigned client, struct answer *answer, bool failed)
{
    actor_drop(&actors, client, answer);
    actors.errors += failed;
    item_failed = false;
}

/* Something of which nobody should hear while all is well. */
static void trouble(int status)
{
    CHECK(actor_trouble(status) && may_fail);
    actors_pass(&actors, 100);
}

void story_key(unsigned key, char out[STORY_KEY_BYTES])
{
    snprintf(out, STORY_KEY_BYTES, "key-%02u", key);
}

static void name_put(struct wire_buf *b, unsigned key)
{
    char name[STORY_KEY_BYTES];
    story_key(key, name);
    wire_put_bin(b, name, strlen(name));
}

static void asked(unsigned key, uint64_t put_id)
{
    if (watch != NULL)
        watch->asked(watch->arg, key, put_id);
}

static void told(unsigned key, uint64_t put_id)
{
    present[key] = put_id;
    if (watch != NULL)
        watch->told(watch->arg, key, put_id);
}

static struct wire_buf begin(unsigned client, const char *method, uint32_t *msgid)
{
    struct wire_buf b;
    *msgid = end_request(actors.clients[client], &b, method);
    return b;
}

static void ends(uint64_t put_id)
{
    if (watch != NULL)
        watch->ends(watch->arg, put_id);
}

static uint64_t next_seq(unsigned client)
{
    return ++actors.clients[client]->seq;
}

/* ---- what is there ---- */

static int stat_all(struct answer **answer)
{
    uint32_t msgid;
    struct wire_buf b = begin(ALICE, METHOD_STAT, &msgid);
    keys_params_put(&b, KEYS);
    for (unsigned k = 0; k < KEYS; k++)
        name_put(&b, k);
    return actor_ask(&actors, ALICE, &b, msgid, answer);
}

/* CENOTE_OK, or the trouble with one. Nobody's lease begins by it. */
static int verify_items(const struct answer *answer)
{
    for (unsigned k = 0; k < KEYS; k++) {
        struct lookup_item item;
        bool good = stat_item_get(wire_at(answer->msg.result, k), &item);
        CHECK(good);
        if (actor_trouble(item.status))
            return item.status;
        CHECK_EQ(item.status, present[k] != 0 ? CENOTE_OK : CENOTE_NOT_FOUND);
        CHECK(item.status != CENOTE_OK || item.put_id == present[k]);
    }
    return CENOTE_OK;
}

/* The store may fail after the last answer, too. What is found then must come of that. */
static bool is_sound(void)
{
    world_run(actors.world);
    if (service_check(actors.world->service) == 0)
        return true;
    unsigned before = restarts;
    trouble(CENOTE_UNAVAILABLE);
    CHECK(restarts > before);
    return false;
}

static void verify(void)
{
    for (unsigned tries = 0;; tries++) {
        struct answer *answer;
        CHECK(tries < TRIES_MAX);
        int status = stat_all(&answer);
        if (status == CENOTE_OK) {
            status = verify_items(answer);
            take_items(ALICE, answer, status != CENOTE_OK);
        }
        if (status != CENOTE_OK)
            trouble(status);
        else if (is_sound())
            return;
    }
}

static void lookup(unsigned client, unsigned first, unsigned count)
{
    for (;;) {
        struct answer *answer;
        uint32_t msgid;
        struct wire_buf b = begin(client, METHOD_LOOKUP, &msgid);
        keys_params_put(&b, count);
        for (unsigned k = 0; k < count; k++)
            name_put(&b, first + k);
        int status = actor_ask(&actors, client, &b, msgid, &answer);
        if (status != CENOTE_OK) {
            trouble(status);
            continue;
        }
        for (unsigned k = 0; k < count; k++) {
            struct lookup_item item;
            bool good = lookup_item_get(wire_at(wire_at(answer->msg.result, 1), k), &item);
            CHECK(good);
            if (first + k == unsure && may_fail)
                continue;
            CHECK_EQ(item.status, present[first + k] != 0 ? CENOTE_OK : CENOTE_NOT_FOUND);
            CHECK(item.status != CENOTE_OK || item.put_id == present[first + k]);
        }
        actor_drop(&actors, client, answer);
        return;
    }
}

static void exists(unsigned first, unsigned count)
{
    struct answer *answer;
    for (;;) {
        uint32_t msgid;
        struct wire_buf b = begin(BOB, METHOD_EXISTS, &msgid);
        keys_params_put(&b, count);
        for (unsigned k = 0; k < count; k++)
            name_put(&b, first + k);
        int status = actor_ask(&actors, BOB, &b, msgid, &answer);
        if (status == CENOTE_OK)
            break;
        trouble(status);
    }
    unsigned expected = 0;
    uint64_t leading;
    while (expected < count && present[first + expected] != 0)
        expected++;
    bool good = wire_uint(wire_at(answer->msg.result, 0), &leading);
    CHECK(good && leading == expected);
    actor_drop(&actors, BOB, answer);
}

static unsigned present_count(void)
{
    unsigned count = 0;
    for (unsigned k = 0; k < KEYS; k++)
        count += present[k] != 0;
    return count;
}

/* One page: how many; *cursor_len 0: that was all. */
static unsigned list_page(uint8_t cursor[static STORE_KEY_MAX], size_t *cursor_len)
{
    struct list_params p = {.prefix = (const uint8_t *)"key",
                            .prefix_len = 3,
                            .cursor = *cursor_len > 0 ? cursor : NULL,
                            .cursor_len = *cursor_len,
                            .limit = LIST_PAGE};
    struct answer *answer;
    const uint8_t *next;
    uint32_t count;
    for (;;) {
        uint32_t msgid;
        struct wire_buf b = begin(ALICE, METHOD_LIST, &msgid);
        list_params_put(&b, &p);
        int status = actor_ask(&actors, ALICE, &b, msgid, &answer);
        if (status == CENOTE_OK)
            break;
        trouble(status);
    }
    bool good = wire_array(wire_at(answer->msg.result, 0), &count);
    CHECK(good);
    *cursor_len = 0;
    if (wire_bin(wire_at(answer->msg.result, 1), &next, cursor_len))
        memcpy(cursor, next, *cursor_len);
    actor_drop(&actors, ALICE, answer);
    return count;
}

static void list_all(void)
{
    uint8_t cursor[STORE_KEY_MAX];
    size_t cursor_len = 0;
    unsigned count = 0, pages = 0;
    do {
        count += list_page(cursor, &cursor_len);
        CHECK(++pages <= KEYS);
    } while (cursor_len > 0);
    CHECK_EQ(count, present_count());
}

/* A method that wants nothing to be checked. */
static void ask_plain(const char *method)
{
    struct answer *answer;
    for (;;) {
        uint32_t msgid;
        struct wire_buf b = begin(BOB, method, &msgid);
        wire_put_array(&b, strcmp(method, METHOD_MAP) == 0 ? 1 : 0);
        if (strcmp(method, METHOD_MAP) == 0)
            wire_put_uint(&b, 0);
        int status = actor_ask(&actors, BOB, &b, msgid, &answer);
        if (status == CENOTE_OK)
            break;
        trouble(status);
    }
    actor_drop(&actors, BOB, answer);
}

/* ---- puts ---- */

struct put {
    unsigned key;
    uint64_t put_id; /* 0: not begun */
    uint32_t stripes, extents;
    bool over;
};

/* A node that has joined, or whose heartbeat has come, in the midst of trouble: the next heartbeat
 * offers its memory. */
static bool all_offered(void)
{
    const struct members *m = &actors.world->service->core.members;
    for (uint32_t i = 0; i < m->range_count; i++)
        if (alloc_upto(m->ranges[i]->alloc) < NODE_BYTES)
            return false;
    return m->range_count == ACTOR_NODES;
}

/* offered: was it all, when it was asked for? */
static void granted(struct put *p, struct wire_value v, uint32_t replicas, bool offered)
{
    struct put_start_item item;
    bool good = put_start_item_get(v, &item);
    CHECK(good);
    if (item.status == CENOTE_OK) {
        p->put_id = item.put_id;
        p->stripes = item.stripe_count;
        p->extents = item.stripe_count * replicas;
        if (watch != NULL)
            watch->granted(watch->arg, p->put_id);
        return;
    }
    item_failed = true;
    bool short_of_space = item.status == CENOTE_NO_SPACE || item.status == CENOTE_NO_NODES;
    CHECK(may_fail && (actor_trouble(item.status) || item.status == CENOTE_ABORTED ||
                       (short_of_space && !(offered && all_offered()))));
}

/* How the values of calls for more than one are kept. */
static const struct keep together = {
    .ttl_ms = 3600000, .pin = KEEP_PIN_SOFT, .pin_ms = 1800000, .group_len = 5, .group = "group"};

/* One call for those that aren't begun. */
static void start_some(unsigned client, struct put *puts, unsigned count, uint64_t len,
                       unsigned flags)
{
    struct answer *answer;
    unsigned which[KEYS], n = 0;
    bool offered = all_offered();
    for (unsigned i = 0; i < count; i++)
        if (puts[i].put_id == 0)
            which[n++] = i;
    uint32_t msgid;
    struct wire_buf b = begin(client, METHOD_PUT_START, &msgid);
    if (count > 1)
        put_start_kept_put(&b, next_seq(client), flags, n);
    else
        put_start_params_put(&b, next_seq(client), flags, n);
    for (unsigned k = 0; k < n; k++) {
        char name[STORY_KEY_BYTES];
        story_key(puts[which[k]].key, name);
        put_start_key_put(&b, name, strlen(name), len);
    }
    if (count > 1)
        keep_put(&b, &together);
    int status = actor_ask(&actors, client, &b, msgid, &answer);
    if (status != CENOTE_OK) {
        trouble(status);
        return;
    }
    for (unsigned k = 0; k < n; k++)
        granted(&puts[which[k]], wire_at(answer->msg.result, k), put_start_replicas(flags),
                offered);
    take_items(client, answer, item_failed);
}

static bool all_begun(const struct put *puts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (puts[i].put_id == 0)
            return false;
    return true;
}

static void start_puts(unsigned client, struct put *puts, unsigned count, uint64_t len,
                       unsigned flags)
{
    for (unsigned tries = 0; !all_begun(puts, count); tries++) {
        CHECK(tries < TRIES_MAX);
        if (tries > 0)
            actors_pass(&actors, 100);
        start_some(client, puts, count, len, flags);
    }
}

static void settle_put(struct put *p, int status, bool commit)
{
    if (status == CENOTE_OK) {
        p->over = true;
        if (commit)
            told(p->key, p->put_id);
        return;
    }
    CHECK(may_fail);
    item_failed = true;
    if (actor_trouble(status))
        return; /* once more */
    /* The service has aborted it meanwhile. */
    CHECK(status == CENOTE_ABORTED || status == CENOTE_NO_SUCH_PUT);
    p->over = !commit;
    p->put_id = 0;
}

/* One call for those that aren't over. The state of the first extents, and of the last one. */
static void end_some(unsigned client, const char *method, struct put *puts, unsigned count,
                     enum extent_state first, enum extent_state last)
{
    uint8_t states[STRIPES_MAX * REPLICAS_MAX];
    uint64_t roots[STRIPES_MAX] = {0};
    struct answer *answer;
    unsigned which[KEYS], n = 0;
    for (unsigned i = 0; i < count; i++)
        if (!puts[i].over)
            which[n++] = i;
    uint32_t msgid;
    bool commit = strcmp(method, METHOD_PUT_COMMIT) == 0;
    struct wire_buf b = begin(client, method, &msgid);
    put_end_params_put(&b, next_seq(client), n);
    for (unsigned k = 0; k < n; k++) {
        const struct put *p = &puts[which[k]];
        ends(p->put_id);
        if (commit)
            asked(p->key, p->put_id);
        memset(states, (int)first, p->extents);
        states[p->extents - 1] = (uint8_t)last;
        put_end_item_put(&b, p->put_id, SUM_XXH3, roots, p->stripes, states, p->extents);
    }
    int status = actor_ask(&actors, client, &b, msgid, &answer);
    if (status != CENOTE_OK) {
        trouble(status);
        return;
    }
    for (unsigned k = 0; k < n; k++) {
        int32_t one;
        bool good = wire_i32(wire_at(wire_at(answer->msg.result, 0), k), &one);
        CHECK(good);
        settle_put(&puts[which[k]], one, commit);
    }
    take_items(client, answer, item_failed);
}

static bool all_over(const struct put *puts, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!puts[i].over)
            return false;
    return true;
}

/* Keys first to first + count - 1. */
static void put_values(unsigned client, unsigned first, unsigned count, uint64_t len,
                       unsigned flags, enum extent_state last)
{
    struct put puts[KEYS] = {0};
    for (unsigned i = 0; i < count; i++)
        puts[i].key = first + i;
    for (unsigned tries = 0; !all_over(puts, count); tries++) {
        CHECK(tries < TRIES_MAX);
        if (tries > 0)
            actors_pass(&actors, 100);
        start_puts(client, puts, count, len, flags);
        end_some(client, METHOD_PUT_COMMIT, puts, count, EXTENT_VISIBLE, last);
    }
}

static void abort_put(unsigned client, struct put *p, enum extent_state state)
{
    for (unsigned tries = 0; !p->over; tries++) {
        CHECK(tries < TRIES_MAX);
        if (tries > 0)
            actors_pass(&actors, 100);
        end_some(client, METHOD_PUT_ABORT, p, 1, state, state);
    }
}

/* ---- removes ---- */

static void remove_keys(unsigned client, unsigned first, unsigned count)
{
    bool gone[KEYS] = {false};
    for (unsigned tries = 0, left = count; left > 0; tries++) {
        struct answer *answer;
        uint32_t msgid;
        CHECK(tries < TRIES_MAX);
        if (tries > 0)
            actors_pass(&actors, 100);
        struct wire_buf b = begin(client, METHOD_REMOVE, &msgid);
        remove_params_put(&b, next_seq(client), left);
        for (unsigned k = 0; k < count; k++) {
            if (gone[k])
                continue;
            name_put(&b, first + k);
            asked(first + k, 0);
        }
        int status = actor_ask(&actors, client, &b, msgid, &answer);
        if (status != CENOTE_OK) {
            trouble(status);
            continue;
        }
        for (unsigned k = 0, at = 0; k < count; k++) {
            int32_t one;
            if (gone[k])
                continue;
            bool good = wire_i32(wire_at(answer->msg.result, at++), &one);
            CHECK(good);
            gone[k] = one == CENOTE_OK || one == CENOTE_NOT_FOUND;
            CHECK(gone[k] || (actor_trouble(one) && may_fail));
            item_failed |= !gone[k];
            /* Nobody else removes: what is there is found. */
            CHECK(one != CENOTE_NOT_FOUND || present[first + k] == 0);
            if (!gone[k])
                continue;
            told(first + k, 0);
            left--;
        }
        take_items(client, answer, item_failed);
    }
}

/* ---- how values are kept, and namespaces ---- */

/* Values that are there. */
static void keep_keys(unsigned client, unsigned first, unsigned count, const struct keep *keep)
{
    bool all = false;
    for (unsigned tries = 0; !all; tries++) {
        struct answer *answer;
        uint32_t msgid;
        CHECK(tries < TRIES_MAX);
        if (tries > 0)
            actors_pass(&actors, 100);
        struct wire_buf b = begin(client, METHOD_KEEP, &msgid);
        keep_params_put(&b, next_seq(client), count);
        for (unsigned k = 0; k < count; k++)
            name_put(&b, first + k);
        keep_put(&b, keep);
        wire_put_uint(&b, KEEP_ALL);
        int status = actor_ask(&actors, client, &b, msgid, &answer);
        if (status != CENOTE_OK) {
            trouble(status);
            continue;
        }
        all = true;
        for (unsigned k = 0; k < count; k++) {
            int32_t one;
            bool good = wire_i32(wire_at(answer->msg.result, k), &one);
            CHECK(good && (one == CENOTE_OK || (actor_trouble(one) && may_fail)));
            item_failed |= one != CENOTE_OK;
            all = all && one == CENOTE_OK;
        }
        take_items(client, answer, item_failed);
    }
}

/* Until it has worked. */
static void change_space(const char *method, const struct space_params *params)
{
    int32_t told = 1;
    for (unsigned tries = 0; told != CENOTE_OK; tries++) {
        struct answer *answer;
        struct space_params p = *params;
        uint32_t msgid;
        CHECK(tries < TRIES_MAX);
        if (tries > 0)
            actors_pass(&actors, 100);
        struct wire_buf b = begin(ALICE, method, &msgid);
        p.seq = next_seq(ALICE);
        if (strcmp(method, METHOD_SPACE_SET) == 0)
            space_set_params_put(&b, &p);
        else
            space_remove_params_put(&b, &p);
        int status = actor_ask(&actors, ALICE, &b, msgid, &answer);
        if (status != CENOTE_OK) {
            trouble(status);
            continue;
        }
        bool good = wire_i32(wire_at(answer->msg.result, 0), &told);
        CHECK(good && (told == CENOTE_OK || (actor_trouble(told) && may_fail)));
        item_failed |= told != CENOTE_OK;
        take_items(ALICE, answer, item_failed);
    }
}

/* ---- the service ---- */

static void service_up(void)
{
    int status;
    for (unsigned tries = 0; (status = world_start(actors.world)) != CENOTE_OK; tries++) {
        CHECK(tries < TRIES_MAX && actor_trouble(status) && may_fail);
        actors.errors++;
        world_crash(actors.world, 0);
        actors.world->now_ms += 100;
    }
}

static bool (*broken)(void);

static void mend(struct actors *a)
{
    if (!broken())
        return;
    restarts++;
    world_crash(a->world, world_waiting(a->world));
    service_up();
}

static void restart(void)
{
    world_crash(actors.world, world_waiting(actors.world));
    service_up();
    actors_return(&actors);
    verify();
}

/* One that isn't closed ends by itself. */
static void close_session(unsigned client)
{
    struct end *e = actors.clients[client];
    if (e->peer != NULL) {
        struct wire_buf b;
        uint32_t msgid = end_request(e, &b, METHOD_SESSION_CLOSE);
        wire_put_array(&b, 0);
        end_send(e, &b);
        world_run(actors.world);
        const struct answer *answer = end_answer(e, msgid);
        CHECK(may_fail || (answer != NULL && answer->msg.error == CENOTE_OK));
    }
    end_close(e);
    actors.clients[client] = NULL;
}

/* ---- the story ---- */

static void values_come(void)
{
    put_values(ALICE, 0, 1, 5000, 0, EXTENT_VISIBLE);
    put_values(ALICE, 1, 8, 3000, 0, EXTENT_VISIBLE);
    verify();
    put_values(BOB, 9, 2, 70 * KIB, put_start_flags(false, 2), EXTENT_VISIBLE);
    put_values(BOB, 11, 1, 70 * KIB, put_start_flags(false, 3), EXTENT_UNKNOWN);
    put_values(ALICE, 12, 1, 600 * KIB, 0, EXTENT_VISIBLE); /* striped */
    verify();
    lookup(BOB, 0, KEYS);
    exists(0, KEYS);
    list_all();
    ask_plain(METHOD_STATUS);
    ask_plain(METHOD_MAP);
}

static void values_are_kept(void)
{
    static const struct keep none, grouped = {.pin = KEEP_PIN_HARD, .group_len = 1, .group = "g"};
    struct space_params space = {.name = "space", .flags = SPACE_SET_CREATE};
    keep_keys(BOB, 0, 4, &grouped);
    keep_keys(ALICE, 1, 8, &together);
    verify();
    change_space(METHOD_SPACE_SET, &space);
    space.settings.quota_bytes = 70 * KIB;
    space.flags = 0;
    change_space(METHOD_SPACE_SET, &space);
    ask_plain(METHOD_NAMESPACES);
    change_space(METHOD_SPACE_REMOVE, &space);
    keep_keys(BOB, 0, 4, &none);
}

static void values_change(void)
{
    struct put drained = {.key = 13}, unknown = {.key = 14};
    put_values(ALICE, 0, 2, 9000, put_start_flags(true, 1), EXTENT_VISIBLE);
    lookup(BOB, 0, 2);
    remove_keys(BOB, 2, 3);
    verify();
    start_puts(ALICE, &drained, 1, 4000, 0);
    abort_put(ALICE, &drained, EXTENT_DRAINED);
    start_puts(ALICE, &unknown, 1, 300 * KIB, put_start_flags(false, 2));
    abort_put(ALICE, &unknown, EXTENT_UNKNOWN);
    verify();
}

/* A remove waits for a reader's lease, and a lookup and another remove for the first. */
static void waits(void)
{
    struct answer *answer;
    uint32_t msgid;
    lookup(BOB, 5, 1);
    actors.nodes[0]->holds_calls = actors.nodes[1]->holds_calls = true;
    actors.nodes[2]->holds_calls = true;
    struct wire_buf b = begin(ALICE, METHOD_REMOVE, &msgid);
    remove_params_put(&b, next_seq(ALICE), 1);
    name_put(&b, 5);
    asked(5, 0);
    struct wire_buf sent = actor_send(&actors, ALICE, &b);
    world_run(actors.world);
    present[5] = 0;
    unsure = 5;
    lookup(BOB, 5, 2);
    int status = actor_await(&actors, ALICE, &sent, msgid, &answer);
    for (unsigned n = 0; n < ACTOR_NODES; n++)
        if (actors.nodes[n] != NULL)
            actors.nodes[n]->holds_calls = false;
    if (status == CENOTE_OK)
        actor_drop(&actors, ALICE, answer);
    else
        trouble(status);
    remove_keys(ALICE, 5, 1); /* perhaps it failed */
    unsure = KEYS;
    verify();
}

static void put_left_behind(void)
{
    struct put p = {.key = 15};
    start_puts(BOB, &p, 1, 40 * KIB, put_start_flags(false, 2));
    ends(p.put_id);
    close_session(BOB);
    actors_pass(&actors, 200);
    actor_open(&actors, BOB);
    verify();
}

/* What had its only replica there is gone. */
static void node_dies(void)
{
    remove_keys(ALICE, 1, 1);
    remove_keys(ALICE, 6, 3);
    remove_keys(ALICE, 12, 1);
    remove_keys(ALICE, 0, 1);
    actor_node_kill(&actors, 2);
    actors_pass(&actors, 5000);
    verify();
    actor_node_start(&actors, 2);
    put_values(ALICE, 16, 3, 20 * KIB, put_start_flags(false, 2), EXTENT_VISIBLE);
    verify();
}

static void service_restarts(void)
{
    struct put p = {.key = 19};
    start_puts(ALICE, &p, 1, 40 * KIB, put_start_flags(false, 2));
    restart();
    for (unsigned tries = 0; !p.over; tries++) {
        CHECK(tries < TRIES_MAX);
        if (tries > 0)
            actors_pass(&actors, 100);
        start_puts(ALICE, &p, 1, 40 * KIB, put_start_flags(false, 2));
        end_some(ALICE, METHOD_PUT_COMMIT, &p, 1, EXTENT_VISIBLE, EXTENT_VISIBLE);
    }
    verify();
    put_values(ALICE, 0, 3, 1000, 0, EXTENT_VISIBLE);
}

/* Nothing of it is left. */
static void everything_goes(void)
{
    struct world *w = actors.world;
    remove_keys(ALICE, 0, 10);
    remove_keys(BOB, 10, 10);
    close_session(ALICE);
    close_session(BOB);
    actors_pass(&actors, 12000);
    CHECK(is_sound() || is_sound());
    const struct core *c = &w->service->core;
    CHECK(c->table.count == 0 && c->pending == 0 && c->reuse.extents == 0 && c->claims.count == 0);
    CHECK_EQ(c->sessions.count, 0);
    CHECK_EQ(c->members.range_count, ACTOR_NODES);
    for (uint32_t i = 0; i < c->members.range_count; i++)
        CHECK_EQ(alloc_free_bytes(c->members.ranges[i]->alloc), NODE_BYTES);
    CHECK(world_count(w, STORE_OBJECTS) == 0 && world_count(w, STORE_NAMES) == 0);
}

struct story story_run(const struct story_options *how)
{
    struct service_options options = {.lease_ms = LEASE_MS,
                                      .put_timeout_ms = 5000,
                                      .session_grace_ms = 8000,
                                      .heartbeat_ms = 100,
                                      .suspect_ms = 1000,
                                      .dead_ms = 4000,
                                      .stripe_bytes = 256 * KIB};
    struct world *w = world_new_on(how->disk, &options);
    may_fail = how->troubled;
    watch = how->watch;
    memset(present, 0, sizeof(present));
    unsure = KEYS;
    actors_begin(&actors, w);
    broken = how->broken;
    actors.mend = broken != NULL ? mend : NULL;
    how->prepare(w);
    service_up();
    for (unsigned n = 0; n < ACTOR_NODES; n++)
        actor_node_start(&actors, n);
    for (unsigned c = 0; c < ACTOR_CLIENTS; c++)
        actor_open(&actors, c);
    values_come();
    values_are_kept();
    values_change();
    waits();
    put_left_behind();
    node_dies();
    service_restarts();
    everything_goes();
    struct story heard = {.errors = actors.errors, .changes = world_done(w)};
    actors_end(&actors);
    world_free(w);
    return heard;
}
