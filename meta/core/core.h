/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state of the metadata service. One thread owns all of it; nothing here does I/O.
 *
 *   table      objects                        claims    keys with something under way
 *   members    nodes, incarnations, ranges    sessions  clients, their puts and fences
 *   puts       from put_start to commit       reuse     from "not wanted" to free space
 *   spaces     what namespaces hold           evict     what goes when there is no room
 *   shard      the keys that are ours         notes     what nodes keep for us
 *   rebuild    the store, made again of what the nodes know
 *
 * Two times: now is the monotonic clock, leases are counted in it. Patient time stands still while
 * the service itself is not running (a gap between two calls longer than CORE_GAP_MAX_MS counts as
 * that much only): nodes, sessions and puts are judged by it, so that a stall of the service
 * doesn't look like the death of everybody else.
 */
#ifndef CENOTE_META_CORE_H
#define CENOTE_META_CORE_H

#include "meta/core/change.h"
#include "meta/core/claims.h"
#include "meta/core/damage.h"
#include "meta/core/directory.h"
#include "meta/core/env.h"
#include "meta/core/evict.h"
#include "meta/core/fsck.h"
#include "meta/core/ids.h"
#include "meta/core/lives.h"
#include "meta/core/members.h"
#include "meta/core/notes.h"
#include "meta/core/pool.h"
#include "meta/core/rebuild.h"
#include "meta/core/sessions.h"
#include "meta/core/shard.h"
#include "meta/core/spaces.h"
#include "meta/core/table.h"

#define CORE_GAP_MAX_MS 150u

/* After the store has refused what has to be done: the pause before it is tried again. */
#define STORE_RETRY_MS 1000u

/* Leases end in slots of this width; LEASE_SLOTS of them are told apart, later ones are looked at
 * again when their slot comes round. */
#define LEASE_UNIT_MS 128u
#define LEASE_SLOTS   512u

/* What doesn't depend on a single object of reuse. */
struct reuse {
    struct list leased[LEASE_SLOTS];   /* struct ending, by the end of its lease */
    uint64_t slot;                     /* the last one looked at */
    struct list retry;                 /* struct ending: the store refused, or memory ran out ... */
    uint64_t retry_ms;                 /* ... and then they are tried again */
    struct list all;                   /* struct ending, begun or not */
    struct deletion *deletion;         /* gathers records to be deleted; NULL: none */
    uint64_t bytes, extents;           /* in quarantine ... */
    uint64_t held_bytes, held_extents; /* ... and of these, void and looked at */
};

struct core {
    struct service_options options;
    struct service_env env;
    struct changes changes;
    uint64_t started_ms; /* now, at the start */
    uint64_t now_ms, patient_ms;
    uint64_t now_ns;          /* as now_ms, for durations that are shown to people */
    uint64_t wall_ms;         /* the latest that was told, or is in the store */
    uint64_t leased_until_ms; /* until then, everything from before the start counts as leased */
    uint64_t capacity_bytes;  /* sum of all incarnations */
    struct ids ids;
    struct hash_key pool_key;
    uint64_t life;      /* drawn at the start: reigns may come twice, by a restored database ... */
    struct lives lives; /* ... of earlier reigns, too */
    struct shard shard;
    struct pool small; /* puts, endings, calls */
    struct table table;
    struct claims claims;
    struct members members;
    struct directory_work directory;
    struct notes notes;
    struct rebuild rebuild;
    struct damage_counts damage;
    struct fsck fsck;
    struct sessions sessions;
    struct spaces spaces;
    struct list puts;      /* struct put, PENDING, by age */
    uint32_t pending;      /* puts that aren't over */
    uint64_t stored_bytes; /* lengths of values that were committed, ever */
    struct reuse reuse;
    struct evict evict;
};

/* Wall-clock time that never goes back, not even in a restart: what is committed later says so. */
uint64_t core_wall_ms(struct core *c);
/* At the beginning of everything that comes from outside. */
void core_clock(struct core *c);

void core_tick(struct core *c);
/* The owner is about to wait. */
void core_turn(struct core *c);
void core_free(struct core *c);

/* Somebody who wants to know how something ends. done is called exactly once. */
struct outcome {
    void (*done)(struct outcome *o, int status);
    struct outcome *next; /* private to whom it was given */
};

struct outcomes {
    struct outcome *first;
};
void outcomes_add(struct outcomes *list, struct outcome *o);
void outcomes_tell(struct outcomes *list, int status);

#endif
