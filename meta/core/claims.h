/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is under way with a key.
 *
 * A key is claimed while a change of what it names is on its way to the store (busy): the next
 * change of the same key waits until it is known how that one ended. It stays claimed while an
 * older object of it is unsettled: no longer visible, but a reader may still hold a lease on it and
 * find its seal alive. A newer object may become durable meanwhile, but is neither shown nor
 * answered for before that: it waits here as the successor. Whoever looks the key up then waits
 * too, instead of being told that nothing is there. So does who looks up a key that was removed:
 * another reader may still find it by his lease. (What was lost with a node may be missed at once.)
 * Whether a key is there can be told without waiting: what is unsettled still counts. Only after a
 * restart it is not known whether it had settled, and its remove was answered, in the life before.
 */
#ifndef CENOTE_META_CLAIMS_H
#define CENOTE_META_CLAIMS_H

#include "meta/core/list.h"
#include "meta/core/pool.h"
#include "meta/core/table.h"

struct waiter {
    struct link link;
    void (*run)(struct waiter *w); /* tries again from the beginning; may wait again */
};

#define CLAIMS_WAITERS_MAX 65536u

struct claim {
    struct hash128 key_hash;
    struct claim *next;       /* in its bucket */
    struct object *successor; /* durable, but not to be seen yet; NULL: none */
    uint32_t unsettled;       /* older objects */
    uint32_t missed;          /* of these, removed or replaced, not lost */
    uint32_t recovered;       /* of these, from an earlier life, in which they may have settled */
    bool busy;
    bool waking, wake_again; /* private */
    struct list waiters;
};

struct claims {
    struct claim **buckets;
    uint32_t mask;
    uint32_t count;
    uint32_t waiters;
    struct pool pool;
};

void claims_free(struct claims *c);
struct claim *claims_find(const struct claims *c, const struct hash128 *key_hash);
/* Finds or makes; NULL: no memory. An unused claim goes with the next claims_wake(). */
struct claim *claims_get(struct claims *c, const struct hash128 *key_hash);
/* CENOTE_OK, or CENOTE_LIMIT: too many wait. */
int claims_wait(struct claims *c, struct claim *claim, struct waiter *w);
/* Lets the waiters of a claim, whose state has changed, try again in the order in which they came;
 * the claim ends when nothing is under way. */
void claims_wake(struct claims *c, struct claim *claim);
/* Must a lookup of the key wait? */
static inline bool claim_hides(const struct claim *claim)
{
    return claim->successor != NULL || claim->missed > 0;
}
/* Can't it be told yet whether anything is there? Who only asks for that waits no longer. */
static inline bool claim_unsure(const struct claim *claim)
{
    return claim->successor == NULL && claim->missed > 0 && claim->recovered > 0;
}
/* For a waiter that goes away. */
void claims_forget(struct claims *c, struct waiter *w);

#endif
