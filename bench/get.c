/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gets of one value of a size: warm (its lookup is in the cache) and cold (the service is asked),
 * and views, warm, opened and released (where shared memory reaches the node), beside what a get is
 * made of: one call to the service (exists), and a copy of as many bytes on this machine. All take
 * turns, over a set of values, so that none has the caches for itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cenote/view.h>

#include "bench/bench.h"
#include "transport/base/clock.h"

#define KEY_BYTES      64
#define SET_VALUES     64u
#define SET_BYTES_MAX  (UINT64_C(256) << 20)
#define SIZES_MAX      8
#define VIEWS_IN_A_ROW 5u

enum kind { WARM, VIEW, COLD, CALL, MEMCPY, KINDS };
static const char *const kind_names[KINDS] = {"get_warm", "view", "get_cold", "exists", "memcpy"};

struct get_bench {
    struct cenote *warm, *cold; /* with a cache, and without */
    uint64_t run, len_bytes, values;
    uint8_t *plain, *local; /* the values, and where they are copied to */
    struct samples samples[KINDS];
};

static struct cenote_key key_of(const struct get_bench *b, char text[KEY_BYTES], uint64_t i)
{
    int len = snprintf(text, KEY_BYTES, "get/%llx/%llu/%llu", (unsigned long long)b->run,
                       (unsigned long long)b->len_bytes, (unsigned long long)i);
    return (struct cenote_key){text, (size_t)len};
}

static uint8_t *plain_of(const struct get_bench *b, uint64_t i)
{
    return b->plain + i * b->len_bytes;
}

static int get_one(const struct get_bench *b, struct cenote *client, const struct cenote_key *key)
{
    uint64_t len = 0;
    int status =
        cenote_get(client, key->data, key->len_bytes, b->local, (size_t)b->len_bytes, &len);

    return status == CENOTE_OK && len != b->len_bytes ? CENOTE_CORRUPT : status;
}

/* Keeps the compiler from leaving the copy out. */
static void copy_one(const struct get_bench *b, uint64_t i)
{
    memcpy(b->local, plain_of(b, i), (size_t)b->len_bytes);
    __asm__ volatile("" : : "r"(b->local) : "memory");
}

static int view_one(const struct get_bench *b, const struct cenote_key *key)
{
    struct cenote_view view;
    int status = cenote_view_get(b->warm, key->data, key->len_bytes, &view);

    if (status == CENOTE_OK && view.len_bytes != b->len_bytes)
        status = CENOTE_CORRUPT;
    if (status == CENOTE_OK)
        cenote_view_release(b->warm, &view);
    return status;
}

static int time_one(struct get_bench *b, enum kind kind, uint64_t i, const struct cenote_key *key)
{
    bool there = true;
    int status;

    switch (kind) {
    case MEMCPY:
        copy_one(b, i);
        return CENOTE_OK;
    case CALL:
        status = cenote_exists(b->cold, key, 1, &there, NULL);
        return status == CENOTE_OK && !there ? CENOTE_NOT_FOUND : status;
    case VIEW:
        return view_one(b, key);
    default:
        return get_one(b, kind == WARM ? b->warm : b->cold, key);
    }
}

static int do_one(struct get_bench *b, enum kind kind, uint64_t i)
{
    char text[KEY_BYTES];
    struct cenote_key key = key_of(b, text, i);

    uint64_t start_ns = clock_now_ns();
    int status = time_one(b, kind, i, &key);
    uint64_t took_ns = clock_now_ns() - start_ns;

    if (kind == VIEW && status == CENOTE_NOT_SUPPORTED)
        return CENOTE_OK; /* not by shared memory */
    if (status == CENOTE_OK && (kind == WARM || kind == COLD) &&
        memcmp(b->local, plain_of(b, i), (size_t)b->len_bytes) != 0)
        status = CENOTE_CORRUPT;
    return status == CENOTE_OK && !samples_add(&b->samples[kind], took_ns) ? CENOTE_NO_MEMORY
                                                                           : status;
}

