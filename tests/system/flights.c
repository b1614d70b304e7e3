/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Operations in the background, in a living pool. Prints what it has reached, and goes on when it
 * reads a line, so that a test can stop and start daemons in between; ends with status 1 at the
 * first thing that include/cenote/async.h doesn't say.
 *
 * Usage: flights CASE shm|tcp|rdma [NUMBER]; FLIGHTS_CACHE in the environment: with lookups cached
 */
#include <cenote/async.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/payload.h"
#include "tests/scenario/check.h"
#include "tests/support/transport.h"
#include "transport/base/clock.h"

#define KEY_BYTES   32
#define SMALL       4096u
#define LARGE       (512u << 10)
#define THREADS_MAX 6u /* main, the pump, and those that connect */
#ifdef __SANITIZE_THREAD__
#define SANITIZERS 1u /* a thread of its own, which comes with the first one of ours */
#else
#define SANITIZERS 0u
#endif
#define FETCH      256u
#define PATTERN    0x5a
#define PATIENCE   60000u /* for what must come soon */
#define STALL_KEYS 16u
#define STALL_MS   200u
#define STORM_OPS  64u /* of a thread, at a time */

static struct cenote_options options;
static size_t threads_before;

/* One get or put of its own. */
struct one {
    char text[KEY_BYTES];
    struct cenote_buffer piece;
    struct cenote_get_item get;
    struct cenote_put_item put;
    uint64_t id, value;
    int status; /* of the completion; 1: it is in flight */
    bool cancel, on_stopped;
};

static void say(const char *what)
{
    printf("%s\n", what);
    fflush(stdout);
}

static void await_line(const char *what)
{
    char line[16];
    say(what);
    CHECK(fgets(line, sizeof line, stdin) != NULL);
}

static struct cenote *open_client(void)
{
    struct cenote *client = NULL;
    CHECK_EQ(cenote_open(&options, &client), CENOTE_OK);
    return client;
}

static struct one *make(size_t count, size_t len, const char *space)
{
    struct one *all = calloc(count, sizeof *all);
    uint8_t *memory = malloc(count * len);
    CHECK(all && memory);
    memset(memory, PATTERN, count * len);
    for (size_t i = 0; i < count; i++) {
        struct one *o = &all[i];
        int n = snprintf(o->text, sizeof o->text, "%s%d/%zu", space, (int)getpid(), i);
        o->value = i + 1;
        o->piece = (struct cenote_buffer){memory + i * len, len};
        o->get = (struct cenote_get_item){
            .key = {o->text, (size_t)n}, .buffers = &o->piece, .buffer_count = 1};
        o->put = (struct cenote_put_item){
            .key = {o->text, (size_t)n}, .buffers = &o->piece, .buffer_count = 1};
    }
    return all;
}

static void drop(struct one *all)
{
    free(all[0].piece.addr);
    free(all);
}

static void fill(struct one *o)
{
    payload_fill(o->value, o->piece.addr, o->piece.len_bytes);
}

static void clear(struct one *o, int byte)
{
    memset(o->piece.addr, byte, o->piece.len_bytes);
}

static bool is_all(const struct one *o, int byte)
{
    const uint8_t *data = o->piece.addr;
    return data[0] == byte && memcmp(data, data + 1, o->piece.len_bytes - 1) == 0;
}

static bool is_value(const struct one *o)
{
    return payload_is(o->value, o->piece.addr, o->piece.len_bytes);
}

static void submit(struct cenote *c, struct one *o, bool put, unsigned flags, uint32_t deadline_ms)
{
    struct cenote_submit s = {.deadline_ms = deadline_ms, .user_data = (uintptr_t)o};
    o->status = 1;
    o->get.status = o->put.status = 1;
    if (put)
        CHECK_EQ(cenote_submit_put(c, &o->put, 1, flags, &s, &o->id), CENOTE_OK);
    else
        CHECK_EQ(cenote_submit_get(c, &o->get, 1, &s, &o->id), CENOTE_OK);
}

