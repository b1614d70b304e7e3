/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All objects, in memory.
 *
 * An object is in the table from put_start until its space is free again. Two indexes lead to it:
 * one by put id, for all of them; one by key hash, for those that a lookup may find. "Visible"
 * means nothing else than being in the second. The table says what is durable: a change of the
 * store shows here when it is done.
 *
 * Objects lie in chunks and never move; a reference (32 bits) leads to one. With both indexes an
 * object with one stripe takes about 123 bytes at 10^7 (117 before a doubling, 139 after it); the
 * full key is in the store only. Growing is spread over the additions, a few slots each. A key hash
 * is the key's name here: it is keyed with a secret of the namespace, and 128 bits of it don't
 * meet.
 */
#ifndef CENOTE_META_TABLE_H
#define CENOTE_META_TABLE_H

#include "meta/core/index.h"
#include "transport/base/gva.h"
#include "transport/base/hash.h"

/* One way only: PENDING -> COMMITTED -> REMOVED, or PENDING -> ABORTING. */
enum object_state {
    OBJECT_NONE = 0,
    OBJECT_PENDING = 1,
    OBJECT_COMMITTED = 2,
    OBJECT_ABORTING = 3,
    OBJECT_REMOVED = 4
};

/* One replica of one stripe of a value, and the extent that holds it. */
struct piece {
    uint64_t payload_len;
    uint64_t root;
    struct gva gva; /* 0: there is none, this replica was dropped */
};

/* Bits of what struct object holds. */
#define OBJECT_STATE    7u
#define OBJECT_SUM_KIND 7u
#define OBJECT_STRIPES  2047u
#define OBJECT_REPLICAS 15u

struct put;

struct object {
    struct hash128 key_hash;
    uint64_t put_id;
    uint64_t session; /* that put it */
    union {
        struct piece one;     /* a single extent */
        struct piece *pieces; /* otherwise: stripe by stripe, replica by replica */
    };
    struct put *put; /* while the put isn't over; else NULL */
    uint32_t name_space;
    uint32_t ref;          /* private to the table */
    uint32_t newer, older; /* references, in a queue of its namespace */
    /* In LEASE_UNIT_MS since the start, from 1; 0: never. */
    uint32_t lease_stamp;  /* of the last lookup */
    uint32_t expires;      /* its ttl is over then */
    uint32_t pinned_until; /* with a soft pin; 0: to its end */
    uint32_t stripes : 11;
    uint32_t replicas : 4; /* of each stripe, those included that were dropped */
    uint32_t state : 3;    /* enum object_state */
    uint32_t sum_kind : 3;
    uint32_t visible : 1;
    uint32_t replace : 1; /* the put may take the place of an older object */
    uint32_t pin : 2;     /* enum keep_pin */
    uint32_t grouped : 1; /* evicted together with others */
    uint32_t queue : 2;   /* of its namespace that it is in; 0: none */
    uint32_t uses : 2;    /* since it was looked at last */
    uint32_t leaving : 1; /* its eviction is on the way to the store: nobody finds it any more */
};

_Static_assert(sizeof(struct object) == 96, "there are very many of them");

#ifdef CENOTE_SMALL_TABLES /* fuzzers make thousands of tables a second */
#define TABLE_CHUNK_OBJECTS 64u
#else
#define TABLE_CHUNK_OBJECTS 4096u
#endif

struct table {
    struct object **chunks;
    uint32_t chunk_count, chunk_room;
    struct object *region; /* of the last chunks */
    uint32_t free_ref;     /* INDEX_NONE: none; free objects are chained through lease_stamp */
    uint32_t count;        /* of objects */
    uint32_t visible;
    struct index by_key, by_put;
};

void table_init(struct table *t);
/* Forgets all objects. */
void table_free(struct table *t);

/* A new object with its piece list, in neither index of key; NULL: no memory. */
struct object *table_add(struct table *t, uint64_t put_id, uint32_t stripes, uint32_t replicas);
void table_delete(struct table *t, struct object *o);

struct object *table_by_put(const struct table *t, uint64_t put_id);
struct object *table_by_key(const struct table *t, const struct hash128 *key_hash);
/* For batches: first this for all keys, then table_by_key(). */
void table_prefetch(const struct table *t, const struct hash128 *key_hash);

/* Makes an object visible; there must be no other with its key. table_add() has made room. */
void table_show(struct table *t, struct object *o);
void table_hide(struct table *t, struct object *o);

/* All objects, in order of references, e.g. in steps: NULL for a reference without an object. */
uint32_t table_refs(const struct table *t);
struct object *table_at(const struct table *t, uint32_t ref);

/* How many pieces it has: stripes and replicas. */
static inline uint32_t object_extents(const struct object *o)
{
    return (uint32_t)o->stripes * o->replicas;
}

static inline struct piece *object_piece(struct object *o, uint32_t i)
{
    return object_extents(o) == 1 ? &o->one : &o->pieces[i];
}

/* Of the value: its stripes cover it. */
static inline uint64_t object_len(const struct object *o)
{
    uint64_t len_bytes = 0;
    if (object_extents(o) == 1)
        return o->one.payload_len;
    for (uint32_t i = 0; i < o->stripes; i++)
        len_bytes += o->pieces[i * o->replicas].payload_len;
    return len_bytes;
}

static inline bool piece_there(const struct piece *p)
{
    return p->gva.v != 0;
}

#endif
