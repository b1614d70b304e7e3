/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of values and registered buffers on a living pool, over one transport. Ends with status 1
 * at the first answer that isn't what include/cenote/range.h and buffer.h say.
 *
 * Usage: ranges ENDPOINT shm|tcp|rdma around
 *            once around the interface
 *        ranges ENDPOINT shm|tcp|rdma layers KEY LENGTH PAYLOAD-ID REPLICAS
 *            puts a value in layers of 40 KiB and stops itself (SIGSTOP) when half of them are
 *            written; then writes the others, commits, and prints the names of both statuses
 */
#include <cenote/buffer.h>
#include <cenote/range.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/payload.h"
#include "tests/scenario/check.h"
#include "tests/support/transport.h"

#define CHUNK   65536u
#define LARGE   (40u * CHUNK + 77)
#define LAYER   40960u
#define THREADS 4u
#define RANGES  200u

static enum cenote_transport transport;
static uint8_t *value, *got; /* LARGE bytes each */

static uint32_t dice(uint64_t *state, uint32_t below)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*state >> 33) % below);
}

static void drop(struct cenote *c, const char *key)
{
    CHECK_EQ(cenote_remove(c, &(struct cenote_key){key, strlen(key)}, 1, NULL), CENOTE_OK);
}

static int get_range(struct cenote *c, const char *key, uint64_t offset, void *to, size_t len)
{
    struct cenote_buffer piece = {to, len};
    struct cenote_range_item item = {
        .key = {key, strlen(key)}, .offset = offset, .buffers = &piece, .buffer_count = 1};
    int status = cenote_get_ranges(c, &item, 1);

    CHECK_EQ(status, item.status);
    return status;
}

/* ---- ranged gets ----------------------------------------------------------------------------- */

static void ranges_at_random(struct cenote *c)
{
    struct cenote_range_item items[RANGES];
    struct cenote_buffer pieces[RANGES][2];
    uint64_t state = 7;
    size_t at = 0;

    CHECK_EQ(cenote_put(c, "r", 1, value, LARGE, 0), CENOTE_OK);
    CHECK_EQ(cenote_put(c, "s", 1, value + 100, CHUNK, 0), CENOTE_OK);
    memset(got, 0xee, LARGE);
    for (size_t i = 0; i < RANGES; i++) {
        bool large = dice(&state, 4) > 0;
        uint32_t len = large ? LARGE : CHUNK, offset = dice(&state, len);
        uint32_t n = dice(&state, (len - offset < 10000 ? len - offset : 10000) + 1);
        pieces[i][0] = (struct cenote_buffer){got + at, n / 3};
        pieces[i][1] = (struct cenote_buffer){got + at + n / 3, n - n / 3};
        items[i] = (struct cenote_range_item){.key = {large ? "r" : "s", 1},
                                              .offset = offset,
                                              .buffers = pieces[i],
                                              .buffer_count = 2};
        at += n;
        CHECK(at < LARGE);
    }
    CHECK_EQ(cenote_get_ranges(c, items, RANGES), CENOTE_OK);
    for (size_t i = 0; i < RANGES; i++) {
        bool large = *(const char *)items[i].key.data == 'r';
        size_t n = pieces[i][0].len_bytes + pieces[i][1].len_bytes;
        CHECK_EQ(items[i].value_len_bytes, large ? LARGE : CHUNK);
        CHECK(memcmp(pieces[i][0].addr, value + (large ? 0 : 100) + items[i].offset, n) == 0);
    }
    CHECK(got[at] == 0xee);
    drop(c, "r");
    drop(c, "s");
}

static void bad_ranges(struct cenote *c)
{
    struct cenote_range_item item = {.key = {"b", 1}}, nothing = {0};
    struct cenote_buffer hole = {NULL, 1}, endless[2] = {{got, SIZE_MAX}, {got, SIZE_MAX}};

    CHECK_EQ(cenote_put(c, "b", 1, value, 100, 0), CENOTE_OK);
    CHECK_EQ(get_range(c, "b", 100, got, 0), CENOTE_OK);
    CHECK_EQ(get_range(c, "b", 99, got, 2), CENOTE_BAD_RANGE);
    CHECK_EQ(get_range(c, "b", UINT64_MAX, got, 1), CENOTE_BAD_RANGE);
    CHECK_EQ(get_range(c, "none", 0, got, 1), CENOTE_NOT_FOUND);
    CHECK_EQ(cenote_get_ranges(NULL, &item, 1), CENOTE_INVALID);
    CHECK_EQ(cenote_get_ranges(c, NULL, 1), CENOTE_INVALID);
    CHECK_EQ(cenote_get_ranges(c, NULL, 0), CENOTE_OK);
    struct cenote_range_item *many = calloc(CENOTE_BATCH_MAX + 1, sizeof *many);
    CHECK(many);
    CHECK_EQ(cenote_get_ranges(c, many, CENOTE_BATCH_MAX + 1), CENOTE_INVALID);
    CHECK_EQ(many[CENOTE_BATCH_MAX].status, CENOTE_INVALID);
    free(many);
    CHECK_EQ(cenote_get_ranges(c, &nothing, 1), CENOTE_KEY_SIZE);
    item.buffer_count = 1;
    CHECK_EQ(cenote_get_ranges(c, &item, 1), CENOTE_INVALID);
    item.buffers = &hole;
    CHECK_EQ(cenote_get_ranges(c, &item, 1), CENOTE_INVALID);
    item.buffers = endless;
    item.buffer_count = 2;
    CHECK_EQ(cenote_get_ranges(c, &item, 1), CENOTE_VALUE_SIZE);
    CHECK_EQ(item.status, CENOTE_VALUE_SIZE);
    drop(c, "b");
}