/* What has completed now, by way of the descriptor. */
static size_t fetch(struct cenote *c, uint32_t wait_ms)
{
    struct cenote_completion done[FETCH];
    struct pollfd p = {.fd = cenote_completion_fd(c), .events = POLLIN};
    CHECK(p.fd >= 0);
    (void)poll(&p, 1, (int)wait_ms);
    int n = cenote_completions(c, done, FETCH, 0);
    CHECK(n >= 0);
    for (int i = 0; i < n; i++) {
        struct one *o = (struct one *)(uintptr_t)done[i].user_data;
        CHECK_EQ(o->id, done[i].id);
        CHECK_EQ(o->status, 1);
        CHECK(o->get.status != 1 || o->put.status != 1);
        o->status = done[i].status;
    }
    return (size_t)n;
}

static void fetch_all(struct cenote *c, size_t count)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE;
    while (count > 0) {
        size_t n = fetch(c, 1000);
        CHECK(n <= count);
        count -= n;
        CHECK(clock_now_ms() < end_ms);
    }
}

static void put_all(struct cenote *c, struct one *all, size_t count, unsigned flags)
{
    for (size_t i = 0; i < count; i++) {
        fill(&all[i]);
        submit(c, &all[i], true, flags, 0);
    }
    fetch_all(c, count);
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(all[i].status, CENOTE_OK);
}

static size_t threads_now(void)
{
    DIR *d = opendir("/proc/self/task");
    size_t n = 0;
    CHECK(d != NULL);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

enum { GONE_MS = 30000 };

/* A thread that was joined is still listed for a moment. */
static void await_threads_gone(void)
{
    uint64_t end_ms = clock_now_ms() + GONE_MS;
    while (threads_now() > threads_before + SANITIZERS && clock_now_ms() < end_ms)
        sched_yield();
    CHECK(threads_now() <= threads_before + SANITIZERS);
}

static double cpu_ms(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e3 +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e3;
}

/* ---- many ------------------------------------------------------------------------------------ */

static void compare(struct cenote *c, struct one *all, size_t count)
{
    struct cenote_get_item *items = calloc(count, sizeof *items);
    uint64_t len, begun_ns = clock_now_ns();
    double cpu = cpu_ms();
    for (size_t i = 0; i < count; i++)
        CHECK_EQ(cenote_get(c, all[i].text, strlen(all[i].text), all[i].piece.addr, SMALL, &len),
                 CENOTE_OK);
    printf("one by one: %.1f ms, cpu %.1f ms\n", (double)(clock_now_ns() - begun_ns) / 1e6,
           cpu_ms() - cpu);
    for (size_t i = 0; i < count; i++)
        items[i] = all[i].get;
    begun_ns = clock_now_ns();
    cpu = cpu_ms();
    for (size_t i = 0; i < count; i += CENOTE_BATCH_MAX)
        CHECK_EQ(cenote_get_batch(c, items + i,
                                  count - i < CENOTE_BATCH_MAX ? count - i : CENOTE_BATCH_MAX),
                 CENOTE_OK);
    printf("batches: %.1f ms, cpu %.1f ms\n", (double)(clock_now_ns() - begun_ns) / 1e6,
           cpu_ms() - cpu);
    free(items);
}

static void case_many(size_t count)
{
    struct cenote *c = open_client();
    struct one *all = make(count, SMALL, "many");
    uint64_t begun_ns = clock_now_ns();
    put_all(c, all, count, 0);
    printf("puts: %.1f ms\n", (double)(clock_now_ns() - begun_ns) / 1e6);
    size_t threads = threads_before - 1 + THREADS_MAX + SANITIZERS;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < count; i++)
            clear(&all[i], 0);
        double cpu = cpu_ms();
        begun_ns = clock_now_ns();
        for (size_t i = 0; i < count; i++)
            submit(c, &all[i], false, 0, 0);
        CHECK(threads_now() <= threads);
        fetch_all(c, count);
        threads = threads_now();
        printf("submitted gets: %.1f ms, cpu %.1f ms, %zu threads\n",
               (double)(clock_now_ns() - begun_ns) / 1e6, cpu_ms() - cpu, threads_now());
        for (size_t i = 0; i < count; i++)
            CHECK(all[i].status == CENOTE_OK && all[i].get.len_bytes == SMALL && is_value(&all[i]));
    }
    compare(c, all, count);
    drop(all);
    cenote_close(&c);
    await_threads_gone();
}

