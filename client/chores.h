/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads for what has to wait on behalf of operations in the background: connecting to the service
 * and to nodes, and asking for the map. They are few, and started when they are needed for the
 * first time; chores that find none free wait their turn, and so may one that connects to a node
 * behind others that don't answer. Those to the service have a thread of their own, and so have
 * those to the other services of the pool.
 */
#ifndef CENOTE_CLIENT_CHORES_H
#define CENOTE_CLIENT_CHORES_H

#include <stdbool.h>

enum chore_kind { CHORE_SERVICE, CHORE_NODE, CHORE_ROUTE, CHORE_KINDS };

/* Threads of each kind. */
#define CHORE_SERVICE_THREADS 1u
#define CHORE_NODE_THREADS    3u
#define CHORE_ROUTE_THREADS   2u

struct chores;

struct chore {
    /* Once, on one of the threads; or, when the chores are given up (too_late), on the thread that
     * does that, and without waiting for anything. */
    void (*run)(struct chore *chore, bool too_late);
    struct chore *next;
};

/* NULL: no memory. */
struct chores *chores_new(void);
/* False: there is no thread to do it. */
bool chores_post(struct chores *c, enum chore_kind kind, struct chore *chore);
/* Waits for those that are being done. Nobody may post any more. */
void chores_free(struct chores *c);

#endif
