/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that works on many keys at once and says what became of each: for tests that know which
 * service of a pool owns which key. It reads commands from its standard input, and answers each
 * with a line: the whole status, then what the command tells of each key.
 *
 *   put PREFIX COUNT SEED     a batch of values, PREFIX0 ...: statuses
 *   replace PREFIX COUNT SEED likewise
 *   get PREFIX COUNT SEED     a batch, compared with the values of the seed: statuses
 *   exists PREFIX COUNT       the leading keys that are there, then 0 or 1
 *   stat PREFIX COUNT         one by one: statuses
 *   remove PREFIX COUNT       a batch: statuses
 *   list PREFIX               how many, the number of pages, whether they came in order
 *   status                    the JSON text
 *   view PREFIX COUNT SEED    all at a time, compared as by get: statuses
 *   viewed PREFIX COUNT       the status, while all are being looked at
 *   range PREFIX COUNT SEED   the second halves, in one call, into registered memory: statuses
 *   write PREFIX COUNT SEED   a writer for each, two ranges: statuses
 *   fetch PREFIX COUNT SEED [DEADLINE_MS]  as get, in the background
 *   store PREFIX COUNT SEED [DEADLINE_MS]  as replace, in the background
 *   cancel PREFIX COUNT SEED  a get in the background that is cancelled at once: statuses
 *
 * Usage: keyed META TRANSPORT TIMEOUT_MS
 */
#include <cenote/async.h>
#include <cenote/buffer.h>
#include <cenote/cenote.h>
#include <cenote/range.h>
#include <cenote/view.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/payload.h"
#include "tests/support/transport.h"

#define KEY_BYTES  64
#define SIZE_MAX_B 9000u
#define CORRUPT    1 /* in place of a status: the bytes are wrong */
#define PATIENCE   20000u
#define SUBMITTER  4711u

static struct cenote *client;

struct batch {
    size_t count;
    char names[CENOTE_BATCH_MAX][KEY_BYTES];
    struct cenote_key keys[CENOTE_BATCH_MAX];
    struct cenote_buffer buffers[CENOTE_BATCH_MAX];
    int statuses[CENOTE_BATCH_MAX];
};
static struct batch b;

static size_t size_of(size_t i)
{
    return 1 + i * 37 % SIZE_MAX_B;
}

static void begin(const char *prefix, size_t count)
{
    b.count = count;
    for (size_t i = 0; i < count; i++) {
        int len = snprintf(b.names[i], KEY_BYTES, "%s%zu", prefix, i);
        b.keys[i] = (struct cenote_key){b.names[i], (size_t)len};
    }
}

static void answer(int whole)
{
    printf("%d", whole);
    for (size_t i = 0; i < b.count; i++)
        printf(" %d", b.statuses[i]);
    printf("\n");
    fflush(stdout);
}

static void make_buffers(void)
{
    for (size_t i = 0; i < b.count; i++) {
        b.buffers[i] = (struct cenote_buffer){calloc(1, SIZE_MAX_B), size_of(i)};
        if (!b.buffers[i].addr)
            abort();
    }
}

static void free_buffers(void)
{
    for (size_t i = 0; i < b.count; i++)
        free(b.buffers[i].addr);
}

static struct cenote_put_item put_items[CENOTE_BATCH_MAX];
static struct cenote_get_item get_items[CENOTE_BATCH_MAX];

/* Waits for the only operation in flight; its status. */
static int await(int submitted, const uint64_t *id)
{
    struct cenote_completion done;

    if (submitted != CENOTE_OK)
        return submitted;
    if (cenote_completions(client, &done, 1, PATIENCE) != 1 || done.id != *id ||
        done.user_data != SUBMITTER)
        abort();
    return done.status;
}

static void put(uint64_t seed, unsigned flags, const struct cenote_submit *how)
{
    uint64_t id;

    make_buffers();
    for (size_t i = 0; i < b.count; i++) {
        payload_fill(seed + i, b.buffers[i].addr, size_of(i));
        put_items[i] =
            (struct cenote_put_item){.key = b.keys[i], .buffers = &b.buffers[i], .buffer_count = 1};
    }
    int whole = how ? await(cenote_submit_put(client, put_items, b.count, flags, how, &id), &id)
                    : cenote_put_batch(client, put_items, b.count, flags);
    for (size_t i = 0; i < b.count; i++)
        b.statuses[i] = put_items[i].status;
    free_buffers();
    answer(whole);
}

