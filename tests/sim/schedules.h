/* SPDX-License-Identifier: Apache-2.0 */
/* Schedules with names: those that design.md wants replayed for ever, and those of bugs. */
#ifndef CENOTE_TESTS_SIM_SCHEDULES_H
#define CENOTE_TESTS_SIM_SCHEDULES_H

#include "tests/sim/plan.h"

struct schedule {
    const char *name, *about;
    void (*draw)(struct plan *p, uint64_t seed);
};

/* NULL: no more of them. */
const struct schedule *schedules_at(unsigned at);

#endif
