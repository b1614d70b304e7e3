/* SPDX-License-Identifier: Apache-2.0 */
/* The pump's inside: what pump.c, pump_call.c and pump_copy.c share. All but a few fields of struct
 * pump belong to its thread. */
#ifndef CENOTE_CLIENT_PUMP_OP_H
#define CENOTE_CLIENT_PUMP_OP_H

#include <poll.h>
#include <pthread.h>

#include "client/chores.h"
#include "client/get.h"
#include "client/pump.h"
#include "client/put.h"
#include "client/timers.h"
#include "transport/transfer.h"

/* Calls to the service in flight. */
#define PUMP_CALLS_MAX    512u
/* Operations that have taken a number for a changing call, and not heard its answer: the service
 * remembers PROTOCOL_WINDOW answers, for all threads of a client together. */
#define PUMP_NUMBERS_MAX  (PROTOCOL_WINDOW / 4)
/* Copied by the pump's thread at a time: other operations, and their deadlines, have their turn. */
#define PUMP_SLICE_BYTES  (UINT64_C(1) << 20)
/* Lanes that get a channel in one turn. */
#define PUMP_LENDS_MAX    64u
/* A try to connect to a node; what waits for it has more patience. */
#define PUMP_CONNECT_MS   1000u
/* When something else must end first, and nobody tells that it has. */
#define PUMP_NUDGE_MS     10u
/* A lane in which nothing moved for so long counts as its node's fault when its time is over. */
#define PUMP_SUSPECT_MS   100u
#define PUMP_NODE_BUCKETS 64u

enum op_doing {
    OP_READY,  /* for the machine's next step */
    OP_PARKED, /* ready, but there are too many numbers */
    OP_QUEUED, /* a call that waits to be started */
    OP_CALLING,
    OP_COPYING,
    OP_REFRESHING, /* waits for the map */
    OP_WAITING,
    OP_PARTED /* waits for its parts */
};

/* What the trace shows of an operation; all 0: nobody traced when it was submitted. */
struct op_trace {
    uint64_t group;
    uint64_t whole_ns, stage_ns; /* when they began; 0: none is under way */
    enum tally_stage stage;
    uint64_t number; /* of the stage */
};

struct op_list {
    struct op *first, *last;
};

enum part_doing { PART_NEW, PART_OPENING, PART_FLYING, PART_LEARNING };

/* The items of a group that one service is asked for. But for its chore, and its items while it
 * flies, it is the home's. */
struct part {
    struct chore chore; /* first */
    struct op *op;      /* of the group; NULL: which has ended */
    struct pump *home;
    struct part *next, *next_over;
    enum part_doing doing;
    uint32_t owner;
    int status;                   /* of the opening */
    uint64_t epoch;               /* by which some items were refused */
    struct pump *pump;            /* of the service */
    struct flight *flight;        /* there */
    struct cenote_get_item *gets; /* one of the two */
    struct cenote_put_item *puts;
    uint16_t *items; /* their numbers in the group */
    size_t count;
};

/* What an operation has whose items belong to several services. */
struct group {
    struct part *parts; /* of this round, that aren't over */
    uint64_t epoch;     /* by which this round goes */
    uint32_t rounds;
    int ending; /* CENOTE_OK: it goes on */
    bool begun; /* items have statuses */
    bool paused;
};

/*
 * One operation. It is landed when its submitter has been told the end; a put may go on after that,
 * to tell the service what becomes of its extents, and touches nothing of the submitter's.
 */
struct op {
    struct flight flight; /* first */
    struct pump *pump;
    struct machine *machine;
    struct get *get; /* one of the two */
    struct put *put;
    struct cenote_get_item *gets;
    struct cenote_put_item *puts;
    size_t count;
    unsigned flags;      /* of puts ... */
    struct keep *keep;   /* ... and how their values are kept; NULL: nothing was asked for */
    struct group *group; /* instead of a machine; or NULL */
    struct part *part;   /* that it is; or NULL */

    enum op_doing doing;
    struct op *next, *prev; /* in the list for doing; OP_CALLING, OP_COPYING: in none */
    struct op_list *in;
    uint64_t begun_ns;
    struct op_trace trace;
    struct op *next_all, *prev_all;
    struct timer timer;
    uint64_t deadline_ms; /* the submitter's */
    uint64_t until_ms;    /* of the wait, or of the call */
    struct step step;
    bool numbered; /* counts among PUMP_NUMBERS_MAX */
    bool landed;
    bool dropped; /* the machine is done, but an answer is still on its way to us */

    struct session_call call;
    bool called_twice;
    struct op *next_answered;

    struct transfer transfer;
    uint64_t ticket;                   /* of registered buffers */
    struct transfer_lane lane, *lanes; /* lanes: &lane, or more */
};

