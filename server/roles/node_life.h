/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One life of a node: memory, the exporters that serve it, the thread that populates it, and the
 * struct node that decides for them. It begins with a new boot number and new keys, and it ends as
 * a whole: connections closed, server threads joined, memory unmapped. Its memory is fresh, unless
 * it is named and holds the contents of an earlier life, whose process was killed before the pool
 * declared it dead. Nothing else is used a second time.
 */
#ifndef CENOTE_SERVER_NODE_LIFE_H
#define CENOTE_SERVER_NODE_LIFE_H

#include "server/roles/node_memory.h"

struct node_life;

/* How clients reach a node. */
enum node_way { NODE_BY_SHM, NODE_BY_RDMA, NODE_BY_TCP, NODE_WAYS };

struct node_life_options {
    struct node_memory_options memory;
    const char *endpoints[NODE_WAYS]; /* NULL: not in this way */
    bool needed[NODE_WAYS]; /* else the node begins without, if devices lack memory for it */
    struct xcopy_settings settings;
    const char *advertise; /* host that replaces the bound ones; "": none */
    uint64_t highest_reign;
    uint64_t service_life; /* in that reign; 0: not known */
    void (*fenced)(void *arg, uint64_t tag);
    void (*nudge)(void *arg);
    void *arg;
};

/* CENOTE_OK, or the status of what failed, logged. */
int node_life_begin(const struct node_life_options *options, struct node_life **out);
/* The pool has given or confirmed the contents; nothing has been told to it since. */
void node_life_joined(struct node_life *l);
/* The node has other notes of the service. CENOTE_OK or CENOTE_IO. */
int node_life_noted(struct node_life *l);
/* Stops serving; no more fenced() or nudge(). Must come before node_life_free(). */
void node_life_stop(struct node_life *l);
/* The contents have ended; after node_life_stop(). Named memory that isn't discarded can be taken
 * over by a later life, of another process too. */
void node_life_discard(struct node_life *l);
void node_life_free(struct node_life *l);

/* What a way has moved, and what it uses. */
struct node_way_traffic {
    const char *name;           /* NULL: the node isn't reached in this way */
    bool has_moved, has_report; /* what of the next two is known */
    struct xcopy_traffic moved;
    struct xcopy_report report;
};
void node_life_traffic(const struct node_life *l, struct node_way_traffic out[NODE_WAYS]);

struct node *node_life_node(const struct node_life *l);
/* As clients must use it; empty: not in this way. */
const char *node_life_endpoint(const struct node_life *l, enum node_way way);

#endif
