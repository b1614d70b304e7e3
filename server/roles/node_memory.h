/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of one life of a node: its segments, new ones or (named memory) those of an earlier
 * life, the directory of what lies in them, and the thread that populates them.
 */
#ifndef CENOTE_SERVER_NODE_MEMORY_H
#define CENOTE_SERVER_NODE_MEMORY_H

#include "server/memory/memdir.h"
#include "server/node/node.h"

/* Memory is touched, and offered, in steps of this size. */
#define MEMORY_STEP_BYTES (UINT64_C(64) << 20)

struct node_memory;

struct node_memory_options {
    uint64_t lens_bytes[SEGMENTS_MAX];
    uint32_t count;
    enum memory_pages pages;
    int numa_node;         /* -1: any */
    struct memdir *memdir; /* NULL: the memory has no name */
};

/* Judges what goes together, and gives the pages that the memory will have: those of a hugetlbfs,
 * if the memory lies in one. CENOTE_OK or CENOTE_INVALID, logged. */
int node_memory_check(struct node_memory_options *o);

/* keep: take over what an earlier life has left, if that can be. CENOTE_OK, or the status of what
 * failed, logged. */
int node_memory_make(const struct node_memory_options *o, bool keep, struct node_memory **out);
/* populate_stop() has been called, if populate_start() was. */
void node_memory_free(struct node_memory *m);

/* Has it contents of an earlier life? */
bool node_memory_kept(const struct node_memory *m);
/* The highest reign that it knows of, and the service's life in it; 0: none. */
uint64_t node_memory_reign(const struct node_memory *m, uint64_t *life);
/* Gives the segments to the node, with what they hold, the directory and the service's notes.
 * CENOTE_OK or CENOTE_NO_MEMORY. */
int node_memory_give(const struct node_memory *m, struct node *n);

/* Begins to touch all of it, and to tell the node how much may be used; what can't be had now is
 * tried again. CENOTE_OK, CENOTE_NO_MEMORY. */
int node_memory_populate_start(struct node_memory *m, struct node *n);
void node_memory_populate_stop(struct node_memory *m);

/* The node has joined: what the pool said is written down beside named memory. */
void node_memory_joined(struct node_memory *m, const struct node *n);
/* The node has other notes. CENOTE_OK or CENOTE_IO, logged. */
int node_memory_noted(struct node_memory *m, const struct node *n);
/* The contents have ended: nobody may take them over. */
void node_memory_discard(struct node_memory *m);

#endif
