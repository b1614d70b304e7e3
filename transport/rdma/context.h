/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all channels of a client have in common: settings, devices, registered memory, bounce
 * buffers. Devices are looked for by the first connect: a process that never needs RDMA never opens
 * a device, and one without devices is told so once.
 */
#ifndef CENOTE_TRANSPORT_RDMA_CONTEXT_H
#define CENOTE_TRANSPORT_RDMA_CONTEXT_H

#include "transport/rdma/bounce.h"
#include "transport/rdma/memory.h"

struct rdma_context {
    struct rdma_settings settings;
    struct rdma_memory *memory;
    pthread_mutex_t lock; /* held while devices are looked for; what follows changes under it */
    _Atomic int failure;  /* why there are no devices, and never will be; CENOTE_OK: not known */
    struct rdma_devices *_Atomic devices; /* NULL: not opened */
    struct rdma_bounce *bounce;
    _Atomic uint64_t connections;
};

/* As the operations of a transport. */
int rdma_context_open(const struct xcopy_settings *settings, void **out);
void rdma_context_close(void *context);
void rdma_context_abandon(void *context);
void rdma_context_report(void *context, struct xcopy_report *out);

/* Opens the devices, if need be. CENOTE_OK, CENOTE_NOT_SUPPORTED (there are none, or none that the
 * settings allow), CENOTE_NO_MEMORY. Any thread. */
int rdma_context_prepare(struct rdma_context *c);
/* May there be devices? Never waits. */
bool rdma_context_hopes(const struct rdma_context *c);

#endif
