/* SPDX-License-Identifier: Apache-2.0 */
/* Lookups in batches among many small objects: how many keys a second does the service answer? */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "meta/stub/messages.h"
#include "transport/base/clock.h"
#include "transport/rpc/rpc.h"

#define KEY_BYTES       24
#define PUT_BATCH       1024u
#define CALL_TIMEOUT_MS 10000u

struct asker {
    const struct bench_options *options;
    pthread_t thread;
    uint64_t seed, missing;
    struct samples calls;
    bool failed;
};

static int put_some(struct cenote *client, uint64_t first, uint64_t count)
{
    static char keys[PUT_BATCH][KEY_BYTES];
    static struct cenote_put_item items[PUT_BATCH];
    static struct cenote_buffer buffers[PUT_BATCH];

    for (uint64_t i = 0; i < count; i++) {
        int len = snprintf(keys[i], KEY_BYTES, "o/%llu", (unsigned long long)(first + i));
        buffers[i] = (struct cenote_buffer){keys[i], (size_t)len};
        items[i] = (struct cenote_put_item){
            .key = {keys[i], (size_t)len}, .buffers = &buffers[i], .buffer_count = 1};
    }
    return cenote_put_batch(client, items, (size_t)count, 0);
}

static int put_all(const struct bench_options *o, struct cenote *client)
{
    for (uint64_t done = 0; done < o->objects; done += PUT_BATCH) {
        uint64_t left = o->objects - done;
        int status = put_some(client, done, left < PUT_BATCH ? left : PUT_BATCH);
        if (status != CENOTE_OK) {
            fprintf(stderr, "cenote-bench: put: %s\n", cenote_status_text(status));
            return status;
        }
    }
    return CENOTE_OK;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* A session of the asker's own, on the control protocol itself: what is measured is the service. */
static int open_session(struct asker *a, struct rpc_client **out)
{
    struct session_open_params params = {.protocol = PROTOCOL_VERSION, .client = "cenote-bench"};
    struct wire_buf request = {0};
    struct rpc_answer answer;
    struct endpoint service;
    int status = endpoint_parse(a->options->meta, &service);

    snprintf(params.name_space, sizeof params.name_space, "%s", a->options->name_space);
    if (status == CENOTE_OK)
        status = rpc_client_open(&service, CALL_TIMEOUT_MS, out);
    if (status != CENOTE_OK)
        return status;
    wire_put_request(&request, 0, METHOD_SESSION_OPEN);
    session_open_params_put(&request, &params);
    status = rpc_client_call(*out, request.data, request.len, CALL_TIMEOUT_MS, &answer);
    if (status == CENOTE_OK)
        rpc_answer_free(&answer);
    else
        rpc_client_close(*out);
    wire_buf_free(&request);
    return status;
}

static void write_lookup(struct asker *a, struct wire_buf *request)
{
    char key[KEY_BYTES];

    wire_buf_clear(request);
    wire_put_request(request, 0, METHOD_LOOKUP);
    keys_params_put(request, (uint32_t)a->options->batch);
    for (uint64_t i = 0; i < a->options->batch; i++) {
        uint64_t n = next_random(&a->seed) % a->options->objects;
        int len = snprintf(key, sizeof key, "o/%llu", (unsigned long long)n);
        wire_put_bin(request, key, (size_t)len);
    }
}

static bool lookup_once(struct asker *a, struct rpc_client *rpc, struct wire_buf *request)
{
    struct rpc_answer answer;
    uint64_t leading = 0;

    write_lookup(a, request);
    uint64_t start_ns = clock_now_ns();
    if (rpc_client_call(rpc, request->data, request->len, CALL_TIMEOUT_MS, &answer) != CENOTE_OK)
        return false;
    bool good = samples_add(&a->calls, clock_now_ns() - start_ns) &&
                wire_uint(wire_at(answer.msg.result, 0), &leading);
    a->missing += a->options->batch - leading;
    rpc_answer_free(&answer);
    return good;
}

static void *ask(void *arg)
{
    struct asker *a = arg;
    struct rpc_client *rpc;
    struct wire_buf request = {0};

    a->failed = open_session(a, &rpc) != CENOTE_OK;
    if (a->failed)
        return NULL;
    for (uint64_t round = 0; !a->failed && round < a->options->rounds; round++)
        a->failed = !lookup_once(a, rpc, &request);
    wire_buf_free(&request);
    rpc_client_close(rpc);
    return NULL;
}

static int measure(const struct bench_options *o, struct asker *askers)
{
    uint64_t start_ns = clock_now_ns(), missing = 0;
    size_t started = 0, count = (size_t)o->workers;
    bool good = true;

    for (; started < count; started++) {
        askers[started] = (struct asker){.options = o, .seed = started * 7919 + 1};
        if (pthread_create(&askers[started].thread, NULL, ask, &askers[started]) != 0)
            break;
    }
    for (size_t i = 0; i < started; i++) {
        pthread_join(askers[i].thread, NULL);
        good = good && !askers[i].failed;
        missing += askers[i].missing;
        if (i > 0)
            good = samples_merge(&askers[0].calls, &askers[i].calls) && good;
    }
    double seconds = (double)(clock_now_ns() - start_ns) / 1e9;
    if (!good || started < count || missing > 0) {
        fprintf(stderr, "cenote-bench: lookup failed (%llu keys missing)\n",
                (unsigned long long)missing);
        return 1;
    }
    double keys = (double)(o->batch * o->rounds * o->workers);
    bench_print(o, json_pack("{s:I, s:I, s:f, s:o}", "objects", (json_int_t)o->objects, "batch",
                             (json_int_t)o->batch, "keys_per_s", keys / seconds, "call",
                             bench_latencies(&askers[0].calls)));
    return 0;
}

int bench_lookup(const struct bench_options *o, int argc, char **argv)
{
    struct cenote *client = NULL;
    int exit_status = 1;

    (void)argv;
    if (argc != 0) {
        fputs("cenote-bench: lookup takes no argument\n", stderr);
        return 2;
    }
    struct asker *askers = calloc((size_t)o->workers, sizeof *askers);
    if (askers && bench_open(o, &client) == CENOTE_OK && put_all(o, client) == CENOTE_OK)
        exit_status = measure(o, askers);
    cenote_close(&client);
    for (size_t i = 0; askers && i < (size_t)o->workers; i++)
        samples_free(&askers[i].calls);
    free(askers);
    return exit_status;
}
