/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slots: how the keys of a pool are divided among several metadata services.
 *
 * Each key belongs to one of SLOTS slots, by a hash that everybody computes alike, and a map names
 * the service ("shard") that owns each slot. Shards are numbered; a number is never given to
 * another service, since the part of the global address space that a shard hands out goes by it.
 * Maps are numbered too, by their epoch: the one with the higher epoch is the newer one. Epoch 0 is
 * a pool with a single service, which owns everything.
 *
 * The hash has no secret: whoever chooses keys may crowd them into one slot, and gains nothing but
 * a service that has more to do than its neighbours. (What identifies a key is another hash, with a
 * secret; see transport/base/hash.h.)
 */
#ifndef CENOTE_META_SLOTS_H
#define CENOTE_META_SLOTS_H

#include "meta/stub/messages.h"

#define METHOD_SLOTS "slots"

#define SLOTS           16384u
#define SHARDS_MAX      64u
#define SLOT_RANGES_MAX 64u

/* Slots first to last, both included. */
struct slot_range {
    uint32_t first, last;
    uint32_t shard;
};

struct slot_map {
    uint64_t epoch;
    uint32_t range_count;
    struct slot_range ranges[SLOT_RANGES_MAX]; /* ascending */
    char endpoints[SHARDS_MAX][TEXT_MAX];      /* of each shard; empty: there is none, or the one
                                                  that was asked */
};

/* What the slots of a namespace's keys start from. */
uint64_t slot_seed(const char *name_space);
uint32_t slot_of(uint64_t seed, const void *key, size_t key_len);

/* The map of a pool with a single service. */
void slot_map_single(struct slot_map *map);
/* Do the ranges ascend, cover all slots, and name shards? Otherwise *slot is one that has no owner,
 * or two. */
bool slot_map_whole(const struct slot_map *map, uint32_t *slot);
/* How many slots the shard owns. */
uint32_t slot_map_owned(const struct slot_map *map, uint32_t shard);

/* slots [] -> [epoch, SLOTS, [[first, last, endpoint, shard], ...], the shard that answers] */
void slots_result_put(struct wire_buf *b, const struct slot_map *map, uint32_t shard);
/* False: malformed, or not whole. */
bool slots_result_get(struct wire_value v, struct slot_map *map, uint32_t *shard);

/* Wherever the status of one key is CENOTE_WRONG_SHARD, it is written as [status, epoch]: the map
 * by which the service judges. */
void wrong_shard_put(struct wire_buf *b, uint64_t epoch);
/* The status of one key in a list of statuses, alone or with an epoch. False: it is none. */
bool key_status_get(struct wire_value v, int *status);
/* What stands behind CENOTE_WRONG_SHARD; 0: nothing does. */
uint64_t wrong_shard_epoch(struct wire_value v);

/* Of the global address space each shard has a part, [first, end). */
void slot_gva_part(uint64_t epoch, uint32_t shard, uint64_t *first, uint64_t *end);

#endif
