/* SPDX-License-Identifier: Apache-2.0 */
/* Entries, and the chains of work requests by which they go to a device. */
#include <assert.h>

#include "transport/base/log.h"
#include "transport/rdma/channel.h"

bool chain_has_room(const struct rdma_channel *ch, const struct channel_queue *queue)
{
    return queue->listed < queue->room && ch->head - ch->tail < ch->ring_size;
}

void chain_make_room(struct rdma_channel *ch, struct channel_queue *queue, uint32_t pieces)
{
    if (queue->chain_count == queue->chain_max || CHANNEL_PIECES - queue->piece_count < pieces)
        chain_post(ch, queue);
}

static void list_entry(struct channel_queue *queue, struct channel_entry *last, uint32_t index)
{
    if (queue->listed++ == 0)
        queue->first = index;
    else
        last->next = index;
    queue->last = index;
}

struct channel_entry *chain_add(struct rdma_channel *ch, struct channel_queue *queue,
                                uint64_t len_bytes)
{
    assert(chain_has_room(ch, queue) && len_bytes <= UINT32_MAX);
    uint64_t serial = ch->head++;
    struct ibv_send_wr *wr = chain_next(queue);
    struct channel_entry *e = channel_entry_at(ch, serial);
    list_entry(queue, &ch->ring[queue->last], (uint32_t)(serial & (ch->ring_size - 1)));
    *e = (struct channel_entry){.queue = queue, .len_bytes = (uint32_t)len_bytes};
    queue->rail->load_bytes += len_bytes;

    wr->wr_id = serial;
    wr->sg_list = queue->pieces + queue->piece_count;
    queue->piece_count += (uint32_t)wr->num_sge;
    queue->chain_count++;
    queue->unsignalled_bytes += len_bytes;
    if (queue->unsignalled_bytes >= CHANNEL_SIGNAL_BYTES) {
        wr->send_flags |= IBV_SEND_SIGNALED;
        queue->unsignalled_bytes = 0;
    }
    return e;
}

/* The device takes no more: it, or its queue pair, is broken. */
static void refuse_rest(struct rdma_channel *ch, struct channel_queue *queue, int error)
{
    log_warn("rdma", "node %llu: %s takes no work request: error %d",
             (unsigned long long)ch->base.node, queue->rail->port->device->name, error);
    atomic_fetch_add(&ch->devices->errors, 1);
    channel_lose_rail(ch, queue->rail, "it takes no work request");
}

void chain_post(struct rdma_channel *ch, struct channel_queue *queue)
{
    uint32_t count = queue->chain_count;
    struct ibv_send_wr *bad = NULL;
    queue->chain_count = queue->piece_count = 0;
    queue->unsignalled_bytes = 0;
    if (count == 0 || queue->failed)
        return;
    for (uint32_t i = 0; i + 1 < count; i++)
        queue->chain[i].next = &queue->chain[i + 1];
    queue->chain[count - 1].next = NULL;
    queue->chain[count - 1].send_flags |= IBV_SEND_SIGNALED;
    int error = ibv_post_send(queue->q.qp, queue->chain, &bad);
    if (error == 0)
        queue->posted += count;
    else if (bad != NULL)
        queue->posted += (uint32_t)(bad - queue->chain);
    if (error != 0)
        refuse_rest(ch, queue, error);
}
