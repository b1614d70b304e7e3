/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A storm of gets in a pool that is much too small: writers fill it again and again, so that its
 * space is given away many times a second, while readers and viewers look at what was there a
 * moment ago, under leases of milliseconds. Every byte that a get brings is checked: the value says
 * which key, which version and how long it is, and all the rest follows from that. A version is
 * stale if a newer one had been acknowledged before the get began.
 *
 * Each key has one writer, who counts its versions up: begun before, acknowledged after the put.
 *
 *   storm OPTION...    prints counts; exit status 1: a get brought something wrong
 */
#include <cenote/cenote.h>
#include <cenote/view.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/payload.h"
#include "tests/support/transport.h"
#include "transport/base/clock.h"
#include "transport/base/config.h"

#define THREADS_MAX 64u
#define BATCH_MAX   64u
#define KEY_BYTES   48u
#define WRONGS_TOLD 20u
#define HEAD_BYTES  24u
#define MAGIC       UINT32_C(0x53746f72)

struct options {
    char *meta;
    int transport;
    uint64_t gets, seconds, keys, window, min_bytes, max_bytes, readers, writers, viewers, batch;
    bool remove;
};

static const char *const transports[] = {TRANSPORT_NAMES, NULL};
#define AT(field) offsetof(struct options, field)
static const struct config_option option_table[] = {
    {"meta", CONFIG_STRING, AT(meta), "127.0.0.1:7400", "ENDPOINT", "the service", NULL, 0, 0},
    {"transport", CONFIG_CHOICE, AT(transport), "auto", "NAME", "way of bytes", transports, 0, 0},
    {"gets", CONFIG_COUNT, AT(gets), "0", "N", "until so many values are verified", NULL, 0, 0},
    {"seconds", CONFIG_COUNT, AT(seconds), "5", "N", "or for so long", NULL, 1, 1u << 20},
    {"keys", CONFIG_COUNT, AT(keys), "40000", "N", "that are written in turn", NULL, 64, 1u << 24},
    {"window", CONFIG_COUNT, AT(window), "10000", "N", "newest keys that are read", NULL, 1, 0},
    {"min", CONFIG_SIZE, AT(min_bytes), "32", "SIZE", "shortest value", NULL, HEAD_BYTES, 0},
    {"max", CONFIG_SIZE, AT(max_bytes), "1024", "SIZE", "longest value", NULL, HEAD_BYTES, 1 << 24},
    {"readers", CONFIG_COUNT, AT(readers), "2", "N", "threads", NULL, 0, THREADS_MAX},
    {"writers", CONFIG_COUNT, AT(writers), "1", "N", "threads", NULL, 1, THREADS_MAX},
    {"viewers", CONFIG_COUNT, AT(viewers), "0", "N", "threads", NULL, 0, THREADS_MAX},
    {"batch", CONFIG_COUNT, AT(batch), "32", "N", "keys of a call", NULL, 1, BATCH_MAX},
    {"remove", CONFIG_BOOL, AT(remove), "false", NULL, "writers make room themselves", NULL, 0, 0},
};
static const struct config_spec spec = {"storm", "storm [OPTION]...", option_table,
                                        sizeof option_table / sizeof *option_table, NULL};

struct version {
    _Atomic uint32_t begun, acknowledged;
    bool loose; /* an answer was lost: an older version may come after a newer one; its writer's */
};

struct counts {
    uint64_t gets, verified, missed, late, views, puts, put_bytes, full, failed, removed, wrong;
};

struct worker {
    pthread_t thread;
    struct cenote *client;
    uint32_t number;
    uint64_t written; /* keys, over and over */
    uint64_t random;
    struct counts counts;
    uint8_t *memory; /* BATCH_MAX values */
};

static struct options o;
static struct version *versions;
static _Atomic uint64_t cursor, verified; /* a key that is being written; of all readers */
static atomic_bool over;
static uint64_t begun_ms, end_ms;

static uint64_t draw(struct worker *w, uint64_t below)
{
    w->random = w->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (w->random >> 33) % below;
}

/* ---- values ---------------------------------------------------------------------------------- */

struct head {
    uint32_t magic, version;
    uint64_t key, len_bytes;
};
_Static_assert(sizeof(struct head) == HEAD_BYTES, "no gaps");

