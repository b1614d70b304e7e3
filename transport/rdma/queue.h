/* SPDX-License-Identifier: Apache-2.0 */
/* One reliable connected queue pair: made, connected, failed and ended. Who posts counts. */
#ifndef CENOTE_TRANSPORT_RDMA_QUEUE_H
#define CENOTE_TRANSPORT_RDMA_QUEUE_H

#include "transport/rdma/device.h"

/* Pieces of one request at most, whatever the device allows. */
#define RDMA_SGE_MAX 32u

/* What the client wants of the node's memory by a queue pair; the node's side of it lets nothing
 * else pass, whatever keys come along. */
enum rdma_role { RDMA_ROLE_READ = 1, RDMA_ROLE_WRITE = 2 };

/* What one end must know of the other. */
struct rdma_end {
    uint32_t number; /* of the queue pair, 24 bits */
    uint32_t psn;    /* of its first packet, 24 bits, random */
    uint32_t mtu_bytes;
    uint8_t read_depth; /* READs: as the asking end that it would like to have in flight, as the
                         * answering end that it takes */
};

struct rdma_queue {
    const struct rdma_devices *devices;
    struct rdma_port *port;
    struct ibv_qp *qp; /* NULL: none */
    uint32_t psn;
    uint32_t depth;      /* requests that fit */
    uint32_t sge_max;    /* pieces of a request, READ too */
    uint32_t inline_max; /* bytes */
    uint8_t read_depth;
};

enum rdma_side { RDMA_SIDE_CLIENT, RDMA_SIDE_NODE };

/* Makes a queue pair in state INIT. At the node, access is what the role allows and nothing is ever
 * posted; at the client depth, pieces and inline length are as much as settings and device allow.
 * CENOTE_OK; CENOTE_LIMIT (the settings' or the device's), CENOTE_NO_MEMORY, CENOTE_NODE_DOWN (the
 * device is lost), CENOTE_IO; logged. */
int rdma_queue_make(struct rdma_queue *q, const struct rdma_devices *devices,
                    struct rdma_port *port, struct ibv_cq *cq, enum rdma_side side,
                    enum rdma_role role);
void rdma_queue_describe(const struct rdma_queue *q, struct rdma_end *out);
/* To state RTS (the node's side: RTR is enough, and all it does). May block for a second, while the
 * kernel asks for the other port's Ethernet address. read_depth becomes what both ends can do: a
 * node describes its end after this. CENOTE_OK; CENOTE_NODE_DOWN (no way to the other port),
 * CENOTE_INVALID, CENOTE_NO_MEMORY, CENOTE_IO; logged. */
int rdma_queue_connect(struct rdma_queue *q, enum rdma_side side, const struct rdma_end *end,
                       const struct rdma_remote_port *remote);
/* To state ERR: what is posted completes with an error. Harmless when it was so already. */
void rdma_queue_fail(struct rdma_queue *q);
/* Destroys it; when this returns true, neither end's requests by it touch memory here. False: the
 * device refuses, nothing is known, and the queue pair stays; call it again later (a removed device
 * lets it go as soon as its event has been taken). Harmless without one. */
bool rdma_queue_end(struct rdma_queue *q);

/* What a failed completion means for the request it belongs to. flushed: it failed because another
 * one had. */
int rdma_status_of(enum ibv_wc_status status, bool *flushed);

#endif