/* ---- writers --------------------------------------------------------------------------------- */

static struct cenote_writer *open_writer(struct cenote *c, const char *key, uint64_t len)
{
    struct cenote_writer *w = NULL;
    CHECK_EQ(cenote_writer_open(c, key, strlen(key), len, 0, &w), CENOTE_OK);
    return w;
}

static void expect_value(struct cenote *c, const char *key, size_t len)
{
    uint64_t found = 0;
    memset(got, 0, len);
    CHECK_EQ(cenote_get(c, key, strlen(key), got, LARGE, &found), CENOTE_OK);
    CHECK_EQ(found, len);
    CHECK(memcmp(got, value, len) == 0);
}

struct layers {
    struct cenote_writer *writer;
    atomic_size_t next;
};

static void *write_layers(void *arg)
{
    struct layers *l = arg;

    for (size_t i; (i = atomic_fetch_add(&l->next, 1)) * LAYER < LARGE;) {
        size_t at = i * LAYER, n = LARGE - at < LAYER ? LARGE - at : LAYER;
        CHECK_EQ(cenote_writer_write(l->writer, at, value + at, n), CENOTE_OK);
    }
    return NULL;
}

static void threads_write(struct cenote *c)
{
    struct layers l = {.writer = open_writer(c, "t", LARGE)};
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, write_layers, &l) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(cenote_get(c, "t", 1, got, LARGE, NULL), CENOTE_NOT_FOUND);
    CHECK_EQ(cenote_writer_commit(l.writer), CENOTE_OK);
    cenote_writer_close(&l.writer);
    expect_value(c, "t", LARGE);
    CHECK_EQ(get_range(c, "t", CHUNK - 1, got, 2), CENOTE_OK);
    CHECK(memcmp(got, value + CHUNK - 1, 2) == 0);
    drop(c, "t");
}

static void bad_writes(struct cenote *c)
{
    struct cenote_writer *w = NULL, *second = NULL;

    CHECK_EQ(cenote_writer_open(NULL, "w", 1, 1, 0, &w), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_open(c, "w", 1, 1, 0, NULL), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_open(c, NULL, 1, 1, 0, &w), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_open(c, "w", 0, 1, 0, &w), CENOTE_KEY_SIZE);
    CHECK_EQ(cenote_writer_open(c, "w", 1, 1, 2, &w), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_open(c, "w", 1, 1, CENOTE_PUT_REPLICAS(9), &w), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_open(c, "w", 1, UINT64_MAX, 0, &w), CENOTE_VALUE_SIZE);
    CHECK(cenote_writer_open(c, "w", 1, UINT64_C(1) << 50, 0, &w) != CENOTE_OK);
    CHECK(w == NULL);
    cenote_writer_close(&w);
    cenote_writer_close(NULL);
    CHECK_EQ(cenote_writer_write(NULL, 0, value, 1), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_commit(NULL), CENOTE_INVALID);

    w = open_writer(c, "w", LARGE);
    CHECK_EQ(cenote_writer_write(w, 0, NULL, 1), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_write(w, LARGE, value, 1), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_write(w, 1, value, LARGE), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_write(w, UINT64_MAX, value, 2), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_write(w, 5, NULL, 0), CENOTE_OK);
    CHECK_EQ(cenote_writer_commit(w), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_write(w, 5, value + 5, LARGE - 5), CENOTE_OK);
    CHECK_EQ(cenote_writer_write(w, 0, value, 6), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_commit(w), CENOTE_INVALID);
    CHECK_EQ(cenote_writer_write(w, 0, value, 5), CENOTE_OK);
    second = open_writer(c, "w", 3);
    CHECK_EQ(cenote_writer_write(second, 0, "abc", 3), CENOTE_OK);
    CHECK_EQ(cenote_writer_commit(w), CENOTE_OK);
    CHECK_EQ(cenote_writer_commit(w), CENOTE_OK);
    CHECK_EQ(cenote_writer_commit(second), CENOTE_EXISTS);
    cenote_writer_close(&second);
    CHECK_EQ(cenote_writer_open(c, "w", 1, 5, 0, &second), CENOTE_EXISTS);
    CHECK(second == NULL);
    cenote_writer_close(&w);
    CHECK(w == NULL);
    expect_value(c, "w", LARGE);
    drop(c, "w");

    w = open_writer(c, "w", LARGE); /* and given up */
    CHECK_EQ(cenote_writer_write(w, 5, value + 5, LARGE - 5), CENOTE_OK);
    cenote_writer_close(&w);
    CHECK_EQ(get_range(c, "w", 0, got, 1), CENOTE_NOT_FOUND);
    w = open_writer(c, "w", 0);
    CHECK_EQ(cenote_writer_commit(w), CENOTE_OK);
    cenote_writer_close(&w);
    drop(c, "w");
}

