/* SPDX-License-Identifier: Apache-2.0 */
/* Namespaces: a name, a number, and the secret with which its keys are hashed. They come into being
 * with the first session that names them. */
#ifndef CENOTE_META_SPACES_H
#define CENOTE_META_SPACES_H

#include <cenote/cenote.h>

#include "meta/core/change.h"
#include "meta/core/evict.h"
#include "transport/base/hash.h"

#define SPACES_MAX    4096u
#define SPACE_BUCKETS 1024u

struct core;
struct outcome;

/* What an operator has said of a namespace; durable. */
struct space_settings {
    uint64_t quota_bytes, quota_objects; /* 0: as much as there is room for */
    uint64_t ttl_ms;                     /* of values whose put doesn't say; 0: none */
    uint64_t pin_limit_bytes;            /* hard pins; 0: half of the quota, or of the pool */
};

/* What it has: extents with seal and sums, of all replicas; pending puts count, quarantine doesn't.
 */
struct space_use {
    uint64_t bytes, objects;
    uint64_t pinned_bytes; /* hard pins */
};

struct space {
    struct link link;
    struct space *by_id; /* the next of its bucket */
    struct space_settings settings;
    struct space_use use;
    struct space_evict evict;
    uint32_t id;
    char name[CENOTE_NAMESPACE_MAX + 1];
    struct hash_key key;
    uint64_t slot_seed;
    bool durable;
    struct change change;
    struct core *core;
    struct list waiters; /* struct space_wait */
};

struct spaces {
    struct list list;
    uint32_t count;
    struct space *by_id[SPACE_BUCKETS];
};

struct space_wait {
    struct link link;
    void (*done)(struct space_wait *w, int status, struct space *space);
};

/* Letters, digits, '.', '_', '-'; not empty. */
bool spaces_name_valid(const char *name);
/* Finds, or makes durably; tells w, perhaps from inside. */
void spaces_get(struct core *c, const char *name, struct space_wait *w);
struct space *spaces_by_id(const struct core *c, uint32_t id);
/* From the store. */
int spaces_load(struct core *c);
void spaces_free(struct core *c);

struct hash128 space_hash(const struct space *s, const void *key, size_t key_len);

#endif
