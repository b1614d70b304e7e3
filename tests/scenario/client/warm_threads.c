/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads get keys by cache, map and fabric, without a lock between them, while others replace the
 * values, change the map, and take the node's links away. A get must never return a value older
 * than the newest whose replace had been answered when it began. Replaces are answered as the
 * service answers them: when the old seal is void, or, here for every few, when the lease is over.
 * The same for views, of which each thread keeps some open while links come and go: what they show
 * stays mapped.
 * Usage: warm_threads loop|shm
 */
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

#include "client/reading.h"
#include "client/warm.h"
#include "client/warm_view.h"
#include "tests/contract/rig.h"
#include "transport/base/clock.h"
#include "transport/base/hash.h"

#define KEYS         6u
#define WRITERS      2u
#define GETTERS      4u
#define VIEWERS      1u
#define VIEWS        5u   /* that each keeps open */
#define REPLACES     120u /* of each writer */
#define LEASE_MS     6u
#define LEASED_EVERY 10u /* replaces that wait for the lease, for want of a void */
#define GETS_BETWEEN 20u
#define BETWEEN_MS   20u
#define VALUE_BYTES  3000u
#define WARM_LEAST   300u
#define VIEWS_LEAST  5u
#define TRIES_MAX    1000u
#define CACHE_BYTES  (64u << 10)

/* What the service knows of a key. */
struct object {
    pthread_mutex_t lock;
    struct rig_value value;
    uint64_t stamp_ms;         /* the end of the last lease on it */
    _Atomic uint64_t answered; /* the put whose replace has been answered */
};

static struct rig rig;
static struct object objects[KEYS];
static atomic_uint writing = WRITERS;
static atomic_ullong warm_gets, warm_views, space;
static struct fabric *fabric;
static struct machine_env env = {.verify = CENOTE_VERIFY_FULL};

static struct cenote_key key_of(unsigned k)
{
    static const char names[] = "abcdefgh";
    return (struct cenote_key){&names[k], 1};
}

/* ---- the service ----------------------------------------------------------------------------- */

static void make_value(struct rig_value *v)
{
    uint64_t put_id = rig_next_put();

    rig_value_make(v, 1, put_id, atomic_fetch_add(&space, extent_size(VALUE_BYTES)), VALUE_BYTES);
    memcpy(v->data, &put_id, sizeof put_id);
    rig_plant(&rig, v);
}

static void wait_until_ms(uint64_t end_ms)
{
    while (clock_now_ms() < end_ms)
        sched_yield();
}

static void replace(struct object *o, bool leased)
{
    struct rig_value fresh, old;
    uint64_t stamp_ms;

    make_value(&fresh);
    pthread_mutex_lock(&o->lock);
    old = o->value;
    stamp_ms = o->stamp_ms;
    o->value = fresh;
    o->stamp_ms = 0;
    pthread_mutex_unlock(&o->lock);
    if (leased)
        wait_until_ms(stamp_ms);
    else
        rig_void(&rig, &old);
    atomic_store(&o->answered, fresh.put_id);
    rig_value_free(&old);
}

/* Whoever replaces faster than others read tests nothing. */
static void let_them_read(void)
{
    unsigned long long enough = atomic_load(&warm_gets) + GETS_BETWEEN;
    uint64_t end_ms = clock_now_ms() + BETWEEN_MS;

    while (atomic_load(&warm_gets) < enough && clock_now_ms() < end_ms)
        sched_yield();
}

static void *write_values(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < REPLACES; i++) {
        replace(&objects[(i * WRITERS + number) % KEYS], i % LEASED_EVERY == 0);
        let_them_read();
    }
    atomic_fetch_sub(&writing, 1);
    return NULL;
}

static struct cache_found lookup(struct object *o)
{
    uint64_t asked_ms = clock_now_ms();
    struct cache_found f = {.len_bytes = VALUE_BYTES,
                            .lease_end_ms = asked_ms + LEASE_MS,
                            .sum_kind = SUM_XXH3,
                            .stripe_count = 1};

    pthread_mutex_lock(&o->lock);
    f.put_id = o->value.put_id;
    f.stripes[0] = (struct stripe){.payload_len = VALUE_BYTES,
                                   .root = sums_root(o->value.sums),
                                   .replicas = 1,
                                   .gva = {rig_gva(o->value.offset)}};
    o->stamp_ms = clock_now_ms() + LEASE_MS + 1;
    pthread_mutex_unlock(&o->lock);
    return f;
}

/* ---- clients --------------------------------------------------------------------------------- */

static bool read_now(void *arg, struct fabric_req *req)
{
    (void)arg;
    return fabric_read_now(fabric, req);
}

static uint64_t now_ms(void *arg)
{
    (void)arg;
    return clock_now_ms();
}

static const struct warm_ops ops = {.read = read_now, .now_ms = now_ms};

