/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The services of a pool, as one client has them.
 *
 * Every service is a world of its own: sessions, put ids, nodes and incarnations of one mean
 * nothing to another. So a client keeps a whole drive (session, map of nodes, data channels) for
 * each, and nothing that has a number ever leaves its drive. Which service owns a key is told by a
 * map of slots (meta/stub/slots.h). What a client has once, the drives share: its table of views,
 * and its registered memory.
 *
 * A client begins with one service, its home, and believes that it owns everything. It learns of
 * others when it is told CENOTE_WRONG_SHARD, with the epoch of the map that says so: if that is
 * newer than its own, it asks for it, and goes where it leads. Services are connected to when the
 * first key of theirs comes. One that is away fails its own keys only. If the services don't agree
 * after SHARDS_ROUNDS_MAX tries (one of them hasn't been told of the newest map), what they
 * answered is the result.
 *
 * As long as there is one service nobody computes slots: shards_only() is an atomic load.
 * Thread-safe.
 */
#ifndef CENOTE_CLIENT_SHARDS_H
#define CENOTE_CLIENT_SHARDS_H

#include "client/drive.h"
#include "client/views.h"
#include "meta/stub/slots.h"

#define SHARDS_ROUNDS_MAX     4u
/* After a round that taught nothing: doubled with each. */
#define SHARDS_PAUSE_MS       20u
/* Between tries to reach a service that is away: doubling. */
#define SHARDS_BACKOFF_MIN_MS 100u
#define SHARDS_BACKOFF_MAX_MS 1000u

struct shards;

/* As drive_open(), of the home. */
int shards_open(const struct drive_options *options, struct shards **out);
/* Ends all views; no call may be running. */
void shards_close(struct shards *s);
/* In a forked child. */
void shards_abandon(struct shards *s);

/* The service that the client was opened with. */
struct drive *shards_home(const struct shards *s);
/* The service that owns everything, if it is the home; NULL: there are several. */
struct drive *shards_only(const struct shards *s);
/* What this client looks at, at all services. */
struct views *shards_views(const struct shards *s);

/* ---- batches --------------------------------------------------------------------------------- */

/* Items of a batch, each with a key and a place for its status. */
struct shards_work {
    size_t count; /* at most CENOTE_BATCH_MAX */
    struct cenote_key (*key)(void *arg, size_t i);
    int *(*status)(void *arg, size_t i);
    /* Does some of the items (ascending) with one service, sets their statuses, and returns the
     * newest epoch of those that it refused with CENOTE_WRONG_SHARD (0: none). */
    uint64_t (*run)(void *arg, struct drive *d, const uint16_t *items, size_t count);
    void *arg;
};

/* Does all items whose status is CENOTE_WRONG_SHARD, with the services that own their keys. */
void shards_run(struct shards *s, const struct shards_work *w);

/* The same for one key: fn does it with one service and returns its status; *epoch (0 before) is
 * that of a CENOTE_WRONG_SHARD. */
typedef int (*shards_fn)(void *arg, struct drive *d, uint64_t *epoch);
int shards_one(struct shards *s, const struct cenote_key *key, shards_fn fn, void *arg);

/* By which the services that were connected to reach their nodes: calls each() for every one. */
void shards_each_fabric(struct shards *s, void (*each)(void *arg, const struct fabric *f),
                        void *arg);

/* ---- all of them ----------------------------------------------------------------------------- */

/* One service of the map. */
struct shards_entry {
    struct shard *shard;
    uint32_t number;
    uint32_t slots;          /* that it owns */
    char endpoint[TEXT_MAX]; /* empty: the home, when there are no others */
};

/* The services of the newest map that is known: those that own slots, and the home, first. Returns
 * their number. */
uint32_t shards_list(struct shards *s, struct shards_entry out[SHARDS_MAX + 1], uint64_t *epoch);
/* Its drive, connected to if need be. CENOTE_OK, or why there is none. */
int shards_drive(struct shards *s, struct shard *shard, struct drive **out);
/* A service has answered by a map with this epoch: if that is newer than ours, it is asked for it.
 */
void shards_learn(struct shards *s, struct drive *from, uint64_t epoch);
/* Asks a service for its map in any case. */
int shards_refresh(struct shards *s, struct drive *from);

#endif
