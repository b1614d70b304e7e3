/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver: wires machines and single calls to the session, the fabric and the clock. Everything
 * happens on the calling thread. Thread-safe.
 */
#ifndef CENOTE_CLIENT_DRIVE_H
#define CENOTE_CLIENT_DRIVE_H

#include "client/machine.h"
#include "client/session.h"
#include "transport/fabric.h"

struct drive;

struct drive_options {
    struct session_options session; /* connected and arg are the driver's */
    enum cenote_transport transport;
    enum cenote_verify verify;
    uint32_t replicas;
};

/* As session_open(); CENOTE_NO_MEMORY. */
int drive_open(const struct drive_options *options, struct drive **out);
void drive_close(struct drive *d);
/* In a forked child: frees what is the child's alone. Connections, mapped memory and locks belong
 * to the parent's protocol and are left as they are. */
void drive_abandon(struct drive *d);

/* What machines are begun with. */
struct machine_env drive_env(struct drive *d);
/* Runs a machine until it is done. */
void drive_run(struct drive *d, struct machine *m);

/* One call that may be repeated (reads only), until it is answered or retry.h gives up. */
int drive_ask(struct drive *d, const struct wire_buf *request, struct rpc_answer *answer);
/* One call that must not be sent twice. */
int drive_tell(struct drive *d, const struct wire_buf *request, struct rpc_answer *answer);

/* Brings the map up to date. */
int drive_refresh(struct drive *d);
/* Calls fn with every node of the map and the transport that reaches it (NULL: none). */
void drive_transports(struct drive *d,
                      void (*fn)(void *arg, const struct map_node *node, const char *transport),
                      void *arg);

#endif
