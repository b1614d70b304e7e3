/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which keys are this service's.
 *
 * A service that shares its pool with others owns some of the slots (meta/stub/slots.h). What it
 * owns is asked where a change is drafted, right before, so that nothing can come between the
 * question and the change: a put that was begun when the key was ours isn't committed any more when
 * it isn't.
 *
 * The store remembers the last map: a map is only followed by one with a higher epoch, and its
 * shard keeps its number. Slots are given up empty: as long as one of them has an object, or one
 * that was removed and that a reader may still accept, the service doesn't start without it. The
 * new owner knows nothing of either.
 */
#ifndef CENOTE_META_SHARD_H
#define CENOTE_META_SHARD_H

#include "meta/core/spaces.h"
#include "meta/core/table.h"
#include "meta/stub/slots.h"

struct core;

struct shard {
    struct slot_map map;
    uint32_t number;
    bool all; /* no other service is there: nobody computes slots */
    uint8_t owned[SLOTS / 8];
    /* while the store is read */
    uint32_t strangers; /* objects in slots that aren't ours */
    uint32_t stranger_slot;
    bool changed; /* the map is newer than the store's */
};

/* From the options; map NULL: there is one service. */
void shard_init(struct shard *s, const struct slot_map *map, uint32_t number);

/* The slot of a key; 0 if all are ours. */
uint32_t shard_slot(const struct core *c, const struct space *space, const void *key,
                    size_t key_len);
bool shard_owns(const struct core *c, uint32_t slot);

/* At the start, after members.gva_next has been read. CENOTE_OK; CENOTE_INVALID, and logged: the
 * map doesn't follow the store's; CENOTE_IO. */
int shard_check(struct core *c);
/* Of each object. */
void shard_count(struct core *c, const struct object *o, const void *key, uint32_t key_len);
/* After all objects: CENOTE_OK, or CENOTE_INVALID, and logged. */
int shard_check_objects(const struct core *c);
/* Drafts the record of a map that changed. */
void shard_record(struct core *c);

#endif