/* ---- a node that stands still ---------------------------------------------------------------- */

static bool lies_on(struct cenote *c, const struct one *o, const char *node)
{
    struct cenote_place *places;
    size_t count;
    CHECK_EQ(cenote_places(c, o->text, strlen(o->text), &places, &count), CENOTE_OK);
    bool yes = strcmp(places[0].node, node) == 0;
    free(places);
    return yes;
}

/* Where rdma is tested, a processor is interpreted, and the device is its software: values take
 * their time. It isn't waited for, as the device of a node that stands still answers. */
static uint32_t stall_ms(void)
{
    return options.transport == CENOTE_TRANSPORT_RDMA ? 50 * STALL_MS : STALL_MS;
}

/* With rdma it is the node's device that answers, which doesn't stand still. */
static void check_stalled(struct one *all, uint64_t begun_ms)
{
    bool one_sided = options.transport == CENOTE_TRANSPORT_RDMA;
    uint64_t took_ms = clock_now_ms() - begun_ms;
    CHECK((one_sided || took_ms >= STALL_MS) && took_ms < stall_ms() + 2000);
    for (size_t i = 0; i < STALL_KEYS; i++) {
        bool late = all[i].on_stopped && (!one_sided || all[i].status != CENOTE_OK);
        CHECK_EQ(all[i].status, late ? CENOTE_TIMED_OUT : CENOTE_OK);
        CHECK(late || is_value(&all[i]));
    }
}

static void check_untouched(struct one *all)
{
    for (size_t i = 0; i < STALL_KEYS; i++) {
        if (all[i].on_stopped && !is_all(&all[i], PATTERN)) {
            fprintf(stderr, "a byte came into a buffer after its completion\n");
            exit(1);
        }
    }
}

/* While node0 stands still; then it goes on, and what it had been asked for must not arrive. */
static void case_stopped(size_t unused)
{
    struct cenote *c = open_client();
    struct one *all = make(STALL_KEYS, LARGE, "stopped");
    struct one *again = make(STALL_KEYS, LARGE, "stopped");
    (void)unused;
    put_all(c, all, STALL_KEYS, 0);
    for (size_t i = 0; i < STALL_KEYS; i++)
        all[i].on_stopped = lies_on(c, &all[i], "node0");
    for (size_t i = 0; i < STALL_KEYS; i++)
        submit(c, &all[i], false, 0, 0); /* connections are there */
    fetch_all(c, STALL_KEYS);
    await_line("stop node0");
    uint64_t begun_ms = clock_now_ms();
    for (size_t i = 0; i < STALL_KEYS; i++) {
        clear(&all[i], 0);
        submit(c, &all[i], false, 0, stall_ms());
    }
    fetch_all(c, STALL_KEYS);
    check_stalled(all, begun_ms);
    for (size_t i = 0; i < STALL_KEYS; i++)
        clear(&all[i], PATTERN);
    await_line("let node0 go on");
    int rounds = options.transport == CENOTE_TRANSPORT_RDMA ? 4 : 20;
    for (int round = 0; round < rounds; round++) {
        for (size_t i = 0; i < STALL_KEYS; i++)
            submit(c, &again[i], false, 0, 0);
        fetch_all(c, STALL_KEYS);
        for (size_t i = 0; i < STALL_KEYS; i++)
            CHECK(again[i].status == CENOTE_OK && is_value(&again[i]));
    }
    check_untouched(all);
    drop(all);
    drop(again);
    cenote_close(&c);
}

