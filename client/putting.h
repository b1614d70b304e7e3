/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts on their way: the calls to the service, and what is written between them. A batch of whole
 * values (put.c) and a value that is written range by range (writer.c) are both made of this.
 *
 * The life of one value:
 *
 *   START ---put_start---> WRITE ---> COMMIT ---put_commit---> DONE
 *     ^                      |
 *     '------ ABORT <--------'  a stripe has no visible extent
 *              '--------------------------------------------> DONE
 *
 * A put id that was granted is always answered for: by a commit, by an abort with the states of its
 * extents, or, when neither arrives, by the service's own time-out, which fences.
 */
#ifndef CENOTE_CLIENT_PUTTING_H
#define CENOTE_CLIENT_PUTTING_H

#include "client/machine.h"
#include "client/retry.h"
#include "client/writing.h"

/* Values of one put_start. */
#define PUT_WINDOW     256u
/* Puts begun for one value until it fails. */
#define PUT_ROUNDS_MAX 3u
/* Extents written in one step. */
#define PUT_COPIES_MAX 1024u

enum putting_state { PUTTING_START, PUTTING_WRITE, PUTTING_COMMIT, PUTTING_ABORT, PUTTING_DONE };

struct putting_value {
    enum putting_state state;
    uint32_t rounds; /* puts begun so far */
    const struct cenote_key *key;
    int *status; /* out; NULL: it has been told that the put was cancelled */
    struct writing_value common;
    size_t first_writing;
    uint32_t writings, left; /* all extents, not yet done */
    int failure;             /* the answer, if it has to be aborted */
    bool fenced;             /* and why */
};

enum putting_call { CALL_NONE, CALL_START, CALL_COMMIT, CALL_ABORT };

struct putting {
    struct machine *machine; /* in whose steps this goes on */
    struct machine_env env;
    bool replace;
    uint32_t replicas; /* 0: one */
    struct keep keep;  /* what is asked for all values */
    bool held;         /* granted values stay in WRITE: somebody else writes */
    /* Fills the copy that makes an extent visible, as writing_next() does. */
    bool (*copy)(void *arg, struct writing *w, const struct writing_value *v,
                 const struct locate *map, struct fabric_req *copy);
    void *arg;

    struct putting_value *values; /* the owner's */
    uint32_t value_count;
    struct writing *writings; /* stripe by stripe, replica by replica */
    size_t writing_count, writing_room;
    struct fabric_req *copies;
    size_t copy_count, copy_room;

    struct wire_buf request;
    struct retry retry;
    uint64_t seq;
    enum putting_call calling; /* the request waits to be sent (again), or for its answer */
    uint32_t asked[PUT_WINDOW], asked_count, ask_max;

    enum step_kind doing;
    uint32_t sessions; /* begun anew with these values */
    bool map_wanted;   /* a node is not where the map says */
    bool map_fresh;    /* refreshed since extents were granted */
    bool cancelled;    /* statuses and keys are not ours any more */

    uint64_t *roots; /* of the value being encoded; has room for any of them */
    uint8_t *states;
    uint32_t ends_room; /* extents */
};

/* *p is zeroed. flags: enum cenote_put_flags. values: room for as many as will be there at once. */
void putting_begin(struct putting *p, struct machine *machine, const struct machine_env *env,
                   unsigned flags, struct putting_value *values);
void putting_end(struct putting *p);
/* The values are others now, count of them, in START. */
void putting_values(struct putting *p, uint32_t count);

/* The next step; STEP_DONE when no value has one: they are done, or held. */
void putting_next(struct putting *p, uint64_t now_ms, struct step *out);
void putting_done(struct putting *p, uint64_t now_ms, int status, struct wire_value result);

/* As machine_ops.cancel(). */
bool putting_cancel(struct putting *p, int status, bool sent);

/* What a put answers that could not be written, by the reason why an extent could not. */
int putting_failure(int why);

#endif
