/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation of libcenote, many times on one thread, to be counted.
 * Usage: cost_client ENDPOINT shm|tcp|rdma get|put|exists|block TIMES [traced]
 *
 * block is a get of a KV-cache block of DeepSeek-R1: 61 layers with a piece of 128 KiB and one of
 * 16 KiB each.
 */
#include <cenote/cenote.h>
#include <cenote/metrics.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/cost/measured.h"
#include "tests/support/transport.h"

#define VALUE_BYTES 4096u
#define WARM_TURNS  32u
#define KEY         "cost/of/a/client"
#define BLOCK       "cost/of/a/block"
#define LAYERS      61u
#define PIECES      (2 * LAYERS)
#define BLOCK_BYTES (LAYERS * (131072u + 16384u))

struct client {
    struct cenote *handle;
    unsigned number; /* of keys that were put */
    uint8_t value[VALUE_BYTES];
    struct cenote_buffer pieces[PIECES];
    uint8_t block[BLOCK_BYTES];
};

static void must(int status)
{
    if (status == CENOTE_OK)
        return;
    fprintf(stderr, "cost_client: %s\n", cenote_status_text(status));
    exit(2);
}

static void get(void *arg)
{
    struct client *c = arg;
    must(cenote_get(c->handle, KEY, sizeof KEY - 1, c->value, sizeof c->value, NULL));
}

static void put(void *arg)
{
    struct client *c = arg;
    char key[32];
    int len = snprintf(key, sizeof key, "cost/%08d/%08u", (int)getpid(), c->number++);
    must(cenote_put(c->handle, key, (size_t)len, c->value, sizeof c->value, 0));
}

static void block(void *arg)
{
    struct client *c = arg;
    struct cenote_get_item item = {
        .key = {BLOCK, sizeof BLOCK - 1}, .buffers = c->pieces, .buffer_count = PIECES};
    must(cenote_get_batch(c->handle, &item, 1));
    must(item.status);
}

static void put_block(struct client *c)
{
    uint8_t *at = c->block;
    for (unsigned i = 0; i < PIECES; i++) {
        c->pieces[i] = (struct cenote_buffer){at, i % 2 == 0 ? 131072u : 16384u};
        at += c->pieces[i].len_bytes;
    }
    int status = cenote_put(c->handle, BLOCK, sizeof BLOCK - 1, c->block, BLOCK_BYTES, 0);
    must(status == CENOTE_EXISTS ? CENOTE_OK : status);
}

static void exists(void *arg)
{
    struct client *c = arg;
    const struct cenote_key key = {KEY, sizeof KEY - 1};
    must(cenote_exists(c->handle, &key, 1, NULL, NULL));
}

static void (*turn_of(const char *name))(void *arg)
{
    static const struct {
        const char *name;
        void (*turn)(void *arg);
    } turns[] = {{"get", get}, {"put", put}, {"exists", exists}, {"block", block}};
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++)
        if (strcmp(name, turns[i].name) == 0)
            return turns[i].turn;
    return NULL;
}

int main(int argc, char **argv)
{
    static struct client c;
    bool traced = argc == 6 && strcmp(argv[5], "traced") == 0;
    void (*turn)(void *arg) = argc == 5 || traced ? turn_of(argv[3]) : NULL;

    if (!turn) {
        fprintf(stderr, "usage: cost_client ENDPOINT shm|tcp|rdma get|put|exists|block TIMES "
                        "[traced]\n");
        return 2;
    }
    const struct cenote_options options = {
        .meta = argv[1], .transport = transport_named(argv[2]), .timeout_ms = 60000};
    must(cenote_open(&options, &c.handle));
    if (traced)
        must(cenote_trace(c.handle, true));
    memset(c.value, 0x5a, sizeof c.value);
    must(cenote_put(c.handle, KEY, sizeof KEY - 1, c.value, sizeof c.value, CENOTE_PUT_REPLACE));
    if (turn == block)
        put_block(&c);
    for (unsigned i = 0; i < (turn == block ? 2 : WARM_TURNS); i++)
        turn(&c);
    measure(turn, &c, strtoull(argv[4], NULL, 10));
    cenote_close(&c.handle);
    return 0;
}