/* The service stands still: the deadline holds, also for puts; afterwards all is well. */
static void case_service(size_t count)
{
    struct cenote *c = open_client();
    struct one *all = make(count, SMALL, "service"), *puts = make(count, SMALL, "new");
    put_all(c, all, count, 0);
    await_line("stop service");
    uint64_t begun_ms = clock_now_ms();
    for (size_t i = 0; i < count; i++) {
        submit(c, &all[i], false, 0, STALL_MS);
        submit(c, &puts[i], true, 0, STALL_MS);
    }
    fetch_all(c, 2 * count);
    CHECK(clock_now_ms() - begun_ms < STALL_MS + 2000);
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(all[i].status, CENOTE_TIMED_OUT);
        CHECK_EQ(puts[i].status, CENOTE_TIMED_OUT);
        clear(&puts[i], 0);
    }
    await_line("let service go on");
    for (size_t i = 0; i < count; i++) {
        submit(c, &all[i], false, 0, 0);
        submit(c, &puts[i], false, 0, 0);
    }
    fetch_all(c, 2 * count);
    for (size_t i = 0; i < count; i++) {
        CHECK(all[i].status == CENOTE_OK && is_value(&all[i]));
        CHECK_EQ(puts[i].status, CENOTE_NOT_FOUND);
    }
    await_line("look for puts that are pending");
    drop(all);
    drop(puts);
    cenote_close(&c);
}

/* ---- storms ---------------------------------------------------------------------------------- */

struct stormer {
    pthread_t thread;
    struct cenote *client;
    struct one *all;
    size_t rounds;
    unsigned number;
    _Atomic size_t *landed;
};

static atomic_size_t fetched, submitted;
static atomic_bool storm_over;

/* Fetches for all; what has completed belongs to the fetcher, who marks it at once: the mark must
 * stay, whatever is still under way. */
static void *storm_fetch(void *arg)
{
    struct cenote *c = arg;
    struct cenote_completion done[8];
    while (!atomic_load(&storm_over) || atomic_load(&fetched) < atomic_load(&submitted)) {
        int n = cenote_completions(c, done, 8, 20);
        CHECK(n >= 0);
        for (int i = 0; i < n; i++) {
            struct one *o = (struct one *)(uintptr_t)done[i].user_data;
            int status = done[i].status;
            CHECK_EQ(o->get.status, status);
            CHECK(status == CENOTE_OK || status == CENOTE_CANCELLED || status == CENOTE_TIMED_OUT);
            CHECK(status != CENOTE_OK || is_value(o));
            clear(o, PATTERN);
            __atomic_store_n(&o->status, status, __ATOMIC_RELEASE);
            atomic_fetch_add(&fetched, 1);
        }
    }
    return NULL;
}

static void *storm_submit(void *arg)
{
    struct stormer *s = arg;
    uint64_t random = 88172645463325252u + s->number;
    for (size_t i = 0; i < s->rounds; i++) {
        struct one *o = &s->all[i % STORM_OPS];
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        while (__atomic_load_n(&o->status, __ATOMIC_ACQUIRE) == 1)
            sched_yield();
        if (i >= STORM_OPS)
            CHECK(is_all(o, PATTERN));
        atomic_fetch_add(&submitted, 1);
        struct cenote_submit how = {.deadline_ms = random % 4 == 0 ? 1 + (uint32_t)(random % 7) : 0,
                                    .user_data = (uintptr_t)o};
        uint64_t id;
        o->status = 1;
        CHECK_EQ(cenote_submit_get(s->client, &o->get, 1, &how, &id), CENOTE_OK);
        for (uint64_t k = random % 3; k > 0; k--) { /* twice, too */
            int status = cenote_cancel(s->client, id);
            CHECK(status == CENOTE_OK || status == CENOTE_NOT_FOUND);
        }
    }
    return NULL;
}

