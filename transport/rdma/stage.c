/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of bounce memory. Slots are large and most pieces that go through them are small: entries
 * take parts of one slot until it is full, and it goes back when the last of them has retired.
 */
#include <assert.h>

#include "transport/rdma/channel.h"

#define STAGE_ALIGN 64u /* parts don't share cache lines */

static void put_back(struct rdma_channel *ch, struct channel_stage *s)
{
    rdma_bounce_give(ch->context->bounce, s->slot);
    *s = (struct channel_stage){.slot = NULL};
}

/* A fresh slot becomes the one that parts are taken from. A channel that has nothing on its way
 * can't wait for anything and gets one for sure. */
static bool begin_slot(struct rdma_channel *ch)
{
    bool sure = ch->tail == ch->head;
    for (unsigned i = 0; i < CHANNEL_STAGES; i++) {
        struct channel_stage *s = &ch->stages[i];
        if (s->slot != NULL)
            continue;
        s->slot = rdma_bounce_take(ch->context->bounce, sure);
        ch->stage = i;
        return s->slot != NULL;
    }
    return false;
}

uint8_t *stage_take(struct rdma_channel *ch, uint64_t want, uint64_t *len_bytes, unsigned *stage)
{
    struct channel_stage *s = &ch->stages[ch->stage];
    assert(want > 0);
    if (s->slot == NULL || s->used_bytes == RDMA_BOUNCE_SLOT_BYTES) {
        if (s->slot != NULL && s->users == 0)
            put_back(ch, s);
        if (!begin_slot(ch))
            return NULL;
        s = &ch->stages[ch->stage];
    }
    uint64_t left = RDMA_BOUNCE_SLOT_BYTES - s->used_bytes;
    uint8_t *at = s->slot->at + s->used_bytes;
    *len_bytes = want < left ? want : left;
    *stage = ch->stage;
    s->used_bytes += (uint32_t)((*len_bytes + STAGE_ALIGN - 1) / STAGE_ALIGN * STAGE_ALIGN);
    s->users++;
    return at;
}

void stage_give(struct rdma_channel *ch, unsigned stage)
{
    struct channel_stage *s = &ch->stages[stage];
    assert(s->users > 0);
    if (--s->users > 0)
        return;
    if (stage == ch->stage)
        s->used_bytes = 0;
    else
        put_back(ch, s);
}

uint32_t stage_key(const struct rdma_channel *ch, unsigned stage, const struct channel_queue *queue)
{
    return ch->stages[stage].slot->lkeys[queue->rail->port->device->index];
}

void stage_rest(struct rdma_channel *ch)
{
    struct channel_stage *s = &ch->stages[ch->stage];
    if (s->slot != NULL && s->users == 0)
        put_back(ch, s);
}