/* As the get machine does it: ask, read, judge, remember. */
static bool get_cold(unsigned k, const struct cenote_buffer *piece)
{
    const struct cenote_key key = key_of(k);
    struct cache_found found = lookup(&objects[k]);
    const struct reading_value v = {
        .put_id = found.put_id, .sums = true, .buffers = piece, .buffer_count = 1};
    struct reading_choice choice = {.map = env.map, .slow = env.slow, .now_ms = clock_now_ms()};
    struct fabric_req copy;
    struct reading r;

    reading_begin(&r, 0, 0, &found.stripes[0]);
    CHECK_STATUS(reading_next(&r, &v, &choice, &copy), CENOTE_OK);
    fabric_run(fabric, &copy, 1, RIG_TIMEOUT_MS);
    reading_end(&r, &v, &copy);
    if (!r.accepted || clock_now_ms() >= found.lease_end_ms)
        return false;
    cache_add(env.cache, &key, &found);
    return true;
}

static void get_one(unsigned k)
{
    uint8_t got[VALUE_BYTES];
    struct cenote_buffer piece = {got, sizeof got};
    struct cenote_get_item item = {.key = key_of(k), .buffers = &piece, .buffer_count = 1};
    uint64_t answered = atomic_load(&objects[k].answered), put_id;

    if (warm_get(&env, &ops, NULL, &item)) {
        CHECK(item.status == CENOTE_OK && item.len_bytes == VALUE_BYTES);
        atomic_fetch_add(&warm_gets, 1);
    } else {
        unsigned tries = 0;
        while (!get_cold(k, &piece))
            CHECK(tries++ < TRIES_MAX);
    }
    memcpy(&put_id, got, sizeof put_id);
    CHECK(put_id >= answered);
}

static void *get_values(void *arg)
{
    unsigned k = (unsigned)(uintptr_t)arg;

    while (atomic_load(&writing) > 0)
        get_one(k++ % KEYS);
    return NULL;
}

/* ---- viewers --------------------------------------------------------------------------------- */

struct seen {
    struct view_result view;
    uint32_t slot;
    uint64_t put_id;
};

static bool hold_now(void *arg, struct fabric_hold *hold, int *status)
{
    (void)arg;
    return fabric_hold_now(fabric, hold, status);
}

static void unhold(void *arg, const struct fabric_hold *hold)
{
    (void)arg;
    fabric_unhold(fabric, hold->link, hold->x.slot);
}

static const struct warm_view_ops view_ops = {.hold = hold_now, .unhold = unhold, .now_ms = now_ms};

/* As the view machine does it. */
static bool view_cold(unsigned k, struct seen *s)
{
    const struct cenote_key key = key_of(k);
    struct cache_found found = lookup(&objects[k]);
    const struct reading_value v = {.put_id = found.put_id, .sums = true};
    struct reading_choice choice = {.map = env.map, .slow = env.slow, .now_ms = clock_now_ms()};
    struct fabric_req copy;
    struct reading r;

    reading_begin(&r, 0, 0, &found.stripes[0]);
    CHECK_STATUS(reading_next(&r, &v, &choice, &copy), CENOTE_OK);
    struct fabric_hold hold = {.node = copy.node,
                               .x = {.gva = copy.x.gva,
                                     .payload_len = VALUE_BYTES,
                                     .put_id = found.put_id,
                                     .slot = s->slot}};
    copy.x.status = fabric_hold(fabric, &hold, RIG_TIMEOUT_MS);
    bool held = copy.x.status == CENOTE_OK;
    if (held) {
        memcpy(r.seal, hold.x.seal, SEAL_BYTES);
        sums_update(copy.x.sums, hold.x.data, VALUE_BYTES);
    }
    reading_end(&r, &v, &copy);
    if (r.accepted && clock_now_ms() < found.lease_end_ms) {
        cache_add(env.cache, &key, &found);
        cache_verify(env.cache, &key, found.put_id, 1);
        s->view = (struct view_result){.data = hold.x.data, .link = hold.link};
        return true;
    }
    if (held)
        fabric_unhold(fabric, hold.link, s->slot);
    return false;
}

static uint64_t shown(const struct seen *s)
{
    uint64_t put_id;
    memcpy(&put_id, s->view.data, sizeof put_id);
    return put_id;
}

static void view_one(unsigned k, struct seen *s)
{
    const struct cenote_key key = key_of(k);
    uint64_t answered = atomic_load(&objects[k].answered);
    unsigned tries = 0;

    if (warm_view(&env, &view_ops, NULL, &key, s->slot, &s->view))
        atomic_fetch_add(&warm_views, 1);
    else
        while (!view_cold(k, s))
            CHECK(tries++ < TRIES_MAX);
    s->put_id = shown(s);
    CHECK(s->put_id >= answered);
}

