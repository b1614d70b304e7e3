/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pool in one struct for the client's machines: service, nodes, clock and driver without I/O.
 * Tests make it misbehave through its hooks. Every misuse of the protocol fails an assertion.
 */
#ifndef CENOTE_TESTS_FAKE_POOL_H
#define CENOTE_TESTS_FAKE_POOL_H

#include "client/machine.h"
#include "client/warm.h"
#include "client/warm_view.h"

#define FAKE_NODES      3u
#define FAKE_NODE_BYTES (4u << 20)
#define FAKE_OBJECTS    1024u
#define FAKE_EXTENTS    16u
#define FAKE_LEASE_MS   1000u
#define FAKE_NAMESPACE  7u
#define FAKE_CALL_MS    1u /* what every call and copy takes */

struct fake_object {
    char key[32];
    uint64_t put_id, len_bytes, seq; /* of its put_start */
    uint64_t session;
    enum { FAKE_NONE, FAKE_PENDING, FAKE_COMMITTED, FAKE_ABORTED } state;
    bool replace;
    uint32_t stripe_count, replicas;
    struct stripe stripes[FAKE_EXTENTS];
    uint8_t extent_states[FAKE_EXTENTS];
};

struct fake {
    uint64_t now_ms;
    struct locate *map;
    struct slow *slow;
    struct cache *cache; /* NULL, unless a test makes one; fake_end() frees it */
    bool warm;           /* fake_get() tries the warm get first, fake_view() the warm view */
    bool nodes_on_map[FAKE_NODES];
    uint8_t *memory[FAKE_NODES];
    uint64_t used[FAKE_NODES];
    struct fake_object objects[FAKE_OBJECTS];
    uint32_t object_count;
    uint64_t next_put, seq, started_seq;
    bool repeating;   /* the last put_start came again */
    uint64_t session; /* that the next call is answered to */
    unsigned calls, lookups, keys_asked, starts, commits, aborts, copies, refreshes, waits;
    unsigned holds, held; /* begun, and not ended yet */

    uint64_t stripe_bytes; /* how the service cuts values; 0: not at all */
    uint32_t replicas;     /* that it makes when it isn't told */
    uint32_t wanted;       /* the client's default */
    uint32_t answer_max; /* items of an answer beyond which it is CENOTE_FRAME_SIZE; 0: no limit */

    /* May return a status that the call gets instead of being done, or CENOTE_OK; lost: the call is
     * done, but its answer is lost with that status. */
    int (*on_call)(struct fake *f, const char *method, bool *lost);
    /* May return a status that the copy gets instead of being done, or XCOPY_IN_PROGRESS. */
    int (*on_copy)(struct fake *f, struct xcopy_req *x);
    /* The same for a hold, which is there or isn't; after_copies is called after one too. */
    int (*on_hold)(struct fake *f, struct fabric_hold *hold);
    void (*after_copies)(struct fake *f);
    int hook[4];     /* the hooks' own */
    bool in_machine; /* the machine's code is running, nobody else's */
};

void fake_begin(struct fake *f);
void fake_end(struct fake *f);
struct machine_env fake_env(struct fake *f);
/* Drives a machine until it is done; fails the test if it goes on for too long. */
void fake_run(struct fake *f, struct machine *m);
/* The same in single steps. */
void fake_next(struct fake *f, struct machine *m, struct step *out);
void fake_carry_out(struct fake *f, struct machine *m, const struct step *step);

/* What warm gets and views are made with; arg: the pool. */
extern const struct warm_ops fake_warm;
extern const struct warm_view_ops fake_warm_view;

/* Whole operations. */
int fake_put(struct fake *f, const char *key, const void *data, size_t len, unsigned flags);
int fake_get(struct fake *f, const char *key, void *buffer, size_t size, uint64_t *len);

/* With CENOTE_OK it stays held. */
int fake_view(struct fake *f, const char *key, enum cenote_verify verify, struct view_result *out);
void fake_release(struct fake *f);

/* The committed object of a key, or NULL. */
struct fake_object *fake_find(struct fake *f, const char *key);
void fake_remove(struct fake *f, const char *key);
/* Answers one put_start, put_commit, put_abort or lookup. */
int fake_serve(struct fake *f, const struct wire_msg *m, struct wire_buf *out);
/* Where a node's memory begins, and where an extent's bytes lie. */
struct gva fake_base(unsigned node);
uint8_t *fake_at(struct fake *f, struct gva gva);
unsigned fake_node_of(struct gva gva);
/* Length bytes of a pattern that differs at every chunk. */
void fake_fill(uint8_t *data, size_t len, unsigned seed);

#endif