/* Of all bytes behind the head. */
static uint64_t pattern(uint64_t key, uint32_t version)
{
    return (key * 2654435761u + version) & UINT32_MAX;
}

static uint64_t length_of(uint64_t key, uint32_t version)
{
    uint64_t x = (key << 32 | version) * UINT64_C(0x9e3779b97f4a7c15);
    return o.min_bytes + (x >> 33) % (o.max_bytes - o.min_bytes + 1);
}

static uint64_t fill(uint64_t key, uint32_t version, uint8_t *out)
{
    struct head h = {MAGIC, version, key, length_of(key, version)};
    memcpy(out, &h, sizeof h);
    payload_fill(pattern(key, version), out + sizeof h, h.len_bytes - sizeof h);
    return h.len_bytes;
}

static bool tell(uint64_t key, const struct head *h, uint64_t len, const char *what)
{
    static _Atomic unsigned told;
    if (atomic_fetch_add(&told, 1) < WRONGS_TOLD)
        fprintf(stderr, "storm: WRONG: key %llu, %llu bytes, version %u of key %llu: %s\n",
                (unsigned long long)key, (unsigned long long)len, h->version,
                (unsigned long long)h->key, what);
    return false;
}

/* oldest: acknowledged before the get began. */
static bool is_right(uint64_t key, uint32_t oldest, const uint8_t *data, uint64_t len)
{
    struct head h = {0};
    if (len < sizeof h)
        return tell(key, &h, len, "too short");
    memcpy(&h, data, sizeof h);
    if (h.magic != MAGIC || h.key != key)
        return tell(key, &h, len, "not of this key");
    if (h.version < oldest)
        return tell(key, &h, len, "stale");
    if (h.version > atomic_load(&versions[key].begun))
        return tell(key, &h, len, "never written");
    if (h.len_bytes != len || len != length_of(key, h.version) ||
        !payload_is(pattern(key, h.version), data + sizeof h, len - sizeof h))
        return tell(key, &h, len, "torn");
    return true;
}

/* Another run's values are other keys'. */
static struct cenote_key name_of(uint64_t key, char text[KEY_BYTES])
{
    int len = snprintf(text, KEY_BYTES, "%llx-%x-%llu", (unsigned long long)begun_ms,
                       (unsigned)getpid(), (unsigned long long)key);
    return (struct cenote_key){text, (size_t)len};
}

/* One of the newest keys. */
static uint64_t newest(struct worker *w)
{
    return (atomic_load(&cursor) + o.keys - draw(w, o.window) % o.keys) % o.keys;
}

static bool goes_on(void)
{
    if (clock_now_ms() >= end_ms || (o.gets > 0 && atomic_load(&verified) >= o.gets))
        atomic_store(&over, true);
    return !atomic_load(&over);
}

/* ---- readers --------------------------------------------------------------------------------- */

static void judge(struct worker *w, uint64_t key, uint32_t oldest, int status, const uint8_t *data,
                  uint64_t len)
{
    w->counts.gets++;
    if (status == CENOTE_OK && is_right(key, oldest, data, len))
        w->counts.verified++;
    else if (status == CENOTE_NOT_FOUND)
        w->counts.missed++;
    else if (status == CENOTE_OK || status == CENOTE_CORRUPT || status == CENOTE_BUFFER_SIZE)
        w->counts.wrong++;
    else
        w->counts.late++;
}

static void get_batch(struct worker *w)
{
    char texts[BATCH_MAX][KEY_BYTES];
    struct cenote_buffer buffers[BATCH_MAX];
    struct cenote_get_item items[BATCH_MAX];
    uint64_t keys[BATCH_MAX];
    uint32_t oldest[BATCH_MAX];
    size_t count = (size_t)o.batch;
    for (size_t i = 0; i < count; i++) {
        keys[i] = newest(w);
        oldest[i] = atomic_load(&versions[keys[i]].acknowledged);
        buffers[i] = (struct cenote_buffer){w->memory + i * o.max_bytes, (size_t)o.max_bytes};
        items[i] = (struct cenote_get_item){
            .key = name_of(keys[i], texts[i]), .buffers = &buffers[i], .buffer_count = 1};
    }
    (void)cenote_get_batch(w->client, items, count);
    for (size_t i = 0; i < count; i++)
        judge(w, keys[i], oldest[i], items[i].status, buffers[i].addr, items[i].len_bytes);
}

