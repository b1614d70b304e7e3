/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fault points: every call of our code that asks the system for something and may be refused. The
 * linker sends these calls here (--wrap; calls.txt lists them). A point is a function and the
 * four callers above it, so that its number is the same in every run, whatever the threads do; and
 * its first, second, ... call.
 *
 * CENOTE_SWEEP in the environment says what to do:
 *   count:FILE            all goes well; at the end FILE gets a line for each point:
 *                         name, hash, calls, addresses of the callers
 *   fail:HASH:N[:M]       M calls (1) of that point from the N-th on fail, and this is said once on
 *                         stderr
 */
#ifndef CENOTE_TESTS_SWEEP_POINTS_H
#define CENOTE_TESTS_SWEEP_POINTS_H

#include <stdbool.h>

/* A call is made: shall it fail? frame: the wrapper's own. */
bool point_fails(const char *name, void *const *frame);

#endif
