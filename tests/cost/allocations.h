/* SPDX-License-Identifier: Apache-2.0 */
/* Counts the calling thread's allocations, those of libraries included. */
#ifndef CENOTE_TESTS_COST_ALLOCATIONS_H
#define CENOTE_TESTS_COST_ALLOCATIONS_H

#include <stdint.h>

/* Of this thread, so far. */
uint64_t allocations(void);

#endif
