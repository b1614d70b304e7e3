/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/policy/queues.h"

#include <assert.h>
#include <stdlib.h>

void *queues_open(struct sim *s)
{
    struct queues *qs = calloc(1, sizeof(*qs));
    if (qs == NULL)
        return NULL;
    qs->sim = s;
    qs->hand = BLOCK_NONE;
    for (uint32_t k = 0; k < QUEUES; k++)
        qs->q[k] = (struct queue){.newest = BLOCK_NONE, .oldest = BLOCK_NONE};
    qs->newer = calloc(s->unique, sizeof(*qs->newer));
    qs->older = calloc(s->unique, sizeof(*qs->older));
    qs->in = calloc(s->unique, sizeof(*qs->in));
    qs->uses = calloc(s->unique, sizeof(*qs->uses));
    if (qs->newer != NULL && qs->older != NULL && qs->in != NULL && qs->uses != NULL)
        return qs;
    queues_close(qs);
    return NULL;
}

void queues_close(void *state)
{
    struct queues *qs = state;
    free(qs->newer);
    free(qs->older);
    free(qs->in);
    free(qs->uses);
    free(qs);
}

void queues_push(struct queues *qs, uint32_t k, uint32_t block)
{
    struct queue *q = &qs->q[k];
    assert(qs->in[block] == 0);
    qs->newer[block] = BLOCK_NONE;
    qs->older[block] = q->newest;
    if (q->newest == BLOCK_NONE)
        q->oldest = block;
    else
        qs->newer[q->newest] = block;
    q->newest = block;
    qs->in[block] = (uint8_t)(k + 1);
    q->count++;
}

void queues_take(struct queues *qs, uint32_t block)
{
    assert(qs->in[block] != 0);
    struct queue *q = &qs->q[qs->in[block] - 1];
    uint32_t newer = qs->newer[block], older = qs->older[block];
    if (newer == BLOCK_NONE)
        q->newest = older;
    else
        qs->older[newer] = older;
    if (older == BLOCK_NONE)
        q->oldest = newer;
    else
        qs->newer[older] = newer;
    qs->in[block] = 0;
    q->count--;
}

uint32_t queues_pop(struct queues *qs, uint32_t k)
{
    uint32_t block = qs->q[k].oldest;
    queues_take(qs, block);
    return block;
}
