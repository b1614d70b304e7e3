/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goes once around the public interface of a living pool, over one transport, and ends with status
 * 1 at the first answer that isn't what include/cenote/cenote.h says.
 *
 * Usage: roundtrip ENDPOINT shm|tcp|rdma [PART...]
 */
#include <cenote/cenote.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/payload.h"
#include "tests/scenario/check.h"
#include "tests/support/transport.h"

#define SPACE       "roundtrip" /* empty before and after */
#define MIB         (1u << 20)
#define LARGEST     (5u * MIB + 7)
#define BATCH       300u
#define LISTED      1500u /* more than one page */
#define THREADS     6u
#define THREAD_PUTS 60u

static struct cenote_options options;
static uint8_t *out, *in; /* LARGEST bytes each */

static struct cenote *open_client(const char *name_space)
{
    struct cenote *client = NULL;
    struct cenote_options o = options;

    o.name_space = name_space;
    CHECK_EQ(cenote_open(&o, &client), CENOTE_OK);
    CHECK(client != NULL);
    return client;
}

static int put(struct cenote *c, const char *key, uint64_t id, size_t len, unsigned flags)
{
    payload_fill(id, out, len);
    return cenote_put(c, key, strlen(key), out, len, flags);
}

static void check_value(struct cenote *c, const char *key, uint64_t id, size_t len)
{
    uint64_t found = UINT64_MAX;

    memset(in, 0x55, len + 1 <= LARGEST ? len + 1 : len);
    CHECK_EQ(cenote_get(c, key, strlen(key), in, LARGEST, &found), CENOTE_OK);
    CHECK_EQ(found, len);
    CHECK(payload_is(id, in, len));
    CHECK(len == LARGEST || in[len] == 0x55);
}

static void singles(struct cenote *c)
{
    static const size_t sizes[] = {0, 1, 7, 4096, 65535, 65536, 65537, MIB, LARGEST};
    struct cenote_stat st;
    struct cenote_key key = {"single", 6};
    int status = 1;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        CHECK_EQ(put(c, "single", i, sizes[i], 0), CENOTE_OK);
        CHECK_EQ(put(c, "single", i + 100, 10, 0), CENOTE_EXISTS);
        check_value(c, "single", i, sizes[i]);
        CHECK_EQ(cenote_stat(c, "single", 6, &st), CENOTE_OK);
        CHECK_EQ(st.len_bytes, sizes[i]);
        CHECK(st.has_sums && st.replicas >= 1 && st.stripes >= 1 && st.put_id != 0);
        CHECK_EQ(cenote_remove(c, &key, 1, &status), CENOTE_OK);
        CHECK_EQ(status, CENOTE_OK);
        CHECK_EQ(cenote_get(c, "single", 6, in, LARGEST, NULL), CENOTE_NOT_FOUND);
        CHECK_EQ(cenote_stat(c, "single", 6, &st), CENOTE_NOT_FOUND);
        CHECK_EQ(cenote_remove(c, &key, 1, &status), CENOTE_NOT_FOUND);
    }
}

static void keys_of_all_lengths(struct cenote *c)
{
    char key[CENOTE_KEY_MAX + 1];

    memset(key, 'k', sizeof key);
    CHECK_EQ(cenote_put(c, key, 0, "v", 1, 0), CENOTE_KEY_SIZE);
    CHECK_EQ(cenote_put(c, key, sizeof key, "v", 1, 0), CENOTE_KEY_SIZE);
    CHECK_EQ(cenote_get(c, key, 0, in, 1, NULL), CENOTE_KEY_SIZE);
    CHECK_EQ(cenote_get(c, key, sizeof key, in, 1, NULL), CENOTE_KEY_SIZE);
    memset(key, 0, sizeof key);
    for (size_t len = 1; len <= CENOTE_KEY_MAX; len = len * 2) {
        CHECK_EQ(cenote_put(c, key, len, &len, sizeof len, 0), CENOTE_OK);
    }
    for (size_t len = 1; len <= CENOTE_KEY_MAX; len = len * 2) {
        struct cenote_key removed = {key, len};
        size_t found = 0;
        CHECK_EQ(cenote_get(c, key, len, &found, sizeof found, NULL), CENOTE_OK);
        CHECK_EQ(found, len);
        CHECK_EQ(cenote_remove(c, &removed, 1, NULL), CENOTE_OK);
    }
}

