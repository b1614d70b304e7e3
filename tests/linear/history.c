/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client whose threads put, replace, remove and get a few hot keys, and record what they did and
 * when. Every value names itself in its first bytes, and all its others follow from that, so that a
 * get tells which write it saw, and wrong bytes are noticed at once.
 *
 *   history run OPTION...     until SIGTERM or for --seconds; the record is a file
 *   history json RECORD       prints a record as JSON, also that of a client that was killed
 *
 * Exit status 1 when a get brought bytes that nobody wrote.
 */
#include <cenote/cenote.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/payload.h"
#include "tests/linear/random.h"
#include "tests/linear/record.h"
#include "tests/support/transport.h"
#include "transport/base/clock.h"
#include "transport/base/config.h"

#define VALUE_MIN     16u /* its name, and some bytes that follow from it */
#define KEY_BYTES     (RECORD_PREFIX_MAX + 12)
#define BATCH_MAX     4u
/* How long a client tries to begin, and its pauses. */
#define OPEN_MS       10000u
#define OPEN_PAUSE_MS 20

struct options {
    char *meta, *record, *keys_text, *name_space;
    int transport;
    uint64_t number, threads, keys, seconds, size_bytes, seed, replicas, timeout_ms, pause_us, room;
};

static const char *const transports[] = {TRANSPORT_NAMES, NULL};
#define AT(field) offsetof(struct options, field)
static const struct config_option options[] = {
    {"meta", CONFIG_STRING, AT(meta), "127.0.0.1:7400", "ENDPOINT", "the service", NULL, 0, 0},
    {"namespace", CONFIG_STRING, AT(name_space), "default", "NAME", "of the keys", NULL, 0, 0},
    {"record", CONFIG_STRING, AT(record), "history.record", "FILE", "is made", NULL, 0, 0},
    {"prefix", CONFIG_STRING, AT(keys_text), "key/", "TEXT", "of the keys", NULL, 0, 0},
    {"transport", CONFIG_CHOICE, AT(transport), "auto", "NAME", "way of bytes", transports, 0, 0},
    {"number", CONFIG_COUNT, AT(number), "1", "N", "no other client has it", NULL, 1, 1u << 20},
    {"threads", CONFIG_COUNT, AT(threads), "4", "N", "threads", NULL, 1, RECORD_THREADS_MAX},
    {"keys", CONFIG_COUNT, AT(keys), "4", "N", "keys that all share", NULL, 1, 1u << 20},
    {"seconds", CONFIG_COUNT, AT(seconds), "3600", "N", "at most so long", NULL, 0, 0},
    {"size", CONFIG_SIZE, AT(size_bytes), "64K", "SIZE", "largest value", NULL, 32, 1u << 28},
    {"seed", CONFIG_COUNT, AT(seed), "1", "N", "of the random choices", NULL, 0, 0},
    {"replicas", CONFIG_COUNT, AT(replicas), "1", "N", "of a value", NULL, 1, CENOTE_REPLICAS_MAX},
    {"timeout", CONFIG_MS, AT(timeout_ms), "10s", "TIME", "of a call or copy", NULL, 1, UINT32_MAX},
    {"pause", CONFIG_COUNT, AT(pause_us), "300", "US", "longest between calls", NULL, 0, 1000000},
    {"room", CONFIG_COUNT, AT(room), "65536", "N", "operations of a thread", NULL, 1, 1u << 24},
};
static const struct config_spec spec = {"history run", "history run [OPTION]...", options,
                                        sizeof options / sizeof *options, NULL};

struct worker {
    const struct options *options;
    struct cenote *client;
    struct record *record;
    pthread_t thread;
    uint32_t number;
    uint64_t random, values, wrong;
    uint8_t *out, *in[BATCH_MAX];
};

static atomic_bool over;

static void on_term(int number)
{
    (void)number;
    atomic_store(&over, true);
}

/* ---- values ---------------------------------------------------------------------------------- */

static uint64_t new_value(struct worker *w)
{
    return w->options->number << 40 | (uint64_t)w->number << 32 | ++w->values;
}

/* Of its bytes, and of their number. */
static uint32_t pattern(uint64_t value)
{
    return (uint32_t)random_next(&value);
}

static size_t length_of(uint64_t value, uint64_t size_bytes)
{
    uint64_t dice = pattern(value);
    return VALUE_MIN + (size_t)(dice % (dice % 4 == 0 ? size_bytes - VALUE_MIN : 512));
}

static size_t fill(uint64_t value, uint8_t *out, uint64_t size_bytes)
{
    size_t len = length_of(value, size_bytes);
    memcpy(out, &value, sizeof value);
    payload_fill(pattern(value), out + sizeof value, len - sizeof value);
    return len;
}

