/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of the simulated world: its service, its nodes, its clients, and the rules they keep. */
#ifndef CENOTE_TESTS_SIM_SCENE_H
#define CENOTE_TESTS_SIM_SCENE_H

#include <cenote/cenote.h>
#include <cenote/view.h>

#include "meta/core/alloc.h"
#include "meta/core/table.h"
#include "meta/service/service.h"
#include "server/node/member.h"
#include "tests/linear/linear.h"
#include "tests/sim/net.h"
#include "tests/sim/plan.h"
#include "tests/support/memstore.h"
#include "transport/shm/slots.h"

#define EXPORTERS    3u
#define WORLD_LINKS  64u
#define HISTORY_MAX  4096u
#define EXTENTS_SEEN 8192u
#define TEXT_BYTES   64u

/* ---- the metadata service (meta.c) ---- */

struct meta {
    struct process *process; /* NULL: there is none */
    struct store store;      /* the disk, as the service sees it */
    struct memstore *disk;
    struct memstore *backup; /* a copy of earlier */
    struct memstore *synced; /* in plans with crashes: what a crash of the machine would find */
    struct service *service; /* NULL: not started */
    bool ready;              /* takes connections */
    bool restored;           /* what it knows is of earlier, and isn't so */
    struct service_options options;
};

/* The service, and no twin of it. */
void metas_add(const struct plan *plan);
void meta_start(struct meta *m);
void meta_kill(struct meta *m);
/* Where the address leads now. */
struct meta *meta_reached(void);
/* A connection of the process that runs; NULL: nobody listens. */
struct net_end *meta_connect(struct meta *m, const struct net_handler *handler, void *arg);
/* Is nothing under way that a rebuild may undo: told to somebody, and not yet to the nodes? */
bool meta_may_be_lost(void);
/* Kills it and takes its database away: from now on it starts with --rebuild until that is over. */
void meta_lose(void);
/* The same with a crash of its machine, in the mode `process`: the database is one of earlier, and
 * the store judges whether to go on with it. */
void meta_crash(void);
/* Stops it in order and copies its database ... */
void meta_backup(void);
/* ... which the operator puts in the place of a newer one. From then on until meta_disown() the
 * service is one of earlier. */
void meta_restore(void);
/* The operator has seen that no node obeys it: it is to be rebuilt. */
void meta_disown(void);
/* Somebody starts a twin of the service with what meta_backup() has copied; from then on the
 * address leads to either. */
void meta_copy(void);

/* Does the store believe its files after a crash of the system? (crash.c) */
bool crash_believed(void);

/* ---- simulated memory and transports (copy_node.c, copy_client.c) ---- */

/* A segment's memory. It outlives its process while it is named, or mapped. */
struct memory_sim {
    uint8_t *base;
    uint64_t len_bytes;
    struct gva gva; /* 0: none yet */
    uint64_t incarnation;
};

enum way { BY_SHM, BY_RDMA, BY_TCP };

struct exporter;

struct flight;
struct coming;

/* One client's connection to a node's exporter, as both sides and the hardware see it. */
struct channel {
    struct channel *next; /* of all */
    enum way way;
    struct donor *donor;
    struct exporter *exporter; /* that looks after it; NULL: that life of the node has ended */
    struct process *client;
    uint64_t client_life;
    struct xcopy_credentials who;
    uint64_t boot;
    uint64_t horizon; /* rdma: no put up to it may be written */
    struct memory_sim *memory;
    struct slots *slots; /* shm */
    int hello;           /* 1: not answered yet */
    bool node_closed;    /* the node's end is gone: nothing lands, or is answered */
    bool broken;         /* as the client's end knows */
    bool client_closed;
    bool proven;                           /* the node knows that the client's process is dead */
    uint64_t body_put;                     /* tcp: of the write that is being received */
    uint64_t last_ns;                      /* pieces stay in order */
    struct flight *flights, *flights_last; /* in progress, in order */
    struct coming *coming, *coming_last;   /* from the node, in order */
    struct nap *waiters[PROCESS_FIBERS_MAX];
    uint64_t moved;
};

/* keep: the memory holds the contents of an earlier life. */
int exporter_start(struct donor *d, enum way way, const struct xcopy_gate *gate, bool keep,
                   struct xcopy_exporter **out);
/* At the node: may this client come in? */
int exporter_admit(struct channel *c);
/* At the node: the gate and the segments of what the channel leads to. */
int exporter_admit_write(const struct channel *c, const struct xcopy_req *req);
int exporter_admit_read(const struct channel *c, const struct xcopy_req *req);
struct channel *channel_new(enum way way, struct donor *d, const struct xcopy_credentials *who);
/* The node's end is gone; the client's learns of it. */
void channel_close(struct channel *c);
void channel_wake(struct channel *c);
void copies_reset(void);
/* A client has closed its descriptors, and goes on: in its copies, too. */
void copies_closed(struct process *p);
/* A process has died. */
void copies_died(struct process *p);
/* Bytes land in a node's memory. */
void memory_land(struct memory_sim *m, uint64_t offset, const void *bytes, uint64_t len_bytes,
                 uint64_t put_id, const struct process *writer);

/* ---- nodes (donor.c) ---- */

struct donor {
    struct process *process;
    unsigned number;
    bool named; /* its memory survives its process */
    struct memory_sim *memory;
    struct node *node;
    struct member *member;
    struct directory *directory; /* NULL: it keeps none */
    int directory_fd;            /* -1: none */
    struct xcopy_exporter *exporters[EXPORTERS];
    struct net_end *conn;
    struct donor_call *calls;
    uint32_t msgid;
    /* Beside named memory. */
    bool kept;
    uint64_t reign, service_life;
    struct wire_buf notes;
    struct hash128 pool_name;
    uint64_t kept_incarnation;
    struct gva kept_gva;
    uint64_t segment_bytes;
    unsigned ways;   /* bits of enum way */
    struct meta *at; /* whom it asks, or has joined ... */
    bool strayed;    /* ... and that was the twin: the service won't have it any more */
};

