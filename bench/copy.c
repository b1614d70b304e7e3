/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Get and put of the KV-cache block of DeepSeek-R1 (61 buffers of 128 KiB and 61 of 16 KiB, 8784
 * KiB), beside a memcpy of the same bytes between memory of the same sizes, scattered in the same
 * way. The three take turns, so that a machine whose speed drifts doesn't favour one of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/bench.h"
#include "bench/payload.h"
#include "transport/base/clock.h"

#define LAYERS      61u
#define LARGE_BYTES (128u << 10)
#define SMALL_BYTES (16u << 10)
#define BLOCK_BYTES (LAYERS * (LARGE_BYTES + SMALL_BYTES))
/* Blocks in the pool and in the plain memory: together larger than any cache. */
#define BLOCKS      48u
#define KEY_BYTES   32

struct copy_bench {
    struct cenote *client;
    uint8_t *pool, *local; /* plain memory of BLOCKS blocks; where a block is scattered to */
    struct cenote_buffer buffers[2 * LAYERS];
    struct samples get, put, out, in; /* out: memcpy to the buffers; in: from them */
};

static void lay_out(struct copy_bench *b)
{
    uint8_t *at = b->local;

    for (unsigned i = 0; i < LAYERS; i++) {
        b->buffers[2 * i] = (struct cenote_buffer){at, LARGE_BYTES};
        b->buffers[2 * i + 1] = (struct cenote_buffer){at + LARGE_BYTES, SMALL_BYTES};
        at += LARGE_BYTES + SMALL_BYTES + 4096; /* apart, as layers are */
    }
}

static void scatter(struct copy_bench *b, uint64_t block, bool in)
{
    uint8_t *at = b->pool + block * BLOCK_BYTES;

    for (unsigned i = 0; i < 2 * LAYERS; i++) {
        if (in)
            memcpy(at, b->buffers[i].addr, b->buffers[i].len_bytes);
        else
            memcpy(b->buffers[i].addr, at, b->buffers[i].len_bytes);
        at += b->buffers[i].len_bytes;
    }
}

static struct cenote_key block_key(char text[KEY_BYTES], uint64_t block)
{
    int len = snprintf(text, KEY_BYTES, "copy/%llu", (unsigned long long)block);
    return (struct cenote_key){text, (size_t)len};
}

static int put_block(struct copy_bench *b, uint64_t block)
{
    char text[KEY_BYTES];
    struct cenote_put_item item = {
        .key = block_key(text, block), .buffers = b->buffers, .buffer_count = 2 * LAYERS};

    uint64_t start_ns = clock_now_ns();
    int status = cenote_put_batch(b->client, &item, 1, CENOTE_PUT_REPLACE);
    return samples_add(&b->put, clock_now_ns() - start_ns) ? status : CENOTE_NO_MEMORY;
}

static int get_block(struct copy_bench *b, uint64_t block)
{
    char text[KEY_BYTES];
    struct cenote_get_item item = {
        .key = block_key(text, block), .buffers = b->buffers, .buffer_count = 2 * LAYERS};

    uint64_t start_ns = clock_now_ns();
    int status = cenote_get_batch(b->client, &item, 1);
    return samples_add(&b->get, clock_now_ns() - start_ns) ? status : CENOTE_NO_MEMORY;
}

static bool copy_block(struct copy_bench *b, uint64_t block, bool in)
{
    uint64_t start_ns = clock_now_ns();
    scatter(b, block, in);
    return samples_add(in ? &b->in : &b->out, clock_now_ns() - start_ns) != 0;
}

static bool holds(const struct copy_bench *b, uint64_t block)
{
    for (unsigned i = 0; i < 2 * LAYERS; i++) {
        if (!payload_is(block * 2 * LAYERS + i, b->buffers[i].addr, b->buffers[i].len_bytes))
            return false;
    }
    return true;
}

/* One turn: put, memcpy in, get, memcpy out; the bytes that were got are checked. */
static int turn(struct copy_bench *b, uint64_t round)
{
    uint64_t block = round % BLOCKS, older = (round + BLOCKS / 2) % BLOCKS;

    for (unsigned i = 0; i < 2 * LAYERS; i++)
        payload_fill(block * 2 * LAYERS + i, b->buffers[i].addr, b->buffers[i].len_bytes);
    if (!copy_block(b, block, true))
        return CENOTE_NO_MEMORY;
    int status = put_block(b, block);
    if (status != CENOTE_OK || round < BLOCKS)
        return status;
    if (!copy_block(b, older, false))
        return CENOTE_NO_MEMORY;
    status = get_block(b, older);
    return status == CENOTE_OK && !holds(b, older) ? CENOTE_CORRUPT : status;
}

static double ratio(const struct samples *plain, const struct samples *ours)
{
    return (double)samples_at(plain, 0.5) / (double)samples_at(ours, 0.5);
}

static double gbps(const struct samples *s)
{
    return (double)BLOCK_BYTES / (double)samples_at(s, 0.5);
}

static void report(const struct bench_options *o, struct copy_bench *b)
{
    json_t *get = bench_latencies(&b->get), *put = bench_latencies(&b->put);
    json_t *out = bench_latencies(&b->out), *in = bench_latencies(&b->in);

    bench_print(o, json_pack("{s:i, s:f, s:f, s:f, s:f, s:f, s:f, s:o, s:o, s:o, s:o}",
                             "block_bytes", (int)BLOCK_BYTES, "get_to_memcpy",
                             ratio(&b->out, &b->get), "put_to_memcpy", ratio(&b->in, &b->put),
                             "get_gbps", gbps(&b->get), "put_gbps", gbps(&b->put),
                             "memcpy_out_gbps", gbps(&b->out), "memcpy_in_gbps", gbps(&b->in),
                             "get", get, "put", put, "memcpy_out", out, "memcpy_in", in));
}

static int measure(const struct bench_options *o, struct copy_bench *b)
{
    int status = CENOTE_OK;

    lay_out(b);
    /* Two passes over all blocks first: pages and mappings are there when it counts. */
    for (uint64_t round = 0; status == CENOTE_OK && round < 2 * BLOCKS; round++)
        status = turn(b, round);
    b->get.count = b->put.count = b->out.count = b->in.count = 0;
    for (uint64_t round = 0; status == CENOTE_OK && round < o->rounds; round++)
        status = turn(b, 2 * BLOCKS + round);
    if (status == CENOTE_OK)
        report(o, b);
    else
        fprintf(stderr, "cenote-bench: copy: %s\n", cenote_status_text(status));
    return status;
}

static uint8_t *plain_memory(size_t len_bytes)
{
    void *memory = mmap(NULL, len_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int bench_copy(const struct bench_options *o, int argc, char **argv)
{
    const size_t pool_bytes = (size_t)BLOCKS * BLOCK_BYTES, local_bytes = BLOCK_BYTES + (1u << 20);
    struct copy_bench b = {.pool = plain_memory(pool_bytes), .local = plain_memory(local_bytes)};
    int status = CENOTE_NO_MEMORY;

    (void)argv;
    if (argc != 0) {
        fputs("cenote-bench: copy takes no argument\n", stderr);
        status = CENOTE_INVALID;
    } else if (b.pool && b.local && (status = bench_open(o, &b.client)) == CENOTE_OK) {
        status = measure(o, &b);
    }
    cenote_close(&b.client);
    samples_free(&b.get);
    samples_free(&b.put);
    samples_free(&b.out);
    samples_free(&b.in);
    if (b.pool)
        munmap(b.pool, pool_bytes);
    if (b.local)
        munmap(b.local, local_bytes);
    return status == CENOTE_OK ? 0 : 1;
}
