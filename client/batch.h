/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches of the public functions: arrays of items, each with a key, buffers and a status, which
 * the services that own the keys work on. Puts, gets and ranges differ in the item only.
 */
#ifndef CENOTE_CLIENT_BATCH_H
#define CENOTE_CLIENT_BATCH_H

#include "client/shards.h"

/* How a batch is done. */
struct batch_how {
    unsigned flags; /* of puts */
    struct keep keep;
};

/* A kind of item. Its key comes first. */
struct batch_kind {
    size_t item_bytes;
    size_t buffers_at, buffer_count_at, status_at; /* of the fields in the item */
    bool exists_is_success;
    bool counted; /* here, as this; otherwise by some() itself */
    enum tally_op op;
    /* Does items with one service, and sets their statuses. Returns the newest epoch by which it
     * refused some (0: none). */
    uint64_t (*some)(struct drive *d, void *items, size_t count, const struct batch_how *how);
};

#define BATCH_KIND(type)                                                                           \
    .item_bytes = sizeof(type), .buffers_at = offsetof(type, buffers),                             \
    .buffer_count_at = offsetof(type, buffer_count), .status_at = offsetof(type, status)

/* Are number, keys and buffers right? CENOTE_OK, or what is wrong. */
int batch_check(const struct batch_kind *kind, const void *items, size_t count);
/* Sets all statuses, of NULL too; returns the status. */
int batch_fail(const struct batch_kind *kind, void *items, size_t count, int status);
/* Of a batch that is right: does all of it; returns the first error of an item. */
int batch_run(const struct batch_kind *kind, struct shards *s, void *items, size_t count,
              const struct batch_how *how);

#endif
