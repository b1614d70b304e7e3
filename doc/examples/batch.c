/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A serving engine's KV cache: a block of tokens is one value, but in the engine's memory it is one
 * piece for the keys and one for the values of each layer, in arrays that hold all blocks of that
 * layer. A batch puts several blocks straight from where they lie, and gets them straight to where
 * they belong; nothing is gathered or copied in between.
 */
#include <cenote/cenote.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LAYERS      32
#define TOKENS      16
#define TOKEN_BYTES 512 /* of one layer's keys, or values */
#define PIECE_BYTES ((size_t)TOKENS * TOKEN_BYTES)
#define PIECES      (2 * LAYERS)
#define BLOCKS      8 /* of each array */
#define BATCH       4

/* The engine's memory: array p holds piece p of each block. */
struct cache {
    unsigned char *arrays[PIECES];
};

static int cache_make(struct cache *c)
{
    for (int p = 0; p < PIECES; p++) {
        c->arrays[p] = calloc(BLOCKS, PIECE_BYTES);
        if (!c->arrays[p])
            return -1;
    }
    return 0;
}

static void cache_free(struct cache *c)
{
    for (int p = 0; p < PIECES; p++)
        free(c->arrays[p]);
}

/* The pieces of one block, in the order in which they make up the value. */
static void block_pieces(const struct cache *c, int block, struct cenote_buffer pieces[PIECES])
{
    for (int p = 0; p < PIECES; p++)
        pieces[p] = (struct cenote_buffer){c->arrays[p] + (size_t)block * PIECE_BYTES, PIECE_BYTES};
}

static void block_fill(struct cache *c, int block)
{
    for (int p = 0; p < PIECES; p++)
        memset(c->arrays[p] + (size_t)block * PIECE_BYTES, block * PIECES + p + 1, PIECE_BYTES);
}

/* In an engine: a hash of all tokens up to the block's end, and the model's name. */
static struct cenote_key block_key(int n, char name[32])
{
    snprintf(name, 32, "example/block-%d", n);
    return (struct cenote_key){name, strlen(name)};
}

static int put_blocks(struct cenote *client, const struct cache *c)
{
    struct cenote_buffer pieces[BATCH][PIECES];
    struct cenote_put_item items[BATCH];
    char names[BATCH][32];

    for (int i = 0; i < BATCH; i++) {
        block_pieces(c, i, pieces[i]);
        items[i] = (struct cenote_put_item){
            .key = block_key(i, names[i]), .buffers = pieces[i], .buffer_count = PIECES};
    }
    return cenote_put_batch(client, items, BATCH, CENOTE_PUT_REPLACE);
}

/* Into other blocks than those from which they came; says how many are as they were. */
static int get_blocks(struct cenote *client, struct cache *c, int *same)
{
    struct cenote_buffer pieces[BATCH][PIECES];
    struct cenote_get_item items[BATCH];
    char names[BATCH][32];

    for (int i = 0; i < BATCH; i++) {
        block_pieces(c, i + BATCH, pieces[i]);
        items[i] = (struct cenote_get_item){
            .key = block_key(i, names[i]), .buffers = pieces[i], .buffer_count = PIECES};
    }
    int status = cenote_get_batch(client, items, BATCH);
    *same = 0;
    for (int i = 0; i < BATCH; i++) {
        int differs = items[i].status != CENOTE_OK || items[i].len_bytes != PIECES * PIECE_BYTES;
        for (int p = 0; p < PIECES && !differs; p++)
            differs =
                memcmp(pieces[i][p].addr, c->arrays[p] + (size_t)i * PIECE_BYTES, PIECE_BYTES) != 0;
        *same += !differs;
    }
    return status;
}

int main(void)
{
    struct cenote *client = NULL;
    struct cache cache = {{NULL}};
    int same = 0;
    int status = cache_make(&cache) == 0 ? cenote_open(NULL, &client) : CENOTE_NO_MEMORY;

    for (int block = 0; status == CENOTE_OK && block < BATCH; block++)
        block_fill(&cache, block);
    if (status == CENOTE_OK)
        status = put_blocks(client, &cache);
    if (status == CENOTE_OK)
        status = get_blocks(client, &cache, &same);
    printf("%s: %d of %d blocks came back, %d pieces of %zu bytes each\n",
           cenote_status_text(status), same, BATCH, PIECES, PIECE_BYTES);
    cenote_close(&client);
    cache_free(&cache);
    return status == CENOTE_OK && same == BATCH ? 0 : 1;
}
