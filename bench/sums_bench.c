/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the checksums cost beside the bare copy: memcpy, memcpy and libxxhash behind it, and the
 * checksums with each kernel that this processor has, in turns; medians of the throughputs, and of
 * their ratios to memcpy's in the same turn.
 *
 * The shape is the KV-cache block of DeepSeek-R1: 61 layers with a piece of 128 KiB and one of
 * 16 KiB each, 8784 KiB together, of a cache that lies layer by layer; the values lie whole in a
 * pool of the same size. Both are larger than the processor's caches.
 * Usage: sums_bench [rounds [blocks]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport/base/clock.h"
#include "transport/base/hash.h"
#include "transport/base/sums.h"
#include "transport/base/sums_kernel.h"

#define LAYERS      61u
#define LARGE_BYTES (UINT64_C(128) << 10)
#define SMALL_BYTES (UINT64_C(16) << 10)
#define VALUE_BYTES (LAYERS * (LARGE_BYTES + SMALL_BYTES))
#define STEP        29u /* from one block to the next that is moved */
#define BLOCKS      47u /* 421 MB */
#define BLOCKS_MAX  1000u
#define ROUNDS      9u
#define ROUNDS_MAX  99u
#define WAYS_MAX    16u

enum motion { GATHER, SCATTER, SUM };

static const char *const motions[] = {"gather", "scatter", "sum in place"};

struct bench {
    uint8_t *cache; /* the pieces: all large ones of a layer, then its small ones */
    uint8_t *pool;  /* the values */
    size_t blocks;
};

/* One way to do it. */
struct way {
    const char *name;
    void (*move)(struct sums *sums, uint8_t *to, const uint8_t *from, size_t len);
    struct sums *sums; /* knows its kernel; NULL: not needed */
};

static volatile uint64_t last_sum; /* somebody wants to know */

static void move_bare(struct sums *sums, uint8_t *to, const uint8_t *from, size_t len)
{
    (void)sums;
    memcpy(to, from, len);
}

static void sum_apart(struct sums *sums, uint8_t *to, const uint8_t *from, size_t len)
{
    (void)sums;
    (void)to;
    for (size_t at = 0; at < len; at += SUMS_CHUNK_BYTES)
        last_sum =
            hash_xxh3(from + at, len - at < SUMS_CHUNK_BYTES ? len - at : (size_t)SUMS_CHUNK_BYTES);
}

static void move_apart(struct sums *sums, uint8_t *to, const uint8_t *from, size_t len)
{
    for (size_t at = 0; at < len; at += SUMS_CHUNK_BYTES) {
        size_t n = len - at < SUMS_CHUNK_BYTES ? len - at : (size_t)SUMS_CHUNK_BYTES;
        memcpy(to + at, from + at, n);
        sum_apart(sums, NULL, to + at, n);
    }
}

static void move_fused(struct sums *sums, uint8_t *to, const uint8_t *from, size_t len)
{
    sums_copy(sums, to, from, len);
}

static void sum_fused(struct sums *sums, uint8_t *to, const uint8_t *from, size_t len)
{
    (void)to;
    sums_update(sums, from, len);
}

static void move_piece(const struct way *way, enum motion motion, uint8_t *piece, uint8_t *value,
                       size_t len)
{
    if (motion == GATHER)
        way->move(way->sums, value, piece, len);
    else
        way->move(way->sums, piece, value, len);
}

static void move_block(struct bench *b, enum motion motion, const struct way *way, size_t block)
{
    uint8_t *value = b->pool + block * VALUE_BYTES;
    for (size_t layer = 0; layer < LAYERS; layer++) {
        uint8_t *large = b->cache + layer * b->blocks * (LARGE_BYTES + SMALL_BYTES);
        uint8_t *small = large + b->blocks * LARGE_BYTES;
        move_piece(way, motion, large + block * LARGE_BYTES, value, LARGE_BYTES);
        value += LARGE_BYTES;
        move_piece(way, motion, small + block * SMALL_BYTES, value, SMALL_BYTES);
        value += SMALL_BYTES;
    }
}

/* GB/s over all blocks. */
static double measure(struct bench *b, enum motion motion, const struct way *way)
{
    uint64_t began_ns = clock_now_ns();
    for (size_t i = 0; i < b->blocks; i++) {
        if (way->sums != NULL)
            sums_reset(way->sums);
        move_block(b, motion, way, i * STEP % b->blocks);
    }
    return (double)(b->blocks * VALUE_BYTES) / (double)(clock_now_ns() - began_ns);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, by_value);
    return values[n / 2];
}

/* The kernel is taken by sums_new(), so each way keeps its own. */
static size_t add_kernels(struct way *ways, size_t n, enum motion motion)
{
    for (size_t i = 0; sums_kernels[i] != NULL && n < WAYS_MAX; i++) {
        if (!sums_use_kernel(sums_kernels[i]->name))
            continue;
        ways[n++] = (struct way){.name = sums_kernels[i]->name,
                                 .move = motion == SUM ? sum_fused : move_fused,
                                 .sums = sums_new(VALUE_BYTES)};
        if (ways[n - 1].sums == NULL)
            exit(1);
    }
    return n;
}

static void compare(struct bench *b, enum motion motion, size_t rounds)
{
    static double rates[WAYS_MAX][ROUNDS_MAX], ratios[WAYS_MAX][ROUNDS_MAX];
    struct way ways[WAYS_MAX] = {
        {.name = "memcpy", .move = move_bare},
        {.name = "libxxhash", .move = motion == SUM ? sum_apart : move_apart}};
    size_t n = add_kernels(ways, 2, motion);

    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < n; i++)
            rates[i][round] = measure(b, motion, &ways[i]);
    for (size_t i = 0; i < n; i++)
        for (size_t round = 0; round < rounds; round++)
            ratios[i][round] = rates[i][round] / rates[0][round];
    for (size_t i = 0; i < n; i++) {
        printf("%-12s  %-9s  %6.2f GB/s  %5.2f of memcpy\n", motions[motion], ways[i].name,
               median(rates[i], rounds), median(ratios[i], rounds));
        sums_free(ways[i].sums);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : ROUNDS;
    struct bench b = {.blocks = argc > 2 ? strtoul(argv[2], NULL, 10) : BLOCKS};

    if (rounds < 1 || rounds > ROUNDS_MAX || b.blocks < 1 || b.blocks > BLOCKS_MAX) {
        fprintf(stderr, "usage: sums_bench [rounds [blocks]]\n");
        return 2;
    }
    hash_init();
    b.cache = malloc(b.blocks * VALUE_BYTES);
    b.pool = malloc(b.blocks * VALUE_BYTES);
    if (b.cache == NULL || b.pool == NULL)
        return 1;
    memset(b.cache, 1, b.blocks * VALUE_BYTES);
    memset(b.pool, 2, b.blocks * VALUE_BYTES);
    for (enum motion motion = GATHER; motion <= SUM; motion++)
        compare(&b, motion, rounds);
    free(b.pool);
    free(b.cache);
    return 0;
}
