/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gets of one value of a size: warm (its lookup is in the cache) and cold (the service is asked),
 * beside what a get is made of: one call to the service (exists), and a copy of as many bytes on
 * this machine. All take turns, over a set of values, so that none has the caches for itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"
#include "transport/base/clock.h"
#include "transport/base/config.h"

#define KEY_BYTES     64
#define SET_VALUES    64u
#define SET_BYTES_MAX (UINT64_C(256) << 20)
#define SIZES_MAX     8

enum kind { WARM, COLD, CALL, MEMCPY, KINDS };
static const char *const kind_names[KINDS] = {"get_warm", "get_cold", "exists", "memcpy"};

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

static int do_one(struct get_bench *b, enum kind kind, uint64_t i)
{
    char text[KEY_BYTES];
    struct cenote_key key = key_of(b, text, i);
    int status = CENOTE_OK;
    bool there = true;

    uint64_t start_ns = clock_now_ns();
    if (kind == MEMCPY)
        copy_one(b, i);
    else if (kind == CALL)
        status = cenote_exists(b->cold, &key, 1, &there, NULL);
    else
        status = get_one(b, kind == WARM ? b->warm : b->cold, &key);
    uint64_t took_ns = clock_now_ns() - start_ns;

    if (status == CENOTE_OK && !there)
        status = CENOTE_NOT_FOUND;
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
        json_object_set_new(result, kind_names[k], bench_latencies(&b->samples[k]));
    json_object_set_new(result, "warm_to_memcpy", json_real(warm / copy));
    json_object_set_new(result, "cold_to_call_and_warm", json_real(cold / (call + warm)));
    return result;
}

static int measure(const struct bench_options *o, struct get_bench *b, uint64_t len_bytes)
{
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

static int measure_all(const struct bench_options *o, struct get_bench *b, int argc, char **argv)
{
    static char *defaults[] = {"4K", "64K", "1M"};
    int status = CENOTE_OK;

    if (argc == 0) {
        argc = (int)(sizeof defaults / sizeof *defaults);
        argv = defaults;
    }
    for (int i = 0; i < argc && status == CENOTE_OK; i++) {
        uint64_t len;
        if (!config_parse_size(argv[i], &len) || len == 0 || len > SET_BYTES_MAX) {
            fprintf(stderr, "cenote-bench: '%s' is no size from 1 to 256M\n", argv[i]);
            return CENOTE_INVALID;
        }
        status = measure(o, b, len);
    }
    return status;
}

int bench_get(const struct bench_options *o, int argc, char **argv)
{
    struct get_bench b = {.run = clock_wall_ms() ^ (uint64_t)getpid() << 48};
    struct bench_options uncached = *o;
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
        status = measure_all(o, &b, argc, argv);
    cenote_close(&b.cold);
    cenote_close(&b.warm);
    return status == CENOTE_OK ? 0 : 1;
}
