/* SPDX-License-Identifier: Apache-2.0 */
/* The public functions against a service that breaks off, forgets, and loses answers. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/scenario/check.h"
#include "tests/scenario/client/service.h"
#include "transport/base/clock.h"

#define VALUE_BYTES 100000u
#define THREADS     6u
#define ROUNDS      20u

static struct service service;
static struct cenote *client;
static uint8_t value[VALUE_BYTES];

static int put(const char *key, size_t len)
{
    return cenote_put(client, key, strlen(key), value, len, 0);
}

static void expect_value(const char *key, size_t want)
{
    uint8_t *got = calloc(1, VALUE_BYTES);
    uint64_t len = 0;

    CHECK(got);
    expect(key, cenote_get(client, key, strlen(key), got, VALUE_BYTES, &len), CENOTE_OK);
    CHECK(len == want && memcmp(got, value, want) == 0);
    free(got);
}

static void open_client(void)
{
    const struct cenote_options o = {
        .meta = service.where, .transport = CENOTE_TRANSPORT_TCP, .timeout_ms = 5000};
    expect("open", cenote_open(&o, &client), CENOTE_OK);
}

static void all_functions(void)
{
    const struct cenote_key keys[3] = {{"a/1", 3}, {"a/2", 3}, {"b", 1}};
    struct cenote_list list = {0};
    struct cenote_stat stat;
    bool present[3];
    size_t prefix, entries = 0;
    int statuses[3];
    char *json;

    expect("put", put("a/1", VALUE_BYTES), CENOTE_OK);
    expect("put", put("a/1", 1), CENOTE_EXISTS);
    expect("put", put("a/2", 0), CENOTE_OK);
    expect("put", put("a/3", 65536), CENOTE_OK);
    expect_value("a/1", VALUE_BYTES);
    expect_value("a/2", 0);
    expect_value("a/3", 65536);

    expect("exists", cenote_exists(client, keys, 3, present, &prefix), CENOTE_OK);
    CHECK(present[0] && present[1] && !present[2] && prefix == 2);
    expect("stat", cenote_stat(client, "a/1", 3, &stat), CENOTE_OK);
    CHECK(stat.len_bytes == VALUE_BYTES && stat.stripes == 1 && stat.has_sums);
    expect("stat", cenote_stat(client, "b", 1, &stat), CENOTE_NOT_FOUND);

    do {
        expect("list", cenote_list(client, "a/", 2, &list), CENOTE_OK);
        entries += list.count;
    } while (list.more);
    CHECK(entries == 3);
    cenote_list_free(&list);
    cenote_list_free(&list);

    expect("status", cenote_pool_status(client, &json), CENOTE_OK);
    CHECK(strstr(json, "\"fake\"") && strstr(json, "\"transport\":\"tcp\""));
    CHECK(strstr(
        json, "\"rdma\":{\"rails\":[],\"connections\":0,\"queue_pairs\":0,")); /* this client's */
    free(json);

    expect("remove", cenote_remove(client, keys, 3, statuses), CENOTE_NOT_FOUND);
    CHECK(statuses[0] == CENOTE_OK && statuses[1] == CENOTE_OK && statuses[2] == CENOTE_NOT_FOUND);
    expect("get", cenote_get(client, "a/1", 3, NULL, 0, NULL), CENOTE_NOT_FOUND);
}

/* Settings are read at once; what they name is looked for when it is needed. */
static void bad_rdma(void)
{
    struct cenote_options o = {.meta = service.where, .timeout_ms = 5000, .rdma = "rails=none"};
    struct cenote *c = NULL;

    expect("open", cenote_open(&o, &c), CENOTE_INVALID);
    o.rdma = NULL;
    CHECK(setenv("CENOTE_RDMA", "none,nosuch0", 1) == 0);
    expect("open", cenote_open(&o, &c), CENOTE_INVALID);
    CHECK(c == NULL);
    o.rdma = "nosuch0,rails=1"; /* weighs more than the environment */
    expect("open", cenote_open(&o, &c), CENOTE_OK);
    cenote_close(&c);
    CHECK(unsetenv("CENOTE_RDMA") == 0);
}

