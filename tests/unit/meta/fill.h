/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How full a segment gets before the first value is refused, when values of mixed sizes are put and
 * removed at random while occupancy rises.
 */
#ifndef CENOTE_TESTS_META_FILL_H
#define CENOTE_TESTS_META_FILL_H

#include <stdint.h>

#include "tests/unit/meta/seeded.h"

enum fill_sizes {
    FILL_BLOCKS, /* the blocks of four models, 16 to 256 tokens (1 to 80 MiB), and 64 KiB */
    FILL_TRACE,  /* the same, with twelve times as many blocks of 64 KiB as others */
    FILL_EVEN,   /* any size from 64 KiB to 80 MiB, evenly by logarithm */
    FILL_SMALL,  /* any size from 64 bytes to 80 MiB, evenly by logarithm */
    FILL_SIZES
};

enum fill_rise {
    FILL_SLOWLY,  /* the segment's values are replaced twenty times between half full and full */
    FILL_QUICKLY, /* 55 puts in 100 operations, the rest removals */
    FILL_RISES
};

struct fill_case {
    enum fill_sizes sizes;
    enum fill_rise rise;
    uint64_t segment_bytes;
    uint32_t stripes_max; /* 1: values are not split */
};

struct fill_result {
    double used;              /* part of the segment in use when a value was refused */
    double stripes_per_value; /* of all values put */
    uint64_t values;          /* in the segment at the end */
};

#define FILL_LARGEST_PAYLOAD (UINT64_C(80) << 20)
#define FILL_STRIPES_MAX     32u

/* Fills a segment of its own until a put is refused. */
struct fill_result fill_until_refused(struct seeded *s, struct fill_case c);

/* One payload's length. */
uint64_t fill_payload(struct seeded *s, enum fill_sizes sizes);

/* For reports. */
const char *fill_sizes_name(enum fill_sizes sizes);
const char *fill_rise_name(enum fill_rise rise);

#endif
