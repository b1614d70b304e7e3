/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Get and put of the KV-cache block of DeepSeek-R1 (61 buffers of 128 KiB and 61 of 16 KiB, 8784
 * KiB), beside what the machine itself makes of the same bytes between memories of the same kinds
 * and sizes, scattered in the same way: a memcpy, and, where bytes travel by tcp, a bare pair of
 * sockets. All take turns, so that a machine whose speed drifts doesn't favour one of them.
 *
 * Caches are kept from favouring one: a block is written once and read once in each memory, and the
 * three ways to read change places in how long ago theirs was written.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench/bare.h"
#include "bench/bench.h"
#include "bench/payload.h"
#include "transport/base/clock.h"

#define LAYERS      61u
#define PIECES      (2 * LAYERS)
#define LARGE_BYTES (128u << 10)
#define SMALL_BYTES (16u << 10)
#define BLOCK_BYTES (LAYERS * (LARGE_BYTES + SMALL_BYTES))
/* Blocks in the pool, and in the plain memory for each way to write there: more than any cache. */
#define BLOCKS      48u
/* Passes over all blocks before it counts: pages and mappings are there. */
#define WARM_PASSES 4u
#define KEY_BYTES   32

enum move { MEMCPY_IN, PUT, BARE_IN, MEMCPY_OUT, GET_SEAL, GET_FULL, BARE_OUT, MOVES };

static const char *const move_names[MOVES] = {"memcpy_in", "put",      "bare_put", "memcpy_out",
                                              "get_seal",  "get_full", "bare_get"};

static const struct {
    const char *name;
    enum move ours, plain;
} ratios[] = {{"get_seal_to_memcpy", GET_SEAL, MEMCPY_OUT},
              {"get_full_to_memcpy", GET_FULL, MEMCPY_OUT},
              {"put_to_memcpy", PUT, MEMCPY_IN},
              {"get_seal_to_bare", GET_SEAL, BARE_OUT},
              {"get_full_to_bare", GET_FULL, BARE_OUT},
              {"put_to_bare", PUT, BARE_IN}};

struct copy_bench {
    struct cenote *seal, *full; /* clients that check the seal only, and all bytes */
    struct bare bare;
    uint8_t *plain, *local; /* 2 * BLOCKS blocks; where a block is scattered to */
    struct cenote_buffer buffers[PIECES];
    struct samples samples[MOVES];
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

/* Where the block of a round lies in plain memory; the bare peer has a half of its own. */
static uint64_t plain_offset(uint64_t round, bool bare)
{
    return (round % BLOCKS + (bare ? BLOCKS : 0)) * BLOCK_BYTES;
}

static void scatter(struct copy_bench *b, uint8_t *at, bool in)
{
    for (unsigned i = 0; i < PIECES; i++) {
        if (in)
            memcpy(at, b->buffers[i].addr, b->buffers[i].len_bytes);
        else
            memcpy(b->buffers[i].addr, at, b->buffers[i].len_bytes);
        at += b->buffers[i].len_bytes;
    }
}

static struct cenote_key block_key(char text[KEY_BYTES], uint64_t round)
{
    int len = snprintf(text, KEY_BYTES, "copy/%llu", (unsigned long long)round);
    return (struct cenote_key){text, (size_t)len};
}

static int put(struct copy_bench *b, struct cenote_key key)
{
    struct cenote_put_item item = {.key = key, .buffers = b->buffers, .buffer_count = PIECES};
    return cenote_put_batch(b->seal, &item, 1, 0);
}

static int get(struct copy_bench *b, struct cenote *client, struct cenote_key key)
{
    struct cenote_get_item item = {.key = key, .buffers = b->buffers, .buffer_count = PIECES};
    return cenote_get_batch(client, &item, 1);
}

static int move_block(struct copy_bench *b, enum move move, uint64_t round)
{
    bool bare = move == BARE_IN || move == BARE_OUT;
    uint64_t offset = plain_offset(round, bare);
    char text[KEY_BYTES];

    switch (move) {
    case PUT:
        return put(b, block_key(text, round));
    case GET_SEAL:
    case GET_FULL:
        return get(b, move == GET_SEAL ? b->seal : b->full, block_key(text, round));
    case BARE_IN:
        return bare_put(&b->bare, offset, b->buffers, PIECES) ? CENOTE_OK : CENOTE_IO;
    case BARE_OUT:
        return bare_get(&b->bare, offset, b->buffers, PIECES) ? CENOTE_OK : CENOTE_IO;
    default:
        scatter(b, b->plain + offset, move == MEMCPY_IN);
        return CENOTE_OK;
    }
}

static void fill(struct copy_bench *b, uint64_t round)
{
    for (unsigned i = 0; i < PIECES; i++)
        payload_fill(round * PIECES + i, b->buffers[i].addr, b->buffers[i].len_bytes);
}

static bool holds(const struct copy_bench *b, uint64_t round)
{
    for (unsigned i = 0; i < PIECES; i++) {
        if (!payload_is(round * PIECES + i, b->buffers[i].addr, b->buffers[i].len_bytes))
            return false;
    }
    return true;
}

/* One move, timed; then, outside the time, what was got is checked. */
static int measure_move(struct copy_bench *b, enum move move, uint64_t round)
{
    uint64_t start_ns = clock_now_ns();
    int status = move_block(b, move, round);
    uint64_t ns = clock_now_ns() - start_ns;

    if (status != CENOTE_OK)
        return status;
    if (move >= MEMCPY_OUT && !holds(b, round))
        return CENOTE_CORRUPT;
    return samples_add(&b->samples[move], ns) ? CENOTE_OK : CENOTE_NO_MEMORY;
}

/* Gets take turns at what they check. */
static bool takes_part(const struct copy_bench *b, enum move move, uint64_t round)
{
    if (move == BARE_IN || move == BARE_OUT)
        return b->bare.fd >= 0;
    if (move == GET_SEAL || move == GET_FULL)
        return (round % 2 == 0) == (move == GET_SEAL);
    return true;
}

/* How many rounds ago the block was written that a move is about. */
static uint64_t age_of(enum move move, uint64_t round)
{
    const uint64_t place[MOVES] = {[GET_SEAL] = 1, [GET_FULL] = 1, [BARE_OUT] = 2};
    return move < MEMCPY_OUT ? 0 : ((place[move] + round) % 3 + 1) * (BLOCKS / 4);
}

/* Writes a block in each way, reads older ones, and removes from the pool what has had its turn. */
static int turn(struct copy_bench *b, uint64_t round)
{
    char text[KEY_BYTES];
    struct cenote_key oldest = block_key(text, round - BLOCKS + 1);
    int status = CENOTE_OK;

    fill(b, round);
    for (enum move move = 0; move < MOVES && status == CENOTE_OK; move++) {
        uint64_t age = age_of(move, round);
        if (age <= round && takes_part(b, move, round))
            status = measure_move(b, move, round - age);
    }
    if (status == CENOTE_OK && round >= BLOCKS - 1)
        status = cenote_remove(b->seal, &oldest, 1, NULL);
    return status;
}

static void report(const struct bench_options *o, struct copy_bench *b)
{
    json_t *result = json_pack("{s:i}", "block_bytes", (int)BLOCK_BYTES);
    json_t *moves[MOVES] = {NULL};

    for (enum move m = 0; m < MOVES; m++)
        moves[m] = b->samples[m].count > 0 ? bench_latencies(&b->samples[m]) : NULL;
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
        const struct samples *ours = &b->samples[ratios[i].ours];
        const struct samples *plain = &b->samples[ratios[i].plain];
        if (plain->count > 0)
            json_object_set_new(
                result, ratios[i].name,
                json_real((double)samples_at(plain, 0.5) / (double)samples_at(ours, 0.5)));
    }
    for (enum move m = 0; m < MOVES; m++) {
        if (!moves[m])
            continue;
        double gbps = (double)BLOCK_BYTES / (double)samples_at(&b->samples[m], 0.5);
        json_object_set_new(moves[m], "gbps", json_real(gbps));
        json_object_set_new(result, move_names[m], moves[m]);
    }
    bench_print(o, result);
}

