/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What eviction costs a put: the same puts into a pool that has room, and into one that is full and
 * gives up as much as comes. Both take turns in the same memory, which was touched before, a
 * quarter of the pool at a time. The namespace is cleared for each turn: nothing else should be in
 * the pool.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cenote/namespace.h>

#include "bench/bench.h"
#include "bench/service.h"
#include "transport/base/clock.h"

#define KEY_BYTES      48
#define BATCH_MAX      1024u
#define BATCH_BYTES    (UINT64_C(1) << 20)
#define SOURCE_BYTES   (UINT64_C(64) << 20) /* more than a cache holds */
#define LEN_MAX        (UINT64_C(64) << 20)
#define EMPTY_SECONDS  60u
#define PART_OF_A_TURN 4u

enum state { ROOMY, FULL, STATES };
static const char *const state_names[STATES] = {"roomy", "full"};

struct evict_bench {
    const struct bench_options *options;
    struct cenote *client;
    uint64_t run, number; /* of the next value */
    uint64_t len_bytes, batch;
    uint8_t *source;
    struct samples samples[STATES];
    uint64_t cpu_ns[STATES], took_ns[STATES], changes[STATES], evicted[STATES];
};

struct figures {
    uint64_t total_bytes, quarantined_bytes, evicted;
};

static int look(const struct evict_bench *b, struct figures *out)
{
    char *text;
    json_int_t total = 0, quarantined = 0, space = 0, background = 0;
    int status = cenote_pool_status(b->client, &text);

    if (status != CENOTE_OK)
        return status;
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    if (json_unpack(root, "{s:{s:I, s:I}, s:{s:{s:I}, s:{s:I}}}", "capacity", "total_bytes", &total,
                    "quarantined_bytes", &quarantined, "eviction", "space", "objects", &space,
                    "background", "objects", &background) != 0)
        status = CENOTE_PROTOCOL;
    json_decref(root);
    *out = (struct figures){(uint64_t)total, (uint64_t)quarantined, (uint64_t)(space + background)};
    return status;
}

static int put_batch(struct evict_bench *b)
{
    struct cenote_put_item items[BATCH_MAX];
    struct cenote_buffer pieces[BATCH_MAX];
    char keys[BATCH_MAX][KEY_BYTES];
    uint64_t places = SOURCE_BYTES / b->len_bytes;

    for (uint64_t i = 0; i < b->batch; i++) {
        uint64_t number = b->number++;
        int len = snprintf(keys[i], KEY_BYTES, "evict/%llx/%llu", (unsigned long long)b->run,
                           (unsigned long long)number);
        pieces[i] =
            (struct cenote_buffer){b->source + number % places * b->len_bytes, b->len_bytes};
        items[i] = (struct cenote_put_item){
            .key = {keys[i], (size_t)len}, .buffers = &pieces[i], .buffer_count = 1};
    }
    return cenote_put_batch(b->client, items, b->batch, 0);
}

/* Nothing of ours is there, nor on its way to be free. */
static int clear(struct evict_bench *b)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    uint64_t until_ms = clock_now_ms() + EMPTY_SECONDS * 1000;
    struct figures now;
    int status = cenote_remove_prefix(b->client, NULL, 0, NULL);

    while (status == CENOTE_OK) {
        status = look(b, &now);
        if (status != CENOTE_OK || now.quarantined_bytes == 0)
            break;
        if (clock_now_ms() > until_ms)
            return CENOTE_TIMED_OUT;
        nanosleep(&pause, NULL);
    }
    return status;
}

/* Until the pool gives something up. */
static int fill(struct evict_bench *b)
{
    struct figures before, now;
    int status = look(b, &before);
    uint64_t step = before.total_bytes / 16 / (b->batch * b->len_bytes) + 1;

    for (uint64_t n = 0; status == CENOTE_OK; n++) {
        status = put_batch(b);
        if (status != CENOTE_OK || n % step != 0)
            continue;
        status = look(b, &now);
        if (now.evicted > before.evicted)
            break;
    }
    return status;
}