static void small_buffer(struct cenote *c)
{
    struct cenote_key key = {"small", 5};
    uint64_t len = 0;

    CHECK_EQ(put(c, "small", 3, 100000, 0), CENOTE_OK);
    CHECK_EQ(cenote_get(c, "small", 5, in, 99999, &len), CENOTE_BUFFER_SIZE);
    CHECK_EQ(len, 100000);
    CHECK_EQ(cenote_get(c, "small", 5, in, 100000, &len), CENOTE_OK);
    CHECK_EQ(cenote_remove(c, &key, 1, NULL), CENOTE_OK);
}

static void replace(struct cenote *c)
{
    struct cenote_key key = {"replaced", 8};
    struct cenote_stat before, after;

    CHECK_EQ(put(c, "replaced", 1, 70000, 0), CENOTE_OK);
    CHECK_EQ(cenote_stat(c, "replaced", 8, &before), CENOTE_OK);
    check_value(c, "replaced", 1, 70000);
    CHECK_EQ(put(c, "replaced", 2, 300, CENOTE_PUT_REPLACE), CENOTE_OK);
    check_value(c, "replaced", 2, 300);
    CHECK_EQ(cenote_stat(c, "replaced", 8, &after), CENOTE_OK);
    CHECK(after.put_id > before.put_id);
    CHECK_EQ(cenote_remove(c, &key, 1, NULL), CENOTE_OK);
    CHECK_EQ(put(c, "replaced", 3, 9, CENOTE_PUT_REPLACE), CENOTE_OK);
    check_value(c, "replaced", 3, 9);
    CHECK_EQ(cenote_remove(c, &key, 1, NULL), CENOTE_OK);
}

/* Cuts len bytes at uneven places. */
static size_t scatter(uint8_t *data, size_t len, struct cenote_buffer *pieces, size_t max,
                      size_t step)
{
    size_t count = 0;

    for (size_t at = 0; at < len; count++) {
        size_t n = count + 1 == max ? len - at : step + count * 4099;
        n = n < len - at ? n : len - at;
        pieces[count] = (struct cenote_buffer){data + at, n};
        at += n;
    }
    return count;
}

static void scattered(struct cenote *c)
{
    struct cenote_buffer from[40], to[40];
    struct cenote_key key = {"scattered", 9};
    struct cenote_put_item p = {.key = key, .buffers = from};
    struct cenote_get_item g = {.key = key, .buffers = to};

    payload_fill(77, out, LARGEST);
    p.buffer_count = scatter(out, LARGEST, from, 40, 1);
    g.buffer_count = scatter(in, LARGEST, to, 40, 33333);
    CHECK_EQ(cenote_put_batch(c, &p, 1, 0), CENOTE_OK);
    memset(in, 0, LARGEST);
    CHECK_EQ(cenote_get_batch(c, &g, 1), CENOTE_OK);
    CHECK_EQ(g.len_bytes, LARGEST);
    CHECK(payload_is(77, in, LARGEST));
    g.buffer_count--;
    CHECK_EQ(cenote_get_batch(c, &g, 1), CENOTE_BUFFER_SIZE);
    CHECK_EQ(g.status, CENOTE_BUFFER_SIZE);
    CHECK_EQ(g.len_bytes, LARGEST);
    CHECK_EQ(cenote_remove(c, &key, 1, NULL), CENOTE_OK);
}

struct batch {
    char text[BATCH][24];
    struct cenote_key keys[BATCH];
    struct cenote_buffer from[BATCH], to[BATCH];
    struct cenote_put_item puts[BATCH];
    struct cenote_get_item gets[BATCH];
    int statuses[BATCH];
    bool present[BATCH];
};

static struct batch *batch_new(void)
{
    struct batch *b = calloc(1, sizeof *b);
    size_t at = 0;

    CHECK(b != NULL);
    for (unsigned i = 0; i < BATCH; i++) {
        size_t len = i * 113u % 16384u;
        int n = snprintf(b->text[i], sizeof b->text[i], "batch/%u", i);
        b->keys[i] = (struct cenote_key){b->text[i], (size_t)n};
        b->from[i] = (struct cenote_buffer){out + at, len};
        b->to[i] = (struct cenote_buffer){in + at, len};
        b->puts[i] =
            (struct cenote_put_item){.key = b->keys[i], .buffers = &b->from[i], .buffer_count = 1};
        b->gets[i] =
            (struct cenote_get_item){.key = b->keys[i], .buffers = &b->to[i], .buffer_count = 1};
        payload_fill(1000 + i, b->from[i].addr, len);
        at += len;
        CHECK(at <= LARGEST);
    }
    return b;
}

