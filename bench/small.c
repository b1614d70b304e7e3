/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small values in batches: puts, gets that ask the service, gets whose lookups are known, beside a
 * memcpy of as many values between the same places; and what a value takes of the pool beside its
 * own bytes. Batches are of neighbours in a random order of the values, so that no prefetcher knows
 * the next one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "transport/base/clock.h"

#define KEY_BYTES   48
#define VALUES      20000u
#define LEN_MAX     (64u << 10)
#define BATCH_MAX   1024u
#define WARM_PASSES 2u

enum kind { PUT, COLD, WARM, MEMCPY, KINDS };
static const char *const kind_names[KINDS] = {"put", "get_cold", "get_warm", "memcpy"};

struct small_bench {
    struct cenote *warm, *cold; /* with a cache, and without */
    uint64_t run, len_bytes, batch;
    uint8_t *plain, *local;        /* all values; a batch of them */
    char (*keys)[KEY_BYTES];       /* of all values */
    uint32_t order[VALUES];        /* of the values, in batches */
    uint64_t used_bytes, no_bytes; /* of the pool: with all values, and without */
    struct samples samples[KINDS];
};

static uint8_t *plain_of(const struct small_bench *b, uint64_t i)
{
    return b->plain + b->order[i] * b->len_bytes;
}

static struct cenote_key key_of(const struct small_bench *b, uint64_t i)
{
    const char *key = b->keys[b->order[i]];
    return (struct cenote_key){key, strlen(key)};
}

static void shuffle(struct small_bench *b)
{
    uint64_t state = b->run | 1;

    for (uint32_t i = 0; i < VALUES; i++)
        b->order[i] = i;
    for (uint32_t i = VALUES - 1; i > 0; i--) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint32_t k = (uint32_t)((state >> 32) % (i + 1)), other = b->order[k];
        b->order[k] = b->order[i];
        b->order[i] = other;
    }
}

static int put_batch(const struct small_bench *b, uint64_t first)
{
    struct cenote_put_item items[BATCH_MAX];
    struct cenote_buffer pieces[BATCH_MAX];

    for (uint64_t i = 0; i < b->batch; i++) {
        pieces[i] = (struct cenote_buffer){plain_of(b, first + i), b->len_bytes};
        items[i] = (struct cenote_put_item){
            .key = key_of(b, first + i), .buffers = &pieces[i], .buffer_count = 1};
    }
    return cenote_put_batch(b->cold, items, b->batch, 0);
}

static int get_batch(const struct small_bench *b, struct cenote *client, uint64_t first)
{
    struct cenote_get_item items[BATCH_MAX];
    struct cenote_buffer pieces[BATCH_MAX];

    for (uint64_t i = 0; i < b->batch; i++) {
        pieces[i] = (struct cenote_buffer){b->local + i * b->len_bytes, b->len_bytes};
        items[i] = (struct cenote_get_item){
            .key = key_of(b, first + i), .buffers = &pieces[i], .buffer_count = 1};
    }
    return cenote_get_batch(client, items, b->batch);
}

static int do_batch(const struct small_bench *b, enum kind kind, uint64_t first)
{
    switch (kind) {
    case PUT:
        return put_batch(b, first);
    case COLD:
    case WARM:
        return get_batch(b, kind == WARM ? b->warm : b->cold, first);
    default:
        for (uint64_t i = 0; i < b->batch; i++)
            memcpy(b->local + i * b->len_bytes, plain_of(b, first + i), b->len_bytes);
        return CENOTE_OK;
    }
}

/* The bytes are compared outside the time. */
static int time_batch(struct small_bench *b, enum kind kind, uint64_t first)
{
    uint64_t start_ns = clock_now_ns();
    int status = do_batch(b, kind, first);
    uint64_t took_ns = clock_now_ns() - start_ns;

    for (uint64_t i = 0; i < b->batch && status == CENOTE_OK && kind != PUT; i++) {
        if (memcmp(b->local + i * b->len_bytes, plain_of(b, first + i), b->len_bytes) != 0)
            status = CENOTE_CORRUPT;
    }
    return status == CENOTE_OK && !samples_add(&b->samples[kind], took_ns) ? CENOTE_NO_MEMORY
                                                                           : status;
}

static int pass(struct small_bench *b, enum kind kind)
{
    int status = CENOTE_OK;

    for (uint64_t i = 0; i + b->batch <= VALUES && status == CENOTE_OK; i += b->batch)
        status = time_batch(b, kind, i);
    return status;
}

