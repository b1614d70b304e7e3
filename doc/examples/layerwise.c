/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block of an attention cache, layer by layer: a prefill saves each layer as soon as it is
 * computed, long before the block is complete; a decoder loads them one by one and begins with the
 * first layer while the others are still to come.
 * The pool is the one at $CENOTE_META, or at 127.0.0.1:7400.
 */
#include <cenote/buffer.h>
#include <cenote/range.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY         "example/block"
#define LAYERS      32u
#define LAYER_BYTES (256u * 1024u) /* whole chunks: a layer is loaded without its neighbours */

static int complain(const char *what, int status)
{
    fprintf(stderr, "%s: %s\n", what, cenote_status_text(status));
    return 1;
}

static void compute(unsigned layer, unsigned char *out)
{
    for (size_t i = 0; i < LAYER_BYTES; i++)
        out[i] = (unsigned char)(layer * 31 + i);
}

static int save(struct cenote *client, unsigned char *layer)
{
    struct cenote_writer *writer = NULL;
    int status =
        cenote_writer_open(client, KEY, strlen(KEY), (uint64_t)LAYERS * LAYER_BYTES, 0, &writer);

    if (status == CENOTE_EXISTS)
        return CENOTE_OK; /* somebody has saved this block already */
    for (unsigned i = 0; i < LAYERS && status == CENOTE_OK; i++) {
        compute(i, layer);
        status = cenote_writer_write(writer, (uint64_t)i * LAYER_BYTES, layer, LAYER_BYTES);
    }
    if (status == CENOTE_OK)
        status = cenote_writer_commit(writer);
    cenote_writer_close(&writer);
    return status == CENOTE_EXISTS ? CENOTE_OK : status;
}

/* The next layers are loaded while this one is used, if there are threads for it; here one after
 * the other. *put_id says whether all layers are of one value. */
static int load(struct cenote *client, unsigned i, unsigned char *layer, uint64_t *put_id)
{
    const struct cenote_buffer piece = {layer, LAYER_BYTES};
    struct cenote_range_item item = {.key = {KEY, strlen(KEY)},
                                     .offset = (uint64_t)i * LAYER_BYTES,
                                     .buffers = &piece,
                                     .buffer_count = 1};
    int status = cenote_get_ranges(client, &item, 1);

    if (status == CENOTE_OK && *put_id != 0 && item.put_id != *put_id)
        status = CENOTE_STALE; /* the block was replaced: load it from the beginning */
    *put_id = item.put_id;
    return status;
}

static int run(struct cenote *client, unsigned char *layer, unsigned char *expected)
{
    const struct cenote_key key = {KEY, strlen(KEY)};
    uint64_t put_id = 0;
    int status = save(client, layer);

    if (status != CENOTE_OK)
        return complain("save", status);
    printf("saved %u layers\n", LAYERS);
    for (unsigned i = 0; i < LAYERS; i++) {
        status = load(client, i, layer, &put_id);
        if (status != CENOTE_OK)
            return complain("load", status);
        compute(i, expected);
        if (memcmp(layer, expected, LAYER_BYTES) != 0)
            return complain("load", CENOTE_CORRUPT);
    }
    printf("loaded %u layers\n", LAYERS);
    status = cenote_remove(client, &key, 1, NULL);
    return status == CENOTE_OK ? 0 : complain("remove", status);
}

int main(void)
{
    struct cenote *client = NULL;
    unsigned char *memory = malloc(2 * LAYER_BYTES);
    uint64_t registered;
    int status = memory ? cenote_open(NULL, &client) : CENOTE_NO_MEMORY;

    /* Memory that is used again and again; parts of it may be given to any call. */
    if (status == CENOTE_OK)
        status = cenote_buffer_register(client, memory, 2 * LAYER_BYTES, CENOTE_MEMORY_HOST,
                                        &registered);
    int code =
        status == CENOTE_OK ? run(client, memory, memory + LAYER_BYTES) : complain("open", status);
    if (status == CENOTE_OK)
        cenote_buffer_unregister(client, registered);
    cenote_close(&client);
    free(memory);
    return code;
}
