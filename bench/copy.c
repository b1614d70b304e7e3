/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Get and put of the KV-cache block of DeepSeek-R1 (61 buffers of 128 KiB and 61 of 16 KiB, 8784
 * KiB), beside what the machine itself makes of the same bytes between memories of the same kinds
 * and sizes, scattered in the same way: a memcpy, and, where bytes travel by tcp, a bare pair of
 * sockets; beside Redis too, if there is one. All take turns, so that a machine whose speed drifts
 * doesn't favour one of them.
 *
 * Caches are kept from favouring one: a block is written once and read once in each memory, and the
 * ways to read change places in how long ago theirs was written.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/bare.h"
#include "bench/bench.h"
#include "bench/payload.h"
#include "bench/redis.h"
#include "transport/base/clock.h"
#include "transport/base/config.h"

#define LAYERS          61u
#define PIECES_MAX      (2 * LAYERS)
#define LARGE_BYTES     (128u << 10)
#define SMALL_BYTES     (16u << 10)
#define GAP_BYTES       4096u /* layers lie apart */
#define BLOCK_BYTES_MAX (UINT64_C(64) << 20)
/* Blocks that lie in the pool, and in plain memory for each way to write there, at least. */
#define BLOCKS_MIN      10u
/* Passes over all blocks before it counts: pages and mappings are there. */
#define WARM_PASSES     4u
#define KEY_BYTES       64

enum move {
    MEMCPY_IN,
    PUT,
    BARE_IN,
    REDIS_IN,
    MEMCPY_OUT,
    GET_SEAL,
    GET_FULL,
    BARE_OUT,
    REDIS_OUT,
    MOVES
};

static const char *const move_names[MOVES] = {"memcpy_in", "put",        "bare_put",
                                              "redis_set", "memcpy_out", "get_seal",
                                              "get_full",  "bare_get",   "redis_get"};

static const struct {
    const char *name;
    enum move ours, other;
} ratios[] = {{"get_seal_to_memcpy", GET_SEAL, MEMCPY_OUT},
              {"get_full_to_memcpy", GET_FULL, MEMCPY_OUT},
              {"put_to_memcpy", PUT, MEMCPY_IN},
              {"get_seal_to_bare", GET_SEAL, BARE_OUT},
              {"get_full_to_bare", GET_FULL, BARE_OUT},
              {"put_to_bare", PUT, BARE_IN},
              {"get_full_to_redis", GET_FULL, REDIS_OUT},
              {"put_to_redis", PUT, REDIS_IN}};

struct copy_bench {
    struct cenote *seal, *full; /* clients that check the seal only, and all bytes */
    struct bare bare;
    int redis; /* negative: none */
    uint64_t run, block_bytes, blocks;
    struct cenote_buffer buffers[PIECES_MAX];
    size_t pieces;
    uint8_t *plain, *local; /* 2 * blocks blocks; where a block is scattered to */
    size_t plain_bytes, local_bytes;
    struct samples samples[MOVES];
};

static void add_piece(struct copy_bench *b, uint8_t **at, uint64_t len_bytes)
{
    b->buffers[b->pieces++] = (struct cenote_buffer){*at, len_bytes};
    *at += len_bytes;
}

/* One buffer of the given length, or, if it is 0, those of the model. */
static void lay_out(struct copy_bench *b, uint64_t len_bytes)
{
    uint8_t *at = b->local;

    if (len_bytes > 0)
        add_piece(b, &at, len_bytes);
    for (unsigned i = 0; len_bytes == 0 && i < LAYERS; i++, at += GAP_BYTES) {
        add_piece(b, &at, LARGE_BYTES);
        add_piece(b, &at, SMALL_BYTES);
    }
}

/* Where the block of a round lies in plain memory; the bare peer has a half of its own. */
static uint64_t plain_offset(const struct copy_bench *b, uint64_t round, bool bare)
{
    return (round % b->blocks + (bare ? b->blocks : 0)) * b->block_bytes;
}

static void scatter(struct copy_bench *b, uint8_t *at, bool in)
{
    for (size_t i = 0; i < b->pieces; i++) {
        if (in)
            memcpy(at, b->buffers[i].addr, b->buffers[i].len_bytes);
        else
            memcpy(b->buffers[i].addr, at, b->buffers[i].len_bytes);
        at += b->buffers[i].len_bytes;
    }
}

