/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pump: carries out operations in the background. One thread drives the machines of all of
 * them, and never waits but in its poll(2); what has to wait (connecting, asking for the map) is
 * done by a few other threads (chores.h).
 */
#ifndef CENOTE_CLIENT_PUMP_H
#define CENOTE_CLIENT_PUMP_H

#include "client/flights.h"
#include "client/machine.h"
#include "client/session.h"

struct pump;

/* Services that one client knows; they are named by numbers below this, the home by 0. */
#define PUMP_ROUTES_MAX       128u
#define PUMP_ROUTE_HOME       0u
/* Of operations with keys of several services; as shards.h's. */
#define PUMP_ROUTE_ROUNDS_MAX 4u
#define PUMP_ROUTE_PAUSE_MS   20u
/* When one is away, others are asked for a newer map, no more often than this. */
#define PUMP_ROUTE_ASK_MS     1000u

/* The services of the pool, as the home's pump sees them. */
struct pump_routes {
    /* Who owns a key, by the newest map that is known; and the map's epoch. */
    uint32_t (*owner)(void *arg, const struct cenote_key *key);
    uint64_t (*epoch)(void *arg);
    /* The pump of a service. connect: waits, if need be; otherwise *out is NULL with CENOTE_OK
     * while the service isn't connected to. */
    int (*pump)(void *arg, uint32_t service, bool connect, struct pump **out);
    /* A service has refused items by a map of this epoch; 0: it is away. Waits. */
    void (*learn)(void *arg, uint32_t service, uint64_t epoch);
    void *arg;
};

/* What it works with; all must outlive it. */
struct pump_env {
    struct session *session;
    struct fabric *fabric;
    struct machine_env machines;
    int (*refresh)(void *arg); /* brings the map up to date; waits */
    void *arg;
    const struct pump_routes *routes; /* NULL: this isn't the home */
};

/* CENOTE_OK or CENOTE_NO_MEMORY. */
int pump_open(const struct pump_env *env, struct pump **out);
struct flights *pump_flights(struct pump *p);

/* Items have been checked; count is at least 1. As cenote_submit_get(). by_key: they are
 * divided by their keys, since there are several services; otherwise only if this pump's service
 * refuses some. */
int pump_get(struct pump *p, struct cenote_get_item *items, size_t count, bool by_key,
             const struct cenote_submit *options, uint64_t *id);
int pump_put(struct pump *p, struct cenote_put_item *items, size_t count, unsigned flags,
             bool by_key, const struct cenote_submit *options, uint64_t *id);

/* Ends all operations; when it returns nothing touches a buffer, and no call of ours is under way
 * in the session. Nobody may submit any more. The home's is stopped first: it waits for parts. */
void pump_stop(struct pump *p);
/* After pump_stop(): waits for the other threads. session_stop(), of all services, ends what they
 * still wait for. */
void pump_settle(struct pump *p);
/* After that, when the pumps of other services have stopped. */
void pump_free(struct pump *p);
/* In a forked child, instead of both. */
void pump_abandon(struct pump *p);

#endif
