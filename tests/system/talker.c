/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client that does what it is told, line by line, and answers each with one line, so that a test
 * can hold several clients with what they remember:
 *
 *   get KEY                     OK VALUE, or the status' name
 *   many KEY COUNT              the same, of COUNT gets in a row that must all end alike
 *   put|replace KEY VALUE       the status' name
 *   remove KEY                  likewise
 *
 * Usage: talker ENDPOINT auto|shm|tcp|rdma TIMEOUT-MS
 */
#include <cenote/cenote.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/transport.h"

#define LINE_MAX_BYTES  4096u
#define VALUE_MAX_BYTES 2048u

static struct cenote *client;

static void answer(int status, const char *value)
{
    printf("%s %s\n", cenote_status_name(status), value);
    fflush(stdout);
}

static int get(const char *key, char value[VALUE_MAX_BYTES + 1])
{
    uint64_t len = 0;
    int status = cenote_get(client, key, strlen(key), value, VALUE_MAX_BYTES, &len);

    value[status == CENOTE_OK ? len : 0] = '\0';
    return status;
}

static void get_many(const char *key, long count)
{
    char first[VALUE_MAX_BYTES + 1], next[VALUE_MAX_BYTES + 1];
    int status = get(key, first);

    while (--count > 0) {
        if (get(key, next) != status || strcmp(first, next) != 0) {
            answer(CENOTE_CORRUPT, "they differ");
            return;
        }
    }
    answer(status, first);
}

static void put(const char *key, const char *value, unsigned flags)
{
    answer(cenote_put(client, key, strlen(key), value, strlen(value), flags), "");
}

static void obey(const char *verb, const char *key, const char *rest)
{
    const struct cenote_key one = {key, strlen(key)};

    if (strcmp(verb, "get") == 0)
        get_many(key, 1);
    else if (strcmp(verb, "many") == 0)
        get_many(key, strtol(rest, NULL, 10));
    else if (strcmp(verb, "put") == 0)
        put(key, rest, 0);
    else if (strcmp(verb, "replace") == 0)
        put(key, rest, CENOTE_PUT_REPLACE);
    else
        answer(cenote_remove(client, &one, 1, NULL), "");
}

int main(int argc, char **argv)
{
    char line[LINE_MAX_BYTES], verb[16], key[256], rest[VALUE_MAX_BYTES];
    struct cenote_options o = {0};

    if (argc != 4)
        return 2;
    o.meta = argv[1];
    o.timeout_ms = (uint32_t)strtoul(argv[3], NULL, 10);
    o.transport = transport_named(argv[2]);
    int status = cenote_open(&o, &client);
    answer(status, "");
    if (status != CENOTE_OK)
        return 1;
    while (fgets(line, sizeof line, stdin)) {
        rest[0] = '\0';
        if (sscanf(line, "%15s %255s %2047s", verb, key, rest) < 2)
            return 2;
        obey(verb, key, rest);
    }
    cenote_close(&client);
    return 0;
}