/* A node to which copies go. */
struct stream_node {
    struct stream_node *next;           /* of the bucket */
    struct stream_node *next_due;       /* of those to be looked at */
    struct transfer_lane *first, *last; /* lanes that wait for a channel */
    uint64_t node;
    unsigned in_use; /* channels */
    bool connecting, due;
};

struct connect_chore {
    struct chore chore;
    struct pump *pump;
    struct connect_chore *next;
    uint64_t node;
    int status;
    struct fabric_link *link;
    bool reused;
};

struct service_chore {
    struct chore chore;
    struct pump *pump;
    int status;
    bool posted; /* the thread's */
    bool over;   /* under the lock */
};

struct pump {
    struct pump_env env;
    struct flights *flights;
    struct chores *chores;
    pthread_t thread;
    int wake_fd;

    pthread_mutex_t lock; /* of the inbox */
    bool news, sleeping, stopping;
    struct op *answered;
    struct connect_chore *connected;
    struct part *parts_over;
    struct service_chore connect, refresh;

    uint64_t now_ms; /* of this turn */
    struct timers timers;
    struct op *all;
    struct op_list ready, parked, calls, waiting;
    struct op_list refresh_now, refresh_next; /* wait for the map that is asked for; for another */
    uint32_t numbered, calling;
    uint64_t nudge_ms; /* 0: none */
    uint64_t asked_ms; /* when another service was asked for a newer map */

    struct stream_node *nodes[PUMP_NODE_BUCKETS], *due;
    struct transfer_lane **running;
    struct pollfd *fds;
    size_t running_count, running_room;
    bool busy; /* something can go on at once */
};

/* ---- pump.c ---------------------------------------------------------------------------------- */

void op_enter(struct op *op, enum op_doing doing, struct op_list *list);
void op_leave_list(struct op *op);
/* The step is carried out: the machine takes it, and is ready for the next. */
void op_done(struct op *op, int status, struct wire_value result);
void op_set_timer(struct op *op);
/* Any thread: there is something in the inbox. With the pump's lock. */
void pump_notify(struct pump *p);

/* An operation that is a part. CENOTE_OK or CENOTE_NO_MEMORY. */
int pump_part(struct pump *p, struct part *part);

/* ---- pump_trace.c ---------------------------------------------------------------------------- */

/* It is being submitted, and waits for the pump. */
void op_trace_begin(struct op *op);
void op_trace_stage_now(struct op *op, enum tally_stage stage, uint64_t number);
void op_trace_step_now(struct op *op);
void op_trace_stage_over(struct op *op);
/* It is landed. What it does from then on has stages, too. */
void op_trace_end(struct op *op);
/* It never began, or nobody will ask for its end. */
void op_trace_drop(struct op *op);

/* The stage before is over, this one begins. */
static inline void op_trace_stage(struct op *op, enum tally_stage stage, uint64_t number)
{
    if (CENOTE_METRICS && __builtin_expect(op->trace.group != 0, 0))
        op_trace_stage_now(op, stage, number);
}

/* The machine's step is the stage. */
static inline void op_trace_step(struct op *op)
{
    if (CENOTE_METRICS && __builtin_expect(op->trace.group != 0, 0))
        op_trace_step_now(op);
}

/* ---- pump_group.c ---------------------------------------------------------------------------- */

/* From now on it is a group; epoch: of a map that is to be asked for first of all, or 0. False: no
 * memory. */
bool group_begin(struct op *op, uint64_t epoch);
/* It is ready. False: all items have their statuses. */
bool group_step(struct op *op);
/* Ends it with this status: it will be ready soon. */
void group_end(struct op *op, int status);
/* What nobody has accepted gets this status. */
void op_end_refused(struct op *op, int status);
void part_landed(struct flight *f);
/* From the inbox. */
void parts_over(struct part *list);

/* ---- pump_call.c ----------------------------------------------------------------------------- */

void call_begin(struct op *op);
/* Starts what waits, as far as possible. */
void calls_start(struct pump *p);
/* An answer, or the loss of the connection. */
void call_answered(struct op *op);
/* Its time is over. */
void call_late(struct op *op);
/* Drops the call that is under way. False: an answer is on its way. */
bool call_drop(struct op *op);
void refresh_begin(struct op *op);
void service_chores_over(struct pump *p, bool connect, bool refresh);
void service_chores_init(struct pump *p);

/* ---- pump_copy.c ----------------------------------------------------------------------------- */

void copy_begin(struct op *op);
/* Ends the copies of an operation with a status, and the step with them. */
void copy_cancel(struct op *op, int status);
/* Moves what can be moved, and finds channels for lanes. */
void copies_move(struct pump *p);
/* Fills what to poll for; wait_ms is shortened. Returns how many. */
size_t copies_poll(struct pump *p, struct pollfd *fds, uint64_t *wait_ms);
void copies_polled(struct pump *p, const struct pollfd *fds, size_t count);
void copies_connected(struct pump *p, struct connect_chore *list);
/* Nothing is in flight. */
void copies_free(struct pump *p);

#endif
