/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays a request trace as a serving engine would use its cache. For each request: how long is
 * the prefix of blocks that the pool has (one call); get those blocks (one batch); put the others
 * (one batch). Workers take the requests in order, as fast as they come. Every byte that was got is
 * compared with what the block's id says, outside the measured times.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/payload.h"
#include "bench/trace_file.h"
#include "transport/base/clock.h"

#define KEY_BYTES 24

struct counts {
    uint64_t blocks, hits, puts, exists, no_space, get_misses, errors, wrong;
    uint64_t lookup_ns, get_ns, put_ns;
};

struct replay {
    const struct bench_options *options;
    const struct trace *trace;
    struct cenote *client;
    atomic_size_t next; /* request */
};

/* One worker's memory: room for the longest request. */
struct worker {
    struct replay *replay;
    pthread_t thread;
    uint8_t *blocks;
    char (*keys)[KEY_BYTES];
    struct cenote_key *key_list;
    struct cenote_buffer *buffers;
    struct cenote_get_item *gets;
    struct cenote_put_item *puts;
    struct counts counts;
    struct samples lookups, get_batches, put_batches;
    bool failed; /* out of memory, or the pool can't be reached */
};

static void name_blocks(struct worker *w, const uint32_t *ids, uint32_t count)
{
    uint64_t block = w->replay->options->block_bytes;

    for (uint32_t i = 0; i < count; i++) {
        int len = snprintf(w->keys[i], KEY_BYTES, "block/%u", ids[i]);
        w->key_list[i] = (struct cenote_key){w->keys[i], (size_t)len};
        w->buffers[i] = (struct cenote_buffer){w->blocks + i * block, block};
    }
}

static bool sample(struct samples *s, uint64_t start_ns, uint64_t *total_ns)
{
    uint64_t ns = clock_now_ns() - start_ns;

    *total_ns += ns;
    return samples_add(s, ns) != 0;
}

static void count_get(struct worker *w, uint32_t id, const struct cenote_get_item *item)
{
    uint64_t block = w->replay->options->block_bytes;

    if (item->status == CENOTE_NOT_FOUND)
        w->counts.get_misses++;
    else if (item->status != CENOTE_OK)
        w->counts.errors++;
    else if (item->len_bytes != block || !payload_is(id, item->buffers->addr, block))
        w->counts.wrong++;
    else
        w->counts.hits++;
}

static bool get_blocks(struct worker *w, const uint32_t *ids, size_t count)
{
    if (count == 0)
        return true;
    for (size_t i = 0; i < count; i++)
        w->gets[i] = (struct cenote_get_item){
            .key = w->key_list[i], .buffers = &w->buffers[i], .buffer_count = 1};
    memset(w->blocks, 0, count * w->replay->options->block_bytes);
    uint64_t start_ns = clock_now_ns();
    cenote_get_batch(w->replay->client, w->gets, count);
    if (!sample(&w->get_batches, start_ns, &w->counts.get_ns))
        return false;
    for (size_t i = 0; i < count; i++)
        count_get(w, ids[i], &w->gets[i]);
    return true;
}

static void count_put(struct worker *w, int status)
{
    if (status == CENOTE_OK)
        w->counts.puts++;
    else if (status == CENOTE_EXISTS)
        w->counts.exists++;
    else if (status == CENOTE_NO_SPACE)
        w->counts.no_space++;
    else
        w->counts.errors++;
}

static bool put_blocks(struct worker *w, const uint32_t *ids, size_t from, size_t count)
{
    uint64_t block = w->replay->options->block_bytes;

    if (from == count)
        return true;
    for (size_t i = from; i < count; i++) {
        payload_fill(ids[i], w->blocks + i * block, block);
        w->puts[i] = (struct cenote_put_item){
            .key = w->key_list[i], .buffers = &w->buffers[i], .buffer_count = 1};
    }
    uint64_t start_ns = clock_now_ns();
    cenote_put_batch(w->replay->client, w->puts + from, count - from, 0);
    if (!sample(&w->put_batches, start_ns, &w->counts.put_ns))
        return false;
    for (size_t i = from; i < count; i++)
        count_put(w, w->puts[i].status);
    return true;
}

