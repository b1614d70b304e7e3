/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory registered with all devices of a user: a node's segment, a client's buffer. Long memory is
 * registered in pieces, by several threads at once, as pinning pages takes a second for some tens
 * of gigabytes; a request doesn't cross the boundary of two pieces.
 */
#ifndef CENOTE_TRANSPORT_RDMA_REGION_H
#define CENOTE_TRANSPORT_RDMA_REGION_H

#include <stdatomic.h>

#include "transport/memory.h"
#include "transport/rdma/device.h"

#define RDMA_PIECE_BYTES (UINT64_C(16) << 30)
#define RDMA_PIECES_MAX  1024u

enum rdma_access {
    RDMA_ACCESS_LOCAL,        /* a client's buffer: read and written by its own requests */
    RDMA_ACCESS_LOCAL_SOURCE, /* the same for memory that its own requests only read: it may be
                               * mapped read-only */
    RDMA_ACCESS_REMOTE_READ,
    RDMA_ACCESS_REMOTE_WRITE /* and READ, with which a writer makes sure that its bytes are there */
};

struct rdma_region;

/* Registers memory with every device. dmabuf_fd: device memory by its dma-buf from offset 0 on,
 * base is then only what requests call it; -1: memory of this process. A lost device has no keys.
 * CENOTE_OK; CENOTE_NO_MEMORY: devices can't have it, which was logged with the limit of locked
 * memory and how much is wanted, when that is the cause; CENOTE_BAD_ADDRESS: logged;
 * CENOTE_NOT_SUPPORTED (dma-buf); CENOTE_NODE_DOWN (every device is lost). log_limit false: the
 * caller has another way, nothing is logged. */
int rdma_region_make(const struct rdma_devices *devices, void *base, uint64_t len_bytes,
                     enum rdma_access access, int dmabuf_fd, bool log_limit,
                     struct rdma_region **out);
/* The same with more to choose. Given up while it is under way, it ends when the pieces that are
 * being registered are: CENOTE_CANCELLED, nothing is logged, and nothing stays registered. */
struct rdma_region_how {
    enum rdma_access access;
    int dmabuf_fd;
    bool log_limit;
    uint64_t piece_bytes;        /* 0: RDMA_PIECE_BYTES */
    const atomic_bool *given_up; /* NULL: never */
};
int rdma_region_make_as(const struct rdma_devices *devices, void *base, uint64_t len_bytes,
                        const struct rdma_region_how *how, struct rdma_region **out);
void rdma_region_free(struct rdma_region *r);
/* In a forked child: the devices keep what is the parent's. */
void rdma_region_abandon(struct rdma_region *r);

uint32_t rdma_region_pieces(const struct rdma_region *r);
/* The piece's keys at a device, and what part of the region it is. False: that device has none. */
struct rdma_key {
    uint64_t offset, len_bytes; /* in the region */
    uint32_t lkey, rkey;
};
bool rdma_region_key(const struct rdma_region *r, unsigned device, uint32_t piece,
                     struct rdma_key *out);
/* The piece that has this offset. */
uint32_t rdma_region_piece_at(const struct rdma_region *r, uint64_t offset);
/* The local key at a device for an address in the region. Shortens *len to what lies in the same
 * piece. False: that device has none. */
bool rdma_region_local(const struct rdma_region *r, unsigned device, const void *addr,
                       uint64_t *len, uint32_t *lkey);

#endif