static int time_puts(struct evict_bench *b, enum state state, uint64_t batches)
{
    struct service_usage before, after;
    struct figures from, to;
    int status = look(b, &from);

    if (status != CENOTE_OK || !service_usage(b->options->meta, &before))
        return status != CENOTE_OK ? status : CENOTE_UNAVAILABLE;
    for (uint64_t n = 0; n < batches && status == CENOTE_OK; n++) {
        uint64_t start_ns = clock_now_ns();
        status = put_batch(b);
        uint64_t took_ns = clock_now_ns() - start_ns;
        b->took_ns[state] += took_ns;
        if (status == CENOTE_OK && !samples_add(&b->samples[state], took_ns))
            status = CENOTE_NO_MEMORY;
    }
    if (status == CENOTE_OK)
        status = look(b, &to);
    if (status != CENOTE_OK || !service_usage(b->options->meta, &after))
        return status != CENOTE_OK ? status : CENOTE_UNAVAILABLE;
    b->cpu_ns[state] += after.cpu_ns - before.cpu_ns;
    b->changes[state] += after.changes - before.changes;
    b->evicted[state] += to.evicted - from.evicted;
    return CENOTE_OK;
}

static int turn(struct evict_bench *b, uint64_t batches)
{
    int status = fill(b);

    if (status == CENOTE_OK)
        status = clear(b);
    if (status == CENOTE_OK)
        status = time_puts(b, ROOMY, batches);
    if (status == CENOTE_OK)
        status = fill(b);
    return status == CENOTE_OK ? time_puts(b, FULL, batches) : status;
}

static int run_size(struct evict_bench *b)
{
    struct figures at;
    int status = look(b, &at);
    uint64_t batches = at.total_bytes / PART_OF_A_TURN / (b->batch * b->len_bytes);

    if (status == CENOTE_OK && batches == 0)
        return CENOTE_VALUE_SIZE;
    if (status == CENOTE_OK)
        status = fill(b); /* all of the memory is touched */
    while (status == CENOTE_OK && b->samples[FULL].count < b->options->rounds)
        status = turn(b, batches);
    return status == CENOTE_OK ? clear(b) : status;
}

static json_t *describe(struct evict_bench *b, enum state state)
{
    json_t *latencies = bench_latencies(&b->samples[state]);
    double puts = (double)(b->samples[state].count * b->batch);

    json_object_set_new(latencies, "gb_per_s",
                        json_real(puts * (double)b->len_bytes / (double)b->took_ns[state]));
    json_object_set_new(latencies, "service_cpu_us_a_put",
                        json_real((double)b->cpu_ns[state] / 1e3 / puts));
    json_object_set_new(latencies, "changes_a_put", json_real((double)b->changes[state] / puts));
    json_object_set_new(latencies, "evicted_a_put", json_real((double)b->evicted[state] / puts));
    return latencies;
}

static void report(struct evict_bench *b)
{
    json_t *result =
        json_pack("{s:I, s:I}", "bytes", (json_int_t)b->len_bytes, "batch", (json_int_t)b->batch);

    for (enum state s = 0; s < STATES; s++)
        json_object_set_new(result, state_names[s], describe(b, s));
    json_object_set_new(result, "full_to_roomy_rate",
                        json_real((double)b->took_ns[ROOMY] / (double)b->took_ns[FULL]));
    json_object_set_new(result, "full_to_roomy_p50",
                        json_real((double)samples_at(&b->samples[ROOMY], 0.5) /
                                  (double)samples_at(&b->samples[FULL], 0.5)));
    bench_print(b->options, result);
}

static int measure(const struct bench_options *o, void *arg, uint64_t len_bytes)
{
    struct evict_bench b = {.options = o, .client = arg, .len_bytes = len_bytes};
    uint64_t most = BATCH_BYTES / len_bytes > 0 ? BATCH_BYTES / len_bytes : 1;
    int status = CENOTE_NO_MEMORY;

    b.batch = o->batch < most ? o->batch : most;
    b.run = clock_wall_ms() ^ (uint64_t)getpid() << 48;
    b.source = malloc(SOURCE_BYTES);
    if (b.source) {
        for (uint64_t i = 0; i < SOURCE_BYTES; i++)
            b.source[i] = (uint8_t)(i * 31 + i / 4096);
        status = run_size(&b);
    }
    if (status == CENOTE_OK)
        report(&b);
    else
        fprintf(stderr, "cenote-bench: evict: %s\n", cenote_status_text(status));
    for (enum state s = 0; s < STATES; s++)
        samples_free(&b.samples[s]);
    free(b.source);
    return status;
}

int bench_evict(const struct bench_options *o, int argc, char **argv)
{
    static const char *const defaults[] = {"4K", "64K", "8784K", NULL};
    struct cenote *client;
    struct bench_options uncached = *o;

    uncached.cache_bytes = 1;
    int status = bench_open(&uncached, &client);
    if (status != CENOTE_OK)
        return 1;
    const struct bench_sizes sizes = {defaults, LEN_MAX, measure, client};
    status = bench_each_size(o, &sizes, argc, argv);
    bench_close(o, &client, "evict");
    return status == CENOTE_OK ? 0 : 1;
}