/* Parts of so many chunks that no more memory may be taken for them; the pool needn't have so much
 * memory: a value that doesn't fit isn't begun. */
static void scratch_is_limited(struct cenote *c)
{
    const uint64_t chunks = CENOTE_WRITER_SCRATCH_MAX / CHUNK;
    struct cenote_writer *w = NULL;

    int status = cenote_writer_open(c, "l", 1, (chunks + 2) * CHUNK, 0, &w);
    if (status == CENOTE_NO_SPACE)
        return;
    CHECK_EQ(status, CENOTE_OK);
    for (uint64_t i = 0; i < chunks; i++)
        CHECK_EQ(cenote_writer_write(w, i * CHUNK, value, 1), CENOTE_OK);
    CHECK_EQ(cenote_writer_write(w, chunks * CHUNK, value, 1), CENOTE_LIMIT);
    CHECK_EQ(cenote_writer_write(w, 5 * CHUNK + 1, value, CHUNK - 1), CENOTE_OK);
    CHECK_EQ(cenote_writer_write(w, chunks * CHUNK, value, 1), CENOTE_OK);
    CHECK_EQ(cenote_writer_write(w, (chunks + 1) * CHUNK, value, 1), CENOTE_LIMIT);
    CHECK_EQ(cenote_writer_write(w, (chunks + 1) * CHUNK, value, CHUNK), CENOTE_OK);
    cenote_writer_close(&w);
}

/* ---- registered buffers ---------------------------------------------------------------------- */