static void wrong_arguments(void)
{
    struct cenote_buffer hole = {NULL, 5};
    struct cenote_put_item item = {.key = {"k", 1}, .buffers = &hole, .buffer_count = 1};
    const struct cenote_options bad = {.meta = service.where, .name_space = "no spaces"};
    struct cenote *none = NULL;

    expect("put", put("", 1), CENOTE_KEY_SIZE);
    expect("put", cenote_put_batch(client, &item, 1, 0), CENOTE_INVALID);
    CHECK(item.status == CENOTE_INVALID);
    expect("put", cenote_put(client, "k", 1, value, 1, 77), CENOTE_INVALID);
    expect("put", cenote_put_batch(client, NULL, 1, 0), CENOTE_INVALID);
    expect("put", cenote_put_batch(client, NULL, 0, 0), CENOTE_OK);
    expect("put", cenote_put(client, "k", 1, value, SIZE_MAX, 0), CENOTE_VALUE_SIZE);
    expect("put", cenote_put(NULL, "k", 1, value, 1, 0), CENOTE_INVALID);
    expect("get", cenote_get(client, "k", CENOTE_KEY_MAX + 1, value, 1, NULL), CENOTE_KEY_SIZE);
    expect("exists", cenote_exists(client, NULL, 1, NULL, NULL), CENOTE_INVALID);
    expect("stat", cenote_stat(client, "k", 1, NULL), CENOTE_INVALID);
    expect("open", cenote_open(&bad, &none), CENOTE_INVALID);
    bad_rdma();
    CHECK(!none);
    cenote_close(NULL);
    cenote_close(&none);
}

static void connection_breaks(void)
{
    unsigned opened = atomic_load(&service.opened);

    expect("put", put("c", 10), CENOTE_OK);
    service_hang_up(&service, false);
    expect_value("c", 10);
    CHECK(atomic_load(&service.opened) == opened && atomic_load(&service.resumed) > 0);
}

static void session_ends(void)
{
    unsigned opened = atomic_load(&service.opened);
    const struct cenote_key key = {"s", 1};

    service_hang_up(&service, true);
    expect("put", put("s", 10), CENOTE_OK);
    expect_value("s", 10);
    CHECK(atomic_load(&service.opened) == opened + 1);
    /* Whether the hang-up is seen before or after the request was sent is chance. */
    service_hang_up(&service, true);
    int status = cenote_remove(client, &key, 1, NULL);
    if (status == CENOTE_UNKNOWN)
        status = cenote_remove(client, &key, 1, NULL);
    expect("remove", status, CENOTE_OK);
}

static void answers_are_lost(void)
{
    const struct cenote_key key = {"l", 1};
    unsigned lost = atomic_load(&service.lost);

    service_lose(&service, METHOD_PUT_START, 1);
    expect("put", put("l", VALUE_BYTES), CENOTE_OK);
    service_lose(&service, METHOD_LOOKUP, 2);
    expect_value("l", VALUE_BYTES);
    service_lose(&service, METHOD_PUT_COMMIT, 2);
    expect("put", put("m", VALUE_BYTES), CENOTE_OK);
    expect_value("m", VALUE_BYTES);
    service_lose(&service, METHOD_REMOVE, 3);
    expect("remove", cenote_remove(client, &key, 1, NULL), CENOTE_OK);
    expect("remove", cenote_remove(client, &key, 1, NULL), CENOTE_NOT_FOUND);
    CHECK(atomic_load(&service.lost) == lost + 8);
}

/* A service that can't look up what it answered doesn't take back what it did. */
static void repetitions_are_refused(void)
{
    const struct cenote_key key = {"r", 1};

    expect("put", put("r", 10), CENOTE_OK);
    service_lose_one(&service, METHOD_REMOVE, 3);
    expect("remove", cenote_remove(client, &key, 1, NULL), CENOTE_OK);
    expect("remove", cenote_remove(client, &key, 1, NULL), CENOTE_NOT_FOUND);
}

/* The service comes back without the session: what became of the remove isn't known. */
static void session_and_answer_are_lost(void)
{
    const struct cenote_key key = {"m", 1};

    service_lose_all(&service, METHOD_REMOVE, 1);
    expect("remove", cenote_remove(client, &key, 1, NULL), CENOTE_UNKNOWN);
    expect("remove", cenote_remove(client, &key, 1, NULL), CENOTE_NOT_FOUND);
}

