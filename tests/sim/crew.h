/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that run worlds. */
#ifndef CENOTE_TESTS_SIM_CREW_H
#define CENOTE_TESTS_SIM_CREW_H

#include "tests/sim/scene.h"

#define CREW_MAX 256u

struct crew_work {
    uint64_t first, seeds, seconds; /* seeds, seconds 0: no limit; both 0: CREW_SEEDS */
    unsigned jobs;
    /* What a seed means; NULL: plan_draw(). */
    void (*draw)(struct plan *plan, uint64_t seed);
    const char *name; /* of a schedule, for messages; NULL: none */
    bool quiet;       /* says nothing of what is right */
};

#define CREW_SEEDS 1000u

/* Prints each seed that violates the rules, then a line of counts. 0: none does; 1. */
int crew_run(const struct crew_work *work);
/* Leaves out what a failing seed doesn't need, and prints what is left. 0: it failed; 1: it
 * doesn't. Of the work only what a seed means counts. */
int crew_minimise(const struct crew_work *work, uint64_t seed);

#endif
