/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which object goes next: the order of those of one namespace, and nothing else. Whether an object
 * may go (its lease, its pin, its nodes) is the caller's to say.
 *
 * S3-FIFO (Yang et al., SOSP 2023), with a probation nearly as long as the rest. Two queues, in
 * the order of arrival. What is new goes on probation; what was used there until it comes to the
 * old end goes over into the main queue, what was not is the victim. In the main queue each use
 * (three at most) pays for another lap. A use only counts, so that a lookup moves nothing. A scan
 * passes through the probation and leaves the main queue alone.
 *
 * The paper's probation is a tenth of the cache. Blocks of prompts come back late, when the user
 * has read and typed: a tenth throws them away before. 45 % of the objects, counted when a
 * victim is wanted, is above LRU on both traces, with and without a reserve (doc/EVICTION.md).
 *
 * Ghosts: a table of fingerprints of the last victims of the probation, 60 % as many as
 * there are objects. What comes back while it is remembered goes to the main queue at once. 4 bytes
 * for each, in buckets of sixteen with room to spare, where a new one takes the place of the
 * oldest: 4 to 8 bytes an object, from the first eviction on. That two fingerprints are alike (once
 * in 4,000 times) does no harm.
 *
 * Keys of one call are a chain, head first: a tail is of no use without its head. So what follows
 * in a chain is queued as older than what is before it, and the tail goes first.
 *
 * An object that may not go takes a place at the new end of the main queue, and is looked at again
 * after a lap: those that may not go hold nobody up. What never may (hard pins) had better be in no
 * queue.
 *
 * An object in a queue has its links (newer, older), its number (queue) and its uses. Each
 * operation takes the same time however many objects there are.
 */
#ifndef CENOTE_META_POLICY_H
#define CENOTE_META_POLICY_H

#include "meta/core/table.h"

/* Objects looked at for one victim. */
#define POLICY_STEPS             64u
/* Of the objects. */
#define POLICY_PROBATION_PERCENT 45u
#define POLICY_GHOSTS_PERCENT    60u
/* A use counts up to this. */
#define POLICY_USES_MAX          3u

/* enum: object.queue; 0: in none. */
enum policy_queue { POLICY_NONE = 0, POLICY_PROBATION = 1, POLICY_MAIN = 2 };

struct policy_fifo {
    uint32_t newest, oldest; /* references; INDEX_NONE: empty */
    uint32_t count;
    uint32_t last; /* added in the chain that is being added; INDEX_NONE: none */
};

struct ghost {
    uint16_t fingerprint;
    uint16_t stamp; /* when it was the victim, in parts of the table; 0: free */
};

struct policy {
    struct policy_fifo queue[2]; /* probation, main */
    uint32_t count;              /* of objects */
    uint32_t last;               /* added; INDEX_NONE: none, or it is gone */
    uint32_t ghost_count;        /* room for; a power of two, or 0 */
    uint32_t victims;            /* of the probation, so far */
    struct ghost *ghosts;        /* NULL: nothing has been evicted yet, or no memory */
};

void policy_init(struct policy *p);
/* Forgets the ghosts, not the objects: there are none any more. */
void policy_free(struct policy *p);
/* An object that is in no queue. head: the one before it in its chain, NULL: it is the first. Only
 * a head that was added by the call before matters; it need not be there any more (in p, that is).
 */
void policy_add(struct policy *p, const struct table *t, struct object *o, struct object *head);
void policy_remove(struct policy *p, const struct table *t, struct object *o);
/* It was looked up. */
static inline void policy_use(struct object *o)
{
    if (o->uses < POLICY_USES_MAX)
        o->uses = (o->uses + 1) & POLICY_USES_MAX;
}

/* The next to go, of those that may; it stays in its queue until it is removed (meanwhile may()
 * refuses it). NULL: none of so many that were looked at, POLICY_STEPS at most; the next call goes
 * on with others. */
struct object *policy_victim(struct policy *p, const struct table *t,
                             bool (*may)(void *arg, struct object *o), void *arg);
/* So many looks without a victim: none of those that are there may go. An object takes a look for
 * each use and one more, and half of a call's looks may be at the other queue. */
static inline uint64_t policy_round(const struct policy *p)
{
    return 3 * (uint64_t)(POLICY_USES_MAX + 1) * p->count + POLICY_STEPS;
}

/* Are the queues whole? For checks: walks all of them. */
bool policy_check(const struct policy *p, const struct table *t);

#endif
