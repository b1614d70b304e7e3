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
 *
 * Usage: keyed META TRANSPORT TIMEOUT_MS
 */
#include <cenote/cenote.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/payload.h"

#define KEY_BYTES  64
#define SIZE_MAX_B 9000u
#define CORRUPT    1 /* in place of a status: the bytes are wrong */

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

static void put(uint64_t seed, unsigned flags)
{
    static struct cenote_put_item items[CENOTE_BATCH_MAX];

    make_buffers();
    for (size_t i = 0; i < b.count; i++) {
        payload_fill(seed + i, b.buffers[i].addr, size_of(i));
        items[i] =
            (struct cenote_put_item){.key = b.keys[i], .buffers = &b.buffers[i], .buffer_count = 1};
    }
    int whole = cenote_put_batch(client, items, b.count, flags);
    for (size_t i = 0; i < b.count; i++)
        b.statuses[i] = items[i].status;
    free_buffers();
    answer(whole);
}

static int judge(const struct cenote_get_item *item, uint64_t seed)
{
    if (item->status != CENOTE_OK)
        return item->status;
    return payload_is(seed, item->buffers[0].addr, item->len_bytes) ? CENOTE_OK : CORRUPT;
}

static void get(uint64_t seed)
{
    static struct cenote_get_item items[CENOTE_BATCH_MAX];

    make_buffers();
    for (size_t i = 0; i < b.count; i++)
        items[i] =
            (struct cenote_get_item){.key = b.keys[i], .buffers = &b.buffers[i], .buffer_count = 1};
    int whole = cenote_get_batch(client, items, b.count);
    for (size_t i = 0; i < b.count; i++) {
        b.statuses[i] = judge(&items[i], seed + i);
        if (b.statuses[i] == CENOTE_OK && items[i].len_bytes != size_of(i))
            b.statuses[i] = CORRUPT;
    }
    free_buffers();
    answer(whole);
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

static void run(const char *command, const char *prefix, size_t count, uint64_t seed)
{
    begin(prefix, count);
    if (strcmp(command, "put") == 0)
        put(seed, 0);
    else if (strcmp(command, "replace") == 0)
        put(seed, CENOTE_PUT_REPLACE);
    else if (strcmp(command, "get") == 0)
        get(seed);
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
    unsigned long count, seed;

    if (argc != 4)
        return 2;
    o.meta = argv[1];
    o.transport = strcmp(argv[2], "tcp") == 0 ? CENOTE_TRANSPORT_TCP : CENOTE_TRANSPORT_SHM;
    o.timeout_ms = (uint32_t)strtoul(argv[3], NULL, 10);
    int whole = cenote_open(&o, &client);
    printf("%d\n", whole);
    fflush(stdout);
    while (whole == CENOTE_OK && fgets(line, sizeof line, stdin)) {
        count = seed = 0;
        prefix[0] = '\0';
        if (sscanf(line, "%15s %47s %lu %lu", command, prefix, &count, &seed) < 1 ||
            count > CENOTE_BATCH_MAX)
            return 2;
        run(command, prefix, count, seed);
    }
    cenote_close(&client);
    return 0;
}
