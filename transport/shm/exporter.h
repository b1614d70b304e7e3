/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory, the node's side: what its two files share. */
#ifndef CENOTE_TRANSPORT_SHM_EXPORTER_H
#define CENOTE_TRANSPORT_SHM_EXPORTER_H

#include <pthread.h>

#include "transport/base/endpoint.h"
#include "transport/base/trace.h"
#include "transport/hello.h"
#include "transport/segments.h"
#include "transport/shm/process.h"
#include "transport/shm/slots.h"

/* Client processes at a node, those included that have hung up and aren't proven dead yet. */
#define SHM_CONNECTIONS_MAX 256u
/* Fences that wait; a node has one for each session that ended. */
#define SHM_FENCES_MAX      65536u
/* Of the name of a file of slots. */
#define SHM_SLOTS_NAME_MAX  96u

/*
 * A connection is one client process. It is forgotten when its process is proven dead (pidfd), or
 * when it has closed its slots for good; a socket that hung up (fd -1) leaves the rest in place.
 */
struct shm_connection {
    struct shm_connection *next;
    int fd;    /* -1: hung up */
    int pidfd; /* readable: the process is dead */
    uint8_t hello[HELLO_BYTES];
    size_t hello_have;
    uint64_t deadline_ms; /* of the hello */
    uint64_t session;
    struct slots *slots; /* NULL: no hello yet, or refused */
    bool introduced;     /* has got the slots and the segments, and gets later ones */
    bool taken_over;     /* of an earlier life of the node: enters no slot any more */
    struct process_name process;
    char slots_name[SHM_SLOTS_NAME_MAX]; /* "": no name */
};

struct shm_fence {
    struct shm_fence *next;
    uint64_t session, horizon;
    void (*done)(void *arg);
    void *arg;
};

struct shm_exporter {
    struct xcopy_exporter base;
    struct xcopy_gate gate;
    struct endpoint bound;
    int listener;
    int wake;      /* eventfd */
    int slots_dir; /* where files of slots are kept; -1: nowhere */
    pthread_t thread;
    uint64_t accept_again_ms; /* out of descriptors until then; the thread's own */
    pthread_mutex_t lock;     /* of all below; never held while the gate or a done() is called */
    struct segments segments;
    struct shm_connection *connections; /* changed by the exporter's thread only */
    size_t connection_count;
    struct shm_fence *fences;
    size_t fence_count;
    uint32_t backoff_ms; /* between two looks at the slots */
    bool stopping;
    struct trace *trace; /* NULL: nobody traces */
    unsigned trace_greet;
};

/* peer.c: one client process from its first byte to its proven end. The exporter's thread only. */

/* Takes a new socket. CENOTE_OK; otherwise the socket is closed. */
int shm_connection_add(struct shm_exporter *e, int fd);
/* The socket is readable or hung up. */
void shm_connection_read(struct shm_exporter *e, struct shm_connection *c);
/* Sends a segment to a process that has been introduced; under the lock. */
void shm_connection_offer(struct shm_connection *c, const struct xcopy_segment *segment);
/* Hangs up when the hello is overdue, and forgets it when nothing of it can write any more. */
void shm_connection_review(struct shm_exporter *e, struct shm_connection *c, bool dead);
void shm_connection_free(struct shm_connection *c);

#endif
