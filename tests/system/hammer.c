/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client under load that knows what it must find, for tests that kill, stop and restart the pool
 * underneath it. Every thread owns its keys, so that what each must hold is known exactly:
 *
 *   absent    the last remove was acknowledged, or nothing was ever put
 *   present   the last put was acknowledged, with this version's bytes
 *   retired   an answer was lost: the key holds that version or nothing, for ever; it isn't changed
 *             any more, and its slot goes on with a fresh key
 *
 * Runs until SIGTERM or for --seconds, then checks every key once more. Prints a line of counts;
 * exit status 1 when anything was found that must not be.
 */
#include <cenote/cenote.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/payload.h"
#include "tests/support/transport.h"
#include "transport/base/clock.h"
#include "transport/base/config.h"

#define THREADS_MAX 64u
#define RETIRED_MAX 65536u
#define KEY_BYTES   48
#define PAUSE_NS    2000000 /* after an error: the pool may be away */
#define SETTLE_MS   30000u  /* for the pool to come back before the last check */

struct hammer_options {
    char *meta;
    int transport;
    uint64_t threads, keys, seconds, size_bytes, seed, replicas, timeout_ms;
    bool lossy; /* nodes are killed too: a value may be gone */
};

static const char *const transports[] = {TRANSPORT_NAMES, NULL};
#define AT(field) offsetof(struct hammer_options, field)
static const struct config_option options[] = {
    {"meta", CONFIG_STRING, AT(meta), "127.0.0.1:7400", "ENDPOINT", "the service", NULL, 0, 0},
    {"transport", CONFIG_CHOICE, AT(transport), "auto", "NAME", "way of bytes", transports, 0, 0},
    {"threads", CONFIG_COUNT, AT(threads), "4", "N", "threads", NULL, 1, THREADS_MAX},
    {"keys", CONFIG_COUNT, AT(keys), "64", "N", "keys of a thread", NULL, 1, 1u << 20},
    {"seconds", CONFIG_COUNT, AT(seconds), "3600", "N", "at most so long", NULL, 0, 0},
    {"size", CONFIG_SIZE, AT(size_bytes), "128K", "SIZE", "largest value", NULL, 1, 1u << 30},
    {"seed", CONFIG_COUNT, AT(seed), "1", "N", "of the random choices", NULL, 1, 0},
    {"replicas", CONFIG_COUNT, AT(replicas), "1", "N", "of a value", NULL, 1, CENOTE_REPLICAS_MAX},
    {"timeout", CONFIG_MS, AT(timeout_ms), "10s", "TIME", "of a call or copy", NULL, 1, UINT32_MAX},
    {"lossy", CONFIG_BOOL, AT(lossy), NULL, NULL, "values may vanish (nodes die)", NULL, 0, 0},
};
static const struct config_spec spec = {"hammer", "hammer [OPTION]...", options,
                                        sizeof options / sizeof *options, NULL};

enum known { ABSENT, PRESENT, RETIRED };

struct slot {
    enum known known;
    uint64_t id;      /* in the key's text; grows when a slot gets a fresh key */
    uint64_t version; /* names the bytes and their length */
};

struct counts {
    uint64_t puts, gets, misses, removes, lost_answers, errors, wrong;
};

struct hammer {
    const struct hammer_options *options;
    struct cenote *client;
    pthread_t thread;
    unsigned number;
    uint64_t random, next_id, next_version;
    struct slot *slots, *retired;
    size_t retired_count;
    uint8_t *out, *in;
    struct counts counts;
};

static atomic_bool over;

static void on_term(int signal_number)
{
    (void)signal_number;
    atomic_store(&over, true);
}

static uint64_t next_random(struct hammer *h)
{
    h->random ^= h->random << 13;
    h->random ^= h->random >> 7;
    h->random ^= h->random << 17;
    return h->random;
}

static int key_text(const struct hammer *h, const struct slot *s, char text[KEY_BYTES])
{
    return snprintf(text, KEY_BYTES, "hammer/%llu/%u/%llu", (unsigned long long)h->options->seed,
                    h->number, (unsigned long long)s->id);
}

static uint64_t payload_id(const struct hammer *h, uint64_t version)
{
    return (uint64_t)h->number << 40 | version;
}

static size_t payload_len(const struct hammer *h, uint64_t version)
{
    return (size_t)(payload_id(h, version) * UINT64_C(0x9e3779b97f4a7c15) % h->options->size_bytes);
}