/* The same few keys again: by what the client remembers, until the lease ends. */
static void get_again(struct worker *w)
{
    char text[KEY_BYTES];
    uint64_t key = newest(w);
    struct cenote_key name = name_of(key, text);
    for (uint64_t i = 0; i < o.batch; i++) {
        uint32_t oldest = atomic_load(&versions[key].acknowledged);
        uint64_t len = 0;
        int status =
            cenote_get(w->client, name.data, name.len_bytes, w->memory, (size_t)o.max_bytes, &len);
        judge(w, key, oldest, status, w->memory, len);
    }
}

static void *read_values(void *arg)
{
    struct worker *w = arg;
    while (goes_on()) {
        uint64_t before = w->counts.verified;
        if (draw(w, 4) == 0)
            get_again(w);
        else
            get_batch(w);
        atomic_fetch_add(&verified, w->counts.verified - before);
    }
    return NULL;
}

/* What is held stays as it is, however often the pool turns over meanwhile. */
static void view_one(struct worker *w)
{
    char text[KEY_BYTES];
    struct cenote_view v;
    uint64_t key = newest(w);
    struct cenote_key name = name_of(key, text);
    uint32_t oldest = atomic_load(&versions[key].acknowledged);
    int status = cenote_view_get(w->client, name.data, name.len_bytes, &v);
    if (status != CENOTE_OK) {
        judge(w, key, oldest, status, NULL, 0);
        return;
    }
    w->counts.views++;
    judge(w, key, oldest, status, v.data, v.len_bytes);
    for (uint64_t end = clock_now_ms() + draw(w, 20); clock_now_ms() < end && goes_on();)
        sched_yield();
    if (!is_right(key, oldest, v.data, v.len_bytes))
        w->counts.wrong++;
    cenote_view_release(w->client, &v);
}

static void *view_values(void *arg)
{
    struct worker *w = arg;
    while (goes_on()) {
        uint64_t before = w->counts.verified;
        view_one(w);
        atomic_fetch_add(&verified, w->counts.verified - before);
    }
    return NULL;
}

/* ---- writers --------------------------------------------------------------------------------- */

/* The writer's keys come round in turn. */
static uint64_t own_key(const struct worker *w, uint64_t i)
{
    return (i * o.writers + w->number) % o.keys;
}

static void make_room(struct worker *w)
{
    char texts[BATCH_MAX][KEY_BYTES];
    struct cenote_key names[BATCH_MAX];
    int statuses[BATCH_MAX];
    size_t count = (size_t)o.batch;
    for (size_t i = 0; i < count; i++)
        names[i] = name_of(own_key(w, w->written + draw(w, o.keys / o.writers)), texts[i]);
    (void)cenote_remove(w->client, names, count, statuses);
    for (size_t i = 0; i < count; i++)
        w->counts.removed += statuses[i] == CENOTE_OK;
}

/* What became of a put. */
static void note(struct worker *w, uint64_t key, uint32_t version, int status, uint64_t len)
{
    struct version *v = &versions[key];
    if (status == CENOTE_OK) {
        w->counts.puts++;
        w->counts.put_bytes += len;
        if (!v->loose)
            atomic_store(&v->acknowledged, version);
        return;
    }
    v->loose = v->loose || status == CENOTE_UNKNOWN;
    if (v->loose)
        atomic_store(&v->acknowledged, 0);
    w->counts.full += status == CENOTE_NO_SPACE;
    w->counts.failed += status != CENOTE_NO_SPACE;
}