static void view_end(struct seen *s)
{
    if (s->view.link == NULL)
        return;
    CHECK(shown(s) == s->put_id);
    fabric_unhold(fabric, s->view.link, s->slot);
    s->view.link = NULL;
}

static void *view_values(void *arg)
{
    struct seen seen[VIEWS] = {0};
    unsigned number = (unsigned)(uintptr_t)arg, k = number;

    while (atomic_load(&writing) > 0) {
        struct seen *s = &seen[++k % VIEWS];
        view_end(s);
        s->slot = number * VIEWS + k % VIEWS;
        view_one(k % KEYS, s);
        view_end(s);
        view_one(k % KEYS, s); /* mostly warm: the first one has summed the bytes */
    }
    for (unsigned i = 0; i < VIEWS; i++)
        view_end(&seen[i]);
    return NULL;
}

/* ---- map and links --------------------------------------------------------------------------- */

static int ignore_node(void *arg, const struct map_node *node)
{
    (void)arg;
    (void)node;
    return CENOTE_OK;
}

static void ignore_gone(void *arg, uint64_t node)
{
    (void)arg;
    (void)node;
}

static void refresh_map(struct locate *map, uint64_t version)
{
    const struct locate_watch watch = {ignore_node, ignore_gone, NULL};
    struct wire_buf b = {0};
    struct wire_msg holder;
    struct wire_value v;

    wire_put_array(&b, 3);
    wire_put_uint(&b, version);
    wire_put_array(&b, 1);
    map_node_put(&b, &(struct map_node){.node = 1, .name = "n", .host = "here"});
    wire_put_array(&b, 1);
    map_range_put(&b, &(struct map_range){.gva = gva_make(RIG_GVA),
                                          .len_bytes = RIG_SEGMENT,
                                          .incarnation = RIG_INCARNATION,
                                          .node = 1});
    CHECK(!b.failed && wire_parse_value(b.data, b.len, &holder, &v) == CENOTE_OK);
    CHECK_STATUS(locate_update(map, v, &watch), CENOTE_OK);
    wire_msg_free(&holder);
    wire_buf_free(&b);
}

static void change_links(struct fabric *f, unsigned i)
{
    struct xcopy_credentials who = rig_who(1 + i / 2 % 2);
    struct xcopy_peer peer = rig.peer;

    /* an endpoint that isn't used */
    snprintf(peer.tcp, sizeof peer.tcp, "nowhere:%u", i % 3);
    CHECK_STATUS(fabric_set_peer(f, &peer), CENOTE_OK);
    fabric_set_credentials(f, &who);
}

static void disturb(struct locate *map)
{
    const struct timespec pause = {.tv_nsec = 1000000};

    for (unsigned i = 0; atomic_load(&writing) > 0; i++) {
        refresh_map(map, i + 2);
        if (i % 8 == 7)
            change_links(fabric, i / 8);
        if (i % 64 == 63)
            cache_clear(env.cache);
        nanosleep(&pause, NULL);
    }
}

int main(int argc, char **argv)
{
    static void *(*const mains[])(void *) = {write_values, get_values, view_values};
    static const unsigned counts[] = {WRITERS, GETTERS, VIEWERS};
    pthread_t threads[WRITERS + GETTERS + VIEWERS];
    unsigned started = 0;
    struct locate *map = locate_new("here");

    if (argc != 2)
        return 2;
    rig_start(&rig, argv[1]);
    CHECK(fabric_new(CENOTE_TRANSPORT_AUTO, &(struct xcopy_settings){0}, NULL, &fabric) ==
          CENOTE_OK);
    env.map = map;
    env.slow = slow_new();
    env.cache = cache_new(CACHE_BYTES);
    CHECK(map && env.slow && env.cache);
    refresh_map(map, 1);
    change_links(fabric, 0);
    for (unsigned i = 0; i < KEYS; i++) {
        pthread_mutex_init(&objects[i].lock, NULL);
        make_value(&objects[i].value);
        atomic_store(&objects[i].answered, objects[i].value.put_id);
    }
    for (unsigned kind = 0; kind < sizeof counts / sizeof counts[0]; kind++)
        for (uintptr_t i = 0; i < counts[kind]; i++)
            CHECK(pthread_create(&threads[started++], NULL, mains[kind], (void *)i) == 0);
    disturb(map);
    while (started > 0)
        pthread_join(threads[--started], NULL);
    printf("%llu warm gets, %llu warm views\n", atomic_load(&warm_gets), atomic_load(&warm_views));
    CHECK(atomic_load(&warm_gets) > WARM_LEAST && atomic_load(&warm_views) > VIEWS_LEAST);
    CHECK(xcopy_hold_count(rig.exporter) == 0);
    for (unsigned i = 0; i < KEYS; i++)
        rig_value_free(&objects[i].value);
    cache_free(env.cache);
    slow_free(env.slow);
    fabric_free(fabric);
    locate_free(map);
    rig_stop(&rig);
    return 0;
}