static void case_storm(size_t rounds)
{
    struct cenote *c = open_client();
    struct stormer s[3];
    pthread_t fetchers[2];
    for (unsigned i = 0; i < 3; i++) {
        char space[16];
        snprintf(space, sizeof space, "storm%u", i);
        s[i] = (struct stormer){
            .client = c, .all = make(STORM_OPS, 64u << 10, space), .rounds = rounds, .number = i};
        put_all(c, s[i].all, STORM_OPS, 0);
    }
    for (int i = 0; i < 2; i++)
        CHECK(pthread_create(&fetchers[i], NULL, storm_fetch, c) == 0);
    for (int i = 0; i < 3; i++)
        CHECK(pthread_create(&s[i].thread, NULL, storm_submit, &s[i]) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(s[i].thread, NULL);
    atomic_store(&storm_over, true);
    for (int i = 0; i < 2; i++)
        pthread_join(fetchers[i], NULL);
    CHECK_EQ(cenote_cancel(c, 1), CENOTE_NOT_FOUND);
    for (int i = 0; i < 3; i++)
        drop(s[i].all);
    cenote_close(&c);
}

/* Puts that are cancelled are there as a whole or not at all, and leave nothing behind. */
static void case_puts(size_t count)
{
    struct cenote *c = open_client();
    struct one *all = make(count, LARGE, "puts");
    size_t cancelled = 0, stored = 0;
    for (size_t i = 0; i < count; i++) {
        fill(&all[i]);
        submit(c, &all[i], true, 0, i % 5 == 4 ? 1 + (uint32_t)i % 13 : 0);
        if (i % 2 == 0)
            usleep((useconds_t)(i % 7) * 100);
        if (i % 3 != 0)
            (void)cenote_cancel(c, all[i].id);
    }
    fetch_all(c, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t len;
        int was = all[i].status;
        /* The fence of one that was cancelled may have hit another too often. */
        if (was != CENOTE_OK && was != CENOTE_CANCELLED && was != CENOTE_TIMED_OUT &&
            was != CENOTE_ABORTED && was != CENOTE_NODE_DOWN)
            CHECK_EQ(was, CENOTE_UNKNOWN);
        clear(&all[i], 0);
        int is = cenote_get(c, all[i].text, strlen(all[i].text), all[i].piece.addr, LARGE, &len);
        CHECK(is == CENOTE_OK || is == CENOTE_NOT_FOUND);
        CHECK(was == CENOTE_UNKNOWN || (is == CENOTE_OK) == (was == CENOTE_OK));
        CHECK(is == CENOTE_NOT_FOUND || is_value(&all[i]));
        cancelled += was == CENOTE_CANCELLED;
        stored += is == CENOTE_OK;
        struct cenote_key key = {all[i].text, strlen(all[i].text)};
        CHECK(is == CENOTE_NOT_FOUND || cenote_remove(c, &key, 1, NULL) == CENOTE_OK);
    }
    printf("%zu of %zu cancelled, %zu stored\n", cancelled, count, stored);
    await_line("look for what is left");
    drop(all);
    cenote_close(&c);
}

/* ---- the end --------------------------------------------------------------------------------- */

static void case_close(size_t count)
{
    struct cenote *c = open_client();
    struct one *all = make(count, 64u << 10, "close"), *puts = make(count, SMALL, "unheard");
    put_all(c, all, count, 0);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < count; i++) {
            clear(&all[i], 0);
            submit(c, &all[i], false, 0, 0);
            submit(c, &puts[i], true, CENOTE_PUT_REPLACE, 0);
        }
        if (round == 1)
            usleep(3000);
        cenote_close(&c);
        await_threads_gone();
        for (size_t i = 0; i < count; i++) {
            CHECK(all[i].get.status != 1 && puts[i].put.status != 1);
            clear(&all[i], PATTERN);
        }
        c = open_client();
        for (size_t i = 0; i < count; i++)
            CHECK(is_all(&all[i], PATTERN));
    }
    drop(all);
    drop(puts);
    cenote_close(&c);
}