static void put_batch(struct worker *w)
{
    char texts[BATCH_MAX][KEY_BYTES];
    struct cenote_buffer buffers[BATCH_MAX];
    struct cenote_put_item items[BATCH_MAX];
    uint64_t keys[BATCH_MAX], full = w->counts.full;
    uint32_t begun[BATCH_MAX];
    size_t count = (size_t)o.batch;
    atomic_store(&cursor, own_key(w, w->written));
    for (size_t i = 0; i < count; i++) {
        keys[i] = own_key(w, w->written++);
        begun[i] = atomic_fetch_add(&versions[keys[i]].begun, 1) + 1;
        uint8_t *at = w->memory + i * o.max_bytes;
        buffers[i] = (struct cenote_buffer){at, (size_t)fill(keys[i], begun[i], at)};
        items[i] = (struct cenote_put_item){
            .key = name_of(keys[i], texts[i]), .buffers = &buffers[i], .buffer_count = 1};
    }
    (void)cenote_put_batch(w->client, items, count, CENOTE_PUT_REPLACE);
    for (size_t i = 0; i < count; i++)
        note(w, keys[i], begun[i], items[i].status, buffers[i].len_bytes);
    if (w->counts.full > full && o.remove)
        make_room(w);
}

static void *write_values(void *arg)
{
    struct worker *w = arg;
    while (goes_on())
        put_batch(w);
    return NULL;
}

/* ---- the program ----------------------------------------------------------------------------- */

static bool start(struct worker *w, uint32_t number, void *(*run)(void *arg))
{
    struct cenote_options open = {
        .meta = o.meta, .name_space = "storm", .transport = (enum cenote_transport)o.transport};
    *w = (struct worker){.number = number, .random = number * 7919u + 1};
    w->memory = malloc(BATCH_MAX * (size_t)o.max_bytes);
    int status = w->memory ? cenote_open(&open, &w->client) : CENOTE_NO_MEMORY;
    if (status != CENOTE_OK)
        fprintf(stderr, "storm: %s: %s\n", o.meta, cenote_status_text(status));
    return status == CENOTE_OK && pthread_create(&w->thread, NULL, run, w) == 0;
}

static void add(struct counts *sum, const struct counts *c)
{
    sum->gets += c->gets;
    sum->verified += c->verified;
    sum->missed += c->missed;
    sum->late += c->late;
    sum->views += c->views;
    sum->puts += c->puts;
    sum->put_bytes += c->put_bytes;
    sum->full += c->full;
    sum->failed += c->failed;
    sum->removed += c->removed;
    sum->wrong += c->wrong;
}

static void print(const struct counts *c, uint64_t ms)
{
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        {"gets", c->gets},       {"verified", c->verified}, {"missed", c->missed},
        {"late", c->late},       {"views", c->views},       {"puts", c->puts},
        {"bytes", c->put_bytes}, {"full", c->full},         {"failed", c->failed},
        {"removed", c->removed}, {"wrong", c->wrong},       {"ms", ms},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        printf("%s %llu%c", all[i].name, (unsigned long long)all[i].value,
               i + 1 < sizeof all / sizeof *all ? ' ' : '\n');
}

static int storm(void)
{
    static struct worker workers[3 * THREADS_MAX];
    struct counts sum = {0};
    uint32_t count = 0;
    bool good = true;
    begun_ms = clock_now_ms();
    end_ms = begun_ms + o.seconds * 1000;
    for (uint64_t i = 0; good && i < o.writers; i++, count++)
        good = start(&workers[count], count, write_values);
    for (uint64_t i = 0; good && i < o.readers; i++, count++)
        good = start(&workers[count], count, read_values);
    for (uint64_t i = 0; good && i < o.viewers; i++, count++)
        good = start(&workers[count], count, view_values);
    if (!good)
        return 2;
    for (uint32_t i = 0; i < count; i++) {
        pthread_join(workers[i].thread, NULL);
        add(&sum, &workers[i].counts);
        cenote_close(&workers[i].client);
        free(workers[i].memory);
    }
    print(&sum, clock_now_ms() - begun_ms);
    return sum.wrong == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    char error[256];
    int positionals;
    if (config_parse(&spec, argc, argv, &o, &positionals, error, sizeof error) != CENOTE_OK ||
        o.max_bytes < o.min_bytes || o.keys < 2 * o.writers * o.batch) {
        fprintf(stderr, "storm: %s\n", error);
        return 2;
    }
    o.keys -= o.keys % o.writers;
    versions = calloc(o.keys, sizeof *versions);
    int code = versions ? storm() : 2;
    free(versions);
    config_free(&spec, &o);
    return code;
}
