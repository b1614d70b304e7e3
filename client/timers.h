/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times at which something is due: a heap whose entries lie in what they are for. An entry knows
 * its place, so that it can be moved and taken out. Not thread-safe; reads no clock.
 */
#ifndef CENOTE_CLIENT_TIMERS_H
#define CENOTE_CLIENT_TIMERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMER_NEVER UINT64_MAX

/* Zero-fill to begin. */
struct timer {
    uint64_t due_ms;
    size_t place; /* in the heap, from 1; 0: not in it */
};

/* Zero-fill to begin. */
struct timers {
    struct timer **heap;
    size_t count, room;
};

/* Room for so many timers altogether. False: no memory. */
bool timers_reserve(struct timers *t, size_t count);
void timers_free(struct timers *t);
/* Sets, moves, or takes out (TIMER_NEVER). There must be room. */
void timers_set(struct timers *t, struct timer *timer, uint64_t due_ms);
/* The one that is due next, or NULL. */
struct timer *timers_first(const struct timers *t);

#endif
