/* SPDX-License-Identifier: Apache-2.0 */
#include "client/shards.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "transport/base/clock.h"
#include "transport/base/log.h"

#define MODULE "shards"

/* Services ever heard of: maps come and go, but a drive stays until the close. */
#define KNOWN_MAX     PUMP_ROUTES_MAX
#define NUMBER_NONE   SHARDS_MAX /* the home, before the first map */
#define NOBODY        255u
/* When a service is away, the others are asked for a newer map, no more often than this. */
#define ASK_AROUND_MS 1000u

_Static_assert(KNOWN_MAX <= NOBODY, "a shard's index fits a byte");
_Static_assert(SHARDS_ROUNDS_MAX == PUMP_ROUTE_ROUNDS_MAX, "as often in the background");

struct shard {
    uint32_t number;
    char endpoint[TEXT_MAX];       /* the home's: empty until a map names it */
    _Atomic(struct drive *) drive; /* NULL: not connected to yet */
    pthread_mutex_t opening;       /* of the two below */
    uint64_t not_before_ms;
    uint32_t backoff_ms;
};

struct shards {
    struct drive_options options; /* for the other services */
    struct pump_routes routes;    /* for the home */
    char name_space[CENOTE_NAMESPACE_MAX + 1];
    char client[TEXT_MAX];
    uint64_t seed; /* of the namespace's slots */
    struct views *views;
    _Atomic(struct drive *) only;
    _Atomic uint64_t asked_ms; /* the last time that the others were asked */
    pthread_mutex_t learning;  /* one at a time */

    pthread_rwlock_t lock; /* of the map */
    uint64_t epoch;
    uint8_t owner[SLOTS]; /* index in known */
    uint32_t known_count;
    struct shard *known[KNOWN_MAX]; /* the home first; never freed before the close */
};

static uint32_t route_owner(void *arg, const struct cenote_key *key);
static uint64_t route_epoch(void *arg);
static int route_pump(void *arg, uint32_t service, bool connect, struct pump **out);
static void route_learn(void *arg, uint32_t service, uint64_t epoch);

/* ---- opening and closing --------------------------------------------------------------------- */

static struct shard *shard_new(uint32_t number, const char *endpoint)
{
    struct shard *shard = calloc(1, sizeof *shard);

    if (!shard)
        return NULL;
    shard->number = number;
    snprintf(shard->endpoint, sizeof shard->endpoint, "%s", endpoint);
    pthread_mutex_init(&shard->opening, NULL);
    return shard;
}

static void shard_free(struct shard *shard)
{
    pthread_mutex_destroy(&shard->opening);
    free(shard);
}

int shards_open(const struct drive_options *options, struct shards **out)
{
    struct shards *s = calloc(1, sizeof *s);
    struct drive_options own = *options;
    struct drive *home;
    int status = CENOTE_NO_MEMORY;

    if (!s)
        return CENOTE_NO_MEMORY;
    s->views = views_new();
    if (!s->views)
        goto free_shards;
    s->known[0] = shard_new(NUMBER_NONE, "");
    if (!s->known[0])
        goto free_views;
    s->known_count = 1;
    s->routes = (struct pump_routes){.owner = route_owner,
                                     .epoch = route_epoch,
                                     .pump = route_pump,
                                     .learn = route_learn,
                                     .arg = s};
    own.routes = &s->routes;
    status = drive_open(&own, &home);
    if (status != CENOTE_OK)
        goto free_home;
    atomic_init(&s->known[0]->drive, home);
    atomic_init(&s->only, home);
    s->options = *options;
    s->options.home = home;
    snprintf(s->name_space, sizeof s->name_space, "%s", options->session.name_space);
    snprintf(s->client, sizeof s->client, "%s", options->session.client);
    s->options.session.name_space = s->name_space;
    s->options.session.client = s->client;
    s->seed = slot_seed(s->name_space);
    pthread_mutex_init(&s->learning, NULL);
    pthread_rwlock_init(&s->lock, NULL);
    *out = s;
    return CENOTE_OK;

free_home:
    shard_free(s->known[0]);
free_views:
    views_free(s->views);
free_shards:
    free(s);
    return status;
}

void shards_close(struct shards *s)
{
    struct drive *d;

    views_free(s->views);
    for (uint32_t i = 0; i < s->known_count; i++) {
        if ((d = atomic_load(&s->known[i]->drive)))
            drive_stop(d);
    }
    drive_settle(shards_home(s)); /* its threads may have opened more */
    for (uint32_t i = s->known_count; i-- > 0;) {
        if ((d = atomic_load(&s->known[i]->drive)))
            drive_close(d);
        shard_free(s->known[i]);
    }
    pthread_mutex_destroy(&s->learning);
    pthread_rwlock_destroy(&s->lock);
    free(s);
}

