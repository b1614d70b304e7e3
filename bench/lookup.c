/* SPDX-License-Identifier: Apache-2.0 */
/* Lookups in batches among many objects: how many keys a second does the service answer? The
 * objects are made by protocol only (commit.c): what they hold doesn't matter to it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/rawstore.h"
#include "bench/service.h"
#include "meta/stub/messages.h"
#include "transport/base/clock.h"
#include "transport/base/hash.h"
#include "transport/rpc/rpc.h"

#define KEY_BYTES 32

struct asker {
    const struct bench_options *options;
    const char *prefix; /* of the keys */
    pthread_t thread;
    uint64_t seed, missing;
    struct samples calls;
    bool failed;
};

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void write_lookup(struct asker *a, struct wire_buf *request)
{
    char key[KEY_BYTES];

    wire_buf_clear(request);
    wire_put_request(request, 0, METHOD_LOOKUP);
    keys_params_put(request, (uint32_t)a->options->batch);
    for (uint64_t i = 0; i < a->options->batch; i++) {
        uint64_t n = next_random(&a->seed) % a->options->objects;
        int len = snprintf(key, sizeof key, "%s%llu", a->prefix, (unsigned long long)n);
        wire_put_bin(request, key, (size_t)len);
    }
}

static bool lookup_once(struct asker *a, struct rpc_client *rpc, struct wire_buf *request)
{
    struct rpc_answer answer;
    uint64_t leading = 0;

    write_lookup(a, request);
    uint64_t start_ns = clock_now_ns();
    if (rpc_client_call(rpc, request->data, request->len, SERVICE_TIMEOUT_MS, &answer) != CENOTE_OK)
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

    a->failed = service_session(a->options->meta, a->options->name_space, &rpc) != CENOTE_OK;
    if (a->failed)
        return NULL;
    for (uint64_t round = 0; !a->failed && round < a->options->rounds; round++)
        a->failed = !lookup_once(a, rpc, &request);
    wire_buf_free(&request);
    rpc_client_close(rpc);
    return NULL;
}

static int measure(const struct bench_options *o, struct asker *askers, const char *prefix)
{
    struct service_usage before, after;
    if (!service_usage(o->meta, &before))
        return 1;
    uint64_t start_ns = clock_now_ns(), missing = 0;
    size_t started = 0, count = (size_t)o->workers;
    bool good = true;

    for (; started < count; started++) {
        askers[started] =
            (struct asker){.options = o, .prefix = prefix, .seed = started * 7919 + 1};
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
    good = good && service_usage(o->meta, &after);
    if (!good || started < count || missing > 0) {
        fprintf(stderr, "cenote-bench: lookup failed (%llu keys missing)\n",
                (unsigned long long)missing);
        return 1;
    }
    double keys = (double)(o->batch * o->rounds * o->workers);
    bench_print(
        o,
        json_pack("{s:I, s:I, s:f, s:f, s:f, s:f, s:o}", "objects", (json_int_t)o->objects, "batch",
                  (json_int_t)o->batch, "keys_per_s", keys / seconds, "service_cpu_us_per_key",
                  (double)(after.cpu_ns - before.cpu_ns) / 1e3 / keys, "service_bytes_per_object",
                  (double)after.anonymous_bytes / (double)o->objects, "lmdb_alone_gets_per_s",
                  rawstore_gets(o->objects), "call", bench_latencies(&askers[0].calls)));
    return 0;
}

int bench_lookup(const struct bench_options *o, int argc, char **argv)
{
    char prefix[KEY_BYTES / 2];
    int exit_status = 1;

    (void)argv;
    if (argc != 0) {
        fputs("cenote-bench: lookup takes no argument\n", stderr);
        return 2;
    }
    hash_init();
    snprintf(prefix, sizeof prefix, "%08x/", (unsigned)hash_random_u64());
    struct asker *askers = calloc((size_t)o->workers, sizeof *askers);
    if (askers && bench_fill(o, prefix, o->objects))
        exit_status = measure(o, askers, prefix);
    for (size_t i = 0; askers && i < (size_t)o->workers; i++)
        samples_free(&askers[i].calls);
    free(askers);
    return exit_status;
}