static void wrong(struct hammer *h, const struct slot *s, const char *what, int status)
{
    char key[KEY_BYTES];

    key_text(h, s, key);
    fprintf(stderr, "hammer: WRONG: %s of %s: %s (known: %d, version %llu)\n", what, key,
            cenote_status_text(status), (int)s->known, (unsigned long long)s->version);
    h->counts.wrong++;
}

static bool answer_lost(int status)
{
    return status == CENOTE_UNKNOWN; /* every other error says that nothing was changed */
}

static void pause_after_error(struct hammer *h)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};

    h->counts.errors++;
    nanosleep(&pause, NULL);
}

static void retire(struct hammer *h, struct slot *s)
{
    h->counts.lost_answers++;
    s->known = RETIRED;
    if (h->retired_count < RETIRED_MAX)
        h->retired[h->retired_count++] = *s;
    *s = (struct slot){.known = ABSENT, .id = h->next_id++};
}

static void do_put(struct hammer *h, struct slot *s)
{
    char key[KEY_BYTES];
    int key_len = key_text(h, s, key);
    uint64_t version = h->next_version++;
    size_t len = payload_len(h, version);

    payload_fill(payload_id(h, version), h->out, len);
    int status = cenote_put(h->client, key, (size_t)key_len, h->out, len, 0);
    if (status == CENOTE_OK) {
        h->counts.puts++;
        if (s->known == PRESENT && !h->options->lossy)
            wrong(h, s, "a put over a present key", status);
        s->known = PRESENT;
        s->version = version;
    } else if (status == CENOTE_EXISTS) {
        if (s->known == ABSENT)
            wrong(h, s, "a put of an absent key", status);
    } else if (answer_lost(status) && s->known == ABSENT) {
        s->version = version;
        retire(h, s);
        pause_after_error(h);
    } else {
        pause_after_error(h);
    }
}

static bool bytes_are(const struct hammer *h, const struct slot *s, uint64_t len)
{
    return len == payload_len(h, s->version) &&
           payload_is(payload_id(h, s->version), h->in, (size_t)len);
}

/* Returns the status of the get. */
static int do_get(struct hammer *h, struct slot *s)
{
    char key[KEY_BYTES];
    int key_len = key_text(h, s, key);
    uint64_t len = 0;
    int status =
        cenote_get(h->client, key, (size_t)key_len, h->in, (size_t)h->options->size_bytes, &len);

    if (status == CENOTE_OK) {
        h->counts.gets++;
        if (s->known == ABSENT || !bytes_are(h, s, len))
            wrong(h, s, s->known == ABSENT ? "a get of a removed key" : "the bytes", status);
    } else if (status == CENOTE_NOT_FOUND) {
        h->counts.misses++;
        if (s->known == PRESENT && !h->options->lossy)
            wrong(h, s, "a get of a stored key", status);
        if (s->known == PRESENT)
            s->known = ABSENT;
    } else if (status == CENOTE_CORRUPT || status == CENOTE_BUFFER_SIZE) {
        wrong(h, s, "a get", status);
    } else {
        pause_after_error(h);
    }
    return status;
}

static void do_remove(struct hammer *h, struct slot *s)
{
    char text[KEY_BYTES];
    struct cenote_key key = {text, (size_t)key_text(h, s, text)};
    int status = cenote_remove(h->client, &key, 1, NULL);

    if (status == CENOTE_OK) {
        h->counts.removes++;
        /* A lost value that hasn't been swept yet may still be removed. */
        if (s->known == ABSENT && !h->options->lossy)
            wrong(h, s, "a remove of an absent key", status);
        s->known = ABSENT;
    } else if (status == CENOTE_NOT_FOUND) {
        if (s->known == PRESENT && !h->options->lossy)
            wrong(h, s, "a remove of a stored key", status);
        s->known = ABSENT;
    } else if (answer_lost(status) && s->known == PRESENT) {
        retire(h, s);
        pause_after_error(h);
    } else {
        pause_after_error(h);
    }
}

static void *run(void *arg)
{
    struct hammer *h = arg;
    uint64_t end_ms = clock_now_ms() + h->options->seconds * 1000;

    while (!atomic_load(&over) && clock_now_ms() < end_ms) {
        struct slot *s = &h->slots[next_random(h) % h->options->keys];
        uint64_t dice = next_random(h) % 10;
        if (dice < 5)
            do_get(h, s);
        else if (dice < 8)
            do_put(h, s);
        else
            do_remove(h, s);
    }
    return NULL;
}

