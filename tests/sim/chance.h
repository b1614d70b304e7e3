/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers that follow from a seed. Each process and each line has a stream of its own, so that
 * what is left out of a plan changes as little as possible for all others. */
#ifndef CENOTE_TESTS_SIM_CHANCE_H
#define CENOTE_TESTS_SIM_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

struct chance {
    uint64_t state;
};

/* The finalizer of SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014) over a counter. */
static inline uint64_t chance_next(struct chance *c)
{
    uint64_t z = c->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline struct chance chance_of(uint64_t seed, uint64_t stream)
{
    struct chance c = {seed * UINT64_C(0xd1342543de82ef95) ^ stream};
    (void)chance_next(&c);
    return c;
}

/* 0 to n - 1; n is not 0. */
static inline uint64_t chance_below(struct chance *c, uint64_t n)
{
    return chance_next(c) % n;
}

/* Both ends can come. */
static inline uint64_t chance_between(struct chance *c, uint64_t low, uint64_t high)
{
    return low + chance_below(c, high - low + 1);
}

static inline bool chance_in(struct chance *c, unsigned one_in)
{
    return chance_below(c, one_in) == 0;
}

#endif