/* The name of the value that these bytes are; 0: they are none. */
static uint64_t name_of(const uint8_t *in, uint64_t len_bytes, uint64_t size_bytes)
{
    uint64_t value;
    if (len_bytes < VALUE_MIN)
        return 0;
    memcpy(&value, in, sizeof value);
    bool good = len_bytes == length_of(value, size_bytes) &&
                payload_is(pattern(value), in + sizeof value, (size_t)len_bytes - sizeof value);
    return good ? value : 0;
}

/* ---- operations ------------------------------------------------------------------------------ */

static struct cenote_key key_of(const struct worker *w, uint32_t key, char text[KEY_BYTES])
{
    int len = snprintf(text, KEY_BYTES, "%s%u", w->options->keys_text, key);
    return (struct cenote_key){text, (size_t)len};
}

static void put(struct worker *w, uint32_t number, enum linear_kind kind)
{
    char text[KEY_BYTES];
    struct cenote_key key = key_of(w, number, text);
    uint64_t value = new_value(w);
    size_t len = fill(value, w->out, w->options->size_bytes);
    struct record_op *op = record_invoke(w->record, w->number, kind, number, value);

    if (op)
        record_return(op, cenote_put(w->client, key.data, key.len_bytes, w->out, len,
                                     kind == LINEAR_REPLACE ? CENOTE_PUT_REPLACE : 0));
}

static void take(struct worker *w, struct record_op *op, int status, const uint8_t *in,
                 uint64_t len_bytes)
{
    uint64_t value = status == CENOTE_OK ? name_of(in, len_bytes, w->options->size_bytes) : 0;
    bool wrong = (status == CENOTE_OK && value == 0) || status == CENOTE_CORRUPT ||
                 status == CENOTE_BUFFER_SIZE;

    if (wrong) {
        fprintf(stderr, "history: WRONG: %s%u: %s, %llu bytes\n", w->options->keys_text, op->key,
                cenote_status_text(status), (unsigned long long)len_bytes);
        w->wrong++;
    }
    op->value = value;
    record_return(op, wrong && status == CENOTE_OK ? CENOTE_CORRUPT : status);
}

static void get(struct worker *w, uint32_t number)
{
    char text[KEY_BYTES];
    struct cenote_key key = key_of(w, number, text);
    struct record_op *op = record_invoke(w->record, w->number, LINEAR_GET, number, 0);
    uint64_t len = 0;

    if (!op)
        return;
    int status = cenote_get(w->client, key.data, key.len_bytes, w->in[0],
                            (size_t)w->options->size_bytes, &len);
    take(w, op, status, w->in[0], len);
}

/* Of neighbours; each is an operation of its own. */
static void get_batch(struct worker *w, uint32_t number)
{
    char texts[BATCH_MAX][KEY_BYTES];
    struct cenote_buffer buffers[BATCH_MAX];
    struct cenote_get_item items[BATCH_MAX];
    struct record_op *ops[BATCH_MAX];
    uint32_t count = 0;

    for (; count < BATCH_MAX && count < w->options->keys; count++) {
        uint32_t key = (number + count) % (uint32_t)w->options->keys;
        buffers[count] = (struct cenote_buffer){w->in[count], (size_t)w->options->size_bytes};
        items[count] = (struct cenote_get_item){
            .key = key_of(w, key, texts[count]), .buffers = &buffers[count], .buffer_count = 1};
        ops[count] = record_invoke(w->record, w->number, LINEAR_GET, key, 0);
        if (!ops[count])
            return;
    }
    cenote_get_batch(w->client, items, count);
    for (uint32_t i = 0; i < count; i++)
        take(w, ops[i], items[i].status, w->in[i], items[i].len_bytes);
}

static void remove_key(struct worker *w, uint32_t number)
{
    char text[KEY_BYTES];
    struct cenote_key key = key_of(w, number, text);
    struct record_op *op = record_invoke(w->record, w->number, LINEAR_REMOVE, number, 0);

    if (op)
        record_return(op, cenote_remove(w->client, &key, 1, NULL));
}

static void exists(struct worker *w, uint32_t number)
{
    char text[KEY_BYTES];
    struct cenote_key key = key_of(w, number, text);
    struct record_op *op = record_invoke(w->record, w->number, LINEAR_EXISTS, number, 0);
    bool present = false;

    if (!op)
        return;
    int status = cenote_exists(w->client, &key, 1, &present, NULL);
    op->present = present;
    record_return(op, status);
}

static void rest(struct worker *w)
{
    uint64_t us = w->options->pause_us == 0 ? 0 : random_next(&w->random) % w->options->pause_us;
    const struct timespec pause = {.tv_sec = 0, .tv_nsec = (long)us * 1000};
    if (us > 0)
        nanosleep(&pause, NULL);
}

