/* SPDX-License-Identifier: Apache-2.0 */
/* What one item of a get asks for: a whole value or a range of it. */
#ifndef CENOTE_CLIENT_WANTED_H
#define CENOTE_CLIENT_WANTED_H

#include <stdbool.h>

#include <cenote/range.h>

#include "meta/stub/messages.h"

struct wanted {
    const struct cenote_key *key;
    const struct cenote_buffer *buffers;
    size_t buffer_count;
    bool whole;
    uint64_t offset, len_bytes; /* the range; of a whole value: 0, and what the buffers hold */
    uint64_t *value_len_bytes;  /* out, of the item */
    uint64_t *put_id;           /* out, of a range */
    int *status;                /* out */
};

struct wanted wanted_whole(struct cenote_get_item *item);
struct wanted wanted_range(struct cenote_range_item *item);
bool wanted_same_key(const struct wanted *a, const struct wanted *b);

/* Tells the item what was found. CENOTE_OK, CENOTE_BUFFER_SIZE or CENOTE_BAD_RANGE. */
int wanted_fits(const struct wanted *w, uint64_t put_id, uint64_t value_len_bytes);

/* What of a stripe is wanted: at, len_bytes of its payload; skip_bytes of the buffers lead there.
 * False: nothing. An empty stripe of an empty value is wanted for its seal. */
struct wanted_part {
    uint64_t at, len_bytes, skip_bytes;
};
bool wanted_of_stripe(const struct wanted *w, const struct stripe *s, struct wanted_part *out);

#endif
