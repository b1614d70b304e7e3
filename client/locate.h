/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's copy of the map of the pool: which incarnation, at which node, a GVA belongs to.
 *
 * A range of GVAs is given to one incarnation once, ever, so an old copy is never wrong, only
 * incomplete: whoever meets an address that isn't in it refreshes it. Thread-safe; looking
 * something up takes no lock.
 */
#ifndef CENOTE_CLIENT_LOCATE_H
#define CENOTE_CLIENT_LOCATE_H

#include <stdbool.h>
#include <stdint.h>

#include "meta/stub/messages.h"
#include "transport/base/gva.h"
#include "transport/wire/wire.h"

struct locate;

/* host: this machine's boot id, copied; nodes with the same one are local. NULL: no memory. */
struct locate *locate_new(const char *host);
void locate_free(struct locate *l);

struct location {
    uint64_t node;
    uint64_t incarnation;
    bool local; /* on this machine */
};

/* False: not in this copy of the map. */
bool locate_find(const struct locate *l, struct gva gva, uint64_t len_bytes, struct location *out);

/* A node of the map. False: there is no such. */
bool locate_node(const struct locate *l, uint64_t node, struct map_node *out);

/* Writes the request that asks for a newer map. */
void locate_ask(const struct locate *l, struct wire_buf *request);
/* The next question is for the whole map: a service with another database may repeat versions. */
void locate_forget_version(struct locate *l);

/* Told, during locate_update(), about all nodes of a new map that can be reached, and about those
 * that no longer can. */
struct locate_watch {
    /* CENOTE_OK or CENOTE_NO_MEMORY: then the map isn't taken, and is asked for again. */
    int (*known)(void *arg, const struct map_node *node);
    void (*gone)(void *arg, uint64_t node);
    void *arg;
};
/* Takes the answer. CENOTE_OK, CENOTE_PROTOCOL or CENOTE_NO_MEMORY; then the old copy stays. One
 * caller at a time. */
int locate_update(struct locate *l, struct wire_value result, const struct locate_watch *watch);

/* Calls fn with the nodes of the map, which stay until it returns: it must not call back, or
 * wait. */
void locate_nodes(const struct locate *l,
                  void (*fn)(void *arg, const struct map_node *nodes, uint32_t count), void *arg);

#endif