static bool serve(struct worker *w, const struct trace_request *request)
{
    const uint32_t *ids = w->replay->trace->ids + request->first;
    size_t prefix = 0;

    if (request->count == 0)
        return true;
    name_blocks(w, ids, request->count);
    uint64_t start_ns = clock_now_ns();
    int status = cenote_exists(w->replay->client, w->key_list, request->count, NULL, &prefix);
    if (status != CENOTE_OK) {
        fprintf(stderr, "cenote-bench: lookup: %s\n", cenote_status_text(status));
        return false;
    }
    w->counts.blocks += request->count;
    return sample(&w->lookups, start_ns, &w->counts.lookup_ns) && get_blocks(w, ids, prefix) &&
           put_blocks(w, ids, prefix, request->count);
}

static void *work(void *arg)
{
    struct worker *w = arg;
    size_t i;

    while (!w->failed &&
           (i = atomic_fetch_add(&w->replay->next, 1)) < w->replay->trace->request_count)
        w->failed = !serve(w, &w->replay->trace->requests[i]);
    return NULL;
}

static void worker_free(struct worker *w)
{
    free(w->blocks);
    free(w->keys);
    free(w->key_list);
    free(w->buffers);
    free(w->gets);
    free(w->puts);
    samples_free(&w->lookups);
    samples_free(&w->get_batches);
    samples_free(&w->put_batches);
}

static bool worker_init(struct worker *w, struct replay *r)
{
    size_t n = r->trace->longest ? r->trace->longest : 1;

    w->replay = r;
    w->blocks = malloc(n * r->options->block_bytes);
    w->keys = calloc(n, sizeof *w->keys);
    w->key_list = calloc(n, sizeof *w->key_list);
    w->buffers = calloc(n, sizeof *w->buffers);
    w->gets = calloc(n, sizeof *w->gets);
    w->puts = calloc(n, sizeof *w->puts);
    return w->blocks && w->keys && w->key_list && w->buffers && w->gets && w->puts;
}

static void add_counts(struct counts *sum, const struct counts *c)
{
    sum->blocks += c->blocks;
    sum->hits += c->hits;
    sum->puts += c->puts;
    sum->exists += c->exists;
    sum->no_space += c->no_space;
    sum->get_misses += c->get_misses;
    sum->errors += c->errors;
    sum->wrong += c->wrong;
    sum->lookup_ns += c->lookup_ns;
    sum->get_ns += c->get_ns;
    sum->put_ns += c->put_ns;
}

static double rate(uint64_t blocks, uint64_t block_bytes, uint64_t ns)
{
    return ns == 0 ? 0 : (double)(blocks * block_bytes) / (double)ns;
}

static json_t *seconds_of(uint64_t ns)
{
    return json_real((double)ns / 1e9);
}

