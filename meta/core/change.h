/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes of the store. A change is drafted (one draft at a time: the service has one thread and
 * submits before it drafts the next) and submitted; the owner, in whose struct the change lies, is
 * told when it is durable, in the order of submission and never from inside the submission. Running
 * out of memory while drafting is told like a failure of the store: owners have one path for both.
 */
#ifndef CENOTE_META_CHANGE_H
#define CENOTE_META_CHANGE_H

#include "meta/core/list.h"
#include "meta/core/store.h"

struct change {
    void (*done)(struct change *ch, int status); /* set by the owner before it submits */
    struct changes *changes;
    struct link link; /* while it waits to be told of a failed draft */
    bool in_flight;
};

struct changes {
    struct store *store;
    struct list failed; /* drafts that ran out of memory */
    uint32_t in_flight;
    /* the draft */
    struct store_write *writes;
    uint32_t count, room;
    uint8_t *bytes;
    size_t len, cap;
    bool no_memory;
};

enum change_flags { CHANGE_FREES = 1, CHANGE_SYNC = 2 }; /* as in struct store_change */

void changes_free(struct changes *c);

/* Adds a write to the draft; key and value are copied. */
void change_put(struct changes *c, enum store_tree tree, const void *key, size_t key_len,
                const void *value, size_t value_len);
void change_remove(struct changes *c, enum store_tree tree, const void *key, size_t key_len);
/* Submits the draft, which must not be empty, and begins a new one. */
void change_submit(struct changes *c, struct change *ch, unsigned flags);

/* Tells the owners of failed drafts; from the service's tick. */
void changes_tick(struct changes *c);

#endif
