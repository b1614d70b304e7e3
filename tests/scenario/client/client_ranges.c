/* SPDX-License-Identifier: Apache-2.0 */
/* Writers, ranges and registered buffers from many threads at once, over real sockets. */
#include <cenote/buffer.h>
#include <cenote/range.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/scenario/check.h"
#include "tests/scenario/client/service.h"

#define VALUE_BYTES 400000u
#define LAYER       9000u /* many in a chunk */
#define LAYERS      ((VALUE_BYTES + LAYER - 1) / LAYER)
#define THREADS     4u
#define ROUNDS      4u

static struct service service;
static struct cenote *client;
static uint8_t value[VALUE_BYTES];

static void expect_value(const char *key)
{
    uint8_t *got = calloc(1, VALUE_BYTES);
    uint64_t len = 0;

    CHECK(got);
    CHECK_EQ(cenote_get(client, key, strlen(key), got, VALUE_BYTES, &len), CENOTE_OK);
    CHECK(len == VALUE_BYTES && memcmp(got, value, len) == 0);
    free(got);
}

struct team {
    struct cenote_writer *writer;
    atomic_uint next;
};

/* Layers from both ends, so that chunks have parts of many threads. */
static void *write_layers(void *arg)
{
    struct team *team = arg;

    for (unsigned i; (i = atomic_fetch_add(&team->next, 1)) < LAYERS;) {
        size_t at = (i % 2 ? LAYERS - 1 - i / 2 : i / 2) * LAYER;
        size_t len = VALUE_BYTES - at < LAYER ? VALUE_BYTES - at : LAYER;
        uint8_t layer[LAYER];
        memcpy(layer, value + at, len);
        CHECK_EQ(cenote_writer_write(team->writer, at, layer, len), CENOTE_OK);
        memset(layer, 0, len);
        CHECK_EQ(cenote_writer_write(team->writer, at, layer, len), CENOTE_INVALID);
    }
    return NULL;
}

static void run_threads(void *(*work)(void *), void *arg)
{
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, arg) == 0);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void one_writer(const char *key, unsigned replicas)
{
    struct team team = {0};

    CHECK_EQ(cenote_writer_open(client, key, strlen(key), VALUE_BYTES,
                                CENOTE_PUT_REPLICAS(replicas), &team.writer),
             CENOTE_OK);
    run_threads(write_layers, &team);
    CHECK_EQ(cenote_writer_commit(team.writer), CENOTE_OK);
    cenote_writer_close(&team.writer);
    expect_value(key);
}

/* Connections to the service break while ranges are written; the session goes on. */
static void *hang_up(void *arg)
{
    atomic_bool *over = arg;

    /* Pauses differ: on a slow machine a connection needs some milliseconds to get anywhere. */
    for (long i = 0; !atomic_load(over); i++) {
        service_hang_up(&service, false);
        nanosleep(&(struct timespec){.tv_nsec = (1 + i % 20) * 2000000}, NULL);
    }
    return NULL;
}

static void writer_while_connections_break(void)
{
    atomic_bool over = false;
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, hang_up, &over) == 0);
    one_writer("breaks", 2);
    atomic_store(&over, true);
    pthread_join(thread, NULL);
}

/* The session ends between the ranges and the commit: the put ended with it. */
static void session_ends(void)
{
    struct cenote_writer *w = NULL;

    CHECK_EQ(cenote_writer_open(client, "ends", 4, VALUE_BYTES, 0, &w), CENOTE_OK);
    CHECK_EQ(cenote_writer_write(w, 0, value, VALUE_BYTES), CENOTE_OK);
    service_hang_up(&service, true);
    int status = cenote_writer_commit(w);
    CHECK(status == CENOTE_ABORTED || status == CENOTE_OK || status == CENOTE_UNKNOWN);
    CHECK_EQ(cenote_writer_commit(w), status);
    cenote_writer_close(&w);
}

/* Memory is registered and unregistered while gets use it: unregistering waits, and then it may be
 * freed. */
