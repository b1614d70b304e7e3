/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/stub/slots.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "meta/stub/fields.h"
#include "transport/base/hash.h"

static_assert((SLOTS & (SLOTS - 1)) == 0, "a slot is the lower bits of a hash");

#define GVA_PART ((GVA_END - GVA_FIRST) / SHARDS_MAX)
static_assert(GVA_PART % GVA_ALIGN == 0, "parts begin where ranges may");

uint64_t slot_seed(const char *name_space)
{
    return hash_xxh3(name_space, strlen(name_space));
}

uint32_t slot_of(uint64_t seed, const void *key, size_t key_len)
{
    return (uint32_t)hash_xxh3_seeded(key, key_len, seed) & (SLOTS - 1);
}

/* ---- maps ---- */

void slot_map_single(struct slot_map *map)
{
    memset(map, 0, sizeof(*map));
    map->range_count = 1;
    map->ranges[0].last = SLOTS - 1;
}

bool slot_map_whole(const struct slot_map *map, uint32_t *slot)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < map->range_count; i++) {
        const struct slot_range *r = &map->ranges[i];
        *slot = r->first < next ? r->first : next;
        if (r->first != next || r->last < r->first || r->last >= SLOTS || r->shard >= SHARDS_MAX)
            return false;
        next = r->last + 1;
    }
    *slot = next;
    return next == SLOTS;
}

uint32_t slot_map_owned(const struct slot_map *map, uint32_t shard)
{
    uint32_t owned = 0;
    for (uint32_t i = 0; i < map->range_count; i++)
        if (map->ranges[i].shard == shard)
            owned += map->ranges[i].last - map->ranges[i].first + 1;
    return owned;
}

void slot_gva_part(uint64_t epoch, uint32_t shard, uint64_t *first, uint64_t *end)
{
    assert(shard < SHARDS_MAX);
    *first = GVA_FIRST + shard * GVA_PART;
    *end = epoch == 0 ? GVA_END : *first + GVA_PART;
}

/* ---- messages ---- */

void slots_result_put(struct wire_buf *b, const struct slot_map *map, uint32_t shard)
{
    wire_put_array(b, 4);
    wire_put_uint(b, map->epoch);
    wire_put_uint(b, SLOTS);
    wire_put_array(b, map->range_count);
    for (uint32_t i = 0; i < map->range_count; i++) {
        const struct slot_range *r = &map->ranges[i];
        wire_put_array(b, 4);
        wire_put_uint(b, r->first);
        wire_put_uint(b, r->last);
        wire_put_str(b, map->endpoints[r->shard]);
        wire_put_uint(b, r->shard);
    }
    wire_put_uint(b, shard);
}

/* A shard has one endpoint. */
static bool take_endpoint(struct slot_map *map, uint32_t shard, const char *endpoint)
{
    char *known = map->endpoints[shard];
    if (known[0] == '\0')
        snprintf(known, TEXT_MAX, "%s", endpoint);
    return strcmp(known, endpoint) == 0;
}

static bool range_get(struct wire_value v, struct slot_map *map, struct slot_range *r)
{
    char endpoint[TEXT_MAX] = "";
    struct fields f = fields_of(v);
    r->first = fields_u32(&f);
    r->last = fields_u32(&f);
    fields_str(&f, endpoint, sizeof(endpoint));
    r->shard = fields_u32(&f);
    return fields_ok(&f) && r->shard < SHARDS_MAX && take_endpoint(map, r->shard, endpoint);
}

bool slots_result_get(struct wire_value v, struct slot_map *map, uint32_t *shard)
{
    struct fields f = fields_of(v);
    uint32_t slot;
    memset(map, 0, sizeof(*map));
    map->epoch = fields_uint(&f);
    fields_require(&f, fields_uint(&f) == SLOTS);
    struct wire_value list = fields_list(&f, SLOT_RANGES_MAX, &map->range_count);
    for (uint32_t i = 0; fields_ok(&f) && i < map->range_count; i++)
        fields_require(&f, range_get(wire_at(list, i), map, &map->ranges[i]));
    *shard = fields_u32(&f);
    return fields_ok(&f) && *shard < SHARDS_MAX && slot_map_whole(map, &slot);
}

void wrong_shard_put(struct wire_buf *b, uint64_t epoch)
{
    wire_put_array(b, 2);
    wire_put_int(b, CENOTE_WRONG_SHARD);
    wire_put_uint(b, epoch);
}

bool key_status_get(struct wire_value v, int *status)
{
    uint32_t count;
    if (wire_array(v, &count))
        v = wire_at(v, 0);
    return wire_i32(v, status) && *status <= CENOTE_OK;
}

uint64_t wrong_shard_epoch(struct wire_value v)
{
    int status = CENOTE_OK;
    uint64_t epoch = 0;
    if (key_status_get(v, &status) && status == CENOTE_WRONG_SHARD)
        (void)wire_uint(wire_at(v, 1), &epoch);
    return epoch;
}
