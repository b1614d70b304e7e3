/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of simulated processes (substitute.c puts it in the place of malloc() and mmap()). */
#ifndef CENOTE_TESTS_SIM_HEAP_H
#define CENOTE_TESTS_SIM_HEAP_H

#include "tests/sim/world.h"

/* All that the process had. */
void heap_end(struct process *p);
/* Blocks and mappings that it has. */
uint64_t heap_count(const struct process *p);
#endif