/* Keys of this run only: what an earlier one left behind is another's. */
static struct cenote_key block_key(const struct copy_bench *b, char text[KEY_BYTES], uint64_t round)
{
    int len = snprintf(text, KEY_BYTES, "copy/%llx/%llu", (unsigned long long)b->run,
                       (unsigned long long)round);
    return (struct cenote_key){text, (size_t)len};
}

static int put(struct copy_bench *b, struct cenote_key key)
{
    struct cenote_put_item item = {.key = key, .buffers = b->buffers, .buffer_count = b->pieces};
    return cenote_put_batch(b->seal, &item, 1, 0);
}

static int get(struct copy_bench *b, struct cenote *client, struct cenote_key key)
{
    struct cenote_get_item item = {.key = key, .buffers = b->buffers, .buffer_count = b->pieces};
    return cenote_get_batch(client, &item, 1);
}

static int move_block(struct copy_bench *b, enum move move, uint64_t round)
{
    bool bare = move == BARE_IN || move == BARE_OUT;
    uint64_t offset = plain_offset(b, round, bare);
    char text[KEY_BYTES];
    struct cenote_key key = block_key(b, text, round);

    switch (move) {
    case PUT:
        return put(b, key);
    case GET_SEAL:
    case GET_FULL:
        return get(b, move == GET_SEAL ? b->seal : b->full, key);
    case BARE_IN:
        return bare_put(&b->bare, offset, b->buffers, b->pieces) ? CENOTE_OK : CENOTE_IO;
    case BARE_OUT:
        return bare_get(&b->bare, offset, b->buffers, b->pieces) ? CENOTE_OK : CENOTE_IO;
    case REDIS_IN:
        return redis_set(b->redis, key, b->buffers, b->pieces) ? CENOTE_OK : CENOTE_IO;
    case REDIS_OUT:
        return redis_get(b->redis, key, b->buffers, b->pieces) ? CENOTE_OK : CENOTE_IO;
    default:
        scatter(b, b->plain + offset, move == MEMCPY_IN);
        return CENOTE_OK;
    }
}

static void fill(struct copy_bench *b, uint64_t round)
{
    for (size_t i = 0; i < b->pieces; i++)
        payload_fill(round * b->pieces + i, b->buffers[i].addr, b->buffers[i].len_bytes);
}

static bool holds(const struct copy_bench *b, uint64_t round)
{
    for (size_t i = 0; i < b->pieces; i++) {
        if (!payload_is(round * b->pieces + i, b->buffers[i].addr, b->buffers[i].len_bytes))
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
    if (move == REDIS_IN || move == REDIS_OUT)
        return b->redis >= 0;
    if (move == GET_SEAL || move == GET_FULL)
        return (round / 4 % 2 == 0) == (move == GET_SEAL);
    return true;
}

/* How many rounds ago the block was written that a move is about. */
static uint64_t age_of(const struct copy_bench *b, enum move move, uint64_t round)
{
    const uint64_t place[MOVES] = {[GET_SEAL] = 1, [GET_FULL] = 1, [BARE_OUT] = 2, [REDIS_OUT] = 3};
    return move < MEMCPY_OUT ? 0 : ((place[move] + round) % 4 + 1) * (b->blocks / 5);
}

static int remove_block(struct copy_bench *b, uint64_t round)
{
    char text[KEY_BYTES];
    struct cenote_key key = block_key(b, text, round);

    if (b->redis >= 0 && !redis_del(b->redis, key))
        return CENOTE_IO;
    return cenote_remove(b->seal, &key, 1, NULL);
}

/* Writes a block in each way, reads older ones, and removes what has had its turn. */
static int turn(struct copy_bench *b, uint64_t round)
{
    int status = CENOTE_OK;

    fill(b, round);
    for (enum move move = 0; move < MOVES && status == CENOTE_OK; move++) {
        uint64_t age = age_of(b, move, round);
        if (age <= round && takes_part(b, move, round))
            status = measure_move(b, move, round - age);
    }
    if (status == CENOTE_OK && round >= b->blocks - 1)
        status = remove_block(b, round - (b->blocks - 1));
    return status;
}

static void report(const struct bench_options *o, struct copy_bench *b)
{
    json_t *result = json_pack("{s:I}", "block_bytes", (json_int_t)b->block_bytes);
    json_t *moves[MOVES] = {NULL};

    for (enum move m = 0; m < MOVES; m++)
        moves[m] = b->samples[m].count > 0 ? bench_latencies(&b->samples[m]) : NULL;
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
        const struct samples *ours = &b->samples[ratios[i].ours];
        const struct samples *other = &b->samples[ratios[i].other];
        if (other->count > 0)
            json_object_set_new(
                result, ratios[i].name,
                json_real((double)samples_at(other, 0.5) / (double)samples_at(ours, 0.5)));
    }
    for (enum move m = 0; m < MOVES; m++) {
        if (!moves[m])
            continue;
        double gbps = (double)b->block_bytes / (double)samples_at(&b->samples[m], 0.5);
        json_object_set_new(moves[m], "gbps", json_real(gbps));
        json_object_set_new(result, move_names[m], moves[m]);
    }
    bench_print(o, result);
}

