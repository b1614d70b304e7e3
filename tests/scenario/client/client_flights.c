/* SPDX-License-Identifier: Apache-2.0 */
/* Operations in the background beside calls that wait, on one client of a service that breaks off,
 * forgets, and loses answers. */
#include <cenote/async.h>
#include <cenote/metrics.h>
#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "tests/scenario/check.h"
#include "tests/scenario/client/service.h"
#include "transport/base/clock.h"

#define KEYS       8u
#define BYTES      20000u
#define AT_ONCE    24u
#define THREADS    2u
#define OPERATIONS 250u /* of a thread */
#define HANG_UPS   12
#define TRACED     5u

static struct service service;
static struct cenote *client;
static atomic_bool over;
static atomic_uint landed;

static void fill(unsigned key, uint8_t *out)
{
    for (unsigned i = 0; i < BYTES; i++)
        out[i] = (uint8_t)(key * 31 + i);
}

static bool is_value(unsigned key, const uint8_t *data)
{
    for (unsigned i = 0; i < BYTES; i++)
        if (data[i] != (uint8_t)(key * 31 + i))
            return false;
    return true;
}

static const char *key_text(unsigned key)
{
    static const char *const texts[KEYS] = {"k0", "k1", "k2", "k3", "k4", "k5", "k6", "k7"};
    return texts[key];
}

static void open_client(void)
{
    const struct cenote_options o = {.meta = service.where,
                                     .transport = CENOTE_TRANSPORT_TCP,
                                     .timeout_ms = 5000,
                                     .cache_bytes = 1}; /* every get asks */
    CHECK_EQ(cenote_open(&o, &client), CENOTE_OK);
}

struct work {
    unsigned key;
    struct cenote_buffer piece;
    struct cenote_get_item item;
    uint8_t *bytes;
    atomic_bool flying;
};

static void prepare(struct work *w)
{
    w->bytes = calloc(1, BYTES);
    CHECK(w->bytes);
    w->piece = (struct cenote_buffer){w->bytes, BYTES};
}

static void *submit_all(void *arg)
{
    struct work *all = arg;

    for (unsigned i = 0; i < OPERATIONS; i++) {
        struct work *w = &all[i % AT_ONCE];
        struct cenote_submit how = {.user_data = (uintptr_t)w,
                                    .deadline_ms = i % 7 == 0 ? 1 + i % 3 : 0};
        uint64_t id;

        while (atomic_load(&w->flying))
            sched_yield();
        w->key = i % KEYS;
        w->item = (struct cenote_get_item){
            .key = {key_text(w->key), 2}, .buffers = &w->piece, .buffer_count = 1, .status = 1};
        atomic_store(&w->flying, true);
        CHECK_EQ(cenote_submit_get(client, &w->item, 1, &how, &id), CENOTE_OK);
        if (i % 5 == 0)
            (void)cenote_cancel(client, id);
    }
    return NULL;
}

static void *fetch_all(void *arg)
{
    struct cenote_completion done[4];

    (void)arg;
    while (atomic_load(&landed) < THREADS * OPERATIONS) {
        int n = cenote_completions(client, done, 4, 50);
        CHECK(n >= 0);
        for (int i = 0; i < n; i++) {
            struct work *w = (struct work *)(uintptr_t)done[i].user_data;
            int status = done[i].status;

            CHECK_EQ(status, w->item.status);
            CHECK(status == CENOTE_OK || status == CENOTE_CANCELLED || status == CENOTE_TIMED_OUT ||
                  status == CENOTE_UNAVAILABLE);
            CHECK(status != CENOTE_OK || is_value(w->key, w->bytes));
            memset(w->bytes, 0, BYTES); /* nobody else touches it */
            atomic_store(&w->flying, false);
            atomic_fetch_add(&landed, 1);
        }
    }
    return NULL;
}

