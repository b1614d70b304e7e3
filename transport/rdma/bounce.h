/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registered memory through which unregistered bytes go: slots of one length, made as they are
 * needed up to a limit for all channels of a client, given back when a channel has nothing in
 * flight.
 */
#ifndef CENOTE_TRANSPORT_RDMA_BOUNCE_H
#define CENOTE_TRANSPORT_RDMA_BOUNCE_H

#include "transport/rdma/region.h"

#define RDMA_BOUNCE_SLOT_BYTES (UINT64_C(128) << 10)
#define RDMA_BOUNCE_BYTES_MAX  (UINT64_C(64) << 20)

struct rdma_bounce;

struct rdma_bounce_slot {
    struct rdma_bounce_slot *next; /* whoever has it */
    uint8_t *at;                   /* RDMA_BOUNCE_SLOT_BYTES */
    uint32_t lkeys[RDMA_DEVICES_MAX];
};

/* NULL: no memory. */
struct rdma_bounce *rdma_bounce_new(const struct rdma_devices *devices);
/* All slots are back. */
void rdma_bounce_free(struct rdma_bounce *b);
void rdma_bounce_abandon(struct rdma_bounce *b);
/* A slot; sure: beyond the limit too, for a channel that has none and must go on. NULL: none now
 * (and with sure: no memory, logged). Any thread. */
struct rdma_bounce_slot *rdma_bounce_take(struct rdma_bounce *b, bool sure);
void rdma_bounce_give(struct rdma_bounce *b, struct rdma_bounce_slot *slot);

#endif
