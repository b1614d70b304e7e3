/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespaces: a name, a number, the secret with which its keys are hashed, and what an operator has
 * said of it. They come into being with the first session that names them, or by spaces_set(), and
 * end by spaces_remove(), when nothing of theirs is left. Their numbers are never given again: they
 * are in seals and tokens.
 *
 * One change of a namespace is under way at a time (busy); whoever comes meanwhile waits.
 */
#ifndef CENOTE_META_SPACES_H
#define CENOTE_META_SPACES_H

#include <cenote/cenote.h>

#include "meta/core/change.h"
#include "meta/core/evict.h"
#include "meta/stub/messages.h"
#include "transport/base/hash.h"

#define SPACES_MAX    4096u
#define SPACE_BUCKETS 1024u
#define SPACE_DEFAULT "default" /* stays */

struct core;
struct numbered;
struct session;

struct space {
    struct link link;
    struct space *by_id; /* the next of its bucket */
    struct space_settings settings;
    struct space_use use;
    struct space_evict evict;
    uint32_t id;
    char name[CENOTE_NAMESPACE_MAX + 1];
    struct hash_key key;
    uint64_t slot_seed;
    uint64_t extant; /* objects in the table, of any state */
    bool durable;
    bool busy, removing;  /* a change of it is on its way; which removes it */
    struct change change; /* that makes it for a session */
    struct core *core;
    struct list waiters; /* struct space_wait */
};

struct spaces {
    struct list list;
    uint32_t count;
    struct space *by_id[SPACE_BUCKETS];
    uint32_t last_id; /* that was ever given */
};

#define SPACE_AGAIN 1 /* in place of a status: it was removed meanwhile, ask again */
struct space_wait {
    struct link link;
    void (*done)(struct space_wait *w, int status, struct space *space);
};

/* Letters, digits, '.', '_', '-'; not empty. */
bool spaces_name_valid(const char *name);
/* Finds, or makes durably; tells w, perhaps from inside. */
void spaces_get(struct core *c, const char *name, struct space_wait *w);
struct space *spaces_by_id(const struct core *c, uint32_t id);

/* A numbered call that makes, changes or removes a namespace; its answer is stored with the effect.
 */
struct space_work {
    struct core *core;
    struct session *session;
    struct numbered *call;
    const char *name; /* valid */
    struct space_settings settings;
    bool create;
    struct space *space;
    struct space_wait wait;
    struct change change;
    void (*done)(struct space_work *w, int status); /* perhaps from inside */
};
/* CENOTE_NOT_FOUND; with create: CENOTE_EXISTS, CENOTE_LIMIT. */
void spaces_set(struct space_work *w);
/* CENOTE_NOT_FOUND; CENOTE_INVALID: the default one; CENOTE_IN_USE: something of it is left. */
void spaces_remove(struct space_work *w);

/* From the store. */
int spaces_load(struct core *c);
void spaces_free(struct core *c);

/* ---- between spaces.c and spaces_change.c ---- */

struct space *space_by_name(const struct core *c, const char *name);
/* A new one with a number and a secret, in no record yet. CENOTE_OK, CENOTE_LIMIT,
 * CENOTE_NO_MEMORY. */
int space_make(struct core *c, const char *name, struct space **out);
void space_drop(struct core *c, struct space *s);
/* The record, with these settings. */
void space_draft(struct core *c, const struct space *s, const struct space_settings *settings);
/* That of the end: the number is remembered. */
void space_draft_removed(struct core *c, const struct space *s);
/* Tells whoever waits; s is NULL when it isn't there any more. */
void space_settled(struct list *waiters, int status, struct space *s);

struct hash128 space_hash(const struct space *s, const void *key, size_t key_len);

#endif