/* Looks at one key until the pool gives a clear answer. */
static void check_at_last(struct hammer *h, struct slot *s)
{
    uint64_t end_ms = clock_now_ms() + SETTLE_MS;
    int status;

    do {
        status = do_get(h, s);
    } while (status != CENOTE_OK && status != CENOTE_NOT_FOUND && clock_now_ms() < end_ms);
    if (status != CENOTE_OK && status != CENOTE_NOT_FOUND)
        wrong(h, s, "the last check", status);
}

static void check_all(struct hammer *h)
{
    for (size_t i = 0; i < h->options->keys; i++)
        check_at_last(h, &h->slots[i]);
    for (size_t i = 0; i < h->retired_count; i++)
        check_at_last(h, &h->retired[i]);
}

static bool hammer_init(struct hammer *h, const struct hammer_options *o, struct cenote *client,
                        unsigned number)
{
    *h = (struct hammer){.options = o, .client = client, .number = number, .next_version = 1};
    h->random = o->seed * UINT64_C(0x9e3779b97f4a7c15) + number + 1;
    h->slots = calloc((size_t)o->keys, sizeof *h->slots);
    h->retired = calloc(RETIRED_MAX, sizeof *h->retired);
    h->out = malloc((size_t)o->size_bytes);
    h->in = malloc((size_t)o->size_bytes);
    for (; h->slots && h->next_id < o->keys; h->next_id++)
        h->slots[h->next_id].id = h->next_id;
    return h->slots && h->retired && h->out && h->in;
}

static void hammer_free(struct hammer *h)
{
    free(h->slots);
    free(h->retired);
    free(h->out);
    free(h->in);
}

static uint64_t summarize(const struct hammer *hammers, size_t count)
{
    struct counts sum = {0};

    for (size_t i = 0; i < count; i++) {
        const struct counts *c = &hammers[i].counts;
        sum.puts += c->puts;
        sum.gets += c->gets;
        sum.misses += c->misses;
        sum.removes += c->removes;
        sum.lost_answers += c->lost_answers;
        sum.errors += c->errors;
        sum.wrong += c->wrong;
    }
    printf(
        "puts %llu gets %llu misses %llu removes %llu lost_answers %llu errors %llu wrong %llu\n",
        (unsigned long long)sum.puts, (unsigned long long)sum.gets, (unsigned long long)sum.misses,
        (unsigned long long)sum.removes, (unsigned long long)sum.lost_answers,
        (unsigned long long)sum.errors, (unsigned long long)sum.wrong);
    return sum.wrong;
}

static int hammer(const struct hammer_options *o, struct cenote *client)
{
    static struct hammer hammers[THREADS_MAX];
    size_t started = 0, made = 0;
    bool good = true;

    while (good && made < o->threads) {
        good = hammer_init(&hammers[made], o, client, (unsigned)made);
        made++;
    }
    for (; good && started < made; started++)
        good = pthread_create(&hammers[started].thread, NULL, run, &hammers[started]) == 0;
    for (size_t i = 0; i < started; i++)
        pthread_join(hammers[i].thread, NULL);
    for (size_t i = 0; good && i < started; i++)
        check_all(&hammers[i]);
    uint64_t found_wrong = summarize(hammers, started);
    for (size_t i = 0; i < made; i++)
        hammer_free(&hammers[i]);
    return good && found_wrong == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct hammer_options o = {0};
    struct sigaction action = {.sa_handler = on_term};
    struct cenote *client = NULL;
    char error[256];
    int positionals;

    if (config_parse(&spec, argc, argv, &o, &positionals, error, sizeof error) != CENOTE_OK) {
        fprintf(stderr, "hammer: %s\n", error);
        return 2;
    }
    sigaction(SIGTERM, &action, NULL);
    struct cenote_options open = {.meta = o.meta,
                                  .transport = (enum cenote_transport)o.transport,
                                  .timeout_ms = (uint32_t)o.timeout_ms,
                                  .replicas = (uint32_t)o.replicas};
    int status = cenote_open(&open, &client);
    if (status != CENOTE_OK)
        fprintf(stderr, "hammer: %s: %s\n", o.meta, cenote_status_text(status));
    int exit_status = status == CENOTE_OK ? hammer(&o, client) : 2;
    cenote_close(&client);
    config_free(&spec, &o);
    return exit_status;
}