static int store(struct get_bench *b)
{
    char text[KEY_BYTES];
    int status = CENOTE_OK;

    for (uint64_t i = 0; i < b->values && status == CENOTE_OK; i++) {
        struct cenote_key key = key_of(b, text, i);
        for (uint64_t k = 0; k < b->len_bytes; k++)
            plain_of(b, i)[k] = (uint8_t)(k * 31 + i);
        status =
            cenote_put(b->cold, key.data, key.len_bytes, plain_of(b, i), (size_t)b->len_bytes, 0);
    }
    return status;
}

/* The lookup of a warm get is as young as it can be: its lease must not end meanwhile. */
static int turn(struct get_bench *b, uint64_t i)
{
    int status = CENOTE_OK;

    for (unsigned k = 0; k < KINDS && status == CENOTE_OK; k++)
        status = do_one(b, (enum kind)k, i);
    /* Behind a long copy the first view finds nothing in the processor's caches. */
    for (unsigned k = 1; k < VIEWS_IN_A_ROW && status == CENOTE_OK; k++)
        status = do_one(b, VIEW, i);
    return status;
}

static int run_size(const struct bench_options *o, struct get_bench *b)
{
    int status = store(b);

    for (uint64_t i = 0; i < 2 * b->values && status == CENOTE_OK; i++)
        status = turn(b, i % b->values);
    for (unsigned k = 0; k < KINDS; k++)
        b->samples[k].count = 0;
    for (uint64_t i = 0; i < o->rounds && status == CENOTE_OK; i++)
        status = turn(b, i % b->values);
    return status;
}

static double p50_us(struct samples *s)
{
    samples_sort(s);
    return (double)samples_at(s, 0.5) / 1e3;
}

static json_t *result_of(struct get_bench *b)
{
    json_t *result = json_pack("{s:I}", "bytes", (json_int_t)b->len_bytes);
    double warm = p50_us(&b->samples[WARM]), cold = p50_us(&b->samples[COLD]);
    double call = p50_us(&b->samples[CALL]), copy = p50_us(&b->samples[MEMCPY]);

    for (unsigned k = 0; k < KINDS; k++)
        if (b->samples[k].count > 0)
            json_object_set_new(result, kind_names[k], bench_latencies(&b->samples[k]));
    json_object_set_new(result, "warm_to_memcpy", json_real(warm / copy));
    json_object_set_new(result, "cold_to_call_and_warm", json_real(cold / (call + warm)));
    return result;
}

static int measure(const struct bench_options *o, void *arg, uint64_t len_bytes)
{
    struct get_bench *b = arg;
    uint64_t fits = SET_BYTES_MAX / len_bytes;
    int status = CENOTE_NO_MEMORY;

    b->len_bytes = len_bytes;
    b->values = fits < SET_VALUES ? fits : SET_VALUES;
    b->plain = malloc((size_t)(b->values * len_bytes));
    b->local = calloc(1, (size_t)len_bytes);
    if (b->plain && b->local)
        status = run_size(o, b);
    if (status == CENOTE_OK)
        bench_print(o, result_of(b));
    else
        fprintf(stderr, "cenote-bench: get: %s\n", cenote_status_text(status));
    for (unsigned k = 0; k < KINDS; k++)
        samples_free(&b->samples[k]);
    free(b->plain);
    free(b->local);
    return status;
}

int bench_get(const struct bench_options *o, int argc, char **argv)
{
    struct get_bench b = {.run = clock_wall_ms() ^ (uint64_t)getpid() << 48};
    struct bench_options uncached = *o;
    static const char *const defaults[] = {"4K", "64K", "1M", NULL};
    const struct bench_sizes sizes = {defaults, SET_BYTES_MAX, measure, &b};
    int status;

    if (argc > SIZES_MAX) {
        fputs("cenote-bench: get takes eight sizes at most\n", stderr);
        return 2;
    }
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