static int judge(const struct cenote_get_item *item, uint64_t seed)
{
    if (item->status != CENOTE_OK)
        return item->status;
    return payload_is(seed, item->buffers[0].addr, item->len_bytes) ? CENOTE_OK : CORRUPT;
}

static int fetch(const struct cenote_submit *how, bool cancel)
{
    uint64_t id;
    int status = cenote_submit_get(client, get_items, b.count, how, &id);

    if (status == CENOTE_OK && cancel)
        (void)cenote_cancel(client, id);
    return await(status, &id);
}

static void get(uint64_t seed, const struct cenote_submit *how, bool cancel)
{
    make_buffers();
    for (size_t i = 0; i < b.count; i++)
        get_items[i] =
            (struct cenote_get_item){.key = b.keys[i], .buffers = &b.buffers[i], .buffer_count = 1};
    int whole = how ? fetch(how, cancel) : cenote_get_batch(client, get_items, b.count);
    for (size_t i = 0; i < b.count; i++) {
        b.statuses[i] = judge(&get_items[i], seed + i);
        if (b.statuses[i] == CENOTE_OK && get_items[i].len_bytes != size_of(i))
            b.statuses[i] = CORRUPT;
    }
    free_buffers();
    answer(whole);
}

/* The bytes of a value from an offset on. */
static int judge_part(size_t i, uint64_t seed, const void *data, size_t offset, size_t len)
{
    uint8_t *whole = malloc(size_of(i));

    if (!whole)
        abort();
    payload_fill(seed + i, whole, size_of(i));
    bool same = offset + len == size_of(i) && memcmp(whole + offset, data, len) == 0;
    free(whole);
    return same ? CENOTE_OK : CORRUPT;
}

static int first_error(void)
{
    for (size_t i = 0; i < b.count; i++) {
        if (b.statuses[i] != CENOTE_OK)
            return b.statuses[i];
    }
    return CENOTE_OK;
}

static struct cenote_view views[CENOTE_BATCH_MAX];

static void open_views(uint64_t seed)
{
    for (size_t i = 0; i < b.count; i++) {
        views[i] = (struct cenote_view){0};
        b.statuses[i] = cenote_view_get(client, b.keys[i].data, b.keys[i].len_bytes, &views[i]);
        if (b.statuses[i] == CENOTE_OK)
            b.statuses[i] = judge_part(i, seed, views[i].data, 0, (size_t)views[i].len_bytes);
    }
}

static void release_views(void)
{
    for (size_t i = 0; i < b.count; i++)
        cenote_view_release(client, &views[i]);
}

static void range(uint64_t seed)
{
    static struct cenote_range_item items[CENOTE_BATCH_MAX];
    static uint8_t memory[CENOTE_BATCH_MAX][SIZE_MAX_B];
    uint64_t id;

    if (cenote_buffer_register(client, memory, sizeof memory, CENOTE_MEMORY_HOST, &id) != CENOTE_OK)
        abort();
    for (size_t i = 0; i < b.count; i++) {
        size_t offset = size_of(i) / 2;
        b.buffers[i] = (struct cenote_buffer){memory[i], size_of(i) - offset};
        items[i] = (struct cenote_range_item){
            .key = b.keys[i], .offset = offset, .buffers = &b.buffers[i], .buffer_count = 1};
    }
    int whole = cenote_get_ranges(client, items, b.count);
    for (size_t i = 0; i < b.count; i++) {
        b.statuses[i] = items[i].status;
        if (b.statuses[i] == CENOTE_OK)
            b.statuses[i] = items[i].value_len_bytes == size_of(i)
                                ? judge_part(i, seed, memory[i], (size_t)items[i].offset,
                                             b.buffers[i].len_bytes)
                                : CORRUPT;
    }
    if (cenote_buffer_unregister(client, id) != CENOTE_OK)
        abort();
    answer(whole);
}

static int write_one(size_t i, uint64_t seed)
{
    uint8_t bytes[SIZE_MAX_B];
    size_t len = size_of(i), half = len / 2;
    struct cenote_writer *w;
    int status = cenote_writer_open(client, b.keys[i].data, b.keys[i].len_bytes, len,
                                    CENOTE_PUT_REPLACE, &w);

    if (status != CENOTE_OK)
        return status;
    payload_fill(seed + i, bytes, len);
    status = cenote_writer_write(w, half, bytes + half, len - half);
    if (status == CENOTE_OK)
        status = cenote_writer_write(w, 0, bytes, half);
    if (status == CENOTE_OK)
        status = cenote_writer_commit(w);
    cenote_writer_close(&w);
    return status;
}

