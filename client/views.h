/* SPDX-License-Identifier: Apache-2.0 */
/* The open views of one client, of all services: which slots are in use, and what keeps them.
 * Thread-safe. */
#ifndef CENOTE_CLIENT_VIEWS_H
#define CENOTE_CLIENT_VIEWS_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/fabric.h"

struct views;

/* NULL: no memory. */
struct views *views_new(void);
/* Ends all views; no call may be running, and their fabrics are still there. */
void views_free(struct views *v);
/* In a forked child: holds are the parent's. */
void views_abandon(struct views *v);

/* Takes a slot for a hold. False: all are in use. */
bool views_take(struct views *v, uint32_t *slot);
/* The slot wasn't needed. */
void views_drop(struct views *v, uint32_t slot);
/* The slot's hold is there: from now on it is a view. Returns its name, never 0. */
uint64_t views_open(struct views *v, uint32_t slot, struct fabric *fabric,
                    struct fabric_link *link);
/* Ends the view of this name. False: it has ended, or never was. */
bool views_release(struct views *v, uint64_t name);
/* How many are open. */
uint32_t views_count(const struct views *v);

#endif
