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

/* What it works with; all must outlive it. */
struct pump_env {
    struct session *session;
    struct fabric *fabric;
    struct machine_env machines;
    int (*refresh)(void *arg); /* brings the map up to date; waits */
    void *arg;
};

/* CENOTE_OK or CENOTE_NO_MEMORY. */
int pump_open(const struct pump_env *env, struct pump **out);
struct flights *pump_flights(struct pump *p);

/* Items have been checked; count is at least 1. As cenote_submit_get(). */
int pump_get(struct pump *p, struct cenote_get_item *items, size_t count,
             const struct cenote_submit *options, uint64_t *id);
int pump_put(struct pump *p, struct cenote_put_item *items, size_t count, unsigned flags,
             const struct cenote_submit *options, uint64_t *id);

/* Ends all operations; when it returns nothing touches a buffer, and no call of ours is under way
 * in the session. Nobody may submit any more. */
void pump_stop(struct pump *p);
/* After pump_stop() and session_stop(), which ends what other threads still wait for. */
void pump_free(struct pump *p);
/* In a forked child, instead of both. */
void pump_abandon(struct pump *p);

#endif