static void check_batch(struct cenote *c, struct batch *b, unsigned missing)
{
    memset(in, 0xaa, LARGEST);
    int status = cenote_get_batch(c, b->gets, BATCH);
    CHECK_EQ(status, missing < BATCH ? CENOTE_NOT_FOUND : CENOTE_OK);
    for (unsigned i = 0; i < BATCH; i++) {
        CHECK_EQ(b->gets[i].status, i == missing ? CENOTE_NOT_FOUND : CENOTE_OK);
        CHECK(i == missing || b->gets[i].len_bytes == b->to[i].len_bytes);
        CHECK(i == missing || payload_is(1000 + i, b->to[i].addr, b->to[i].len_bytes));
    }
}

static void batches(struct cenote *c)
{
    struct batch *b = batch_new();
    size_t prefix = 0;

    CHECK_EQ(
        cenote_put(c, b->text[5], b->keys[5].len_bytes, b->from[5].addr, b->from[5].len_bytes, 0),
        CENOTE_OK);
    CHECK_EQ(cenote_put_batch(c, b->puts, BATCH, 0), CENOTE_OK);
    for (unsigned i = 0; i < BATCH; i++)
        CHECK_EQ(b->puts[i].status, i == 5 ? CENOTE_EXISTS : CENOTE_OK);
    check_batch(c, b, BATCH);
    CHECK_EQ(cenote_exists(c, b->keys, BATCH, b->present, &prefix), CENOTE_OK);
    CHECK_EQ(prefix, BATCH);
    CHECK_EQ(cenote_remove(c, &b->keys[200], 1, NULL), CENOTE_OK);
    CHECK_EQ(cenote_exists(c, b->keys, BATCH, b->present, &prefix), CENOTE_OK);
    CHECK_EQ(prefix, 200);
    CHECK(!b->present[200] && b->present[199] && b->present[201] && b->present[BATCH - 1]);
    check_batch(c, b, 200);
    CHECK_EQ(cenote_remove(c, b->keys, BATCH, b->statuses), CENOTE_NOT_FOUND);
    for (unsigned i = 0; i < BATCH; i++)
        CHECK_EQ(b->statuses[i], i == 200 ? CENOTE_NOT_FOUND : CENOTE_OK);
    CHECK_EQ(cenote_exists(c, b->keys, BATCH, NULL, &prefix), CENOTE_OK);
    CHECK_EQ(prefix, 0);
    free(b);
}

static void listing(struct cenote *c)
{
    struct cenote_list list = {0};
    unsigned seen = 0, pages = 0;
    char key[24];

    for (unsigned i = 0; i < LISTED; i++) {
        int n = snprintf(key, sizeof key, "list/%05u", i);
        CHECK_EQ(cenote_put(c, key, (size_t)n, &i, sizeof i, 0), CENOTE_OK);
    }
    CHECK_EQ(cenote_put(c, "listen", 6, "", 0, 0), CENOTE_OK);
    do {
        CHECK_EQ(cenote_list(c, "list/", 5, &list), CENOTE_OK);
        for (size_t i = 0; i < list.count; i++, seen++) {
            snprintf(key, sizeof key, "list/%05u", seen);
            CHECK_EQ(list.entries[i].key.len_bytes, strlen(key));
            CHECK(memcmp(list.entries[i].key.data, key, strlen(key)) == 0);
            CHECK_EQ(list.entries[i].len_bytes, sizeof(unsigned));
        }
        pages++;
    } while (list.more && pages < LISTED);
    CHECK_EQ(seen, LISTED);
    CHECK(pages >= 2);
    cenote_list_free(&list);
    for (unsigned i = 0; i < LISTED; i++) {
        struct cenote_key k = {key, (size_t)snprintf(key, sizeof key, "list/%05u", i)};
        CHECK_EQ(cenote_remove(c, &k, 1, NULL), CENOTE_OK);
    }
    CHECK_EQ(cenote_remove(c, &(struct cenote_key){"listen", 6}, 1, NULL), CENOTE_OK);
    CHECK_EQ(cenote_list(c, NULL, 0, &list), CENOTE_OK);
    CHECK(list.count == 0 && !list.more);
    cenote_list_free(&list);
}

static void two_clients(struct cenote *c)
{
    struct cenote *same = open_client(SPACE), *other = open_client("other");
    struct cenote_key key = {"shared", 6};

    CHECK_EQ(put(c, "shared", 21, 50000, 0), CENOTE_OK);
    check_value(same, "shared", 21, 50000);
    CHECK_EQ(cenote_get(other, "shared", 6, in, LARGEST, NULL), CENOTE_NOT_FOUND);
    CHECK_EQ(put(other, "shared", 22, 60000, 0), CENOTE_OK);
    check_value(other, "shared", 22, 60000);
    check_value(same, "shared", 21, 50000);
    CHECK_EQ(cenote_remove(same, &key, 1, NULL), CENOTE_OK);
    CHECK_EQ(cenote_get(c, "shared", 6, in, LARGEST, NULL), CENOTE_NOT_FOUND);
    check_value(other, "shared", 22, 60000);
    CHECK_EQ(cenote_remove(other, &key, 1, NULL), CENOTE_OK);
    cenote_close(&same);
    cenote_close(&other);
    CHECK(same == NULL && other == NULL);
    cenote_close(&same);
    cenote_close(NULL);
}

