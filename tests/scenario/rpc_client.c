/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The blocking client against a real service: many threads, time-outs, late answers, lost and
 * closed connections. With arguments "time N" it measures a call instead, on N threads.
 */
#include <cenote/status.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "tests/scenario/check.h"
#include "tests/scenario/rpc_host.h"
#include "transport/base/clock.h"

#define CALLERS_MAX 16
#define CALL_MS     60000u /* that it hangs, not that the machine is busy */

static struct rpc_client *client_at(const struct endpoint *e)
{
    struct rpc_client *c;
    CHECK_EQ(rpc_client_open(e, CALL_MS, &c), CENOTE_OK);
    CHECK(rpc_client_alive(c));
    return c;
}

/* A call without params. */
static int call(struct rpc_client *c, const char *method, uint32_t timeout_ms)
{
    struct wire_buf b = {0};
    struct rpc_answer answer;
    wire_put_request(&b, 0, method);
    wire_put_array(&b, 0);
    int rc = rpc_client_call(c, b.data, b.len, timeout_ms, &answer);
    if (rc == CENOTE_OK)
        rpc_answer_free(&answer);
    wire_buf_free(&b);
    return rc;
}

static int call_echo(struct rpc_client *c, const uint8_t *data, size_t len_bytes,
                     uint32_t timeout_ms)
{
    struct wire_buf b = {0};
    struct rpc_answer answer;
    const uint8_t *got;
    size_t got_bytes;
    wire_put_request(&b, 0, "echo");
    wire_put_array(&b, 1);
    wire_put_bin(&b, data, len_bytes);
    int rc = rpc_client_call(c, b.data, b.len, timeout_ms, &answer);
    wire_buf_free(&b);
    if (rc != CENOTE_OK)
        return rc;
    CHECK(wire_bin(answer.msg.result, &got, &got_bytes));
    CHECK(got_bytes == len_bytes && memcmp(got, data, len_bytes) == 0);
    rpc_answer_free(&answer);
    return CENOTE_OK;
}

static void call_big(struct rpc_client *c, uint32_t len_bytes)
{
    struct wire_buf b = {0};
    struct rpc_answer answer;
    const uint8_t *got;
    size_t got_bytes;
    wire_put_request(&b, 0, "big");
    wire_put_array(&b, 1);
    wire_put_uint(&b, len_bytes);
    CHECK_EQ(rpc_client_call(c, b.data, b.len, CALL_MS, &answer), CENOTE_OK);
    CHECK(wire_bin(answer.msg.result, &got, &got_bytes) && got_bytes == len_bytes);
    rpc_answer_free(&answer);
    wire_buf_free(&b);
}

/* ---- callers on threads -------------------------------------------------------------------- */

struct caller {
    pthread_t thread;
    struct rpc_client *client;
    unsigned number, calls;
    const char *method;
    uint32_t timeout_ms;
    int want;
};

static void *echo_main(void *arg)
{
    struct caller *who = arg;
    uint8_t data[3000];
    for (unsigned i = 0; i < who->calls; i++) {
        size_t len_bytes = (i * 37 + who->number * 11) % sizeof(data);
        memset(data, (int)(i + who->number), len_bytes);
        CHECK_EQ(call_echo(who->client, data, len_bytes, CALL_MS), CENOTE_OK);
    }
    return NULL;
}

static void *method_main(void *arg)
{
    struct caller *who = arg;
    CHECK_EQ(call(who->client, who->method, who->timeout_ms), who->want);
    return NULL;
}

static void start(struct caller *callers, unsigned n, void *(*run)(void *), struct caller kind)
{
    CHECK(n <= CALLERS_MAX);
    for (unsigned i = 0; i < n; i++) {
        callers[i] = kind;
        callers[i].number = i;
        CHECK_EQ(pthread_create(&callers[i].thread, NULL, run, &callers[i]), 0);
    }
}

static void join(struct caller *callers, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        pthread_join(callers[i].thread, NULL);
}

/* ---- cases --------------------------------------------------------------------------------- */

static void case_many_threads(const struct rpc_host *h)
{
    struct caller callers[8];
    struct rpc_client *c = client_at(&h->at);
    start(callers, 8, echo_main, (struct caller){.client = c, .calls = 300});
    join(callers, 8);
    CHECK_EQ(call(c, "fail", CALL_MS), CENOTE_NOT_FOUND);
    CHECK_EQ(call(c, "nonsense", 0), CENOTE_NO_METHOD);
    rpc_client_close(c);
}

static void case_large(const struct rpc_host *h)
{
    struct rpc_client *c = client_at(&h->at);
    size_t len_bytes = 9u << 20;
    uint8_t *data = malloc(len_bytes);
    memset(data, 7, len_bytes);
    CHECK_EQ(call_echo(c, data, len_bytes, CALL_MS), CENOTE_OK);
    free(data);
    call_big(c, 12u << 20);
    struct rpc_answer answer;
    uint8_t *huge = calloc(1, WIRE_FRAME_MAX + 1);
    CHECK_EQ(rpc_client_call(c, huge, WIRE_FRAME_MAX + 1, CALL_MS, &answer), CENOTE_FRAME_SIZE);
    free(huge);
    CHECK_EQ(call_echo(c, (const uint8_t *)"x", 1, CALL_MS), CENOTE_OK);
    rpc_client_close(c);
}

