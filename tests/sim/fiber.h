/* SPDX-License-Identifier: Apache-2.0 */
/* Stacks of their own for code that waits: threads of simulated clients. One OS thread runs all. */
#ifndef CENOTE_TESTS_SIM_FIBER_H
#define CENOTE_TESTS_SIM_FIBER_H

#include <stdbool.h>

struct fiber;

/* Stacks are kept and used again. */
struct fiber *fiber_new(void (*fn)(void *arg), void *arg);
/* From outside of all fibers: goes on with this one until it pauses or ends. True: it has ended. */
bool fiber_run(struct fiber *f);
/* From inside. */
void fiber_pause(void);
/* The one that runs; NULL: none. */
struct fiber *fiber_self(void);
/* It is forgotten wherever it stands; not the one that runs. */
void fiber_drop(struct fiber *f);

#endif