static int measure(const struct bench_options *o, struct copy_bench *b)
{
    uint64_t warm = WARM_PASSES * BLOCKS;
    int status = CENOTE_OK;

    lay_out(b);
    for (uint64_t round = 0; status == CENOTE_OK && round < warm + o->rounds; round++) {
        for (enum move m = 0; round == warm && m < MOVES; m++)
            b->samples[m].count = 0;
        status = turn(b, round);
    }
    if (status == CENOTE_OK)
        report(o, b);
    else
        fprintf(stderr, "cenote-bench: copy: %s\n", cenote_status_text(status));
    return status;
}

static int open_clients(const struct bench_options *o, struct copy_bench *b)
{
    struct bench_options seal = *o, full = *o;

    seal.verify = CENOTE_VERIFY_SEAL;
    full.verify = CENOTE_VERIFY_FULL;
    int status = bench_open(&seal, &b->seal);
    return status == CENOTE_OK ? bench_open(&full, &b->full) : status;
}

/* The peer comes first: it is forked, and clients have threads. */
static int start_peer(const struct bench_options *o, struct copy_bench *b)
{
    if (o->transport != CENOTE_TRANSPORT_TCP || bare_start(&b->bare, b->plain))
        return CENOTE_OK;
    fputs("cenote-bench: cannot start the bare peer\n", stderr);
    return CENOTE_IO;
}

static uint8_t *map_memory(size_t len_bytes, int flags)
{
    void *memory =
        mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_POPULATE | flags, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int bench_copy(const struct bench_options *o, int argc, char **argv)
{
    const size_t plain_bytes = (size_t)2 * BLOCKS * BLOCK_BYTES,
                 local_bytes = BLOCK_BYTES + (1u << 20);
    struct copy_bench b = {.bare.fd = -1,
                           .plain = map_memory(plain_bytes, MAP_SHARED),
                           .local = map_memory(local_bytes, MAP_PRIVATE)};
    int status = CENOTE_NO_MEMORY;

    (void)argv;
    if (argc != 0) {
        fputs("cenote-bench: copy takes no argument\n", stderr);
        status = CENOTE_INVALID;
    } else if (b.plain && b.local && (status = start_peer(o, &b)) == CENOTE_OK &&
               (status = open_clients(o, &b)) == CENOTE_OK) {
        status = measure(o, &b);
    }
    cenote_close(&b.full);
    cenote_close(&b.seal);
    bare_stop(&b.bare);
    for (enum move m = 0; m < MOVES; m++)
        samples_free(&b.samples[m]);
    if (b.plain)
        munmap(b.plain, plain_bytes);
    if (b.local)
        munmap(b.local, local_bytes);
    return status == CENOTE_OK ? 0 : 1;
}
