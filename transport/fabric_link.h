/* SPDX-License-Identifier: Apache-2.0 */
/* The fabric's channels: what fabric.c keeps and fabric_run.c uses. */
#ifndef CENOTE_TRANSPORT_FABRIC_LINK_H
#define CENOTE_TRANSPORT_FABRIC_LINK_H

#include "transport/fabric.h"
#include "transport/registry.h"

struct fabric_node;

/* A channel in the fabric's keeping. */
struct fabric_link {
    struct fabric_link *next; /* idle ones of a node, and those that are to be closed */
    struct fabric_node *node;
    struct xcopy_channel *channel;
    uint64_t generation; /* the node's, when it was opened */
    unsigned users;      /* of a shared one; its place at the node counts as one */
    uint64_t mark;       /* readers up to it may still use it */
    bool shared;
};

enum fabric_want {
    FABRIC_OPEN,   /* an open channel only */
    FABRIC_ANY,    /* an open channel, or a new one */
    FABRIC_CONNECT /* none that has waited in the pool */
};

/* Lends a link. CENOTE_OK, *reused tells whether it was open before; CENOTE_NODE_DOWN, or why
 * connecting failed. */
int fabric_link_take(struct fabric *f, uint64_t node, enum fabric_want want, uint32_t timeout_ms,
                     struct fabric_link **out, bool *reused);
/* Gives it back; one that is broken is not kept. */
void fabric_link_give(struct fabric *f, struct fabric_link *link, bool broken);

/* The memory that is registered with it. */
struct registry *fabric_registry(struct fabric *f);

#endif
