/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that was registered on the way, because it was large. Part of rdma_memory, whose lock it
 * shares: functions are called with the lock held, unless they say otherwise.
 */
#ifndef CENOTE_TRANSPORT_RDMA_CACHE_H
#define CENOTE_TRANSPORT_RDMA_CACHE_H

#include "transport/rdma/bounce.h"
#include "transport/rdma/region.h"

/* Pieces of at least so many bytes are worth registering on the way. Longer ones are registered in
 * parts of at most so many, one when its turn comes. */
#define RDMA_CACHE_FROM_BYTES  (UINT64_C(256) << 10)
#define RDMA_CACHE_PART_BYTES  (UINT64_C(64) << 20)
#define RDMA_CACHE_REGIONS_MAX 1024u
#define RDMA_CACHE_BYTES_MAX   (UINT64_C(16) << 30)

struct rdma_cache;
struct rdma_held;

/* The lock isn't held. NULL: no memory, or nobody tells when memory is unmapped. */
struct rdma_cache *rdma_cache_new(pthread_mutex_t *lock, const struct rdma_devices *devices);
/* The lock isn't held, nothing is in use. */
void rdma_cache_free(struct rdma_cache *c);
void rdma_cache_abandon(struct rdma_cache *c);

/* As rdma_memory_find(). Lets the lock go while it registers or ends registrations. */
bool rdma_cache_find(struct rdma_cache *c, unsigned device, const void *addr, uint64_t *len,
                     bool written, uint32_t *lkey, struct rdma_held **held);
/* Lets the lock go when a registration ends. */
void rdma_cache_release(struct rdma_cache *c, struct rdma_held *held);
/* Ends what is not in use; others want the locked memory. Lets the lock go. */
void rdma_cache_empty(struct rdma_cache *c);

#endif