static void in_child(struct cenote *c, struct one *o)
{
    struct cenote_completion done;
    uint64_t id;
    CHECK_EQ(cenote_submit_get(c, &o->get, 1, NULL, &id), CENOTE_FORKED);
    CHECK_EQ(cenote_submit_put(c, &o->put, 1, 0, NULL, &id), CENOTE_FORKED);
    CHECK_EQ(cenote_cancel(c, o->id), CENOTE_FORKED);
    CHECK_EQ(cenote_completion_fd(c), CENOTE_FORKED);
    CHECK_EQ(cenote_completions(c, &done, 1, 1000), CENOTE_FORKED);
    cenote_close(&c);
    _exit(0);
}

static void case_fork(size_t count)
{
    struct cenote *c = open_client();
    struct one *all = make(count, 64u << 10, "fork");
    int state;
    put_all(c, all, count, 0);
    for (size_t i = 0; i < count; i++) {
        clear(&all[i], 0);
        submit(c, &all[i], false, 0, 0);
    }
    pid_t child = fork();
    if (child == 0)
        in_child(c, &all[0]);
    CHECK(waitpid(child, &state, 0) == child && state == 0);
    fetch_all(c, count);
    for (size_t i = 0; i < count; i++)
        CHECK(all[i].status == CENOTE_OK && is_value(&all[i]));
    drop(all);
    cenote_close(&c);
}

/* ---- arguments ------------------------------------------------------------------------------- */

static void case_arguments(size_t unused)
{
    struct cenote *c = open_client();
    struct one *o = make(1, SMALL, "arguments");
    struct cenote_get_item bad = o->get;
    struct cenote_completion done;
    uint64_t id = 7;
    (void)unused;
    CHECK_EQ(cenote_submit_get(NULL, &o->get, 1, NULL, &id), CENOTE_INVALID);
    CHECK_EQ(cenote_submit_get(c, NULL, 1, NULL, &id), CENOTE_INVALID);
    CHECK_EQ(cenote_submit_get(c, &o->get, 0, NULL, &id), CENOTE_INVALID);
    CHECK_EQ(cenote_submit_get(c, &o->get, CENOTE_BATCH_MAX + 1, NULL, &id), CENOTE_INVALID);
    bad.key.len_bytes = CENOTE_KEY_MAX + 1;
    CHECK_EQ(cenote_submit_get(c, &bad, 1, NULL, &id), CENOTE_KEY_SIZE);
    CHECK_EQ(cenote_submit_put(c, &o->put, 1, 1u << 30, NULL, &id), CENOTE_INVALID);
    CHECK_EQ(id, 7);
    CHECK_EQ(cenote_cancel(c, 0), CENOTE_NOT_FOUND);
    CHECK_EQ(cenote_cancel(c, UINT64_MAX), CENOTE_NOT_FOUND);
    CHECK_EQ(cenote_cancel(NULL, 1), CENOTE_INVALID);
    CHECK_EQ(cenote_completion_fd(NULL), CENOTE_INVALID);
    CHECK_EQ(cenote_completions(c, NULL, 1, 0), CENOTE_INVALID);
    CHECK_EQ(cenote_completions(c, &done, 1, 20), 0);
    CHECK_EQ(cenote_submit_get(c, &o->get, 1, NULL, NULL), CENOTE_OK);
    CHECK_EQ(cenote_completions(c, &done, 1, PATIENCE), 1);
    CHECK(done.status == CENOTE_NOT_FOUND && o->get.status == CENOTE_NOT_FOUND);
    CHECK_EQ(cenote_cancel(c, done.id), CENOTE_NOT_FOUND);
    drop(o);
    cenote_close(&c);
}

