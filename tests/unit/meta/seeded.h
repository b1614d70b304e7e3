/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers for tests: the seed is printed, and CENOTE_SEED=n in the environment replays it.
 */
#ifndef CENOTE_TESTS_META_SEEDED_H
#define CENOTE_TESTS_META_SEEDED_H

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct seeded {
    uint64_t state;
};

static inline struct seeded seeded_new(const char *what, uint64_t usual_seed)
{
    const char *text = getenv("CENOTE_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : usual_seed;
    fprintf(stderr, "%s: CENOTE_SEED=%" PRIu64 "\n", what, seed);
    return (struct seeded){seed};
}

/* SplitMix64 (Steele, Lea and Flood, 2014). */
static inline uint64_t seeded_next(struct seeded *s)
{
    uint64_t z = s->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 to limit - 1, evenly enough for a test. */
static inline uint64_t seeded_below(struct seeded *s, uint64_t limit)
{
    return seeded_next(s) % limit;
}

#endif
