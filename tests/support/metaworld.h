/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A metadata service with its surroundings, for tests: a store in memory, a clock that the test
 * moves, and connections whose other ends are the test: clients that ask and nodes that are called.
 * Everything is synchronous; the store does its changes when world_run() is called, and the helpers
 * that wait for an answer call it.
 */
#ifndef CENOTE_TESTS_METAWORLD_H
#define CENOTE_TESTS_METAWORLD_H

#include "meta/service/service.h"
#include "meta/stub/messages.h"
#include "meta/stub/rebuild.h"
#include "server/node/directory.h"
#include "tests/support/memstore.h"

#ifdef CENOTE_SMALL_TABLES
#define END_ANSWERS 128u
#define END_CALLS   128u
#else
#define END_ANSWERS 512u
#define END_CALLS   512u
#endif
#define WORLD_ENDS 64u
#define WORLD_HELD 64u

/* A call that the service made at a node. */
struct call {
    char method[WIRE_METHOD_MAX];
    uint8_t *frame;
    size_t len;
    struct wire_msg msg;
    void (*done)(void *arg, int status, struct wire_value result);
    void *arg;
};

struct answer {
    uint8_t *frame;
    size_t len;
    bool read; /* only then there is a msg */
    struct wire_msg msg;
};

/* The far end of a connection. */
struct end {
    struct world *world;
    struct service_peer *peer; /* NULL: closed */
    bool close_asked;
    uint32_t next_msgid;
    uint64_t seq;                       /* of the last numbered call; goes on over resumption */
    struct answer answers[END_ANSWERS]; /* not taken yet */
    unsigned answer_count;
    struct call calls[END_CALLS]; /* not answered yet */
    unsigned call_count;
    bool holds_calls; /* otherwise answers OK at world_run(); METHOD_NOTES always */
    bool answers_garbage;
    /* clients */
    struct session_open_result session;
    /* nodes */
    struct node_join_result joined;
    struct directory *directory; /* the test's; NULL: the node keeps none */
    unsigned directory_calls;
    int directory_refusal; /* instead of the calls' effect */
    struct wire_buf notes; /* of the service */
    bool writes;           /* a put of before a rebuild is still being written ... */
    uint64_t strays;       /* ... and so many views look at what isn't in the directory */
    bool (*is_live)(const struct directory_entry *entry); /* the seal; NULL: all are */
};

/* A store other than the one in memory, which a test brings. */
struct world_disk {
    int (*open)(void *arg, struct store **out);
    void (*run)(void *arg);   /* until no change waits any more; their owners are told */
    void (*kill)(void *arg);  /* what is done from now on never was */
    void (*close)(void *arg); /* of what is open; may be called again */
    void *arg;
};

struct world {
    struct memstore *store;        /* NULL: it has a disk */
    const struct world_disk *disk; /* NULL: the store is in memory */
    struct store *disk_store;      /* while the service runs */
    struct service *service;
    struct service_options options;
    uint64_t now_ms;
    int64_t wall_ahead_ms; /* the wall clock goes with the other, and is set by this */
    uint64_t seed;
    int started; /* 1: not yet */
    struct end *ends[WORLD_ENDS];
    /* Told of every call that is answered with CENOTE_OK, before the service hears; may be NULL. */
    void (*replied)(void *arg, struct end *e, const struct call *call);
    void *replied_arg;
    struct gva held[WORLD_HELD]; /* extents that somebody looks at: nodes say so when they void */
    unsigned held_count;
};

struct world *world_new(const struct service_options *options);
struct world *world_new_on(const struct world_disk *disk, const struct service_options *options);
void world_free(struct world *w);
/* Starts the service on the store as it is. */
int world_start(struct world *w);
/* Kills the service: connections break; of the changes that wait the oldest applied ones are
 * durable, the others never were. With a disk, none waits. */
void world_crash(struct world *w, unsigned applied);
struct store *world_store(struct world *w);
unsigned world_waiting(const struct world *w);               /* changes */
unsigned world_done(struct world *w);                        /* changes, so far */
uint32_t world_count(struct world *w, enum store_tree tree); /* keys */
/* Does all store changes and answers all calls that aren't held, until nothing moves. */
void world_run(struct world *w);
/* Time passes, with ticks every SERVICE_TICK_MS and world_run() after each. */
void world_pass(struct world *w, uint64_t ms);

/* Somebody begins or ends to look at an extent. */
void world_hold(struct world *w, struct gva extent);
void world_unhold(struct world *w, struct gva extent);

