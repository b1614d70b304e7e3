/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the nodes keep for a service that loses its store, besides the directories of extents: the
 * pool's key, the namespaces with their secrets, the named values, and the names of all nodes. It
 * is little, so a node is always sent all of it: when it joins, and when something has changed, a
 * while later. A namespace is told before anything of it is: entries of a directory wait for that.
 */
#ifndef CENOTE_META_NOTES_H
#define CENOTE_META_NOTES_H

#include <stdbool.h>
#include <stdint.h>

struct core;
struct node;

/* Between two calls at a node: longer the more nodes there are, since all are told of each. */
#define NOTES_PAUSE_MS      1000u
#define NOTES_PAUSE_NODE_MS 4u
#define NOTES_RETRY_MS      1000u

struct notes {
    uint64_t version; /* of what is to be told ... */
    uint64_t needed;  /* ... and what a node must know before it gets entries */
};

struct node_notes {
    uint64_t told, sending; /* versions */
    bool in_flight;
    uint64_t again_ms; /* no call before */
};

/* Something that is durable now is to be told; before_entries: ahead of all entries. */
void notes_changed(struct core *c, bool before_entries);
void notes_joined(struct node *n);
/* May the node get entries of its directory? */
bool notes_known(const struct core *c, const struct node *n);
void notes_tick(struct core *c);

#endif
