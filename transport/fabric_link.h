/* SPDX-License-Identifier: Apache-2.0 */
/* The fabric's channels: what fabric.c keeps, fabric_run.c and fabric_hold.c use. */
#ifndef CENOTE_TRANSPORT_FABRIC_LINK_H
#define CENOTE_TRANSPORT_FABRIC_LINK_H

#include <stdatomic.h>

#include "transport/fabric.h"
#include "transport/registry.h"

struct fabric_node;

/* A channel in the fabric's keeping. */
struct fabric_link {
    struct fabric_link *next; /* idle ones of a node, and those that are to be closed */
    struct fabric_node *node;
    struct xcopy_channel *channel;
    uint64_t generation;    /* the node's, when it was opened */
    unsigned users;         /* of a shared one; its place at the node counts as one */
    uint64_t mark;          /* readers up to it may still use it */
    uint64_t idle_ms;       /* since when it has been idle, by the clock of ticks */
    uint64_t best_again_ms; /* not kept from then on; UINT64_MAX: it is the best already */
    _Atomic uint32_t holds; /* it isn't closed while there are any */
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
/* Lends the link in the node's door, without a lock; it must be given back with the ticket in a
 * moment. NULL: there is none. */
struct fabric_link *fabric_door_enter(struct fabric *f, uint64_t node, unsigned *ticket);
void fabric_door_leave(struct fabric *f, unsigned ticket);
/* Closes links that left and waited for those who used them. */
void fabric_close_left(struct fabric *f);

/* Could a transport to this node hold anything? Unknown nodes: yes, and taking a link tells. */
bool fabric_may_hold(struct fabric *f, uint64_t node);
/* Gives it back; one that is broken is not kept. */
void fabric_link_give(struct fabric *f, struct fabric_link *link, bool broken);

/* Bytes have been copied. Any thread. */
void fabric_count_moved(struct fabric *f, const struct xcopy_transport *by, enum xcopy_op op,
                        uint64_t bytes);

/* The memory that is registered with it. */
struct registry *fabric_registry(struct fabric *f);

#endif
