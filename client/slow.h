/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nodes that let a copy wait until its time was over. For a while readers ask them last: a node
 * that hangs costs one get the whole time-out, not each. A copy that succeeds clears its node. What
 * is remembered decides about speed only, so forgetting some of it does no harm. Thread-safe.
 */
#ifndef CENOTE_CLIENT_SLOW_H
#define CENOTE_CLIENT_SLOW_H

#include <stdbool.h>
#include <stdint.h>

#define SLOW_FOR_MS    60000u
#define SLOW_NODES_MAX 64u

struct slow;

/* NULL: no memory. */
struct slow *slow_new(void);
void slow_free(struct slow *s);

bool slow_is(struct slow *s, uint64_t node, uint64_t now_ms);
/* How a copy ended: a time-out marks the node, success clears it. */
void slow_learn(struct slow *s, uint64_t node, int status, uint64_t now_ms);

#endif