static void *call_and_wait(void *arg)
{
    uint8_t *bytes = calloc(1, BYTES);
    uint64_t len;

    (void)arg;
    CHECK(bytes);
    for (unsigned i = 0; !atomic_load(&over); i++) {
        int status = cenote_get(client, key_text(i % KEYS), 2, bytes, BYTES, &len);
        CHECK(status == CENOTE_OK || status == CENOTE_UNAVAILABLE);
        CHECK(status != CENOTE_OK || is_value(i % KEYS, bytes));
    }
    free(bytes);
    return NULL;
}

static void nap(int ms)
{
    (void)poll(NULL, 0, ms);
}

static void together(void)
{
    static struct work work[THREADS][AT_ONCE];
    pthread_t submitters[THREADS], fetchers[2], caller;

    for (unsigned i = 0; i < THREADS * AT_ONCE; i++)
        prepare(&work[i / AT_ONCE][i % AT_ONCE]);
    CHECK(pthread_create(&caller, NULL, call_and_wait, NULL) == 0);
    for (unsigned i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&fetchers[i], NULL, fetch_all, NULL) == 0);
        CHECK(pthread_create(&submitters[i], NULL, submit_all, work[i]) == 0);
    }
    for (int i = 0; i < HANG_UPS; i++) {
        nap(5);
        if (i % 4 == 3)
            service_lose(&service, METHOD_LOOKUP, 2);
        else
            service_hang_up(&service, i % 4 == 2);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(submitters[i], NULL);
        pthread_join(fetchers[i], NULL);
    }
    atomic_store(&over, true);
    pthread_join(caller, NULL);
    for (unsigned i = 0; i < THREADS * AT_ONCE; i++)
        free(work[i / AT_ONCE][i % AT_ONCE].bytes);
}

/* Puts whose calls and answers are lost end well all the same; and the client is closed over some
 * that are under way. */
static void puts_and_close(void)
{
    static uint8_t bytes[KEYS][BYTES];
    static struct cenote_buffer piece[KEYS];
    static struct cenote_put_item items[KEYS];
    struct cenote_completion done;

    for (unsigned round = 0; round < 3; round++) {
        service_lose(&service, round == 0 ? METHOD_PUT_START : METHOD_PUT_COMMIT, round);
        for (unsigned i = 0; i < KEYS; i++) {
            fill(i, bytes[i]);
            piece[i] = (struct cenote_buffer){bytes[i], BYTES};
            items[i] = (struct cenote_put_item){
                .key = {key_text(i), 2}, .buffers = &piece[i], .buffer_count = 1, .status = 1};
            CHECK_EQ(cenote_submit_put(client, &items[i], 1, CENOTE_PUT_REPLACE, NULL, NULL),
                     CENOTE_OK);
        }
        for (unsigned i = 0; i < KEYS && round < 2; i++) {
            CHECK_EQ(cenote_completions(client, &done, 1, 10000), 1);
            CHECK_EQ(done.status, CENOTE_OK);
        }
    }
    cenote_close(&client);
    for (unsigned i = 0; i < KEYS; i++) {
        CHECK(items[i].status != 1);
        memset(bytes[i], 0, BYTES);
    }
}

/* While the service is away operations end at once; it comes back, and so do they. */
static void service_is_away(void)
{
    uint8_t *bytes = calloc(1, BYTES);
    struct cenote_buffer piece = {bytes, BYTES};
    struct cenote_get_item item = {.key = {"k1", 2}, .buffers = &piece, .buffer_count = 1};
    struct cenote_completion done = {.status = CENOTE_OK};
    uint64_t begun_ms = clock_now_ms();

    CHECK(bytes);
    service_stop(&service);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(cenote_submit_get(client, &item, 1, NULL, NULL), CENOTE_OK);
        CHECK_EQ(cenote_completions(client, &done, 1, 10000), 1);
        CHECK_EQ(done.status, CENOTE_UNAVAILABLE);
    }
    CHECK(clock_now_ms() - begun_ms < 2000);
    service_start(&service);
    while (done.status == CENOTE_UNAVAILABLE) {
        CHECK(clock_now_ms() - begun_ms < 10000);
        CHECK_EQ(cenote_submit_get(client, &item, 1, NULL, NULL), CENOTE_OK);
        CHECK_EQ(cenote_completions(client, &done, 1, 10000), 1);
    }
    CHECK(done.status == CENOTE_OK && is_value(1, bytes));
    free(bytes);
}

