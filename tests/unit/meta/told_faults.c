/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Telling nodes of their extents, while the Nth allocation of a message fails, for every N: it is
 * told a little later, and nothing else suffers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/core/directory.h"
#include "tests/support/metaworld.h"

#define SEGMENT (UINT64_C(4) << 20)
#define PUTS    60u

static long calls_left = -1; /* until one fails; negative: none does */

void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);

void *__wrap_realloc(void *p, size_t size)
{
    if (calls_left >= 0 && calls_left-- == 0)
        return NULL;
    return __real_realloc(p, size);
}

static bool beat(struct end *node)
{
    return node_heartbeat(node, 1, SEGMENT) == CENOTE_OK;
}

/* False: something is wrong. *reached: an allocation has failed. */
static bool life(long fault, bool lists, bool *reached)
{
    struct world *w = world_new(NULL);
    struct directory *d;
    bool good = world_start(w) == CENOTE_OK &&
                directory_open(-1, DIRECTORY_BYTES_MIN, NULL, 0, &d) == CENOTE_OK;
    struct end *node = node_up(w, "n1", 7, 1, SEGMENT);
    struct end *client = client_open(w, "default");
    good = good && node_heartbeat_with(node, 1, SEGMENT, lists ? NULL : d) == CENOTE_OK;
    for (unsigned i = 0; i < PUTS && good; i++) {
        char key[16];
        snprintf(key, sizeof(key), "key %u", i);
        good = client_put(client, key, 100, 0) == CENOTE_OK;
    }
    good = good && node_heartbeat_with(node, 1, SEGMENT, d) == CENOTE_OK;
    calls_left = fault;
    world_pass(w, 200);
    *reached = calls_left < 0;
    calls_left = -1;
    for (unsigned i = 0; i < 15; i++) {
        world_pass(w, DIRECTORY_RETRY_MS / 10);
        good = good && beat(node);
    }
    good = good && directory_sum(d).entries == PUTS && service_check(w->service) == 0;
    world_free(w);
    directory_close(d);
    return good;
}

static int sweep(bool lists)
{
    bool reached = true;
    long fault = 0;
    for (; reached; fault++) {
        if (life(fault, lists, &reached))
            continue;
        printf("%s: allocation %ld failed, and not all was told\n", lists ? "list" : "news", fault);
        return 1;
    }
    printf("%s: %ld allocations\n", lists ? "list" : "news", fault - 1);
    return fault > 4 ? 0 : 1;
}

int main(void)
{
    return sweep(false) + sweep(true);
}
