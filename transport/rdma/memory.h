/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The local memory of a client that queue pairs can use, by address:
 *   what the application registered (registry.h): its owner keeps it as long as requests use it;
 *   what was registered on the way, because it was large and the kernel can tell when it is
 *     unmapped (cache.h, watch.h): a bounded cache, least recently used out first;
 *   everything else goes by way of bounce buffers (bounce.h).
 * Devices are opened late: until then regions are only noted.
 */
#ifndef CENOTE_TRANSPORT_RDMA_MEMORY_H
#define CENOTE_TRANSPORT_RDMA_MEMORY_H

#include "transport/rdma/region.h"

struct rdma_memory;
struct rdma_held; /* a region of the cache that is in use */

/* NULL: no memory. */
struct rdma_memory *rdma_memory_new(void);
/* Nothing may be in use, or registered by the application. */
void rdma_memory_free(struct rdma_memory *m);
void rdma_memory_abandon(struct rdma_memory *m);
/* From now on regions are registered with these, which outlive m; once. Registers what was noted,
 * which takes its time where that is long. */
void rdma_memory_use(struct rdma_memory *m, const struct rdma_devices *devices);

/* As the transports' register_memory() and forget_memory(). Memory that can't be registered with
 * the devices is taken all the same: transfers bounce it. CENOTE_OK, CENOTE_NO_MEMORY;
 * CENOTE_NOT_SUPPORTED: another kind than host memory. */
int rdma_memory_add(struct rdma_memory *m, void *addr, uint64_t len_bytes, enum memory_kind kind,
                    void **handle);
void rdma_memory_drop(struct rdma_memory *m, void *handle);

/* The key for the beginning of [addr, addr + len) at a device. Sets *len to how much of it the key
 * covers. held: NULL, or what must be given back by rdma_memory_release() when no request uses it
 * any more. written: requests write to it (a READ's destination). False: bounce the first *len
 * bytes, and ask again for what is behind them.
 * Any thread. May register memory, which takes some milliseconds at most. */
bool rdma_memory_find(struct rdma_memory *m, unsigned device, const void *addr, uint64_t *len,
                      bool written, uint32_t *lkey, struct rdma_held **held);
void rdma_memory_release(struct rdma_memory *m, struct rdma_held *held);

#endif
