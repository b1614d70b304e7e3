/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long and how firmly values are kept: from what a put or a keep call asks for, by the record,
 * to the bits of the object.
 *
 * In one life of the service times count on its monotonic clock, from the commit or the keep call.
 * The record has the wall clock of that moment: after a restart what is left is counted by the wall
 * clock, and is never more than the whole.
 */
#ifndef CENOTE_META_KEEP_H
#define CENOTE_META_KEEP_H

#include "meta/core/core.h"
#include "meta/core/record.h"

/* The group that it names. CENOTE_OK, CENOTE_LIMIT (it is full), CENOTE_NO_MEMORY. */
int keep_join(struct core *c, struct object *o, const struct keep *keep);
/* How much is left of a time of an object; 0: it is over, or there is none. */
uint64_t keep_left_ms(const struct core *c, uint32_t stamp);

/* The object is durably kept like this from now on; its pin and its group have been taken with its
 * put. */
void keep_begin(struct core *c, struct object *o, const struct keep *keep);
/* All of it, from a record of an earlier life. CENOTE_OK or CENOTE_NO_MEMORY. */
int keep_resume(struct core *c, struct object *o, const struct kept *kept);

/* Drafts the record of a PENDING or COMMITTED object; kept may be NULL: nothing was asked for. */
void keep_draft(struct core *c, const struct object *o, uint8_t state, const struct kept *kept,
                uint64_t created_ms, const void *key, uint32_t key_len);

/* A value that is to be kept in another way. */
struct keeping {
    struct core *core;
    struct session *session;
    struct numbered *call; /* of the session's window */
    uint32_t item;         /* the key's place in it */
    struct hash128 key_hash;
    uint32_t slot;
    const struct keep *keep;
    unsigned fields; /* enum keep_fields; the others stay as they are */
    struct claim *claim;
    uint64_t put_id;       /* of the value that is being changed */
    uint64_t pinned_bytes; /* of the namespace's limit, taken until that is known */
    struct waiter waiter;
    struct change change;
    struct outcome *outcome;
};

/* Told when it is durable, or CENOTE_NOT_FOUND, CENOTE_WRONG_SHARD, CENOTE_LIMIT (of hard pins, or
 * the group is full), or why it can't be; perhaps from inside. */
void keep_set(struct keeping *k);

#endif
