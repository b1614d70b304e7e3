/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cenote/status.h>

#ifdef CENOTE_SMALL_TABLES
#define HUGE_BYTES    ((size_t)4096)
#define REGION_CHUNKS 2u
#else
#define HUGE_BYTES    ((size_t)2 << 20)
#define REGION_CHUNKS 128u
#endif
#define REGION_BYTES (REGION_CHUNKS * TABLE_CHUNK_OBJECTS * sizeof(struct object))

_Static_assert(REGION_BYTES % HUGE_BYTES == 0, "a region is whole huge pages");

static struct object *deref(const struct table *t, uint32_t ref)
{
    return &t->chunks[ref / TABLE_CHUNK_OBJECTS][ref % TABLE_CHUNK_OBJECTS];
}

static uint64_t hash_of_key(const struct hash128 *key_hash)
{
    uint64_t h;
    memcpy(&h, key_hash->b, sizeof(h));
    return h;
}

/* Put ids count up, and each put takes two. Those of eight puts share a line of the index, the
 * lines are spread (the constant is 2^64 divided by the golden ratio); the index goes by the upper
 * half. */
static uint64_t hash_of_put(uint64_t put_id)
{
    uint64_t line = (put_id >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    return (line & ~UINT64_C(7)) << 32 | (put_id >> 1 & 7) << 32;
}

void table_init(struct table *t)
{
    *t = (struct table){.free_ref = INDEX_NONE};
}

void table_free(struct table *t)
{
    for (uint32_t ref = 0; ref < table_refs(t); ref++) {
        struct object *o = table_at(t, ref);
        if (o != NULL && object_extents(o) > 1)
            free(o->pieces);
    }
    for (uint32_t i = 0; i < t->chunk_count; i += REGION_CHUNKS)
        free(t->chunks[i]);
    free(t->chunks);
    index_free(&t->by_key);
    index_free(&t->by_put);
    table_init(t);
}

/* Chunks lie side by side in regions, in huge pages. */
static bool region_add(struct table *t)
{
    struct object *region = aligned_alloc(HUGE_BYTES, REGION_BYTES);
    if (region == NULL)
        return false;
    (void)madvise(region, REGION_BYTES, MADV_HUGEPAGE); /* or not: then it is slower */
    t->region = region;
    return true;
}

static bool chunk_add(struct table *t)
{
    if (t->chunk_count == t->chunk_room) {
        uint32_t room = t->chunk_room == 0 ? 64 : t->chunk_room * 2;
        struct object **chunks = realloc(t->chunks, room * sizeof(*chunks));
        if (chunks == NULL)
            return false;
        t->chunks = chunks;
        t->chunk_room = room;
    }
    if (t->chunk_count % REGION_CHUNKS == 0 && !region_add(t))
        return false;
    struct object *chunk = t->region + t->chunk_count % REGION_CHUNKS * TABLE_CHUNK_OBJECTS;
    memset(chunk, 0, TABLE_CHUNK_OBJECTS * sizeof(*chunk));
    uint32_t first = t->chunk_count * TABLE_CHUNK_OBJECTS;
    t->chunks[t->chunk_count++] = chunk;
    for (uint32_t i = TABLE_CHUNK_OBJECTS; i-- > 0;) {
        chunk[i].ref = first + i;
        chunk[i].lease_stamp = t->free_ref;
        t->free_ref = first + i;
    }
    return true;
}

struct object *table_add(struct table *t, uint64_t put_id, uint32_t stripes, uint32_t replicas)
{
    assert(stripes > 0 && stripes <= UINT16_MAX && replicas > 0 && replicas <= UINT8_MAX);
    assert(table_by_put(t, put_id) == NULL);
    uint32_t extents = stripes * replicas;
    if (index_reserve(&t->by_put, t->count + 1) != CENOTE_OK ||
        index_reserve(&t->by_key, t->count + 1) != CENOTE_OK)
        return NULL;
    if (t->free_ref == INDEX_NONE && !chunk_add(t))
        return NULL;
    struct piece *pieces = NULL;
    if (extents > 1 && (pieces = calloc(extents, sizeof(*pieces))) == NULL)
        return NULL;
    uint32_t ref = t->free_ref;
    struct object *o = deref(t, ref);
    t->free_ref = o->lease_stamp;
    *o = (struct object){.put_id = put_id, .ref = ref, .state = OBJECT_PENDING};
    o->stripes = stripes & OBJECT_STRIPES;
    o->replicas = replicas & OBJECT_REPLICAS;
    if (extents > 1)
        o->pieces = pieces;
    index_insert(&t->by_put, hash_of_put(put_id), ref);
    t->count++;
    return o;
}

void table_delete(struct table *t, struct object *o)
{
    assert(o->state != OBJECT_NONE && !o->visible);
    index_remove(&t->by_put, hash_of_put(o->put_id), o->ref);
    if (object_extents(o) > 1)
        free(o->pieces);
    *o = (struct object){.ref = o->ref, .lease_stamp = t->free_ref};
    t->free_ref = o->ref;
    t->count--;
}

struct object *table_by_put(const struct table *t, uint64_t put_id)
{
    struct index_visit visit = {.hash = hash_of_put(put_id)};
    uint32_t ref;
    while ((ref = index_next(&t->by_put, &visit)) != INDEX_NONE) {
        struct object *o = deref(t, ref);
        if (o->put_id == put_id)
            return o;
    }
    return NULL;
}

struct object *table_by_key(const struct table *t, const struct hash128 *key_hash)
{
    struct index_visit visit = {.hash = hash_of_key(key_hash)};
    uint32_t ref;
    while ((ref = index_next(&t->by_key, &visit)) != INDEX_NONE) {
        struct object *o = deref(t, ref);
        if (memcmp(&o->key_hash, key_hash, sizeof(*key_hash)) == 0)
            return o;
    }
    return NULL;
}

void table_prefetch(const struct table *t, const struct hash128 *key_hash)
{
    index_prefetch(&t->by_key, hash_of_key(key_hash));
}

void table_show(struct table *t, struct object *o)
{
    assert(!o->visible && o->state == OBJECT_COMMITTED && table_by_key(t, &o->key_hash) == NULL);
    index_insert(&t->by_key, hash_of_key(&o->key_hash), o->ref);
    o->visible = true;
    t->visible++;
}

void table_hide(struct table *t, struct object *o)
{
    assert(o->visible);
    index_remove(&t->by_key, hash_of_key(&o->key_hash), o->ref);
    o->visible = false;
    t->visible--;
}

uint32_t table_refs(const struct table *t)
{
    return t->chunk_count * TABLE_CHUNK_OBJECTS;
}

struct object *table_at(const struct table *t, uint32_t ref)
{
    struct object *o = deref(t, ref);
    return o->state == OBJECT_NONE ? NULL : o;
}
