/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which object goes next: the order of those of one namespace, and nothing else. Whether an object
 * may go (its lease, its nodes) is the caller's to say.
 *
 * CLOCK (Corbato, 1968): one queue; a use only counts up (to POLICY_USES), so a lookup moves
 * nothing. The oldest is the victim, unless it was used: then it begins again as the newest, with one
 * use less.
 *
 * Keys of one call are a chain, head first: a tail is of no use without its head. So what follows
 * in a chain is queued as older than what is before it, and the tail goes first.
 *
 * An object in a queue has its links (newer, older), its number (queue) and its uses.
 * Each operation takes the same time however many objects there are.
 */
#ifndef CENOTE_META_POLICY_H
#define CENOTE_META_POLICY_H

#include "meta/core/table.h"

/* Objects looked at for one victim. */
#define POLICY_STEPS 64u
#define POLICY_USES  3u

struct policy {
    uint32_t newest, oldest; /* references; INDEX_NONE: empty */
    uint32_t count;
};

void policy_init(struct policy *p);
/* An object that is in no queue. head: the one before it in its chain, NULL: it is the first; it
 * need not be there any more (in p, that is). */
void policy_add(struct policy *p, const struct table *t, struct object *o, struct object *head);
void policy_remove(struct policy *p, const struct table *t, struct object *o);
/* It was looked up. For a chain: the tail first. */
static inline void policy_use(struct policy *p, struct object *o)
{
    (void)p;
    o->uses = o->uses < POLICY_USES ? (o->uses + 1) & 3u : POLICY_USES;
}

/* The next to go, of those that may; it stays where it is until it is removed. NULL: none of so many
 * that were looked at, POLICY_STEPS at most; the next call looks at others. */
struct object *policy_victim(struct policy *p, const struct table *t,
                             bool (*may)(void *arg, struct object *o), void *arg);
/* So many looks without a victim: none of those that are there may go. */
static inline uint64_t policy_round(const struct policy *p)
{
    return (POLICY_USES + 1) * (uint64_t)p->count;
}

/* Is the queue whole? For checks: walks all of it. */
bool policy_check(const struct policy *p, const struct table *t);

#endif
