/* SPDX-License-Identifier: Apache-2.0 */
/* Committed objects: finding, leasing and removing them. */
#ifndef CENOTE_META_OBJECTS_H
#define CENOTE_META_OBJECTS_H

#include "meta/core/core.h"
#include "meta/core/names.h"
#include "meta/core/record.h"

struct ending;

/* Does this extent of it lie in an incarnation that lives? */
bool objects_alive(const struct core *c, struct object *o, uint32_t i);
/* Is there a stripe of which every replica's incarnation has ended? A replica that is lost stays in
 * the record: its address is never given to anybody else, so it leads nowhere, and a node's death
 * costs no write for what lives on. */
bool objects_lost(const struct core *c, struct object *o);

/* Visible from now on, or no longer. head: the one before it in the chain of its call, or NULL. */
void objects_show(struct core *c, struct object *o, struct object *head);
void objects_hide(struct core *c, struct object *o);
/* What a reader may be told of: visible, neither lost nor on its way out, and its ttl isn't over.
 * NULL: nothing. */
struct object *objects_find(struct core *c, const struct hash128 *key_hash);
/* Before an answer from which somebody will read. */
void objects_stamp(struct core *c, struct object *o);

/* The durable record of an object; valid until the store's next call. */
int objects_record(struct core *c, const struct object *o, struct record *out);
/* Drafts the record of an object in another state. */
void objects_draft(struct core *c, const struct object *o, uint8_t state, bool fence,
                   uint64_t created_ms, const void *key, uint32_t key_len);

/* As REMOVED. */
void objects_draft_removed(struct core *c, const struct object *o, const void *key,
                           uint32_t key_len);

/* A key to be removed. */
struct removal {
    struct core *core;
    struct session *session;
    struct numbered *call; /* of the session's window */
    uint32_t item;         /* the key's place in it */
    struct hash128 key_hash;
    uint32_t slot;
    struct waiter waiter;
    struct outcome *outcome;
};

/* Told when the object is no longer found and none of its readers accepts it any more; what was
 * lost with its node is removed as well, and told as CENOTE_NOT_FOUND. CENOTE_WRONG_SHARD: the key
 * isn't ours. r lives until then; perhaps told from inside. */
void objects_remove(struct removal *r);
/* For a key that the call has removed before a restart: told when no reader accepts any more what
 * was there. Nothing is removed. */
void objects_removed_before(struct removal *r);
/* For removals that nobody asked for, many in one change. The claim is free, the object visible; it
 * is drafted, and busy until the change is over. CENOTE_OK, CENOTE_IO, CENOTE_NO_MEMORY. */
int objects_draft_end(struct core *c, struct object *o, struct claim *claim, struct ending **out);
void objects_ended(struct ending *e, int status);
/* A replaced, removed or lost object is durably REMOVED: its claim counts it, reuse begins. */
void objects_retire(struct ending *e, struct claim *claim);

/* Removes, in steps, what is lost. */
void objects_sweep(struct core *c);

#endif