/* Locks may be held for ever by threads of the parent. */
void shards_abandon(struct shards *s)
{
    for (uint32_t i = 0; i < s->known_count; i++) {
        struct drive *d = atomic_load(&s->known[i]->drive);
        if (d)
            drive_abandon(d);
        free(s->known[i]);
    }
    views_abandon(s->views);
    free(s);
}

struct drive *shards_home(const struct shards *s)
{
    return atomic_load_explicit(&s->known[0]->drive, memory_order_acquire);
}

struct views *shards_views(const struct shards *s)
{
    return s->views;
}

struct drive *shards_only(const struct shards *s)
{
    return atomic_load_explicit(&s->only, memory_order_acquire);
}

/* ---- connecting to a service ----------------------------------------------------------------- */

static void back_off(struct shard *shard)
{
    uint32_t next_ms = shard->backoff_ms * 2;

    if (next_ms < SHARDS_BACKOFF_MIN_MS)
        next_ms = SHARDS_BACKOFF_MIN_MS;
    shard->backoff_ms = next_ms < SHARDS_BACKOFF_MAX_MS ? next_ms : SHARDS_BACKOFF_MAX_MS;
    shard->not_before_ms = clock_now_ms() + shard->backoff_ms;
}

static int open_now(struct shards *s, struct shard *shard, struct drive **out)
{
    struct drive_options options = s->options;
    int status;

    if (clock_now_ms() < shard->not_before_ms)
        return CENOTE_UNAVAILABLE;
    options.session.meta = shard->endpoint;
    status = drive_open(&options, out);
    if (status == CENOTE_OK) {
        atomic_store(&shard->drive, *out);
        return CENOTE_OK;
    }
    log_warn(MODULE, "shard %u at %s: %s", (unsigned)shard->number, shard->endpoint,
             cenote_status_text(status));
    back_off(shard);
    return status == CENOTE_INVALID ? CENOTE_UNAVAILABLE : status; /* a name that isn't known */
}

int shards_drive(struct shards *s, struct shard *shard, struct drive **out)
{
    int status = CENOTE_OK;

    *out = atomic_load_explicit(&shard->drive, memory_order_acquire);
    if (*out)
        return CENOTE_OK;
    pthread_mutex_lock(&shard->opening);
    *out = atomic_load(&shard->drive); /* somebody else may have been here meanwhile */
    if (!*out)
        status = open_now(s, shard, out);
    pthread_mutex_unlock(&shard->opening);
    return status;
}

/* ---- maps ------------------------------------------------------------------------------------ */

static uint64_t epoch_of(struct shards *s)
{
    pthread_rwlock_rdlock(&s->lock);
    uint64_t epoch = s->epoch;
    pthread_rwlock_unlock(&s->lock);
    return epoch;
}

/* Index of the service that a map names, which is added if it is new; NOBODY: no memory, no room. A
 * number that moves to another endpoint is another drive. */
static uint8_t known_index(struct shards *s, uint32_t number, const char *endpoint)
{
    for (uint32_t i = 0; i < s->known_count; i++) {
        if (s->known[i]->number == number &&
            (i == 0 || strcmp(s->known[i]->endpoint, endpoint) == 0))
            return (uint8_t)i;
    }
    if (s->known_count == KNOWN_MAX)
        return NOBODY;
    struct shard *fresh = shard_new(number, endpoint);
    if (!fresh)
        return NOBODY;
    s->known[s->known_count] = fresh;
    return (uint8_t)s->known_count++;
}

/* Under lock. False, and the old map stays: no memory, or more services than a client takes. */
static bool take_map(struct shards *s, const struct slot_map *map)
{
    uint8_t owners[SLOT_RANGES_MAX];
    bool home_only = true;

    for (uint32_t i = 0; i < map->range_count; i++) {
        uint32_t number = map->ranges[i].shard;
        owners[i] = known_index(s, number, map->endpoints[number]);
        if (owners[i] == NOBODY)
            return false;
        home_only = home_only && owners[i] == 0;
    }
    for (uint32_t i = 0; i < map->range_count; i++) {
        const struct slot_range *r = &map->ranges[i];
        memset(s->owner + r->first, owners[i], r->last - r->first + 1);
    }
    s->epoch = map->epoch;
    atomic_store(&s->only, home_only ? shards_home(s) : NULL);
    return true;
}

static int adopt(struct shards *s, struct drive *from, const struct slot_map *map, uint32_t own)
{
    struct shard *home = s->known[0];
    bool taken = true;

    pthread_rwlock_wrlock(&s->lock);
    if (from == shards_home(s)) {
        home->number = own;
        snprintf(home->endpoint, sizeof home->endpoint, "%s", map->endpoints[own]);
    }
    if (map->epoch > s->epoch)
        taken = take_map(s, map);
    pthread_rwlock_unlock(&s->lock);
    if (taken)
        return CENOTE_OK;
    log_error(MODULE, "no room for the services of the pool's map %llu",
              (unsigned long long)map->epoch);
    return CENOTE_NO_MEMORY;
}

