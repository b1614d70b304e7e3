/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to the services about many keys: cut into calls, and divided among the services. */
#ifndef CENOTE_CLIENT_KEYS_CALL_H
#define CENOTE_CLIENT_KEYS_CALL_H

#include "client/shards.h"

/* Keys of one call to a service: with keys of full length half a MiB. */
#define KEYS_CALL_MAX 512u

struct keys_call {
    /* Asks one service about keys, sets their statuses, and returns the newest epoch by which it
     * refused some (0: none). */
    uint64_t (*some)(struct keys_call *c, struct drive *d, const struct cenote_key *keys,
                     size_t count, int *statuses);
    const void *arg; /* the caller's */

    const struct cenote_key *keys;
    size_t count; /* at most KEYS_CALL_MAX */
    struct wire_buf request;
    int statuses[KEYS_CALL_MAX];
    struct cenote_key part[KEYS_CALL_MAX]; /* of one service */
    int part_statuses[KEYS_CALL_MAX];
};

/* How many of those that are left go into the next call. */
static inline size_t keys_call_size(size_t left)
{
    return left < KEYS_CALL_MAX ? left : KEYS_CALL_MAX;
}

/* Begins c->request, whose parameters are one list of keys. */
void keys_call_ask(struct keys_call *c, const char *method, const struct cenote_key *keys,
                   size_t count);
/* Does one call's keys. */
void keys_call_run(struct shards *s, struct keys_call *c);
void keys_fail(int *statuses, size_t count, int status);

/* A numbered call whose answer is a status for each key. */
struct keys_change {
    void (*encode)(const struct keys_change *change, uint64_t seq, const struct cenote_key *keys,
                   size_t count, struct wire_buf *request);
    bool counted; /* as this */
    enum tally_op op;
};
/* Does it with all keys, which have been checked; statuses may be NULL. Returns the first error. */
int keys_change_run(struct shards *s, const struct keys_change *change,
                    const struct cenote_key *keys, size_t count, int *statuses);

#endif
