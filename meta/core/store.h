/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the service needs of its durable store: ordered trees of bytes, changed in transactions.
 * meta/store implements it on LMDB with a writer thread and group commit; the tests and the
 * simulator implement it in memory. All calls and all completions happen on the service's thread.
 */
#ifndef CENOTE_META_STORE_H
#define CENOTE_META_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transport/base/metric.h"

enum store_tree {
    STORE_META,       /* named values: format, reign, GVA high-water mark, longest lease, keys */
    STORE_OBJECTS,    /* put id (8 bytes, big-endian: appending) -> record */
    STORE_NAMES,      /* namespace and key, see core/names.h -> put id */
    STORE_MEMBERS,    /* incarnations -> node, range, state */
    STORE_NAMESPACES, /* id -> name, hash key */
    STORE_SESSIONS,   /* session -> namespace, client; session, slot, item -> answer */
    STORE_TREES
};

#define STORE_KEY_MAX 511u /* LMDB's */

struct store_write {
    enum store_tree tree;
    bool remove; /* of a key that may be missing */
    const void *key;
    uint32_t key_len;
    const void *value;
    uint32_t value_len;
};

/* One all-or-nothing change. */
struct store_change {
    const struct store_write *writes;
    uint32_t count;
    bool
        frees; /* gives space back or ends something (remove, abort, commit): may use the reserve */
    bool sync; /* on stable storage (fsync) before done, in every durability mode */
    /* CENOTE_OK, CENOTE_META_FULL, CENOTE_IO: then nothing of it was done. */
    void (*done)(void *arg, int status);
    void *arg;
};

struct store_usage {
    uint64_t used_bytes, limit_bytes;
    uint64_t commits, changes; /* group-commit factor = changes / commits */
    /* Changes of each commit, and how long it took; NULL: not counted. They may be read by any
     * thread. */
    const struct metric_histogram *group_sizes, *durations;
};

struct store {
    const struct store_ops *ops;
};

struct store_ops {
    /* Queues a change; writes are copied before it returns. Changes are done in the order in which
     * they were submitted, and done() is called in that order, later, from the store's dispatch,
     * never from inside submit. */
    void (*submit)(struct store *s, const struct store_change *change);
    /* The last durable value; *value is valid until the next call. CENOTE_OK, CENOTE_NOT_FOUND,
     * CENOTE_IO. */
    int (*get)(struct store *s, enum store_tree tree, const void *key, uint32_t key_len,
               const void **value, uint32_t *value_len);
    /* Calls each for the keys >= from in ascending order until it returns false.
     * CENOTE_OK or CENOTE_IO. A snapshot: changes done meanwhile don't show. */
    int (*scan)(struct store *s, enum store_tree tree, const void *from, uint32_t from_len,
                bool (*each)(void *arg, const void *key, uint32_t key_len, const void *value,
                             uint32_t value_len),
                void *arg);
    void (*usage)(struct store *s, struct store_usage *out);
};

#endif