static void *use_registered(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS * 10; i++) {
        uint8_t *memory = malloc(VALUE_BYTES);
        uint64_t id;
        CHECK(memory);
        CHECK_EQ(cenote_buffer_register(client, memory, VALUE_BYTES, CENOTE_MEMORY_HOST, &id),
                 CENOTE_OK);
        struct cenote_buffer piece = {memory + i, 70000};
        struct cenote_range_item item = {
            .key = {"one", 3}, .offset = i * 1000, .buffers = &piece, .buffer_count = 1};
        CHECK_EQ(cenote_get_ranges(client, &item, 1), CENOTE_OK);
        CHECK(memcmp(piece.addr, value + item.offset, piece.len_bytes) == 0);
        CHECK_EQ(cenote_buffer_unregister(client, id), CENOTE_OK);
        CHECK_EQ(cenote_buffer_unregister(client, id), CENOTE_INVALID);
        free(memory);
    }
    return NULL;
}

struct shared {
    uint8_t *memory;
    uint64_t id;
    atomic_bool begun, gone;
};

/* Whoever unregisters sees nobody write any more. */
static void *get_until_gone(void *arg)
{
    struct shared *s = arg;

    while (!atomic_load(&s->gone)) {
        uint8_t own[1000];
        struct cenote_buffer pieces[2] = {{own, sizeof own}, {s->memory, 100000}};
        struct cenote_get_item item = {.key = {"small", 5}, .buffers = pieces, .buffer_count = 2};
        CHECK_EQ(cenote_get_batch(client, &item, 1), CENOTE_OK);
        atomic_store(&s->begun, true);
    }
    return NULL;
}

static void unregister_while_used(void)
{
    struct shared s = {.memory = malloc(100000)};
    pthread_t thread;

    CHECK(s.memory);
    CHECK_EQ(cenote_put(client, "small", 5, value, 90000, 0), CENOTE_OK);
    CHECK_EQ(cenote_buffer_register(client, s.memory, 100000, CENOTE_MEMORY_HOST, &s.id),
             CENOTE_OK);
    CHECK(pthread_create(&thread, NULL, get_until_gone, &s) == 0);
    while (!atomic_load(&s.begun))
        sched_yield();
    CHECK_EQ(cenote_buffer_unregister(client, s.id), CENOTE_OK);
    atomic_store(&s.gone, true);
    pthread_join(thread, NULL);
    free(s.memory);
}

/* A child's copies answer FORKED and can be closed. */
static void process_forks(void)
{
    struct cenote_writer *w = NULL;
    uint64_t id;
    int status;

    CHECK_EQ(cenote_writer_open(client, "f", 1, VALUE_BYTES, 0, &w), CENOTE_OK);
    CHECK_EQ(cenote_writer_write(w, 0, value, 100), CENOTE_OK);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        struct cenote_range_item item = {.key = {"one", 3}};
        bool told = cenote_writer_write(w, 100, value, 1) == CENOTE_FORKED &&
                    cenote_writer_commit(w) == CENOTE_FORKED &&
                    cenote_get_ranges(client, &item, 1) == CENOTE_FORKED &&
                    cenote_buffer_register(client, value, 1, 0, &id) == CENOTE_FORKED &&
                    cenote_buffer_unregister(client, 1) == CENOTE_FORKED;
        cenote_writer_close(&w);
        cenote_close(&client);
        _exit(told && !w ? 0 : 1);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK_EQ(cenote_writer_write(w, 100, value + 100, VALUE_BYTES - 100), CENOTE_OK);
    CHECK_EQ(cenote_writer_commit(w), CENOTE_OK);
    cenote_writer_close(&w);
    expect_value("f");
}

int main(void)
{
    char path[64];
    const struct cenote_options o = {
        .meta = service.where, .transport = CENOTE_TRANSPORT_TCP, .timeout_ms = 5000};

    snprintf(path, sizeof path, "@cenote-client-ranges-%ld", (long)getpid());
    fake_fill(value, sizeof value, 11);
    service_begin(&service, path);
    CHECK_EQ(cenote_open(&o, &client), CENOTE_OK);
    one_writer("one", 1);
    run_threads(use_registered, NULL);
    unregister_while_used();
    process_forks();
    writer_while_connections_break();
    session_ends();
    cenote_close(&client);
    service_end(&service);
    return 0;
}