/* An answer after its call's time is dropped, and the connection goes on. */
static void case_late_answers(struct rpc_host *h)
{
    struct rpc_client *c = client_at(&h->at);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(call(c, "hold", 5), CENOTE_TIMED_OUT);
    host_await(&h->held_count, 3);
    CHECK_EQ(call(c, "release", CALL_MS), CENOTE_OK);
    CHECK_EQ(call_echo(c, (const uint8_t *)"x", 1, CALL_MS), CENOTE_OK);
    CHECK(rpc_client_alive(c));
    rpc_client_close(c);
}

/* The leader's time is up while others wait: one of them must lead, or they wait for ever. */
static void case_leader_leaves(struct rpc_host *h)
{
    struct caller first, others[4];
    struct rpc_client *c = client_at(&h->at);
    start(
        &first, 1, method_main,
        (struct caller){.client = c, .method = "hold", .timeout_ms = 60, .want = CENOTE_TIMED_OUT});
    host_await(&h->held_count, 1);
    start(others, 4, method_main, (struct caller){.client = c, .method = "hold"});
    host_await(&h->held_count, 5);
    join(&first, 1);
    struct rpc_client *releaser = client_at(&h->at);
    CHECK_EQ(call(releaser, "release", CALL_MS), CENOTE_OK);
    join(others, 4);
    rpc_client_close(releaser);
    rpc_client_close(c);
}

enum { PATIENCE_MS = 2000, NAP_STEP_US = 10000 };

static pthread_t napper;
static uint64_t nap_ends_ms; /* not before its call's time is up */
static atomic_bool connected, answered;

static void nap(int signal_number)
{
    (void)signal_number;
    while (!atomic_load(&answered) || clock_now_ms() < nap_ends_ms)
        usleep(NAP_STEP_US);
}

static void *release_main(void *arg)
{
    struct rpc_host *h = arg;
    struct rpc_client *c = client_at(&h->at);
    atomic_store(&connected, true);
    host_await(&h->held_count, 1);
    CHECK_EQ(pthread_kill(napper, SIGUSR1), 0);
    CHECK_EQ(call(c, "release", CALL_MS), CENOTE_OK);
    atomic_store(&answered, true);
    rpc_client_close(c);
    return NULL;
}

/* This process stands still for longer than its patience: the answer that came meanwhile counts. */
static void case_own_nap(struct rpc_host *h)
{
    const struct sigaction act = {.sa_handler = nap};
    struct rpc_client *c = client_at(&h->at);
    pthread_t thread;
    napper = pthread_self();
    atomic_store(&connected, false);
    atomic_store(&answered, false);
    CHECK_EQ(sigaction(SIGUSR1, &act, NULL), 0);
    CHECK_EQ(pthread_create(&thread, NULL, release_main, h), 0);
    while (!atomic_load(&connected))
        usleep(NAP_STEP_US);
    nap_ends_ms = clock_now_ms() + PATIENCE_MS + PATIENCE_MS / 10;
    CHECK_EQ(call(c, "hold", PATIENCE_MS), CENOTE_OK);
    pthread_join(thread, NULL);
    rpc_client_close(c);
}

static void case_hangup(struct rpc_host *h)
{
    struct caller callers[4];
    struct rpc_client *c = client_at(&h->at);
    start(callers, 4, method_main,
          (struct caller){.client = c, .method = "hold", .want = CENOTE_UNKNOWN});
    host_await(&h->held_count, 4);
    CHECK_EQ(call(c, "hangup", CALL_MS), CENOTE_UNKNOWN);
    join(callers, 4);
    CHECK(!rpc_client_alive(c));
    CHECK_EQ(call(c, "echo", CALL_MS), CENOTE_UNAVAILABLE);
    rpc_client_close(c);
}

static void case_close_while_calling(struct rpc_host *h)
{
    struct caller callers[4];
    struct rpc_client *c = client_at(&h->at);
    start(callers, 4, method_main,
          (struct caller){.client = c, .method = "hold", .want = CENOTE_UNKNOWN});
    host_await(&h->held_count, 4);
    rpc_client_close(c);
    join(callers, 4);
}

static void case_stray_response(const struct rpc_host *h)
{
    struct rpc_client *c = client_at(&h->at);
    CHECK_EQ(call(c, "stray", CALL_MS), CENOTE_UNKNOWN);
    CHECK(!rpc_client_alive(c));
    rpc_client_close(c);
}