/* Files of the last world. */
void donors_reset(void);
void donor_add(const struct plan *plan, unsigned number);
void donor_start(struct donor *d);
void donor_kill(struct donor *d);
/* If it has joined the twin: ends it, with all that it knows. */
void donor_discard(struct donor *d);

/* ---- clients (app.c) ---- */

struct app;

struct app_thread {
    struct app *app;
    unsigned number;
    const struct plan_op *ops[PLAN_OPS_MAX];
    unsigned count, next;
    int open[PLAN_BATCH_MAX]; /* of the history: what is under way */
    unsigned opened;
};

struct app {
    struct process *process;
    unsigned number;
    struct cenote *client;
    bool left;        /* it has closed */
    unsigned running; /* threads that have more to do */
    struct app_thread threads[PLAN_THREADS_MAX];
};

#define APP_KEY_BYTES 16u
size_t app_key(unsigned key, char out[APP_KEY_BYTES]);
void app_add(const struct plan *plan, unsigned number);
void app_start(struct app *a);
void app_kill(struct app *a);
/* Nothing is left to do. */
bool app_over(const struct app *a);
/* Ends the client as a program does: nothing of it may be left in memory. */
void app_leave(struct app *a);

/* ---- what was done (history.c) ---- */

struct record {
    struct linear_op op;
    unsigned key;
    unsigned client;
    uint64_t len_bytes;   /* of what was to be written */
    const uint8_t *bytes; /* likewise; NULL: what follows from the value */
    bool judged;          /* else without effect, or of no consequence */
};

void history_reset(void);
/* Begins an operation: its number. */
int history_begin(unsigned client, unsigned key, enum linear_kind kind, uint64_t len_bytes);
const struct record *history_at(unsigned at);
/* Of what is put: these bytes are to be written, and aren't what follows from the value. */
void history_bytes(int at, const uint8_t *bytes);
void history_end(int at, int status, uint64_t value);
/* The client died in the middle of it. */
void history_lost(int at);
/* From now on what has been written to the key so far may be missed: memory is gone. */
void history_loss(unsigned key, uint64_t from_ns);
/* From now on, or not any more: a service answers that knows what was so earlier, and of which
 * nothing stays. */
void history_doubt(bool doubted);
/* The service was asked, or has answered; or a twin of it. */
void history_asks(const struct process *client, bool twin);
/* May an answer to what was asked then be of a restored service? */
bool history_doubts(uint64_t asked_ns);
void history_judge(unsigned keys);
unsigned history_count(void);

/* ---- rules (check.c) ---- */

void rules_reset(void);
void rules_step(void);
/* asked_ms: by the client's clock. doubted: the service was a restored one. */
void rules_answered(struct process *client, const uint8_t *request, size_t request_bytes,
                    uint64_t asked_ms, const uint8_t *answer, size_t answer_bytes, bool doubted);
/* Bytes of a put are about to land. */
void rules_landing(const struct memory_sim *m, uint64_t offset, uint64_t len_bytes, uint64_t put_id,
                   const struct process *writer);
/* The database is gone. */
void rules_lost(void);
/* What lay in an incarnation is gone. */
void rules_memory_died(uint64_t incarnation);
/* Flips a bit of some extent that is in use. False: there is none. */
bool rules_flip(uint32_t which);
/* Writes seals over some of a value's bytes: live ones of earlier puts, where these are if the
 * value is given the same place. */
void rules_forge(uint8_t *bytes, uint64_t len_bytes);
/* A view is open, or not any more: somebody looks at what lies there. */
void rules_view_opened(const struct process *client, const struct cenote_view *v);
void rules_view_closed(const struct process *client, const struct cenote_view *v);
void rules_client_died(const struct process *client);
/* Nothing waits to be given back. */
bool rules_settled(void);
void rules_end(void);

/* ---- that a pool isn't full while something may go (room.c) ---- */

/* Of a put that is in the service's table. */
struct room {
    struct room *next; /* that could go, too */
    uint64_t put_id;
    struct alloc_shape shape; /* of its first extent */
    uint32_t lease_stamp;
    uint64_t asked_for_ns; /* last */
    uint64_t since_ns;     /* it could go; 0: it can't */
};

void room_reset(void);
/* What is in the table is looked at again: room_see() of each follows. */
void room_look(void);
void room_see(struct room *r, struct object *o);
void room_asked(const struct process *client, const struct wire_msg *request);
void room_answered(const struct process *client, const struct wire_msg *request,
                   const struct wire_msg *answer);

struct scene {
    const struct plan *plan;
    bool calm;    /* no more faults */
    bool flipped; /* a value isn't what it was */
    struct {
        unsigned seen; /* of its moment */
        struct process *client;
        struct donor *donor;
    } there[PLAN_FAULTS_MAX]; /* of each fault */
    struct meta meta;         /* the one that nodes obey ... */
    struct meta twin;         /* ... and one that has begun with a copy of its database */
    struct donor donors[PLAN_NODES_MAX];
    struct app apps[PLAN_CLIENTS_MAX];
};

extern struct scene scene;

/* Something is under way that faults may wait for; either may be NULL. */
void scene_moment(enum plan_moment moment, struct process *client, struct donor *donor);
/* Runs a plan; world.violation tells. */
void scene_run(const struct plan *plan, bool tracing);

#endif
