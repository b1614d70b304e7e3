/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver: wires machines and single calls to the session, the fabric and the clock. Everything
 * happens on the calling thread, but for what the pump does (pump.h). Thread-safe.
 */
#ifndef CENOTE_CLIENT_DRIVE_H
#define CENOTE_CLIENT_DRIVE_H

#include "client/machine.h"
#include "client/pump.h"
#include "client/session.h"
#include "client/view.h"
#include "transport/fabric.h"

struct drive;

struct drive_options {
    struct session_options session; /* connected and arg are the driver's */
    enum cenote_transport transport;
    struct xcopy_settings settings; /* the home's hold for all */
    enum cenote_verify verify;
    uint32_t replicas;
    uint64_t cache_bytes;
    const struct pump_routes *routes; /* the home's, otherwise NULL; outlive it */
    struct tally *tally;              /* the client's; outlives this */
    struct drive *home; /* its registered memory holds here too; outlives this. NULL: none */
};

/* As session_open(); CENOTE_NO_MEMORY. */
int drive_open(const struct drive_options *options, struct drive **out);
/* Closing goes in steps, for the sake of operations with keys of several services: stop the home
 * first, then all others, so that nothing waits in vain; settle the home; then close, the home
 * last. Each step is done once, and closing does those that are left. */
void drive_stop(struct drive *d);
void drive_settle(struct drive *d);
/* No view may be left. */
void drive_close(struct drive *d);
/* In a forked child, instead of closing: gives back what is the child's own. */
void drive_abandon(struct drive *d);

/* The pump that carries out operations in the background; opened when it is asked for first.
 * CENOTE_OK or CENOTE_NO_MEMORY. */
int drive_pump(struct drive *d, struct pump **out);

/* What machines are begun with. */
struct machine_env drive_env(struct drive *d);
/* Runs a machine until it is done. */
void drive_run(struct drive *d, struct machine *m);

/* The get that needs no machine (client/warm.h). False: one is needed. */
bool drive_get_warm(struct drive *d, struct cenote_get_item *item);
/* This client has changed the key: what is known of it is out of date. */
void drive_forget(struct drive *d, const struct cenote_key *key);
/* The view that needs no machine (client/warm_view.h). False: one is needed. */
bool drive_view_warm(struct drive *d, const struct cenote_key *key, uint32_t slot,
                     struct view_result *out);
/* What the client has done. */
struct tally *drive_tally(const struct drive *d);
/* By which it reaches its nodes. */
struct fabric *drive_fabric(const struct drive *d);

/* One call that may be repeated (reads only), until it is answered or retry.h gives up. */
int drive_ask(struct drive *d, const struct wire_buf *request, struct rpc_answer *answer);
/* A changing call, with its number. *lost tells that an answer was: then CENOTE_UNKNOWN is the only
 * error that it ends with. CENOTE_NO_SESSION, and nothing lost: it had no effect and needs a new
 * number. */
int drive_change(struct drive *d, uint64_t seq, const struct wire_buf *request,
                 struct rpc_answer *answer, bool *lost);

/* Registered memory, as in cenote/buffer.h. */
int drive_register(struct drive *d, void *addr, size_t len_bytes, uint64_t *id);
int drive_unregister(struct drive *d, uint64_t id);

/* Brings the map up to date. */
int drive_refresh(struct drive *d);
/* Nodes that don't answer are given up after so long, when only the way to them is asked for. */
#define DRIVE_PROBE_MS 1000u

/* A node of the map, and the transport that reaches it (NULL: none). */
struct drive_way {
    struct map_node node;
    const char *transport;
};
/* All nodes of the map; *out is the caller's to free. CENOTE_OK or CENOTE_NO_MEMORY. */
int drive_ways(struct drive *d, struct drive_way **out, uint32_t *count);

#endif