static void service_is_away(void)
{
    struct cenote *none = NULL;
    const struct cenote_options o = {.meta = service.where};
    uint64_t begun_ms = clock_now_ms();
    int status;

    service_stop(&service);
    for (int i = 0; i < 50; i++)
        expect("get", cenote_get(client, "c", 1, value, 1, NULL), CENOTE_UNAVAILABLE);
    expect("open", cenote_open(&o, &none), CENOTE_UNAVAILABLE);
    CHECK(clock_now_ms() - begun_ms < 2000);
    service_start(&service);
    while ((status = put("away", 10)) == CENOTE_UNAVAILABLE)
        CHECK(clock_now_ms() - begun_ms < 10000);
    expect("put", status, CENOTE_OK);
    expect_value("away", 10);
}

static unsigned open_sockets(void)
{
    DIR *d = opendir("/proc/self/fd");
    char target[16];
    unsigned count = 0;

    CHECK(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        count +=
            readlinkat(dirfd(d), e->d_name, target, 7) == 7 && memcmp(target, "socket:", 7) == 0;
    closedir(d);
    return count;
}

/* In a child of its own: the copy of a client answers FORKED to everything, and can be closed; the
 * parent's connections don't feel it. */
static void child(void)
{
    unsigned sockets = open_sockets();

    struct cenote_list list = {0};
    const struct cenote_key key = {"f", 1};
    struct cenote_stat stat;
    char *json;

    if (put("f", 1) != CENOTE_FORKED ||
        cenote_exists(client, &key, 1, NULL, NULL) != CENOTE_FORKED ||
        cenote_get(client, "f", 1, value, 1, NULL) != CENOTE_FORKED ||
        cenote_remove(client, &key, 1, NULL) != CENOTE_FORKED ||
        cenote_stat(client, "f", 1, &stat) != CENOTE_FORKED ||
        cenote_list(client, NULL, 0, &list) != CENOTE_FORKED ||
        cenote_pool_status(client, &json) != CENOTE_FORKED)
        _exit(1);
    cenote_close(&client);
    if (client)
        _exit(2);
    /* the control connection and the node's */
    _exit(open_sockets() > sockets - 2 ? 3 : 0);
}

static void process_forks(void)
{
    int status;

    expect("put", put("f", 100), CENOTE_OK);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        child();
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    expect_value("f", 100);
}

static void *worker(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        char key[24];
        snprintf(key, sizeof key, "t%u/%u", number, i);
        expect("put", put(key, 4000 + i), CENOTE_OK);
        expect_value(key, 4000 + i);
    }
    return NULL;
}

/* A put that its session didn't outlive says so, and may be made again. */
static void *patient_worker(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        char key[24];
        int status;
        snprintf(key, sizeof key, "p%u/%u", number, i);
        do
            status = put(key, 4000 + i);
        while (status == CENOTE_ABORTED || status == CENOTE_UNKNOWN ||
               status == CENOTE_UNAVAILABLE);
        CHECK(status == CENOTE_OK || status == CENOTE_EXISTS);
    }
    return NULL;
}

static void expect_patience(void)
{
    for (unsigned k = 0; k < THREADS * ROUNDS; k++) {
        char key[24];
        snprintf(key, sizeof key, "p%u/%u", k / ROUNDS, k % ROUNDS);
        expect_value(key, 4000 + k % ROUNDS);
    }
}

static void threads_while_connections_break(void *(*work)(void *), bool sessions_too)
{
    pthread_t threads[THREADS];
    const struct timespec pause = {.tv_nsec = 10000000};

    for (uintptr_t i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, work, (void *)i) == 0);
    for (unsigned i = 0; i < 10; i++) {
        service_hang_up(&service, sessions_too);
        nanosleep(&pause, NULL);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    char path[64];

    snprintf(path, sizeof path, "@cenote-client-calls-%ld", (long)getpid());
    fake_fill(value, sizeof value, 9);
    service_begin(&service, path);
    open_client();
    all_functions();
    wrong_arguments();
    connection_breaks();
    session_ends();
    answers_are_lost();
    repetitions_are_refused();
    session_and_answer_are_lost();
    service_is_away();
    process_forks();
    threads_while_connections_break(worker, false);
    threads_while_connections_break(patient_worker, true);
    expect_patience();
    cenote_close(&client);
    service_end(&service);
    return 0;
}
