/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules with names: those that design.md wants replayed for ever, and those of bugs. */
#ifndef CENOTE_TESTS_SIM_SCHEDULES_H
#define CENOTE_TESTS_SIM_SCHEDULES_H

#include <stdbool.h>
#include <stdint.h>

int schedules_list(void);
/* One of them, or all: so many variations of each (0: SCHEDULE_SEEDS), or the one that seed names.
 * The program's exit status. */
#define SCHEDULE_SEEDS 400u
int schedules_run(const char *name, uint64_t seeds, uint64_t seed, bool tracing);

#endif
