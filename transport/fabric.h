/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fabric: all nodes that one process can reach, with the channels to them. It chooses the
 * transport of each peer (the first of xcopy_transports[] that the caller allows and that
 * connects), keeps channels open, and runs batches of requests on them.
 */
#ifndef CENOTE_TRANSPORT_FABRIC_H
#define CENOTE_TRANSPORT_FABRIC_H

#include "transport/xcopy.h"

struct fabric;

/* Streams kept open to one node over a transport whose channels are not shared. */
#define FABRIC_STREAMS_MAX 16

/* with: a fabric whose registered memory, devices and settings are this one's too, and which
 * outlives it; NULL: it has its own. CENOTE_OK, CENOTE_NO_MEMORY, CENOTE_INVALID (settings). */
int fabric_new(enum cenote_transport allowed, const struct xcopy_settings *settings,
               struct fabric *with, struct fabric **out);
/* No call may be running, nothing may be held. */
void fabric_free(struct fabric *f);

/* In a forked child, instead of fabric_free(): gives back what is the child's own. Connections and
 * shared memory go on in the parent. What a thread of the parent was using or changing when the
 * process forked stays allocated. */
void fabric_abandon(struct fabric *f);

/* Credentials of the session; channels opened with others are dropped once idle. Any thread. */
void fabric_set_credentials(struct fabric *f, const struct xcopy_credentials *who);
/* Makes a peer known or replaces what is known of its node (another boot or endpoint: its channels
 * are dropped once idle). CENOTE_OK or CENOTE_NO_MEMORY. Any thread. */
int fabric_set_peer(struct fabric *f, const struct xcopy_peer *peer);
/* Forgets a node. Any thread. */
void fabric_drop_peer(struct fabric *f, uint64_t node);

/* One request and the node that serves its extent. */
struct fabric_req {
    uint64_t node;
    struct xcopy_req x;
};

/* Runs all requests to completion on the calling thread; different nodes in parallel. A node
 * without progress for timeout_ms has its requests cancelled with CENOTE_TIMED_OUT; a node that
 * can't be reached gives CENOTE_NODE_DOWN (may_land false: nothing was sent). A channel that was
 * open and turns out to be dead before anything of a request was transferred is replaced once. */
void fabric_run(struct fabric *f, struct fabric_req *reqs, size_t count, uint32_t timeout_ms);

/* Reads at once, without a lock, if an open channel to the node can: then true, and the request has
 * its status. False: nothing was done; fabric_run() can. Any thread. */
bool fabric_read_now(struct fabric *f, struct fabric_req *req);
/* Registered memory, as cenote_buffer_register() and cenote_buffer_unregister(). Any thread. */
int fabric_register(struct fabric *f, void *addr, size_t len_bytes, enum memory_kind kind,
                    uint64_t *id);
int fabric_unregister(struct fabric *f, uint64_t id);

/* A hold, and what keeps it. */
struct fabric_link;
struct fabric_hold {
    uint64_t node;
    struct xcopy_hold x;      /* no two holds of a fabric at a time have the same slot */
    struct fabric_link *link; /* out */
};

/* Holds an extent at its node, as xcopy_hold(). The link stays open until fabric_unhold(), so that
 * the extent stays mapped whatever becomes of the node, the peer and the credentials. CENOTE_OK;
 * CENOTE_NOT_SUPPORTED: only by transports that move bytes; CENOTE_NODE_DOWN, or why connecting
 * failed. */
int fabric_hold(struct fabric *f, struct fabric_hold *hold, uint32_t timeout_ms);
/* The same at once, without a lock, if an open channel to the node can: then true, and *status. */
bool fabric_hold_now(struct fabric *f, struct fabric_hold *hold, int *status);
/* No lock either, unless a link waits to be closed. */
void fabric_unhold(struct fabric *f, struct fabric_link *link, uint32_t slot);

/* What the i-th of those transports uses that have devices, for status: returns its name. NULL:
 * there are no more. Any thread. */
const char *fabric_report(const struct fabric *f, size_t i, struct xcopy_report *out);

/* What has been copied by the i-th transport, but for fabric_read_now(): returns its name, and adds
 * the bytes of payloads. NULL: there are no more. Any thread. */
const char *fabric_moved(const struct fabric *f, size_t i, uint64_t *read_bytes,
                         uint64_t *written_bytes);

/* Name of the transport in use to a node, e.g. "shm"; connects if need be. NULL: not reachable. */
const char *fabric_transport_to(struct fabric *f, uint64_t node, uint32_t timeout_ms);

#endif
