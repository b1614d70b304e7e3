/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/shard.h"

#include <string.h>

#include "meta/core/core.h"
#include "meta/core/objects.h"
#include "transport/base/bytes.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define MODULE          "meta"
#define SHARD_NAME      "shard"
#define SHARD_FORMAT    1u
/* format, number, epoch, digest of the map */
#define SHARD_RECORD    (1u + 4u + 8u + 8u)
#define OWNED_BIT(slot) ((uint8_t)(1u << ((slot) % 8)))

void shard_init(struct shard *s, const struct slot_map *map, uint32_t number)
{
    *s = (struct shard){.number = number, .all = map == NULL};
    if (map == NULL) {
        slot_map_single(&s->map);
        memset(s->owned, 0xff, sizeof(s->owned));
        return;
    }
    s->map = *map;
    for (uint32_t i = 0; i < s->map.range_count; i++) {
        const struct slot_range *r = &s->map.ranges[i];
        for (uint32_t slot = r->first; slot <= r->last && r->shard == number; slot++)
            s->owned[slot / 8] |= OWNED_BIT(slot);
    }
}

uint32_t shard_slot(const struct core *c, const struct space *space, const void *key,
                    size_t key_len)
{
    return c->shard.all ? 0 : slot_of(space->slot_seed, key, key_len);
}

bool shard_owns(const struct core *c, uint32_t slot)
{
    return c->shard.all || (c->shard.owned[slot / 8] & OWNED_BIT(slot)) != 0 ||
           test_off(TEST_SHARD);
}

/* ---- the record ---- */

struct stored {
    uint32_t number;
    uint64_t epoch, digest;
};

/* CENOTE_NOT_FOUND: there is no record yet. */
static int read_stored(struct core *c, struct stored *out)
{
    struct store *store = c->changes.store;
    const void *value;
    uint32_t len;
    int status = store->ops->get(store, STORE_META, SHARD_NAME, strlen(SHARD_NAME), &value, &len);
    if (status != CENOTE_OK)
        return status;
    struct bytes b = bytes_over_const(value, len);
    uint8_t format = bytes_get_u8(&b);
    out->number = bytes_get_u32(&b);
    out->epoch = bytes_get_u64(&b);
    out->digest = bytes_get_u64(&b);
    if (format == SHARD_FORMAT && bytes_ok(&b) && out->number < SHARDS_MAX)
        return CENOTE_OK;
    log_error(MODULE, "the store's slots can't be read");
    return CENOTE_IO;
}

/* Of the map as it is told to others. */
static int digest_of(const struct slot_map *map, uint64_t *out)
{
    struct wire_buf b = {0};
    slots_result_put(&b, map, 0);
    int status = b.failed ? CENOTE_NO_MEMORY : CENOTE_OK;
    if (status == CENOTE_OK)
        *out = hash_xxh3(b.data, b.len);
    wire_buf_free(&b);
    return status;
}

static int compare(const struct core *c, const struct stored *was, uint64_t digest)
{
    const struct shard *s = &c->shard;
    unsigned long long old = (unsigned long long)was->epoch,
                       epoch = (unsigned long long)s->map.epoch;
    if (s->map.epoch < was->epoch)
        log_error(MODULE,
                  "these slots are of epoch %llu, but the service has been told those of "
                  "epoch %llu: give it a map that is newer",
                  epoch, old);
    else if (s->number != was->number)
        log_error(MODULE,
                  "this service is number %u of its pool, and number %u in the list of "
                  "shards: keep their order, append new ones",
                  (unsigned)was->number, (unsigned)s->number);
    else if (s->map.epoch == was->epoch && digest != was->digest)
        log_error(MODULE,
                  "the service has been told another map with epoch %llu: a new map needs "
                  "a higher epoch",
                  epoch);
    else
        return CENOTE_OK;
    return CENOTE_INVALID;
}

/* Addresses that were given to nodes stay theirs. */
static int check_part(struct core *c)
{
    struct members *m = &c->members;
    uint64_t first;
    slot_gva_part(c->shard.map.epoch, c->shard.number, &first, &m->gva_end);
    if (m->gva_next == 0)
        m->gva_next = first;
    if (m->gva_next >= first && m->gva_next <= m->gva_end)
        return CENOTE_OK;
    log_error(MODULE,
              "the addresses that this service has given to nodes are not those of number "
              "%u of a pool: only a service that was alone can become one, number 0",
              (unsigned)c->shard.number);
    return CENOTE_INVALID;
}

int shard_check(struct core *c)
{
    struct stored was = {0};
    uint64_t digest;
    int status = digest_of(&c->shard.map, &digest);
    if (status != CENOTE_OK)
        return status;
    status = read_stored(c, &was);
    c->shard.changed = c->shard.map.epoch > was.epoch;
    if (status == CENOTE_OK)
        status = compare(c, &was, digest);
    if (status != CENOTE_OK && status != CENOTE_NOT_FOUND)
        return status;
    return check_part(c);
}

/* A put that isn't committed, and never will be here, is nothing; but a removed value counts as
 * long as somebody may read it. One without a key was removed before there were other services. */
void shard_count(struct core *c, const struct object *o, const void *key, uint32_t key_len)
{
    const struct space *space;
    struct shard *s = &c->shard;
    if (s->all || (o->state != OBJECT_COMMITTED && o->state != OBJECT_REMOVED))
        return;
    if ((space = spaces_by_id(c, o->name_space)) == NULL)
        return;
    uint32_t slot = shard_slot(c, space, key, key_len);
    if (key_len > 0 && shard_owns(c, slot))
        return;
    s->strangers++;
    s->stranger_slot = slot;
}

int shard_check_objects(const struct core *c)
{
    if (c->shard.strangers == 0)
        return CENOTE_OK;
    log_error(MODULE,
              "%u values lie in slots that are not to be this service's any more, one of "
              "them in slot %u: start it with its old slots, remove them, and wait for a "
              "lease",
              (unsigned)c->shard.strangers, (unsigned)c->shard.stranger_slot);
    return CENOTE_INVALID;
}

void shard_record(struct core *c)
{
    uint8_t value[SHARD_RECORD];
    struct bytes b = bytes_over(value, sizeof(value));
    uint64_t digest = 0;
    bytes_put_u8(&b, SHARD_FORMAT);
    bytes_put_u32(&b, c->shard.number);
    bytes_put_u64(&b, c->shard.map.epoch);
    if (digest_of(&c->shard.map, &digest) != CENOTE_OK)
        c->changes.no_memory = true;
    bytes_put_u64(&b, digest);
    change_put(&c->changes, STORE_META, SHARD_NAME, strlen(SHARD_NAME), value, sizeof(value));
}
