/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Client machines: the logic of put, get and view without any I/O.
 *
 * A machine works on one batch, or on one view. Its driver (client/drive.c, or the simulator) asks
 * it for the next step, carries the step out, and tells how that ended; one step at a time, on one
 * thread, until the machine is done. The machine reads no clock and no socket: time is an argument,
 * answers of the service are values, and copies are requests that the driver runs on a fabric.
 */
#ifndef CENOTE_CLIENT_MACHINE_H
#define CENOTE_CLIENT_MACHINE_H

#include <stddef.h>
#include <stdint.h>

#include "client/cache.h"
#include "client/locate.h"
#include "client/slow.h"
#include "client/tally.h"
#include "meta/stub/slots.h"
#include "transport/fabric.h"
#include "transport/wire/wire.h"

enum step_kind {
    STEP_CALL,        /* send request once, in the session that seq was taken in; done(): how it
                         ended, and the result */
    STEP_COPY,        /* run the copies to completion; done(): CENOTE_OK, their statuses tell */
    STEP_HOLD,        /* hold an extent; done(): as fabric_hold() */
    STEP_UNHOLD,      /* end that hold; done(): CENOTE_OK */
    STEP_REFRESH_MAP, /* bring the map up to date; done(): whether that worked */
    STEP_WAIT,        /* until the clock shows until_ms; done(): CENOTE_OK */
    STEP_DONE         /* all items have their statuses */
};

/* What a step points at stays the machine's and is valid until done(). */
struct step {
    enum step_kind kind;
    const struct wire_buf *request;
    uint64_t seq; /* the number in the request; 0: it changes nothing */
    struct fabric_req *copies;
    size_t copy_count;
    struct fabric_hold *hold;
    uint64_t until_ms;
};

struct machine;

struct machine_ops {
    enum tally_op op; /* what it is counted as */
    /* now_ms is read before the step is carried out: leases count from it. */
    void (*next)(struct machine *m, uint64_t now_ms, struct step *out);
    /* A call's status is the peer's, or
     *   CENOTE_UNAVAILABLE  it was not sent, and the service is away
     *   CENOTE_UNKNOWN      it was sent, and the answer was lost
     *   CENOTE_TIMED_OUT    likewise, without a broken connection
     *   CENOTE_NO_SESSION   this time it had no effect, and its number is worth nothing any more;
     *                       a new session is there for the next call */
    void (*done)(struct machine *m, uint64_t now_ms, int status, struct wire_value result);
    /* Ends the work before its time: every item that has no status yet gets this one (or
     * CENOTE_UNKNOWN, if it may take effect all the same), and from now on the machine touches
     * neither items nor what they point at. Comes between steps, or instead of a call's done();
     * sent tells whether the call is under way. True: the service is still to be told, by that call
     * and by further steps, all of them calls or waits. False: that's all; the call is dropped. */
    bool (*cancel)(struct machine *m, int status, bool sent);
};

struct machine {
    const struct machine_ops *ops;
    /* The driver's, set before done() of a call that was answered: to which session, and the id of
     * its namespace. Another thread may have begun a new session meanwhile. */
    uint64_t session;
    uint32_t name_space;
    /* The machine's: the newest map of slots by which an item was answered CENOTE_WRONG_SHARD. */
    uint64_t wrong_epoch;
};

static inline void machine_note_refusal(struct machine *m, struct wire_value item)
{
    uint64_t epoch = wrong_shard_epoch(item);
    if (epoch > m->wrong_epoch)
        m->wrong_epoch = epoch;
}

/* What machines know of the client that they work for. */
struct machine_env {
    const struct locate *map;
    struct slow *slow;
    struct cache *cache; /* NULL: every get asks */
    enum cenote_verify verify;
    uint32_t timeout_ms;
    uint32_t replicas;               /* of puts that don't say */
    struct tally *tally;             /* NULL: nobody counts */
    uint64_t (*next_seq)(void *arg); /* the next number of a changing call */
    void *arg;
};

#endif