static int used(const struct small_bench *b, uint64_t *out)
{
    char *text;
    json_int_t bytes = 0;
    int status = cenote_pool_status(b->cold, &text);

    if (status != CENOTE_OK)
        return status;
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    if (json_unpack(root, "{s:{s:I}}", "capacity", "used_bytes", &bytes) != 0)
        status = CENOTE_PROTOCOL;
    json_decref(root);
    *out = (uint64_t)bytes;
    return status;
}

static int store(struct small_bench *b)
{
    for (uint64_t i = 0; i < VALUES * b->len_bytes; i++)
        b->plain[i] = (uint8_t)(i * 31 + i / b->len_bytes);
    for (uint32_t i = 0; i < VALUES; i++)
        snprintf(b->keys[i], KEY_BYTES, "small/%llx/%llu/%u", (unsigned long long)b->run,
                 (unsigned long long)b->len_bytes, i);
    int status = used(b, &b->no_bytes);
    if (status == CENOTE_OK)
        status = pass(b, PUT);
    return status == CENOTE_OK ? used(b, &b->used_bytes) : status;
}

/* All ways once. Before the pass over what is known comes one that makes it known: leases are
 * short. */
static int turn(struct small_bench *b)
{
    int status = pass(b, COLD);

    size_t before = b->samples[WARM].count;
    if (status == CENOTE_OK)
        status = pass(b, WARM);
    b->samples[WARM].count = before;
    if (status == CENOTE_OK)
        status = pass(b, WARM);
    return status == CENOTE_OK ? pass(b, MEMCPY) : status;
}

static int run_size(const struct bench_options *o, struct small_bench *b)
{
    uint64_t turns = WARM_PASSES + (o->rounds * b->batch + VALUES - 1) / VALUES;
    int status = store(b);

    for (uint64_t n = 0; n < turns && status == CENOTE_OK; n++) {
        for (enum kind k = COLD; k < KINDS && n == WARM_PASSES; k++)
            b->samples[k].count = 0;
        status = turn(b);
    }
    return status;
}

static void report(const struct bench_options *o, struct small_bench *b)
{
    uint64_t values = VALUES / b->batch * b->batch;
    double each = (double)(b->used_bytes - b->no_bytes) / (double)values;
    json_t *result = json_pack("{s:I, s:I, s:f}", "bytes", (json_int_t)b->len_bytes, "batch",
                               (json_int_t)b->batch, "overhead_bytes", each - (double)b->len_bytes);
    double p50[KINDS];

    for (enum kind k = 0; k < KINDS; k++) {
        json_t *latencies = bench_latencies(&b->samples[k]);
        p50[k] = (double)samples_at(&b->samples[k], 0.5);
        json_object_set_new(latencies, "ns_a_value", json_real(p50[k] / (double)b->batch));
        json_object_set_new(result, kind_names[k], latencies);
    }
    json_object_set_new(result, "get_warm_to_memcpy", json_real(p50[MEMCPY] / p50[WARM]));
    bench_print(o, result);
}

static int measure(const struct bench_options *o, void *arg, uint64_t len_bytes)
{
    struct small_bench *b = arg;
    int status = CENOTE_NO_MEMORY;

    b->len_bytes = len_bytes;
    b->plain = malloc(VALUES * len_bytes);
    b->local = calloc(b->batch, len_bytes);
    b->keys = calloc(VALUES, sizeof *b->keys);
    if (b->plain && b->local && b->keys)
        status = run_size(o, b);
    if (status == CENOTE_OK)
        report(o, b);
    else
        fprintf(stderr, "cenote-bench: small: %s\n", cenote_status_text(status));
    for (enum kind k = 0; k < KINDS; k++)
        samples_free(&b->samples[k]);
    free(b->plain);
    free(b->local);
    free(b->keys);
    return status;
}

int bench_small(const struct bench_options *o, int argc, char **argv)
{
    struct small_bench b = {.run = clock_wall_ms() ^ (uint64_t)getpid() << 48,
                            .batch = o->batch < BATCH_MAX ? o->batch : BATCH_MAX};
    struct bench_options uncached = *o;
    static const char *const defaults[] = {"64", "256", "1K", NULL};
    const struct bench_sizes sizes = {defaults, LEN_MAX, measure, &b};
    int status;

    shuffle(&b);
    uncached.cache_bytes = 1;
    status = bench_open(o, &b.warm);
    if (status == CENOTE_OK)
        status = bench_open(&uncached, &b.cold);
    if (status == CENOTE_OK)
        status = bench_each_size(o, &sizes, argc, argv);
    bench_close(o, &b.cold, "cold");
    bench_close(o, &b.warm, "warm");
    return status == CENOTE_OK ? 0 : 1;
}
