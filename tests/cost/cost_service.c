/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One call of the service, many times, to be counted: the service's own code over a store in
 * memory, and the codec on both ends, without sockets and LMDB.
 * Usage: cost_service lookup|lookup_batch|commit TIMES     (a turn of lookup_batch is KEYS keys)
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cost/measured.h"
#include "tests/support/metaworld.h"

#define OBJECTS    512u
#define KEYS       128u
#define KEY_BYTES  16
#define WARM_TURNS 32u
#define SEGMENT    (UINT64_C(64) << 20)
#define PUTS_MAX   1024u

struct rig {
    struct world *world;
    struct end *client;
    unsigned number;
    struct put_start_item puts[PUTS_MAX]; /* begun */
};

static const char *key_of(unsigned number, char text[KEY_BYTES])
{
    snprintf(text, KEY_BYTES, "object/%06u", number);
    return text;
}

static void must(int status)
{
    if (status == CENOTE_OK)
        return;
    fprintf(stderr, "cost_service: %s\n", cenote_status_text(status));
    exit(2);
}

static void lookup(void *arg)
{
    struct rig *r = arg;
    char key[KEY_BYTES];
    must(client_lookup(r->client, key_of(r->number++ % OBJECTS, key), NULL, NULL));
}

static void lookup_batch(void *arg)
{
    struct rig *r = arg;
    struct wire_buf b;
    struct answer *a;
    char key[KEY_BYTES];
    uint32_t msgid = end_request(r->client, &b, METHOD_LOOKUP);

    keys_params_put(&b, KEYS);
    for (unsigned i = 0; i < KEYS; i++) {
        key_of(r->number++ % OBJECTS, key);
        wire_put_bin(&b, key, strlen(key));
    }
    must(end_ask(r->client, &b, msgid, &a));
    answer_drop(r->client, a);
}

static void commit(void *arg)
{
    struct rig *r = arg;
    assert(r->number < PUTS_MAX);
    must(client_commit(r->client, &r->puts[r->number++], EXTENT_VISIBLE));
}

static void begin_puts(struct rig *r)
{
    char key[KEY_BYTES];
    for (unsigned i = 0; i < PUTS_MAX; i++)
        must(client_put_start(r->client, key_of(OBJECTS + i, key), 4096, 0, &r->puts[i], NULL));
}

static void rig_up(struct rig *r)
{
    const struct service_options options = {.lease_ms = 5000};
    char key[KEY_BYTES];

    r->world = world_new(&options);
    must(world_start(r->world));
    node_up(r->world, "node", 1, 1, SEGMENT);
    r->client = client_open(r->world, "cost");
    for (unsigned i = 0; i < OBJECTS; i++)
        must(client_put(r->client, key_of(i, key), 4096, 0));
}

int main(int argc, char **argv)
{
    static struct rig r;
    const char *what = argc == 3 ? argv[1] : "";
    void (*turn)(void *arg) = strcmp(what, "lookup") == 0         ? lookup
                              : strcmp(what, "lookup_batch") == 0 ? lookup_batch
                              : strcmp(what, "commit") == 0       ? commit
                                                                  : NULL;
    if (!turn) {
        fprintf(stderr, "usage: cost_service lookup|lookup_batch|commit TIMES\n");
        return 2;
    }
    rig_up(&r);
    if (turn == commit)
        begin_puts(&r);
    for (unsigned i = 0; i < WARM_TURNS; i++)
        turn(&r);
    measure(turn, &r, strtoull(argv[2], NULL, 10));
    world_free(r.world);
    return 0;
}