struct end *end_open(struct world *w); /* NULL: the service has no memory for it */
void end_close(struct end *e);
/* Sends a request that was written after end_request() and returns its msgid. */
uint32_t end_request(struct end *e, struct wire_buf *b, const char *method);
void end_send(struct end *e, struct wire_buf *b);
/* The answer to a msgid, or NULL: there is none yet. Valid until answer_drop(). */
struct answer *end_answer(struct end *e, uint32_t msgid);
void answer_drop(struct end *e, struct answer *a);
/* Sends, runs the world (and lets time pass if it must), and expects an answer: its status. result
 * may be NULL. */
int end_ask(struct end *e, struct wire_buf *b, uint32_t msgid, struct answer **result);
/* Answers the first call with this method (NULL: any). False: there is none. */
bool end_reply(struct end *e, const char *method, int status);

/* ---- clients ---- */

struct end *client_open(struct world *w, const char *name_space);
struct end *client_resume(struct world *w, const struct end *before, int *status);
/* One key; stripes may be NULL (STRIPES_MAX of them). Their statuses. */
int client_put_start(struct end *e, const char *key, uint64_t len, unsigned flags,
                     struct put_start_item *item, struct stripe *stripes);
/* The same without waiting: msgid of the request, and what its item was answered, 1 not yet. */
uint32_t client_put_start_send(struct end *e, const char *key, uint64_t len, unsigned flags);
int client_put_start_status(struct end *e, uint32_t msgid, struct put_start_item *item);
/* One state for all extents of a put with one replica. */
int client_commit(struct end *e, const struct put_start_item *item, enum extent_state state);
int client_abort(struct end *e, const struct put_start_item *item, enum extent_state state);
/* With a state of each extent, stripe by stripe, replica by replica. Sends METHOD_PUT_COMMIT or
 * METHOD_PUT_ABORT: msgid of the request, for client_commit_status(). */
uint32_t client_end_send(struct end *e, const char *method, const struct put_start_item *item,
                         const uint8_t *states, uint32_t count);
int client_put(struct end *e, const char *key, uint64_t len, unsigned flags);
/* The same of a value that is kept in its own way. */
int client_put_start_kept(struct end *e, const char *key, uint64_t len, unsigned flags,
                          const struct keep *keep, struct put_start_item *item);
int client_put_kept(struct end *e, const char *key, uint64_t len, unsigned flags,
                    const struct keep *keep);
/* enum keep_fields; msgid of the request, for client_remove_status(). */
uint32_t client_keep_send(struct end *e, const char *key, const struct keep *keep, unsigned fields);
int client_keep(struct end *e, const char *key, const struct keep *keep, unsigned fields);
/* What stat tells of it. */
int client_kept(struct end *e, const char *key, struct keep *keep);
int client_lookup(struct end *e, const char *key, struct lookup_item *item, struct stripe *stripes);
int client_remove(struct end *e, const char *key);
bool client_exists(struct end *e, const char *key);
/* The same without waiting: msgid of the request. */
uint32_t client_commit_send(struct end *e, const struct put_start_item *item,
                            enum extent_state state);
uint32_t client_remove_send(struct end *e, const char *key);
uint32_t client_lookup_send(struct end *e, const char *key);
/* What a batch of one was answered: 1 not yet. */
int client_commit_status(struct end *e, uint32_t msgid);
int client_remove_status(struct end *e, uint32_t msgid);
int client_lookup_status(struct end *e, uint32_t msgid);

/* ---- namespaces ---- */

/* enum space_set_flags; msgid of the request, for client_remove_status(). */
uint32_t client_space_set_send(struct end *e, const char *name,
                               const struct space_settings *settings, unsigned flags);
int client_space_set(struct end *e, const char *name, const struct space_settings *settings,
                     unsigned flags);
uint32_t client_space_remove_send(struct end *e, const char *name);
int client_space_remove(struct end *e, const char *name);
/* As it is listed; false: it isn't. */
bool client_space(struct end *e, const char *name, struct space_item *out);

/* ---- nodes ---- */

struct node_join_params node_params(const char *name, uint64_t boot, uint32_t segments,
                                    uint64_t len_bytes);
/* Joins over a connection of its own; *status tells how it ended, e->joined the result. */
struct end *node_join(struct world *w, const struct node_join_params *p, int *status);
/* The same without waiting: msgid of the request; then how it ended, 1: not yet. */
struct end *node_join_send(struct world *w, const struct node_join_params *p, uint32_t *msgid);
int node_join_status(struct end *e, uint32_t msgid);
int node_heartbeat(struct end *e, uint32_t segments, uint64_t populated);
/* The same from a node that keeps a directory, which is the test's. */
int node_heartbeat_with(struct end *e, uint32_t segments, uint64_t populated, struct directory *d);
/* A node with fully populated segments. */
struct end *node_up(struct world *w, const char *name, uint64_t boot, uint32_t segments,
                    uint64_t len_bytes);

#endif
