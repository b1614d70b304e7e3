/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything that a client does, round after round, by threads with a client each, which they close
 * and open anew now and then. At the end the pool is as empty as before, and this process has no
 * more descriptors, threads or memory than after the first part of the time.
 *
 * Usage: soak ENDPOINT shm|tcp|rdma MILLISECONDS. Prints the number of rounds.
 */
#include <cenote/async.h>
#include <cenote/cenote.h>
#include <cenote/view.h>
#include <dirent.h>
#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/payload.h"
#include "tests/scenario/check.h"
#include "tests/support/transport.h"

#define THREADS      2u
#define KEYS         16u    /* of each thread */
#define LARGEST      20000u /* what was read waits for its lease, and the pool is small */
#define CLIENT_LIFE  40u    /* rounds */
#define GROWTH_BYTES (256u << 10)
#define PATIENCE_MS  1000u

struct worker {
    pthread_t thread;
    unsigned number, rounds;
    uint64_t end_ms;
    struct cenote *client;
    uint8_t out[LARGEST], in[LARGEST];
};

static struct cenote_options options = {.name_space = "soak"};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static unsigned entries(const char *dir)
{
    unsigned count = 0;
    DIR *d = opendir(dir);
    CHECK(d != NULL);
    while (readdir(d) != NULL)
        count++;
    closedir(d);
    return count;
}

static void get(struct worker *w, const struct cenote_key *key, size_t len)
{
    uint64_t found = 0;
    CHECK_EQ(cenote_get(w->client, key->data, key->len_bytes, w->in, LARGEST, &found), CENOTE_OK);
    CHECK(found == len && memcmp(w->in, w->out, len) == 0);
}

static void view(struct worker *w, const struct cenote_key *key, size_t len)
{
    struct cenote_view v;
    if (options.transport != CENOTE_TRANSPORT_SHM)
        return;
    CHECK_EQ(cenote_view_get(w->client, key->data, key->len_bytes, &v), CENOTE_OK);
    CHECK(v.len_bytes == len && memcmp(v.data, w->out, len) == 0);
    cenote_view_release(w->client, &v);
}

static void submit(struct worker *w, const struct cenote_key *key, size_t len)
{
    struct cenote_buffer buffer = {w->in, LARGEST};
    struct cenote_get_item item = {.key = *key, .buffers = &buffer, .buffer_count = 1};
    struct cenote_completion done;
    memset(w->in, 0, len);
    CHECK_EQ(cenote_submit_get(w->client, &item, 1, NULL, NULL), CENOTE_OK);
    CHECK_EQ(cenote_completions(w->client, &done, 1, 10000), 1);
    CHECK_EQ(done.status, CENOTE_OK);
    CHECK(item.len_bytes == len && memcmp(w->in, w->out, len) == 0);
}

static void one_round(struct worker *w)
{
    char name[32];
    unsigned k = w->rounds % KEYS;
    size_t len = w->rounds * 7919u % LARGEST;
    int name_len = snprintf(name, sizeof name, "%u-%u", w->number, k);
    struct cenote_key key = {name, (size_t)name_len};
    struct cenote_stat st;
    payload_fill(w->rounds, w->out, len);
    CHECK_EQ(cenote_put(w->client, key.data, key.len_bytes, w->out, len, CENOTE_PUT_REPLACE),
             CENOTE_OK);
    get(w, &key, len);
    view(w, &key, len);
    submit(w, &key, len);
    CHECK_EQ(cenote_stat(w->client, key.data, key.len_bytes, &st), CENOTE_OK);
    if (w->rounds % 2 == 0)
        CHECK_EQ(cenote_remove(w->client, &key, 1, NULL), CENOTE_OK);
    w->rounds++;
}

static void remove_all(struct worker *w)
{
    for (unsigned k = 0; k < KEYS; k++) {
        char name[32];
        int name_len = snprintf(name, sizeof name, "%u-%u", w->number, k);
        struct cenote_key key = {name, (size_t)name_len};
        int status = cenote_remove(w->client, &key, 1, NULL);
        CHECK(status == CENOTE_OK || status == CENOTE_NOT_FOUND);
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    while (now_ms() < w->end_ms) {
        CHECK_EQ(cenote_open(&options, &w->client), CENOTE_OK);
        for (unsigned i = 0; i < CLIENT_LIFE; i++)
            one_round(w);
        remove_all(w);
        cenote_close(&w->client);
    }
    return NULL;
}

static unsigned work_for(uint64_t ms)
{
    static struct worker workers[THREADS];
    unsigned rounds = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].number = i;
        workers[i].rounds = 0;
        workers[i].end_ms = now_ms() + ms;
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(pthread_join(workers[i].thread, NULL) == 0);
        rounds += workers[i].rounds;
    }
    return rounds;
}

/* A thread that was joined is still listed for a moment. */
static bool threads_are(unsigned wanted)
{
    uint64_t end_ms = now_ms() + PATIENCE_MS;

    while (entries("/proc/self/task") != wanted && now_ms() < end_ms)
        sched_yield();
    return entries("/proc/self/task") == wanted;
}

int main(int argc, char **argv)
{
    CHECK(argc == 4);
    options.meta = argv[1];
    options.transport = transport_named(argv[2]);
    uint64_t ms = strtoull(argv[3], NULL, 10);
    unsigned threads = entries("/proc/self/task");
    unsigned rounds = work_for(ms / 4);
    unsigned descriptors = entries("/proc/self/fd");
    CHECK(threads_are(threads));
    size_t used = mallinfo2().uordblks;
    rounds += work_for(ms - ms / 4);
    CHECK_EQ(entries("/proc/self/fd"), descriptors);
    CHECK(threads_are(threads));
    size_t now = mallinfo2().uordblks;
    CHECK(now < used + GROWTH_BYTES);
    printf("%u rounds\n", rounds);
    return 0;
}
