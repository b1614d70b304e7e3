/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histories of an imagined key: every operation takes effect at a moment between its invocation and
 * its return, so that they are linearizable; and small faults that are put into them.
 */
#ifndef CENOTE_TESTS_LINEAR_RANDOM_H
#define CENOTE_TESTS_LINEAR_RANDOM_H

#include <stdbool.h>

#include "tests/linear/linear.h"

struct random_shape {
    uint32_t clients;
    uint32_t unknown_percent; /* of writes and removes */
    uint32_t overlap;         /* 1: short operations, long pauses; more: the other way round */
};

uint64_t random_next(uint64_t *state);

/* Fills ops[0..count). */
void random_history(uint64_t *seed, const struct random_shape *shape, struct linear_op *ops,
                    size_t count);
/* Changes one answer. False: nothing in it could be changed. */
bool random_fault(uint64_t *seed, struct linear_op *ops, size_t count);

#endif
