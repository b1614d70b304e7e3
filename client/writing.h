/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One extent (one replica of one stripe) on its way to its node: the copy that writes payload, sums
 * and seal, and the state that it is in afterwards, as commit and abort report it.
 */
#ifndef CENOTE_CLIENT_WRITING_H
#define CENOTE_CLIENT_WRITING_H

#include <stdbool.h>
#include <stdint.h>

#include "client/locate.h"
#include "transport/fabric.h"

/* What the extents of one value share. */
struct writing_value {
    uint64_t put_id, len_bytes;
    uint64_t session; /* that the put was granted to */
    struct hash128 key_hash;
    uint32_t name_space;
    uint32_t stripes;
    const struct cenote_buffer *buffers;
    size_t buffer_count;
};

struct writing {
    uint32_t owner; /* the value's index in its batch */
    uint16_t stripe;
    bool done;     /* visible, or given up */
    uint8_t state; /* enum extent_state */
    int status;    /* why it isn't visible */
    uint64_t offset, payload_len;
    struct gva gva;
    struct write_grant grant;
    uint64_t incarnation;
    uint64_t root; /* once visible */

    /* While the copy is under way. */
    const struct writing_value *value;
    struct sums *sums;
    uint8_t *tail; /* the list of chunk sums, if the extent has one, and the seal */
};

/* The service granted replica i of a stripe: begin it. */
void writing_begin(struct writing *w, uint32_t owner, uint16_t index, const struct stripe *s,
                   uint32_t i);
bool writing_has_place(const struct writing *w, const struct locate *map);

/* Fills the copy; v must stay until writing_end(). False: it can't be written (the address is on no
 * map, or no memory), and is done: drained. After true the copy must be run and given to
 * writing_end(). */
bool writing_next(struct writing *w, const struct writing_value *v, const struct locate *map,
                  struct fabric_req *copy);
void writing_end(struct writing *w, const struct fabric_req *copy);

/* The same for extents that are written range by range. A range at an offset of the payload; the
 * copy's sums and its end are the caller's affair. False: no place; nothing has changed. */
bool writing_range(const struct writing *w, const struct writing_value *v, const struct locate *map,
                   uint64_t offset, const struct cenote_buffer *piece, struct fabric_req *copy);
/* All ranges are written, and these are the sums of the chunks, encoded: what closes the extent. As
 * writing_next(). */
bool writing_seal(struct writing *w, const struct writing_value *v, const struct locate *map,
                  const uint64_t *sums_le, struct fabric_req *copy);

#endif