/* get_gbps and put_gbps: bytes of one worker by the time it spent in the calls. */
static void report(const struct replay *r, const struct counts *c, struct worker *all,
                   double seconds)
{
    uint64_t block = r->options->block_bytes;
    json_t *result = json_object();

    json_object_set_new(result, "requests", json_integer((json_int_t)r->trace->request_count));
    json_object_set_new(result, "blocks", json_integer((json_int_t)c->blocks));
    json_object_set_new(result, "block_bytes", json_integer((json_int_t)block));
    json_object_set_new(result, "hit_ratio", json_real((double)c->hits / (double)c->blocks));
    json_object_set_new(result, "hits", json_integer((json_int_t)c->hits));
    json_object_set_new(result, "puts", json_integer((json_int_t)c->puts));
    json_object_set_new(result, "put_exists", json_integer((json_int_t)c->exists));
    json_object_set_new(result, "put_no_space", json_integer((json_int_t)c->no_space));
    json_object_set_new(result, "get_misses", json_integer((json_int_t)c->get_misses));
    json_object_set_new(result, "errors", json_integer((json_int_t)c->errors));
    json_object_set_new(result, "wrong_bytes", json_integer((json_int_t)c->wrong));
    json_object_set_new(result, "seconds", json_real(seconds));
    json_object_set_new(result, "keys_per_s", json_real((double)c->blocks / seconds));
    json_object_set_new(result, "call_seconds", seconds_of(c->lookup_ns + c->get_ns + c->put_ns));
    json_object_set_new(result, "lookup_seconds", seconds_of(c->lookup_ns));
    json_object_set_new(result, "get_seconds", seconds_of(c->get_ns));
    json_object_set_new(result, "put_seconds", seconds_of(c->put_ns));
    json_object_set_new(result, "get_gbps", json_real(rate(c->hits, block, c->get_ns)));
    json_object_set_new(result, "put_gbps", json_real(rate(c->puts, block, c->put_ns)));
    json_object_set_new(result, "lookup", bench_latencies(&all->lookups));
    json_object_set_new(result, "get_batch", bench_latencies(&all->get_batches));
    json_object_set_new(result, "put_batch", bench_latencies(&all->put_batches));
    bench_print(r->options, result);
}

/* Runs all workers; the counts and samples of all end in the first. */
static bool run_workers(struct replay *r, struct worker *workers, struct counts *sum)
{
    size_t count = (size_t)r->options->workers, started = 0;
    bool good = true;

    for (size_t i = 0; good && i < count; i++)
        good = worker_init(&workers[i], r);
    for (; good && started < count; started++) {
        if (pthread_create(&workers[started].thread, NULL, work, &workers[started]) != 0)
            break;
    }
    good = good && started == count;
    for (size_t i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        good = good && !workers[i].failed;
        add_counts(sum, &workers[i].counts);
        if (i > 0)
            good = samples_merge(&workers[0].lookups, &workers[i].lookups) &&
                   samples_merge(&workers[0].get_batches, &workers[i].get_batches) &&
                   samples_merge(&workers[0].put_batches, &workers[i].put_batches) && good;
    }
    return good;
}

static int replay(const struct bench_options *o, const struct trace *trace, struct cenote *client)
{
    struct replay r = {.options = o, .trace = trace, .client = client};
    struct worker *workers = calloc((size_t)o->workers, sizeof *workers);
    struct counts sum = {0};

    if (!workers)
        return 1;
    uint64_t start_ns = clock_now_ns();
    bool good = run_workers(&r, workers, &sum);
    if (good)
        report(&r, &sum, &workers[0], (double)(clock_now_ns() - start_ns) / 1e9);
    else
        fputs("cenote-bench: the replay broke off\n", stderr);
    for (size_t i = 0; i < (size_t)o->workers; i++)
        worker_free(&workers[i]);
    free(workers);
    return good && sum.wrong == 0 && sum.errors == 0 ? 0 : 1;
}

int bench_trace(const struct bench_options *o, int argc, char **argv)
{
    struct trace trace;
    struct cenote *client = NULL;
    char reason[256];
    int exit_status = 1;

    if (argc != 1) {
        fputs("cenote-bench: trace FILE\n", stderr);
        return 2;
    }
    if (trace_read(argv[0], (size_t)o->requests, &trace, reason, sizeof reason) != CENOTE_OK) {
        fprintf(stderr, "cenote-bench: %s: %s\n", argv[0], reason);
        return 1;
    }
    if (bench_open(o, &client) == CENOTE_OK)
        exit_status = replay(o, &trace, client);
    bench_close(o, &client, "trace");
    trace_file_free(&trace);
    return exit_status;
}