static void *run(void *arg)
{
    struct worker *w = arg;
    uint64_t end_ms = clock_now_ms() + w->options->seconds * 1000;

    while (!atomic_load(&over) && clock_now_ms() < end_ms) {
        uint32_t key = (uint32_t)(random_next(&w->random) % w->options->keys);
        uint64_t dice = random_next(&w->random) % 100;
        if (dice < 55)
            get(w, key);
        else if (dice < 62)
            get_batch(w, key);
        else if (dice < 67)
            exists(w, key);
        else if (dice < 79)
            put(w, key, LINEAR_PUT);
        else if (dice < 91)
            put(w, key, LINEAR_REPLACE);
        else
            remove_key(w, key);
        rest(w);
    }
    return NULL;
}

/* ---- the program ----------------------------------------------------------------------------- */

static bool worker_init(struct worker *w, const struct options *o, struct cenote *client,
                        struct record *record, uint32_t number)
{
    bool good = true;

    *w = (struct worker){.options = o, .client = client, .record = record, .number = number};
    w->random = o->seed * 1000 + o->number * 100 + number;
    w->out = malloc((size_t)o->size_bytes);
    for (uint32_t i = 0; i < BATCH_MAX; i++) {
        w->in[i] = malloc((size_t)o->size_bytes);
        good = good && w->in[i];
    }
    return good && w->out;
}

static void worker_free(struct worker *w)
{
    free(w->out);
    for (uint32_t i = 0; i < BATCH_MAX; i++)
        free(w->in[i]);
}

static int work(const struct options *o, struct cenote *client, struct record *record)
{
    static struct worker workers[RECORD_THREADS_MAX];
    uint32_t made = 0, started = 0;
    uint64_t wrong = 0;
    bool good = true;

    for (; good && made < o->threads; made++)
        good = worker_init(&workers[made], o, client, record, made);
    for (; good && started < made; started++)
        good = pthread_create(&workers[started].thread, NULL, run, &workers[started]) == 0;
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(workers[i].thread, NULL);
        wrong += workers[i].wrong;
    }
    for (uint32_t i = 0; i < made; i++)
        worker_free(&workers[i]);
    return good && wrong == 0 ? 0 : 1;
}

/* The service may be away, or out of sight, when a client begins. */
static int open_client(const struct options *o, struct cenote **client)
{
    struct cenote_options open = {.meta = o->meta,
                                  .name_space = o->name_space,
                                  .transport = (enum cenote_transport)o->transport,
                                  .timeout_ms = (uint32_t)o->timeout_ms,
                                  .replicas = (uint32_t)o->replicas};
    const struct timespec pause = {.tv_nsec = OPEN_PAUSE_MS * 1000000};
    uint64_t end_ms = clock_now_ms() + OPEN_MS;
    for (;;) {
        int status = cenote_open(&open, client);
        bool away = status == CENOTE_UNAVAILABLE || status == CENOTE_TIMED_OUT;
        if (!away || clock_now_ms() > end_ms || atomic_load(&over))
            return status;
        nanosleep(&pause, NULL);
    }
}

static int run_client(const struct options *o)
{
    struct cenote *client = NULL;
    int code = 2;
    struct record *record =
        record_new(o->record, o->keys_text, (uint32_t)o->threads, (uint32_t)o->room);

    if (!record) {
        fprintf(stderr, "history: %s: %s\n", o->record, strerror(errno));
        return code;
    }
    int status = open_client(o, &client);
    if (status == CENOTE_OK)
        code = work(o, client, record);
    else if (atomic_load(&over))
        code = 0; /* it never began */
    else
        fprintf(stderr, "history: %s: %s\n", o->meta, cenote_status_text(status));
    cenote_close(&client);
    record_close(record);
    return code;
}

static int print_json(const char *path)
{
    struct record *record = record_open(path);
    if (!record) {
        fprintf(stderr, "history: %s: %s\n", path, strerror(errno));
        return 2;
    }
    record_print(record, stdout);
    record_close(record);
    return fflush(stdout) == 0 ? 0 : 2;
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct sigaction action = {.sa_handler = on_term};
    char error[256];
    int positionals;

    if (argc == 3 && strcmp(argv[1], "json") == 0)
        return print_json(argv[2]);
    if (argc < 2 || strcmp(argv[1], "run") != 0) {
        fprintf(stderr, "usage: history run [OPTION]... | history json RECORD\n");
        return 2;
    }
    if (config_parse(&spec, argc - 1, argv + 1, &o, &positionals, error, sizeof error) !=
            CENOTE_OK ||
        strlen(o.keys_text) >= RECORD_PREFIX_MAX) {
        fprintf(stderr, "history: %s\n", error);
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    int code = run_client(&o);
    config_free(&spec, &o);
    return code;
}
