/* SPDX-License-Identifier: Apache-2.0 */
/* The segments of a node as a client has mapped them. */
#ifndef CENOTE_TRANSPORT_SHM_MAP_H
#define CENOTE_TRANSPORT_SHM_MAP_H

#include <stdatomic.h>

#include "transport/shm/message.h"

/* Pages are entered into this process' page table in granules of this size, before the first copy
 * that touches them: 32 short calls instead of 512 faults. */
#define MAP_GRANULE_BYTES (UINT64_C(2) << 20)

struct map {
    struct gva gva;
    uint64_t len_bytes;
    uint8_t *base;
    _Atomic uint64_t *entered; /* a bit for each granule */
};

/* Maps the segment that a message describes; the descriptor stays the caller's. CENOTE_OK,
 * CENOTE_PROTOCOL, CENOTE_NO_MEMORY. */
int map_make(const struct shm_message *m, int descriptor, struct map *out);
void map_free(struct map *m);
/* In a forked child, where nothing is mapped. */
void map_abandon(struct map *m);
/* The address of [gva, gva + len), NULL when it isn't in here. */
uint8_t *map_at(const struct map *m, struct gva gva, uint64_t len_bytes);
/* Enters the pages of a range that map_at() gave. */
void map_enter(struct map *m, const uint8_t *at, uint64_t len_bytes);

#endif