static int ask_map(struct shards *s, struct drive *from)
{
    struct wire_buf request = {0};
    struct rpc_answer answer = {0};
    struct slot_map *map = malloc(sizeof *map);
    uint32_t own;
    int status = CENOTE_NO_MEMORY;

    if (!map)
        return CENOTE_NO_MEMORY;
    wire_put_request(&request, 0, METHOD_SLOTS);
    wire_put_array(&request, 0);
    status = drive_ask(from, &request, &answer);
    wire_buf_free(&request);
    if (status == CENOTE_OK) {
        status = CENOTE_PROTOCOL;
        if (slots_result_get(answer.msg.result, map, &own))
            status = adopt(s, from, map, own);
        else
            log_error(MODULE, "slots' answer is malformed");
        rpc_answer_free(&answer);
    }
    free(map);
    return status;
}

int shards_refresh(struct shards *s, struct drive *from)
{
    pthread_mutex_lock(&s->learning);
    int status = ask_map(s, from);
    pthread_mutex_unlock(&s->learning);
    return status;
}

void shards_learn(struct shards *s, struct drive *from, uint64_t epoch)
{
    if (epoch <= epoch_of(s))
        return;
    pthread_mutex_lock(&s->learning);
    if (epoch > epoch_of(s))
        (void)ask_map(s, from); /* in vain: the next round, or the caller, sees it */
    pthread_mutex_unlock(&s->learning);
}

uint32_t shards_list(struct shards *s, struct shards_entry out[SHARDS_MAX + 1], uint64_t *epoch)
{
    uint32_t slots[KNOWN_MAX] = {0}, count = 0;

    pthread_rwlock_rdlock(&s->lock);
    for (uint32_t i = 0; i < SLOTS; i++)
        slots[s->owner[i]]++;
    for (uint32_t i = 0; i < s->known_count; i++) {
        struct shard *shard = s->known[i];
        if (i > 0 && slots[i] == 0)
            continue;
        out[count++] = (struct shards_entry){
            .shard = shard, .number = shard->number % SHARDS_MAX, .slots = slots[i]};
        memcpy(out[count - 1].endpoint, shard->endpoint, TEXT_MAX);
    }
    *epoch = s->epoch;
    pthread_rwlock_unlock(&s->lock);
    return count;
}

