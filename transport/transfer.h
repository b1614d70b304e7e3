/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A batch of requests under way: a lane for each node, whose channel is lent to it alone (or
 * shared, where the transport allows it). Nothing here waits; who drives it finds channels for
 * lanes, polls, and looks at the clock. fabric_run() is such a driver, the client's pump another.
 */
#ifndef CENOTE_TRANSPORT_TRANSFER_H
#define CENOTE_TRANSPORT_TRANSFER_H

#include "transport/fabric_link.h"

/* Nodes at a time. */
#define TRANSFER_LANES_MAX 32u

enum lane_state {
    LANE_WAITS, /* for a channel: transfer_lend() or transfer_refuse() */
    LANE_RUNS,
    LANE_OVER /* its channel is given back */
};

struct transfer_lane {
    enum lane_state state;
    uint64_t node;
    enum fabric_want want; /* the kind of channel that may be lent */
    struct fabric_link *link;
    struct xcopy_req *last; /* requests complete in order: with this one the lane is done */
    uint64_t moved_ms;      /* when something moved last */
    size_t at;              /* slices: the request that is being copied ... */
    uint64_t sliced_bytes;  /* ... so far */
    bool sliced, reused, broken, again;
    uint64_t counted_bytes[2]; /* copied, and counted at the fabric; by enum xcopy_op */

    /* The driver's, for whatever it wants. */
    void *owner, *place;
    bool ready, waits;
    struct transfer_lane *next, *prev;
    size_t index;
};

struct transfer {
    struct fabric *fabric;
    struct fabric_req *reqs;
    size_t count;
    struct transfer_lane *lanes;
    size_t lane_count, lane_room;
    uint64_t slice_bytes; /* copied by this thread in one progress; UINT64_MAX: no matter */
};

/* Begins; lanes has room for at least one, and need not have room for more than
 * TRANSFER_LANES_MAX. Requests and lanes must outlive the transfer. */
void transfer_begin(struct transfer *t, struct fabric *f, struct fabric_req *reqs, size_t count,
                    struct transfer_lane *lanes, size_t lane_room);
/* True: there are lanes that aren't over. False: all requests have their status. When all lanes are
 * over it makes new ones, if there are more nodes than room for lanes. */
bool transfer_goes_on(struct transfer *t);

/* A lane that waits gets a channel and submits, or its requests fail with a status. */
void transfer_lend(struct transfer *t, struct transfer_lane *l, struct fabric_link *link,
                   bool reused, uint64_t now_ms);
void transfer_refuse(struct transfer *t, struct transfer_lane *l, int status);

/* Moves what can be moved without blocking; whether anything was. Requests of which nothing was
 * transferred, on a channel that was dead when it was lent, get another one, once: the lane then
 * waits again. */
bool transfer_progress(struct transfer *t, struct transfer_lane *l, uint64_t now_ms);
/* Right before poll(2): what to wait for before the next progress of a lane that runs; -1: nothing,
 * go on at once. */
int transfer_poll_fd(struct transfer_lane *l, short *events);

/* A lane's, or all, requests fail with the status; no buffer is touched any more. */
void transfer_cancel_lane(struct transfer *t, struct transfer_lane *l, int status);
void transfer_cancel(struct transfer *t, int status);

#endif
