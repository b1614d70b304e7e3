/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commits at the service alone: put_start and put_commit as a client sends them, but nobody writes
 * the extents (the commit says that they are visible). What is measured is metadata only; reading
 * such a value fails its checks.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/asker.h"
#include "bench/bench.h"
#include "bench/rawstore.h"
#include "bench/service.h"
#include "meta/stub/messages.h"
#include "transport/base/clock.h"
#include "transport/base/hash.h"

#define KEY_BYTES     32
#define BATCH_DEFAULT 32u

struct stream {
    bool committing;
    uint32_t count; /* puts of its batch */
    uint64_t begun_ns;
    uint64_t *put_ids;
};

struct load {
    const struct bench_options *options;
    const char *prefix; /* of the keys */
    uint32_t batch;
    uint64_t next, end; /* keys */
    uint64_t done;
    struct stream *streams;
    uint64_t *put_ids;
    struct samples puts; /* from put_start to the commit's answer */
};

static void write_start(struct load *l, struct stream *s, uint64_t seq, struct wire_buf *b)
{
    char key[KEY_BYTES];
    uint64_t left = l->end - l->next;

    s->count = left < l->batch ? (uint32_t)left : l->batch;
    s->begun_ns = clock_now_ns();
    wire_put_request(b, 0, METHOD_PUT_START);
    put_start_params_put(b, seq, 0, s->count);
    for (uint32_t i = 0; i < s->count; i++) {
        int len = snprintf(key, sizeof key, "%s%llu", l->prefix, (unsigned long long)l->next++);
        put_start_key_put(b, key, (size_t)len, l->options->value_bytes);
    }
}

static void write_commit(const struct stream *s, uint64_t seq, struct wire_buf *b)
{
    const uint64_t root = 0;
    const uint8_t state = EXTENT_VISIBLE;

    wire_put_request(b, 0, METHOD_PUT_COMMIT);
    put_end_params_put(b, seq, s->count);
    for (uint32_t i = 0; i < s->count; i++)
        put_end_item_put(b, s->put_ids[i], SUM_NONE, &root, 1, &state, 1);
}

static bool ask(void *arg, uint32_t stream, uint64_t seq, struct wire_buf *b)
{
    struct load *l = arg;
    struct stream *s = &l->streams[stream];

    if (s->committing)
        write_commit(s, seq, b);
    else if (l->next < l->end)
        write_start(l, s, seq, b);
    else
        return false;
    return true;
}

static bool refused(int status)
{
    fprintf(stderr, "cenote-bench: a put was refused: %s\n", cenote_status_text(status));
    return false;
}

/* One start item: [0, put id, key hash, [[offset, length, [[gva, boot, mac]]]]]. */
static bool take_started(struct reader *r, uint64_t *put_id)
{
    reader_array(r);
    int status = (int)reader_int(r);
    if (status != CENOTE_OK)
        return refused(status);
    *put_id = reader_int(r);
    reader_skip(r);
    if (reader_array(r) != 1 || reader_array(r) != 3)
        return refused(CENOTE_VALUE_SIZE); /* in stripes */
    reader_skip(r);
    reader_skip(r);
    if (reader_array(r) != 1)
        return refused(CENOTE_VALUE_SIZE);
    for (uint32_t i = reader_array(r); i > 0; i--)
        reader_skip(r);
    return true;
}

static bool answered(void *arg, uint32_t stream, struct reader *r)
{
    struct load *l = arg;
    struct stream *s = &l->streams[stream];

    s->committing = !s->committing;
    if (!s->committing)
        reader_array(r); /* [statuses, grants] */
    if (reader_array(r) != s->count)
        return refused(CENOTE_MALFORMED);
    for (uint32_t i = 0; i < s->count; i++) {
        int status = CENOTE_OK;
        if (s->committing && !take_started(r, &s->put_ids[i]))
            return false;
        if (!s->committing)
            status = (int)reader_int(r);
        if (status != CENOTE_OK)
            return refused(status);
    }
    if (s->committing)
        return true;
    l->done += s->count;
    return samples_add(&l->puts, clock_now_ns() - s->begun_ns);
}

static const struct asker_ops ops = {ask, answered};

static bool load_run(struct load *l)
{
    const struct bench_options *o = l->options;
    size_t streams = (size_t)o->sessions * (size_t)o->depth;

    l->streams = calloc(streams, sizeof *l->streams);
    l->put_ids = calloc(streams * l->batch, sizeof *l->put_ids);
    bool good = l->streams && l->put_ids;
    for (size_t i = 0; good && i < streams; i++)
        l->streams[i].put_ids = &l->put_ids[i * l->batch];
    good = good &&
           asker_run(o->meta, o->name_space, (uint32_t)o->sessions, (uint32_t)o->depth, &ops, l);
    free(l->streams);
    free(l->put_ids);
    return good;
}

bool bench_fill(const struct bench_options *o, const char *prefix, uint64_t count)
{
    struct load l = {.options = o, .prefix = prefix, .batch = 256, .end = count};
    bool good = load_run(&l);
    samples_free(&l.puts);
    return good;
}

static json_t *describe(struct load *l, double seconds, const struct service_usage *before,
                        const struct service_usage *after)
{
    double puts = (double)l->done;
    double changes = (double)(after->changes - before->changes);
    double commits = (double)(after->commits - before->commits);
    double group = commits > 0 ? changes / commits : 0;
    double raw = rawstore_puts(l->batch, group);
    return json_pack("{s:I, s:f, s:f, s:f, s:f, s:f, s:o}", "batch", (json_int_t)l->batch,
                     "puts_per_s", puts / seconds, "service_cpu_us_per_put",
                     (double)(after->cpu_ns - before->cpu_ns) / 1e3 / puts,
                     "changes_per_transaction", group, "lmdb_alone_puts_per_s", raw,
                     "service_bytes_per_put",
                     (double)(after->anonymous_bytes - before->anonymous_bytes) / puts, "put",
                     bench_latencies(&l->puts));
}

static int measure(const struct bench_options *o, uint32_t batch)
{
    char prefix[KEY_BYTES / 2];
    struct service_usage before, after;

    snprintf(prefix, sizeof prefix, "%08x/", (unsigned)hash_random_u64());
    struct load l = {.options = o, .prefix = prefix, .batch = batch, .end = o->objects};
    if (!service_usage(o->meta, &before))
        return 1;
    uint64_t start_ns = clock_now_ns();
    bool good = load_run(&l);
    double seconds = (double)(clock_now_ns() - start_ns) / 1e9;
    good = good && service_usage(o->meta, &after);
    if (good)
        bench_print(o, describe(&l, seconds, &before, &after));
    samples_free(&l.puts);
    return good ? 0 : 1;
}

int bench_commit(const struct bench_options *o, int argc, char **argv)
{
    unsigned long batch = argc > 0 ? strtoul(argv[0], NULL, 10) : 0;

    if (argc > 1 || (argc == 1 && (batch == 0 || batch > CENOTE_BATCH_MAX))) {
        fputs("cenote-bench: commit takes at most one number, of puts in a batch\n", stderr);
        return 2;
    }
    hash_init();
    if (batch > 0)
        return measure(o, (uint32_t)batch);
    int status = measure(o, 1);
    return status == 0 ? measure(o, BATCH_DEFAULT) : status;
}