static int measure(const struct bench_options *o, struct copy_bench *b)
{
    uint64_t warm = WARM_PASSES * b->blocks, end = warm + o->rounds;
    int status = CENOTE_OK;

    for (uint64_t round = 0; status == CENOTE_OK && round < end; round++) {
        for (enum move m = 0; round == warm && m < MOVES; m++)
            b->samples[m].count = 0;
        status = turn(b, round);
    }
    for (uint64_t round = end - (b->blocks - 1); status == CENOTE_OK && round < end; round++)
        status = remove_block(b, round);
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

/* The bare peer comes first: it is forked, and clients have threads. */
static int open_others(const struct bench_options *o, struct copy_bench *b)
{
    if (o->transport == CENOTE_TRANSPORT_TCP && !bare_start(&b->bare, b->plain)) {
        fputs("cenote-bench: cannot start the bare peer\n", stderr);
        return CENOTE_IO;
    }
    if (o->redis && (b->redis = redis_open(o->redis)) < 0)
        fprintf(stderr, "cenote-bench: LEFT OUT: no Redis answers at %s\n", o->redis);
    return CENOTE_OK;
}

static uint8_t *map_memory(size_t len_bytes, int flags)
{
    void *memory =
        mmap(NULL, len_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_POPULATE | flags, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static bool make_memory(struct copy_bench *b, uint64_t len_bytes, uint64_t set_bytes)
{
    b->block_bytes = len_bytes ? len_bytes : LAYERS * (LARGE_BYTES + SMALL_BYTES);
    b->blocks = set_bytes / b->block_bytes;
    if (b->blocks < BLOCKS_MIN)
        b->blocks = BLOCKS_MIN;
    b->plain_bytes = (size_t)(2 * b->blocks * b->block_bytes);
    b->local_bytes = (size_t)b->block_bytes + LAYERS * GAP_BYTES;
    b->plain = map_memory(b->plain_bytes, MAP_SHARED); /* as a segment is */
    b->local = map_memory(b->local_bytes, MAP_PRIVATE);
    if (!b->plain || !b->local)
        return false;
    lay_out(b, len_bytes);
    return true;
}

static void copy_close(const struct bench_options *o, struct copy_bench *b)
{
    bench_close(o, &b->full, "full");
    bench_close(o, &b->seal, "seal");
    bare_stop(&b->bare);
    if (b->redis >= 0)
        close(b->redis);
    for (enum move m = 0; m < MOVES; m++)
        samples_free(&b->samples[m]);
    if (b->plain)
        munmap(b->plain, b->plain_bytes);
    if (b->local)
        munmap(b->local, b->local_bytes);
}

int bench_copy(const struct bench_options *o, int argc, char **argv)
{
    struct copy_bench b = {.bare.fd = -1, .redis = -1, .run = clock_now_ns()};
    uint64_t len_bytes = 0;
    int status = CENOTE_NO_MEMORY;

    if (argc > 1 || (argc == 1 && (!config_parse_size(argv[0], &len_bytes) || len_bytes == 0 ||
                                   len_bytes > BLOCK_BYTES_MAX))) {
        fputs("cenote-bench: copy [SIZE], at most 64 MiB\n", stderr);
        return 2;
    }
    if (!make_memory(&b, len_bytes, o->set_bytes))
        fputs("cenote-bench: out of memory\n", stderr);
    else if ((status = open_others(o, &b)) == CENOTE_OK &&
             (status = open_clients(o, &b)) == CENOTE_OK)
        status = measure(o, &b);
    copy_close(o, &b);
    return status == CENOTE_OK ? 0 : 1;
}
