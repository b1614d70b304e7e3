/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Eviction: the pool gives up what it needs least, so that there is always room for more.
 *
 * When: in the background, from the high watermark down to the low one; when a put meets a full
 * pool (put_wait.c); when a namespace is above its quota; and when a ttl has run out (expire.c).
 * What goes is removed like anything else (objects.c), many in one change: REMOVED is durable, the
 * seal void, and then its space is free.
 *
 * Whose: a namespace that holds its fair share of the pool or more gives for itself; otherwise the
 * one that holds most gives. Which: policy.c says. Objects with a soft pin are in a queue of their
 * own, asked when the others give nothing; those with a hard pin are in none.
 *
 * What may not go now: what is leased, what has something under way, what lies on a node that is
 * away or silent (its space wouldn't be free before the node is back), and the fellows of those in
 * a group. Pending puts aren't in a queue yet.
 *
 * A node that is away is expected back until it is dead: its memory counts as room, and what lies
 * there as used, so that the watermarks mean the same with and without it. A put that finds no room
 * on the others doesn't wait for it: it has evicted, there, what it needs and no more.
 *
 * Each step looks at a bounded number of objects, goes on where the last one ended, and costs the
 * same however many there are.
 */
#ifndef CENOTE_META_EVICT_H
#define CENOTE_META_EVICT_H

#include "meta/core/dues.h"
#include "meta/core/groups.h"
#include "meta/core/list.h"
#include "meta/core/policy.h"
#include "transport/base/testswitch.h"

struct core;
struct ending;
struct evict_batch;
struct space;

enum evict_reason {
    EVICT_SPACE,      /* a put met a full pool */
    EVICT_BACKGROUND, /* above the watermark */
    EVICT_QUOTA,
    EVICT_EXPIRED, /* its ttl ran out */
    EVICT_GROUP,   /* for the sake of another of its group */
    EVICT_REASONS
};

struct evict_count {
    uint64_t objects, bytes;
};

/* Of one namespace. */
struct space_evict {
    struct policy queue, soft;
    /* on their way to be REMOVED: part of what is used, but as good as gone */
    uint64_t leaving_bytes, leaving_objects;
    uint64_t looks[2]; /* since the last victim, or the last tick: in vain, queue and soft */
    bool soon;         /* in this tick, something couldn't go that may a little later */
    struct evict_count count;
    uint32_t number; /* scratch of core_check() */
};

struct evict {
    struct groups groups;
    struct dues dues;
    bool dues_lost;      /* no memory for an entry: all are looked for again, */
    bool dues_looked;    /* and this is under way, */
    uint32_t dues_at;    /* at this reference of the table */
    bool expiring;       /* more is due than went in the last step */
    bool above;          /* more is above quotas than went in the last step */
    uint32_t quotas_at;  /* namespaces that were seen to by then, in this round */
    uint64_t room_bytes; /* that values may have: memory of hosts, also if not offered, or away */
    uint64_t used_bytes; /* by all namespaces; without what is in quarantine */
    uint64_t leaving_bytes; /* of these, on their way to be REMOVED */
    uint64_t coming_bytes;  /* evicted and REMOVED, not free yet */
    uint64_t given_bytes;   /* ever given back, by anything */
    uint64_t owed_bytes;    /* to go in the background, in the next turns */
    bool draining;          /* above the low watermark, since it was above the high one */
    bool soon;              /* as in struct space_evict, of any */
    struct space *most;     /* holds most; NULL: to be found */
    uint32_t holding;       /* namespaces that hold anything */
    struct evict_count counts[EVICT_REASONS];
    struct list waiting; /* struct put_wait */
    uint32_t waiting_count;
    uint64_t waiting_bytes; /* of what was copied for them */
    uint64_t waited;        /* calls, ever */
    bool waking;
};

/* ---- objects come and go ---- */

/* It is visible now. head: the one before it in the chain of its call, or NULL. */
void evict_entered(struct core *c, struct object *o, struct object *head);
/* It isn't any more. */
void evict_left(struct core *c, struct object *o);
/* It was looked up. */
static inline void evict_used(struct object *o)
{
    policy_use(o);
}
/* A visible object is kept otherwise from now on; times as in struct object. */
struct evict_times {
    uint32_t expires, pinned_until;
};
void evict_keep(struct core *c, struct object *o, struct evict_times times, uint32_t pin);
/* Its removal was evicted's: is durable, or refused. */
void evict_ended(struct ending *e, int status);
/* Space is free again. */
void evict_given(struct core *c, const struct ending *e, uint64_t bytes);

/* ---- evicting ---- */

/* So much is to go. */
struct evict_want {
    uint64_t bytes, objects;
};

/* Looks in one call of a client, in one tick, and in one turn of the loop. */
#define EVICT_LOOKS_CALL 1024u
#define EVICT_LOOKS_TICK 4096u
#define EVICT_LOOKS_TURN 64u
/* Objects that go in one step that nobody waits for: others want to be served. The change is soon
 * done, and the loop's next turn goes on. */
#define EVICT_STEP       64u

/* For a put of this namespace. Less than was wanted: nothing may go, or there were too many looks.
 * How many bytes go. */
uint64_t evict_for_space(struct core *c, struct space *s, uint64_t bytes, uint32_t looks);
/* Within a namespace. */
void evict_within(struct core *c, struct space *s, struct evict_want want, uint32_t looks);
/* Puts have taken so much: as much again, and more, goes in the next turns, if the pool has been
 * above the high watermark. */
void evict_owe(struct core *c, uint64_t bytes);
void evict_turn(struct core *c);
/* Is there nothing that may go now, nor soon? In a namespace, or (NULL) at all. */
bool evict_barren(const struct core *c, const struct space *s);

/* Removes, in batches, what the caller knows may go. *batch: NULL at first. Until it is submitted
 * nothing else may be drafted. */
/* CENOTE_OK, or why not: something is under way (CENOTE_UNAVAILABLE), no memory. */
int evict_take(struct core *c, struct evict_batch **batch, struct object *o,
               enum evict_reason reason);
void evict_submit(struct core *c, struct evict_batch **batch);

/* What could be given up may be other things by now: in each tick, and when a node is back. */
void evict_look_again(struct core *c);
void evict_tick(struct core *c);
void evict_free(struct core *c);

/* ---- ends of ttls and pins (expire.c) ---- */

/* In LEASE_UNIT_MS since the start, from 1: the next one after so many ms from now. */
uint32_t expire_stamp(const struct core *c, uint64_t after_ms);
/* Has its ttl run out? It is as good as not there. */
bool expire_ttl_over(const struct core *c, const struct object *o);
static inline bool expire_over(const struct core *c, const struct object *o)
{
    return o->expires != 0 && expire_ttl_over(c, o);
}
/* How long a reader may rely on it, of so many ms. */
uint64_t expire_ttl_left(const struct core *c, const struct object *o);
static inline uint64_t expire_cap(const struct core *c, const struct object *o, uint64_t lease_ms)
{
    uint64_t left_ms = o->expires == 0 || test_off(TEST_TTL) ? lease_ms : expire_ttl_left(c, o);
    return left_ms < lease_ms ? left_ms : lease_ms;
}
/* A visible object has times: it is looked at when they are over. */
void expire_watch(struct core *c, const struct object *o);
/* The removal of one whose ttl is over was refused. */
void expire_again(struct core *c, const struct object *o);
void expire_tick(struct core *c);
void expire_turn(struct core *c);

#endif
