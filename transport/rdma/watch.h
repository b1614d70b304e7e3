/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tells when memory of this process is unmapped, moved or given back, however that comes about: by
 * userfaultfd(2), in its mode for write protection without protecting anything, so that nobody ever
 * faults. What it promises, and why whoever unmaps never waits for the owner's lock, is the essay
 * in watch.c.
 *
 * The owner keeps a table of what it wants to be told of, under a lock of its own.
 */
#ifndef CENOTE_TRANSPORT_RDMA_WATCH_H
#define CENOTE_TRANSPORT_RDMA_WATCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct rdma_watch;

struct rdma_watcher {
    void *arg;
    pthread_mutex_t *lock;
    /* Memory in this range isn't any more what it was. *lock is held; on any thread. The whole
     * address space, when more happened at once than anybody kept. */
    void (*gone)(void *arg, uintptr_t begin, uintptr_t end);
    /* After some gone(), on a thread of the watch, without the lock: what takes its time. */
    void (*clean)(void *arg);
};

/* Starts two threads. CENOTE_OK; CENOTE_NOT_SUPPORTED: the kernel, or who confines this process,
 * doesn't allow it, which is said at level info; CENOTE_NO_MEMORY. */
int rdma_watch_new(const struct rdma_watcher *watcher, struct rdma_watch **out);
/* The lock isn't held. Nothing is watched any more, not even by a descriptor that a forked child
 * has. */
void rdma_watch_free(struct rdma_watch *w);
void rdma_watch_abandon(struct rdma_watch *w);

/* Whole pages around the range. Under the lock. CENOTE_OK or CENOTE_NOT_SUPPORTED (memory of a kind
 * that can't be watched). */
int rdma_watch_add(struct rdma_watch *w, uintptr_t begin, uintptr_t end);
/* Not the pages with bytes before low or from high on, which others may still want. */
void rdma_watch_forget(struct rdma_watch *w, uintptr_t begin, uintptr_t end, uintptr_t low,
                       uintptr_t high);

/* Under the lock, by who is about to rely on his table: calls gone() for all that has happened. If
 * true, whatever is in the table now is still what it was when the caller's caller came by his
 * memory. False: some memory is being unmapped at this very moment; don't rely on the table. */
bool rdma_watch_settled(struct rdma_watch *w);

/* Is this memory, whose pages are there, this process' alone? What belongs to a file as well, or to
 * other processes, can lose its pages by ways that nobody here is told of. */
bool rdma_watch_knows(uintptr_t begin, uintptr_t end);

#endif
