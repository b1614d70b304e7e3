/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests/system/test_cost.py counts: whatever runs on the thread that is inside measured().
 * callgrind is told that name; strace finds the two calls that are made around it, which the kernel
 * refuses.
 */
#ifndef CENOTE_TESTS_COST_MEASURED_H
#define CENOTE_TESTS_COST_MEASURED_H

#include <stdint.h>

#define MARK_BEGIN (-4711)
#define MARK_END   (-4712)

/* Runs turn(arg) so often. */
void measured(void (*turn)(void *arg), void *arg, uint64_t times);
/* The same, between the marks; prints a line of what it knows. */
void measure(void (*turn)(void *arg), void *arg, uint64_t times);

#endif
