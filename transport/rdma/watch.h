/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells when memory of this process is unmapped, moved or given back, however that comes about: by
 * userfaultfd(2), in its mode for write protection without protecting anything, so that nobody ever
 * faults. The system call that unmaps returns only after its message has been read, and messages
 * are read with the lock held under which the owner looks regions up: a lookup that begins after
 * munmap() has returned can't find what was unmapped.
 */
#ifndef CENOTE_TRANSPORT_RDMA_WATCH_H
#define CENOTE_TRANSPORT_RDMA_WATCH_H

#include <pthread.h>
#include <stdint.h>

struct rdma_watch;

/* gone(arg, begin, end) is called with *lock held, from a thread of the watch. CENOTE_OK;
 * CENOTE_NOT_SUPPORTED: the kernel, or who confines this process, doesn't allow it;
 * CENOTE_NO_MEMORY.
 */
int rdma_watch_new(pthread_mutex_t *lock, void (*gone)(void *arg, uintptr_t begin, uintptr_t end),
                   void *arg, struct rdma_watch **out);
/* The lock isn't held. */
void rdma_watch_free(struct rdma_watch *w);
void rdma_watch_abandon(struct rdma_watch *w);

/* Whole pages around the range. Under the lock. CENOTE_OK or CENOTE_NOT_SUPPORTED (memory of a kind
 * that can't be watched). Ranges may overlap; forgetting what is still wanted by another is the
 * caller's to avoid. */
int rdma_watch_add(struct rdma_watch *w, uintptr_t begin, uintptr_t end);
void rdma_watch_forget(struct rdma_watch *w, uintptr_t begin, uintptr_t end);

#endif