/* A service that doesn't answer may have moved. */
static void ask_around(struct shards *s, const struct drive *away)
{
    uint64_t now_ms = clock_now_ms(), last_ms = atomic_load(&s->asked_ms);
    struct shards_entry entries[SHARDS_MAX + 1];
    uint64_t epoch;

    if (now_ms < last_ms + ASK_AROUND_MS ||
        !atomic_compare_exchange_strong(&s->asked_ms, &last_ms, now_ms))
        return;
    uint32_t count = shards_list(s, entries, &epoch);
    for (uint32_t i = 0; i < count; i++) {
        struct drive *d = atomic_load(&entries[i].shard->drive);
        if (d && d != away && shards_refresh(s, d) == CENOTE_OK)
            return;
    }
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Items of one round: which service each goes to, NOBODY: it is done. */
struct round {
    struct shards *shards;
    const struct shards_work *work;
    uint8_t *owner;  /* of each item */
    uint16_t *items; /* of one service */
    bool asked[KNOWN_MAX];
    uint64_t epoch; /* of the map that they go by */
};

/* False: nothing is left to be done. */
static bool route(struct round *r)
{
    struct shards *s = r->shards;
    const struct shards_work *w = r->work;
    bool any = false;

    memset(r->asked, 0, sizeof r->asked);
    pthread_rwlock_rdlock(&s->lock);
    r->epoch = s->epoch;
    for (size_t i = 0; i < w->count; i++) {
        r->owner[i] = NOBODY;
        if (*w->status(w->arg, i) != CENOTE_WRONG_SHARD)
            continue;
        struct cenote_key key = w->key(w->arg, i);
        r->owner[i] = s->owner[slot_of(s->seed, key.data, key.len_bytes)];
        r->asked[r->owner[i]] = true;
        any = true;
    }
    pthread_rwlock_unlock(&s->lock);
    return any;
}

/* Does the items of one service. */
static void do_shard(struct round *r, uint32_t owner)
{
    const struct shards_work *w = r->work;
    struct drive *d;
    size_t count = 0;
    uint64_t epoch;
    int status = shards_drive(r->shards, r->shards->known[owner], &d);

    for (size_t i = 0; i < w->count; i++) {
        if (r->owner[i] == owner)
            r->items[count++] = (uint16_t)i;
    }
    if (status == CENOTE_OK) {
        epoch = w->run(w->arg, d, r->items, count);
        shards_learn(r->shards, d, epoch);
        status = *w->status(w->arg, r->items[0]);
    } else {
        for (size_t i = 0; i < count; i++)
            *w->status(w->arg, r->items[i]) = status;
    }
    if (status == CENOTE_UNAVAILABLE)
        ask_around(r->shards, d);
}

/* Somebody has not been told of the newest map yet. */
static void pause_round(uint32_t round)
{
    uint64_t ns = (uint64_t)SHARDS_PAUSE_MS * 1000000 << round;
    nanosleep(&(struct timespec){.tv_nsec = (long)ns}, NULL);
}

static void run_rounds(struct round *r)
{
    uint64_t before = 0;

    for (uint32_t round = 0; round < SHARDS_ROUNDS_MAX && route(r); round++) {
        if (round > 0 && r->epoch == before)
            pause_round(round - 1);
        before = r->epoch;
        for (uint32_t owner = 0; owner < KNOWN_MAX; owner++) {
            if (r->asked[owner])
                do_shard(r, owner);
        }
    }
}

void shards_run(struct shards *s, const struct shards_work *w)
{
    uint8_t one_owner;
    uint16_t one_item;
    struct round r = {.shards = s, .work = w, .owner = &one_owner, .items = &one_item};
    uint16_t *memory = NULL;

    if (w->count > 1) {
        memory = malloc(w->count * (sizeof *r.items + sizeof *r.owner));
        for (size_t i = 0; !memory && i < w->count; i++)
            *w->status(w->arg, i) = CENOTE_NO_MEMORY;
        if (!memory)
            return;
        r.items = memory;
        r.owner = (uint8_t *)(memory + w->count);
    }
    run_rounds(&r);
    free(memory);
}

struct one {
    const struct cenote_key *key;
    shards_fn fn;
    void *arg;
    int status;
};

static struct cenote_key one_key(void *arg, size_t i)
{
    (void)i;
    return *((struct one *)arg)->key;
}

static int *one_status(void *arg, size_t i)
{
    (void)i;
    return &((struct one *)arg)->status;
}

static uint64_t one_run(void *arg, struct drive *d, const uint16_t *items, size_t count)
{
    struct one *o = arg;
    uint64_t epoch = 0;

    (void)items;
    (void)count;
    o->status = o->fn(o->arg, d, &epoch);
    return epoch;
}

int shards_one(struct shards *s, const struct cenote_key *key, shards_fn fn, void *arg)
{
    struct one one = {.key = key, .fn = fn, .arg = arg, .status = CENOTE_WRONG_SHARD};
    struct drive *only = shards_only(s);

    if (only)
        one_run(&one, only, NULL, 1);
    if (one.status == CENOTE_WRONG_SHARD)
        shards_run(
            s, &(struct shards_work){
                   .count = 1, .key = one_key, .status = one_status, .run = one_run, .arg = &one});
    return one.status;
}

/* ---- in the background ----------------------------------------------------------------------- */

static uint32_t route_owner(void *arg, const struct cenote_key *key)
{
    struct shards *s = arg;

    pthread_rwlock_rdlock(&s->lock);
    uint32_t owner = s->owner[slot_of(s->seed, key->data, key->len_bytes)];
    pthread_rwlock_unlock(&s->lock);
    return owner;
}

static uint64_t route_epoch(void *arg)
{
    return epoch_of(arg);
}

static struct shard *known_shard(struct shards *s, uint32_t index)
{
    pthread_rwlock_rdlock(&s->lock);
    struct shard *shard = s->known[index];
    pthread_rwlock_unlock(&s->lock);
    return shard;
}

static int route_pump(void *arg, uint32_t service, bool connect, struct pump **out)
{
    struct shard *shard = known_shard(arg, service);
    struct drive *d = atomic_load_explicit(&shard->drive, memory_order_acquire);
    int status = CENOTE_OK;

    *out = NULL;
    if (!d && connect)
        status = shards_drive(arg, shard, &d);
    return status == CENOTE_OK && d ? drive_pump(d, out) : status;
}

static void route_learn(void *arg, uint32_t service, uint64_t epoch)
{
    struct drive *d = atomic_load(&known_shard(arg, service)->drive);

    if (epoch == 0)
        ask_around(arg, d);
    else if (d)
        shards_learn(arg, d, epoch);
}

void shards_each_fabric(struct shards *s, void (*each)(void *arg, const struct fabric *f),
                        void *arg)
{
    pthread_rwlock_rdlock(&s->lock);
    for (uint32_t i = 0; i < s->known_count; i++) {
        const struct drive *d = atomic_load_explicit(&s->known[i]->drive, memory_order_acquire);
        if (d)
            each(arg, drive_fabric(d));
    }
    pthread_rwlock_unlock(&s->lock);
}