/* ---- load ------------------------------------------------------------------------------------ */

static atomic_bool terminated;

static void on_term(int number)
{
    (void)number;
    atomic_store(&terminated, true);
}

static bool is_away(int status)
{
    return status == CENOTE_UNAVAILABLE || status == CENOTE_UNKNOWN || status == CENOTE_TIMED_OUT ||
           status == CENOTE_ABORTED || status == CENOTE_NODE_DOWN;
}

/* What was away is back, and is asked again soon. */
static void get_all_soon(struct cenote *c, struct one *all, size_t count)
{
    uint64_t end_ms = clock_now_ms() + PATIENCE;
    bool away = true;
    while (away) {
        away = false;
        for (size_t i = 0; i < count; i++)
            submit(c, &all[i], false, 0, 0);
        fetch_all(c, count);
        for (size_t i = 0; i < count; i++)
            away = away || is_away(all[i].status);
        CHECK(!away || clock_now_ms() < end_ms);
        usleep(away ? 10000 : 0);
    }
    for (size_t i = 0; i < count; i++)
        CHECK(all[i].status == CENOTE_OK && is_value(&all[i]));
}

/* Until SIGTERM: gets and puts in flight all the time, while daemons come and go. */
static void case_load(size_t count)
{
    struct cenote *c = open_client();
    struct one *all = make(count, 16u << 10, "load"), *puts = make(count, SMALL, "more");
    size_t good = 0, away = 0;
    put_all(c, all, count, 0);
    signal(SIGTERM, on_term);
    say("loading");
    while (!atomic_load(&terminated)) {
        for (size_t i = 0; i < count; i++) {
            clear(&all[i], 0);
            submit(c, &all[i], false, 0, 0);
            submit(c, &puts[i], true, CENOTE_PUT_REPLACE, 0);
        }
        fetch_all(c, 2 * count);
        for (size_t i = 0; i < count; i++) {
            CHECK(all[i].status == CENOTE_OK || is_away(all[i].status));
            CHECK(puts[i].status == CENOTE_OK || is_away(puts[i].status) ||
                  puts[i].status == CENOTE_NO_NODES || /* they come back after the service, */
                  puts[i].status == CENOTE_NO_SPACE);  /* and their space after them */
            CHECK(all[i].status != CENOTE_OK || is_value(&all[i]));
            good += (size_t)(all[i].status == CENOTE_OK) + (size_t)(puts[i].status == CENOTE_OK);
            away += (size_t)(all[i].status != CENOTE_OK) + (size_t)(puts[i].status != CENOTE_OK);
        }
    }
    printf("%zu good, %zu while something was away\n", good, away);
    get_all_soon(c, all, count);
    drop(all);
    drop(puts);
    cenote_close(&c);
}

static const struct {
    const char *name;
    void (*run)(size_t number);
    size_t number;
} cases[] = {
    {"many", case_many, 10000},  {"stopped", case_stopped, 0},     {"service", case_service, 200},
    {"storm", case_storm, 1000}, {"puts", case_puts, 60},          {"close", case_close, 500},
    {"fork", case_fork, 300},    {"arguments", case_arguments, 0}, {"load", case_load, 200}};

int main(int argc, char **argv)
{
    CHECK(argc >= 3);
    threads_before = threads_now();
    options.cache_bytes = getenv("FLIGHTS_CACHE") ? 0 : 1; /* every get asks */
    options.transport = transport_named(argv[2]);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strcmp(cases[i].name, argv[1]) == 0) {
            cases[i].run(argc > 3 ? (size_t)atol(argv[3]) : cases[i].number);
            return 0;
        }
    }
    fprintf(stderr, "flights: no case %s\n", argv[1]);
    return 2;
}