static void check_counted(const char *page, const char *operation, const char *stage,
                          unsigned count)
{
    char line[128];

    snprintf(line, sizeof line, "cenote_trace_seconds_count{operation=\"%s\",stage=\"%s\"} %u\n",
             operation, stage, count);
    if (!strstr(page, line))
        fprintf(stderr, "no %sin\n%s", line, page);
    CHECK(strstr(page, line));
}

static unsigned count_of(const char *text, const char *what)
{
    unsigned count = 0;

    for (; (text = strstr(text, what)); text++)
        count++;
    return count;
}

static void fly(unsigned key, uint8_t *bytes, bool puts)
{
    struct cenote_buffer piece = {bytes, BYTES};
    struct cenote_get_item get = {.key = {key_text(key), 2}, .buffers = &piece, .buffer_count = 1};
    struct cenote_put_item put = {.key = get.key, .buffers = &piece, .buffer_count = 1};
    struct cenote_completion done;

    CHECK_EQ(puts ? cenote_submit_put(client, &put, 1, CENOTE_PUT_REPLACE, NULL, NULL)
                  : cenote_submit_get(client, &get, 1, NULL, NULL),
             CENOTE_OK);
    CHECK_EQ(cenote_completions(client, &done, 1, 10000), 1);
    CHECK_EQ(done.status, CENOTE_OK);
}

/* An operation has a span, and each of its stages; the trace has them when its end is told. */
static void traced(void)
{
    static const char *const get[] = {"", "lookup", "copy", "verify"};
    static const char *const put[] = {"", "start", "copy", "verify", "commit"};
    uint8_t *bytes = calloc(1, BYTES);
    char *page, *json;

    CHECK(bytes);
    CHECK_EQ(cenote_trace(client, true), CENOTE_OK);
    for (unsigned i = 0; i < TRACED; i++) {
        fly(i, bytes, false);
        fly(i, bytes, true);
    }
    CHECK_EQ(cenote_metrics(client, &page), CENOTE_OK);
    CHECK_EQ(cenote_trace_dump(client, &json), CENOTE_OK);
    for (unsigned i = 0; i < sizeof get / sizeof *get; i++)
        check_counted(page, "get", get[i], TRACED);
    for (unsigned i = 0; i < sizeof put / sizeof *put; i++)
        check_counted(page, "put", put[i], TRACED);
    check_counted(page, "get", "queue", TRACED * 2); /* for the pump, and for its call */
    check_counted(page, "put", "queue", TRACED * 3);
    CHECK_EQ(count_of(json, "\"ph\":\"b\""), TRACED * (4 + 2 + 5 + 3));
    CHECK_EQ(count_of(json, "\"ph\":\"e\""), TRACED * (4 + 2 + 5 + 3));
    free(page);
    free(json);
    free(bytes);
}

/* Whatever has become of operations, their spans and those of their stages have ended. */
static void nothing_is_traced_for_ever(void)
{
    char *page;

    CHECK_EQ(cenote_metrics(client, &page), CENOTE_OK);
    for (const char *at = page; (at = strstr(at, "\ncenote_trace_in_flight{")); at++)
        CHECK(strncmp(strstr(at, "} "), "} 0\n", 4) == 0);
    CHECK(strstr(page, "cenote_trace_in_flight{operation=\"get\",stage=\"queue\"} 0\n"));
    free(page);
}

int main(void)
{
    static uint8_t bytes[BYTES];
    char path[48];

    snprintf(path, sizeof path, "@cenote-flights-%ld", (long)getpid());
    service_begin(&service, path);
    open_client();
    for (unsigned i = 0; i < KEYS; i++) {
        fill(i, bytes);
        CHECK_EQ(cenote_put(client, key_text(i), 2, bytes, BYTES, 0), CENOTE_OK);
    }
    traced();
    together();
    service_is_away();
    nothing_is_traced_for_ever();
    puts_and_close();
    service_end(&service);
    return 0;
}
