/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the service share: a pool with one node and two clients, checked at the end. */
#ifndef CENOTE_TESTS_META_RIG_H
#define CENOTE_TESTS_META_RIG_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/metaworld.h"

#define MIB            (UINT64_C(1) << 20)
#define RIG_SEGMENT    (16 * MIB)
#define RIG_LEASE_MS   1000u
#define RIG_TIMEOUT_MS 5000u
#define RIG_GRACE_MS   2000u
#define RIG_SUSPECT_MS 1000u
#define RIG_DEAD_MS    4000u

extern struct world *world;
extern struct end *node, *alice, *bob; /* two clients of one namespace */

void rig_up(void);
void rig_down(void); /* everything must agree */
/* Kills and starts the service; the node comes back with its memory, the clients resume. */
void rig_restart(unsigned applied);
/* Time passes, and the node's heart beats. */
void rig_pass(uint64_t ms);
/* What status tells, as JSON; the caller's to free. */
char *rig_status_text(void);
/* A number that status tells, e.g. "quarantine", "extents". */
uint64_t rig_status(const char *map, const char *name);

#endif
