/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's directory of the committed extents that lie on it, as the service and the node speak of
 * it. An entry says all that is known of one extent: from the entries of all nodes the objects can
 * be found again when the service's database is lost. Pieces of one object have its put id in
 * common; each tells how many stripes there must be.
 */
#ifndef CENOTE_META_STUB_DIRECTORY_H
#define CENOTE_META_STUB_DIRECTORY_H

#include <cenote/cenote.h>

#include "transport/base/gva.h"
#include "transport/base/hash.h"
#include "transport/wire/wire.h"

/* Called by the service at its nodes. */
#define METHOD_DIRECTORY      "directory"
#define METHOD_DIRECTORY_READ "directory_read"
#define METHOD_DIRECTORY_LOOK "directory_look"

#define DIRECTORY_BATCH_MAX 4096u /* entries of one call or answer */

enum directory_flags { DIRECTORY_REPLACE = 1 /* the put took the place of an older value */ };

/* entry: [gva, payload length, put id, [namespace id, namespace], key:bin, key hash:bin16, length,
 *         sum kind, created ms, flags, [stripe, stripes, replicas, offset, root], kept:bin] */
struct directory_entry {
    struct gva gva;
    uint64_t payload_len;
    uint64_t put_id;
    uint32_t name_space;
    char space_name[CENOTE_NAMESPACE_MAX + 1];
    const uint8_t *key; /* not copied */
    size_t key_len;
    struct hash128 key_hash; /* as in the seal */
    uint64_t len_bytes;      /* of the value */
    uint32_t sum_kind;
    uint64_t created_ms; /* wall clock, at the commit */
    uint32_t flags;      /* enum directory_flags */
    uint32_t stripe, stripes;
    uint32_t replicas;   /* that were asked for; fewer may have been written */
    uint64_t offset;     /* of the stripe in the value */
    uint64_t root;       /* of the stripe's sums */
    const uint8_t *kept; /* how it is kept, as in the service's records; not copied */
    size_t kept_len;
};
#define DIRECTORY_KEPT_MAX 128u
void directory_entry_put(struct wire_buf *b, const struct directory_entry *e);
bool directory_entry_get(struct wire_value v, struct directory_entry *e);

/* What a directory holds, in short: two with the same sum have the same entries. */
struct directory_sum {
    uint64_t entries;
    uint64_t digest; /* sum of directory_mix() over all entries */
};

static inline uint64_t directory_mix(struct gva gva, uint64_t put_id)
{
    uint64_t x = gva.v * UINT64_C(0x9e3779b97f4a7c15) ^ put_id;
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static inline void directory_sum_add(struct directory_sum *s, struct gva gva, uint64_t put_id)
{
    s->entries++;
    s->digest += directory_mix(gva, put_id);
}

static inline void directory_sum_take(struct directory_sum *s, struct gva gva, uint64_t put_id)
{
    s->entries--;
    s->digest -= directory_mix(gva, put_id);
}

/* directory [reign, part, [entry, ...]] -> sum: [entries, digest], as the directory then is.
 * CENOTE_BAD_RANGE: an extent isn't this node's; the others are in the directory all the same.
 * CENOTE_NO_SPACE, CENOTE_NO_MEMORY: some of them are, and the same call may be repeated. */
enum directory_part {
    DIRECTORY_NEWS = 0,  /* of what has been committed */
    DIRECTORY_FIRST = 1, /* begins a list of all that there is; news may come between its parts */
    DIRECTORY_LAST = 2   /* ends it: what wasn't named since it began is dropped */
};
struct directory_params {
    uint64_t reign;
    uint32_t part; /* enum directory_part */
    uint32_t count;
    struct wire_value entries;
};
void directory_params_put(struct wire_buf *b, uint64_t reign, enum directory_part part,
                          uint32_t count); /* entries follow */
bool directory_params_get(struct wire_value v, struct directory_params *p);
void directory_sum_put(struct wire_buf *b, const struct directory_sum *s);
bool directory_sum_get(struct wire_value v, struct directory_sum *s);

/* directory_read [reign, cursor, limit, live] -> [[entry, ...], cursor | nil, sum, left out]. The
 * cursor is opaque; 0: from the beginning; nil: that was all. Entries that are there all the time
 * are given once; what comes or goes meanwhile may be missing. live: only entries whose extents
 * have live seals that say the same; how many others there were is told, too. */
struct directory_read_params {
    uint64_t reign;
    uint64_t cursor;
    uint32_t limit; /* entries looked at: 1 to DIRECTORY_BATCH_MAX */
    bool live;
};
void directory_read_params_put(struct wire_buf *b, const struct directory_read_params *p);
bool directory_read_params_get(struct wire_value v, struct directory_read_params *p);

struct directory_read_result {
    uint32_t count;
    struct wire_value entries;
    uint64_t cursor; /* 0: that was all */
    struct directory_sum sum;
    uint64_t left_out;
};
/* The head, and behind the entries the tail. */
void directory_read_result_begin(struct wire_buf *b, uint32_t count);
void directory_read_result_end(struct wire_buf *b, uint64_t cursor, const struct directory_sum *sum,
                               uint64_t left_out);
bool directory_read_result_get(struct wire_value v, struct directory_read_result *r);

/* directory_look [reign, [[gva, put id], ...]] -> [[state, ...]], 1 to DIRECTORY_BATCH_MAX of them:
 * what the node finds of each at this moment. */
enum directory_state {
    DIRECTORY_NO_ENTRY = 0, /* none of that address and put */
    DIRECTORY_LIVE = 1,     /* the extent has a live seal, which says the same as the entry */
    DIRECTORY_NO_SEAL = 2   /* there is an entry, and no such seal */
};
struct directory_look_params {
    uint64_t reign;
    uint32_t count;
    struct wire_value names;
};
void directory_look_params_put(struct wire_buf *b, uint64_t reign,
                               uint32_t count); /* names follow */
bool directory_look_params_get(struct wire_value v, struct directory_look_params *p);
void directory_name_put(struct wire_buf *b, struct gva gva, uint64_t put_id);
bool directory_name_get(struct wire_value v, struct gva *gva, uint64_t *put_id);
void directory_look_result_put(struct wire_buf *b, const uint8_t *states, uint32_t count);
/* There must be so many. */
bool directory_look_result_get(struct wire_value v, uint8_t *states, uint32_t count);

#endif
