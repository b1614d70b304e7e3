/* SPDX-License-Identifier: Apache-2.0 */
#include "server/gateway/memory.h"

#include <assert.h>
#include <stdlib.h>

struct piece *memory_take(struct memory *m, size_t wanted_bytes, bool first)
{
    size_t size = wanted_bytes < PIECE_MAX_BYTES ? wanted_bytes : PIECE_MAX_BYTES;
    while (size > PIECE_MIN_BYTES && m->used_bytes + size > MEMORY_MAX_BYTES)
        size = size / 2 > PIECE_MIN_BYTES ? size / 2 : PIECE_MIN_BYTES;
    bool budgeted = size > PIECE_MIN_BYTES || !first;
    if (budgeted && m->used_bytes + size > MEMORY_MAX_BYTES)
        return NULL;
    struct piece *p = malloc(sizeof *p + size);
    if (!p)
        return NULL;
    *p = (struct piece){.memory = m, .size_bytes = size, .budgeted = budgeted};
    if (budgeted)
        m->used_bytes += size;
    return p;
}

void memory_give(struct piece *p)
{
    if (!p)
        return;
    assert(!p->budgeted || p->memory->used_bytes >= p->size_bytes);
    if (p->budgeted)
        p->memory->used_bytes -= p->size_bytes;
    free(p);
}