struct worker {
    pthread_t thread;
    struct cenote *client;
    unsigned number;
};

static void *work(void *arg)
{
    const struct worker *w = arg;
    uint8_t *mine = malloc(MIB), *back = malloc(MIB);
    char key[32];

    CHECK(mine != NULL && back != NULL);
    for (unsigned i = 0; i < THREAD_PUTS; i++) {
        size_t len = i * 7919u % 200000u;
        uint64_t id = 5000u + w->number * 1000u + i, found = 0;
        struct cenote_key k = {key,
                               (size_t)snprintf(key, sizeof key, "thread/%u/%u", w->number, i % 8)};
        payload_fill(id, mine, len);
        CHECK_EQ(cenote_put(w->client, key, k.len_bytes, mine, len, 0), CENOTE_OK);
        CHECK_EQ(cenote_get(w->client, key, k.len_bytes, back, MIB, &found), CENOTE_OK);
        CHECK(found == len && payload_is(id, back, len));
        CHECK_EQ(cenote_remove(w->client, &k, 1, NULL), CENOTE_OK);
    }
    free(mine);
    free(back);
    return NULL;
}

static void threads(struct cenote *c)
{
    struct worker workers[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.client = c, .number = i};
        CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
}

/* What a child process may still do with its parent's client: be told, and close it. */
static void in_child(struct cenote *c)
{
    struct cenote_key key = {"forked", 6};
    struct cenote_stat st;
    struct cenote_list list = {0};
    char *json;

    CHECK_EQ(cenote_put(c, "forked", 6, "x", 1, 0), CENOTE_FORKED);
    CHECK_EQ(cenote_get(c, "forked", 6, in, LARGEST, NULL), CENOTE_FORKED);
    CHECK_EQ(cenote_remove(c, &key, 1, NULL), CENOTE_FORKED);
    CHECK_EQ(cenote_exists(c, &key, 1, NULL, NULL), CENOTE_FORKED);
    CHECK_EQ(cenote_stat(c, "forked", 6, &st), CENOTE_FORKED);
    CHECK_EQ(cenote_list(c, NULL, 0, &list), CENOTE_FORKED);
    CHECK_EQ(cenote_pool_status(c, &json), CENOTE_FORKED);
    cenote_close(&c);
    struct cenote *own = open_client(SPACE);
    check_value(own, "forked", 31, 80000);
    cenote_close(&own);
}

static void forks(struct cenote *c)
{
    int status = -1;

    CHECK_EQ(put(c, "forked", 31, 80000, 0), CENOTE_OK);
    fflush(NULL);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        in_child(c);
        _exit(0); /* without the checks of a sanitizer: the parent's memory is not its own */
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    check_value(c, "forked", 31, 80000);
    CHECK_EQ(cenote_remove(c, &(struct cenote_key){"forked", 6}, 1, NULL), CENOTE_OK);
}

static void pool_status(struct cenote *c)
{
    char *json = NULL;

    CHECK_EQ(cenote_pool_status(c, &json), CENOTE_OK);
    CHECK(json != NULL && strstr(json, "\"quarantine\"") != NULL);
    free(json);
}

static const struct {
    const char *name;
    void (*run)(struct cenote *c);
} parts[] = {{"singles", singles}, {"keys", keys_of_all_lengths}, {"small_buffer", small_buffer},
             {"replace", replace}, {"scattered", scattered},      {"batches", batches},
             {"listing", listing}, {"two_clients", two_clients},  {"threads", threads},
             {"forks", forks},     {"status", pool_status}};

static bool is_wanted(const char *part, char **names, int count)
{
    bool wanted = count == 0;

    for (int i = 0; i < count; i++)
        wanted = wanted || strcmp(names[i], part) == 0;
    return wanted;
}

int main(int argc, char **argv)
{
    CHECK(argc >= 3);
    options.meta = argv[1];
    options.transport = transport_named(argv[2]);
    out = malloc(LARGEST);
    in = malloc(LARGEST);
    CHECK(out != NULL && in != NULL);
    struct cenote *client = open_client(SPACE);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (is_wanted(parts[i].name, argv + 3, argc - 3))
            parts[i].run(client);
    cenote_close(&client);
    free(out);
    free(in);
    printf("all as documented\n");
    return 0;
}