/* Nothing is in doubt about a request to a service that had gone before it was made. */
static void case_service_gone(const char *where)
{
    struct rpc_host h;
    struct rpc_client *c, *other;
    host_start(&h, where, NULL);
    c = client_at(&h.at);
    CHECK_EQ(call_echo(c, (const uint8_t *)"x", 1, CALL_MS), CENOTE_OK);
    host_stop(&h);
    usleep(120 * 1000); /* the silence after which the client looks */
    CHECK_EQ(call(c, "echo", CALL_MS), CENOTE_UNAVAILABLE);
    CHECK(!rpc_client_alive(c));
    rpc_client_close(c);
    CHECK_EQ(rpc_client_open(&h.at, 1000, &other), CENOTE_UNAVAILABLE);
}

static void case_frame_limit(const char *where)
{
    struct rpc_host h;
    uint8_t data[2000] = {0};
    host_start(&h, where, &(struct rpc_limits){.frame_max_bytes = 1000});
    struct rpc_client *c = client_at(&h.at);
    CHECK_EQ(call_echo(c, data, 900, CALL_MS), CENOTE_OK);
    CHECK_EQ(call_echo(c, data, 2000, CALL_MS), CENOTE_UNKNOWN);
    CHECK(!rpc_client_alive(c));
    rpc_client_close(c);
    host_stop(&h);
}

/* A service that accepts and never reads. */
static void case_clogged(void)
{
    struct endpoint e, bound;
    CHECK_EQ(endpoint_parse("127.0.0.1:0", &e), CENOTE_OK);
    int fd = endpoint_listen(&e, 8, &bound);
    size_t len_bytes = 15u << 20;
    uint8_t *data = calloc(1, len_bytes);
    struct rpc_client *c = client_at(&bound);
    CHECK_EQ(call_echo(c, data, 10, 20), CENOTE_TIMED_OUT);
    CHECK(rpc_client_alive(c));
    CHECK_EQ(call_echo(c, data, len_bytes, 50), CENOTE_UNAVAILABLE);
    CHECK(!rpc_client_alive(c));
    rpc_client_close(c);
    free(data);
    close(fd);
}

/* Nobody takes the large answers of calls that timed out, the service stops reading, and a large
 * request fills the socket: its caller must take the answers himself. */
static void case_clogged_by_late_answers(const char *where)
{
    struct rpc_host h;
    struct wire_buf b = {0};
    struct rpc_answer answer;
    size_t len_bytes = 8u << 20;
    uint8_t *data = calloc(1, len_bytes);
    host_start(&h, where, &(struct rpc_limits){.output_max_bytes = 1u << 20});
    struct rpc_client *c = client_at(&h.at);
    wire_put_request(&b, 0, "big");
    wire_put_array(&b, 1);
    wire_put_uint(&b, 3u << 20);
    /* An answer may be in time where this thread has to wait for its turn. */
    for (unsigned late = 0; late < 4;) {
        int status = rpc_client_call(c, b.data, b.len, 1, &answer);
        if (status == CENOTE_OK)
            rpc_answer_free(&answer);
        else
            CHECK_EQ(status, CENOTE_TIMED_OUT);
        late += status == CENOTE_TIMED_OUT;
    }
    CHECK_EQ(call_echo(c, data, len_bytes, CALL_MS), CENOTE_OK);
    wire_buf_free(&b);
    rpc_client_close(c);
    free(data);
    host_stop(&h);
}

static void run_cases(const char *where)
{
    struct rpc_host h;
    host_start(&h, where, NULL);
    case_many_threads(&h);
    case_large(&h);
    case_late_answers(&h);
    case_leader_leaves(&h);
    case_own_nap(&h);
    case_hangup(&h);
    case_close_while_calling(&h);
    case_stray_response(&h);
    host_stop(&h);
    case_service_gone(where);
    case_frame_limit(where);
    case_clogged_by_late_answers(where);
}

/* ---- measuring ----------------------------------------------------------------------------- */

static void *time_main(void *arg)
{
    struct caller *who = arg;
    uint8_t data[32] = {0};
    for (unsigned i = 0; i < who->calls; i++)
        CHECK_EQ(call_echo(who->client, data, sizeof(data), CALL_MS), CENOTE_OK);
    return NULL;
}

static void measure(const char *where, unsigned threads)
{
    struct rpc_host h;
    struct caller callers[CALLERS_MAX];
    const unsigned calls = 20000;
    host_start(&h, where, NULL);
    struct rpc_client *c = client_at(&h.at);
    uint64_t begin_ns = clock_now_ns();
    start(callers, threads, time_main, (struct caller){.client = c, .calls = calls});
    join(callers, threads);
    double us = (double)(clock_now_ns() - begin_ns) / 1000.0;
    printf("%s: %u threads: %.2f us/call each, %.0f calls/s\n", where, threads, us / calls,
           calls * threads / us * 1e6);
    rpc_client_close(c);
    host_stop(&h);
}

int main(int argc, char **argv)
{
    char path[64];
    snprintf(path, sizeof(path), "unix:@cenote-rpc-client-%d", (int)getpid());
    if (argc == 3 && strcmp(argv[1], "time") == 0) {
        measure(path, (unsigned)atoi(argv[2]));
        measure("127.0.0.1:0", (unsigned)atoi(argv[2]));
        return 0;
    }
    run_cases(path);
    run_cases("127.0.0.1:0");
    case_clogged();
    return 0;
}