static void write_all(uint64_t seed)
{
    for (size_t i = 0; i < b.count; i++)
        b.statuses[i] = write_one(i, seed);
    answer(first_error());
}

static void exists(void)
{
    static bool present[CENOTE_BATCH_MAX];
    size_t prefix = 0;
    int whole = cenote_exists(client, b.keys, b.count, present, &prefix);

    printf("%d %zu", whole, prefix);
    for (size_t i = 0; i < b.count; i++)
        printf(" %d", present[i]);
    printf("\n");
    fflush(stdout);
}

static void stat_all(void)
{
    struct cenote_stat found;
    int whole = CENOTE_OK;

    for (size_t i = 0; i < b.count; i++) {
        b.statuses[i] = cenote_stat(client, b.keys[i].data, b.keys[i].len_bytes, &found);
        if (b.statuses[i] == CENOTE_OK && found.len_bytes != size_of(i))
            b.statuses[i] = CORRUPT;
        whole = whole ? whole : b.statuses[i];
    }
    answer(whole);
}

static void list(const char *prefix)
{
    char before[CENOTE_KEY_MAX + 1] = "", key[CENOTE_KEY_MAX + 1];
    struct cenote_list l = {0};
    size_t count = 0, pages = 0;
    bool ordered = true;
    int whole;

    do {
        whole = cenote_list(client, prefix, strlen(prefix), &l);
        pages++;
        for (size_t i = 0; i < l.count; i++, count++) {
            snprintf(key, sizeof key, "%.*s", (int)l.entries[i].key.len_bytes,
                     (const char *)l.entries[i].key.data);
            ordered = ordered && strcmp(before, key) < 0;
            strcpy(before, key);
        }
    } while (whole == CENOTE_OK && l.more);
    cenote_list_free(&l);
    printf("%d %zu %zu %d\n", whole, count, pages, ordered);
    fflush(stdout);
}

static void status(void)
{
    char *json = NULL;
    int whole = cenote_pool_status(client, &json);

    printf("%d %s\n", whole, json ? json : "null");
    fflush(stdout);
    free(json);
}

static void view(uint64_t seed)
{
    open_views(seed);
    release_views();
    answer(first_error());
}

static void viewed(void)
{
    open_views(0);
    status();
    release_views();
}

static void run(const char *command, const char *prefix, size_t count, uint64_t seed,
                uint32_t deadline_ms)
{
    const struct cenote_submit how = {.user_data = SUBMITTER, .deadline_ms = deadline_ms};

    begin(prefix, count);
    if (strcmp(command, "put") == 0)
        put(seed, 0, NULL);
    else if (strcmp(command, "replace") == 0)
        put(seed, CENOTE_PUT_REPLACE, NULL);
    else if (strcmp(command, "get") == 0)
        get(seed, NULL, false);
    else if (strcmp(command, "store") == 0)
        put(seed, CENOTE_PUT_REPLACE, &how);
    else if (strcmp(command, "fetch") == 0)
        get(seed, &how, false);
    else if (strcmp(command, "cancel") == 0)
        get(seed, &how, true);
    else if (strcmp(command, "view") == 0)
        view(seed);
    else if (strcmp(command, "viewed") == 0)
        viewed();
    else if (strcmp(command, "range") == 0)
        range(seed);
    else if (strcmp(command, "write") == 0)
        write_all(seed);
    else if (strcmp(command, "exists") == 0)
        exists();
    else if (strcmp(command, "stat") == 0)
        stat_all();
    else if (strcmp(command, "remove") == 0)
        answer(cenote_remove(client, b.keys, b.count, b.statuses));
    else if (strcmp(command, "list") == 0)
        list(prefix);
    else
        status();
}

int main(int argc, char **argv)
{
    struct cenote_options o = {0};
    char line[256], command[16], prefix[48];
    unsigned long count, seed, deadline_ms;

    if (argc != 4)
        return 2;
    o.meta = argv[1];
    o.transport = transport_named(argv[2]);
    o.timeout_ms = (uint32_t)strtoul(argv[3], NULL, 10);
    int whole = cenote_open(&o, &client);
    printf("%d\n", whole);
    fflush(stdout);
    while (whole == CENOTE_OK && fgets(line, sizeof line, stdin)) {
        count = seed = deadline_ms = 0;
        prefix[0] = '\0';
        if (sscanf(line, "%15s %47s %lu %lu %lu", command, prefix, &count, &seed, &deadline_ms) <
                1 ||
            count > CENOTE_BATCH_MAX)
            return 2;
        run(command, prefix, count, seed, (uint32_t)deadline_ms);
    }
    cenote_close(&client);
    return 0;
}