static void *map_pages(size_t pages, int protection)
{
    void *at = mmap(NULL, pages * 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static void bad_buffers(struct cenote *c)
{
    uint8_t *memory = map_pages(8, PROT_READ | PROT_WRITE);
    uint64_t id = 0, other = 0;

    CHECK(munmap(memory + 4 * 4096, 4096) == 0);
    CHECK(mprotect(memory + 6 * 4096, 4096, PROT_READ) == 0);
    CHECK_EQ(cenote_buffer_register(c, memory, 5 * 4096, 0, &id), CENOTE_BAD_ADDRESS);
    CHECK_EQ(cenote_buffer_register(c, memory + 5 * 4096, 3 * 4096, 0, &id), CENOTE_BAD_ADDRESS);
    CHECK_EQ(cenote_buffer_register(c, NULL, 1, 0, &id), CENOTE_BAD_ADDRESS);
    CHECK_EQ(cenote_buffer_register(c, (void *)16, SIZE_MAX - 8, 0, &id), CENOTE_BAD_ADDRESS);
    CHECK_EQ(cenote_buffer_register(c, memory, 0, 0, &id), CENOTE_INVALID);
    CHECK_EQ(cenote_buffer_register(c, memory, 1, 7, &id), CENOTE_INVALID);
    CHECK_EQ(cenote_buffer_register(c, memory, 1, 0, NULL), CENOTE_INVALID);
    CHECK_EQ(cenote_buffer_register(NULL, memory, 1, 0, &id), CENOTE_INVALID);
    CHECK_EQ(cenote_buffer_register(c, memory, 1, CENOTE_MEMORY_DEVICE, &id), CENOTE_NOT_SUPPORTED);
    CHECK_EQ(cenote_buffer_unregister(c, 1), CENOTE_INVALID);
    CHECK_EQ(id, 0);
    CHECK_EQ(cenote_buffer_register(c, memory + 1, 4 * 4096 - 1, 0, &id), CENOTE_OK);
    CHECK_EQ(cenote_buffer_register(c, memory, 2, 0, &other), CENOTE_INVALID);
    CHECK_EQ(cenote_buffer_register(c, memory, 1, 0, &other), CENOTE_OK);
    CHECK(other != id);
    CHECK_EQ(cenote_buffer_unregister(c, id), CENOTE_OK);
    CHECK_EQ(cenote_buffer_unregister(c, id), CENOTE_INVALID);
    CHECK_EQ(cenote_buffer_unregister(c, other), CENOTE_OK);
    munmap(memory, 8 * 4096);
}

static void registered_memory_works(struct cenote *c)
{
    uint64_t id[2];

    CHECK_EQ(cenote_buffer_register(c, value, LARGE, CENOTE_MEMORY_HOST, &id[0]), CENOTE_OK);
    CHECK_EQ(cenote_buffer_register(c, got, LARGE / 2, CENOTE_MEMORY_HOST, &id[1]), CENOTE_OK);
    ranges_at_random(c);
    threads_write(c);
    CHECK_EQ(cenote_buffer_unregister(c, id[0]), CENOTE_OK);
    /* the other one ends with the client */
}

/* Memory that isn't there: an error of the call where the kernel copies, and only of this call. */
static void unmapped_memory(struct cenote *c)
{
    uint8_t *memory = map_pages(32, PROT_READ | PROT_WRITE);
    struct cenote_buffer pieces[2] = {{memory, 32 * 4096}, {got, LARGE}};
    struct cenote_get_item items[2] = {{.key = {"u", 1}, .buffers = &pieces[0], .buffer_count = 1},
                                       {.key = {"u", 1}, .buffers = &pieces[1], .buffer_count = 1}};

    if (transport != CENOTE_TRANSPORT_TCP)
        return; /* a memcpy as any other */
    CHECK_EQ(cenote_put(c, "u", 1, value, 30 * 4096, 0), CENOTE_OK);
    CHECK(munmap(memory + 8 * 4096, 8 * 4096) == 0);
    CHECK_EQ(cenote_get_batch(c, items, 2), CENOTE_BAD_ADDRESS);
    CHECK_EQ(items[0].status, CENOTE_BAD_ADDRESS);
    CHECK_EQ(items[1].status, CENOTE_OK);
    CHECK(memcmp(got, value, 30 * 4096) == 0);
    CHECK_EQ(get_range(c, "u", 0, memory, 30 * 4096), CENOTE_BAD_ADDRESS);
    CHECK_EQ(cenote_put(c, "v", 1, memory, 32 * 4096, 0), CENOTE_BAD_ADDRESS);
    CHECK_EQ(cenote_put(c, "v", 1, value, 5, 0), CENOTE_OK);
    expect_value(c, "v", 5);
    drop(c, "u");
    drop(c, "v");
    munmap(memory, 32 * 4096);
}

/* ---- programs -------------------------------------------------------------------------------- */

static void around(struct cenote *c)
{
    value = malloc(LARGE);
    got = malloc(LARGE);
    CHECK(value && got);
    payload_fill(1, value, LARGE);
    ranges_at_random(c);
    bad_ranges(c);
    threads_write(c);
    bad_writes(c);
    scratch_is_limited(c);
    bad_buffers(c);
    registered_memory_works(c);
    unmapped_memory(c);
    printf("all as documented\n");
}

static void layers(struct cenote *c, char **args)
{
    size_t len = strtoull(args[1], NULL, 10), done = 0;
    unsigned flags = CENOTE_PUT_REPLICAS(strtoul(args[3], NULL, 10));
    struct cenote_writer *w = NULL;
    int status, committed;

    value = malloc(len);
    CHECK(value);
    payload_fill(strtoull(args[2], NULL, 10), value, len);
    status = cenote_writer_open(c, args[0], strlen(args[0]), len, flags, &w);
    CHECK_EQ(status, CENOTE_OK);
    for (size_t at = 0; at < len && status == CENOTE_OK; at += LAYER, done++) {
        if (done == len / LAYER / 2)
            raise(SIGSTOP);
        status = cenote_writer_write(w, at, value + at, len - at < LAYER ? len - at : LAYER);
    }
    committed = cenote_writer_commit(w);
    printf("write %s commit %s\n", cenote_status_name(status), cenote_status_name(committed));
    cenote_writer_close(&w);
}

int main(int argc, char **argv)
{
    struct cenote *client = NULL;

    CHECK(argc == 4 || argc == 8);
    const struct cenote_options options = {.meta = argv[1], .transport = transport_named(argv[2])};
    transport = options.transport;
    CHECK_EQ(cenote_open(&options, &client), CENOTE_OK);
    if (strcmp(argv[3], "around") == 0)
        around(client);
    else
        layers(client, argv + 4);
    cenote_close(&client);
    free(value);
    free(got);
    return 0;
}
