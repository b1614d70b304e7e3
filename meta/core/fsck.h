/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Does what is stored agree with what the service and its nodes believe? Asked of a service that
 * runs, in steps that nobody notices:
 *
 *   RECORDS   every record of the store against the table
 *   TABLE     every object of the table against the store, the names and the allocators
 *   NAMES     every name
 *   NODES     every entry of the nodes' directories against the table, and their seals
 *   WAITING   changes that were under way get their time
 *   AGAIN     the nodes are asked once more about what was odd, by name
 *   CONFIRM   what is odd still is a difference; mended, if that was asked for
 *
 * Much changes while it looks. So what seems odd is a suspect at first, and is looked at again when
 * every change that was under way then is over; only what is as it was counts. Nothing is odd for
 * not having been seen in a list that others change. Of each kind only so many suspects can be
 * looked at again; how many more there were is told apart from the differences.
 *
 * Mended is what can be, without losing anything that isn't lost: see fsck_names. A record that
 * differs from the table isn't: whoever restarts the service makes it go by its records.
 */
#ifndef CENOTE_META_FSCK_H
#define CENOTE_META_FSCK_H

#include "meta/core/list.h"
#include "meta/core/names.h"
#include "transport/base/gva.h"
#include "transport/wire/wire.h"

struct core;

#define FSCK_STEP       1000u /* of one tick: records, objects or names */
#define FSCK_BATCH      512u  /* entries of one call at a node */
#define FSCK_SUSPECTS   1024u /* of each kind */
#define FSCK_FIRST      8u    /* told of each kind */
#define FSCK_WAIT_MS    1500u
/* Overlaps and holes are looked for in one go, so only where that is quick. */
#define FSCK_WHOLE_REFS 200000u

enum fsck_kind {
    FSCK_RECORD_BAD,
    FSCK_RECORD_ONLY,
    FSCK_OBJECT_ONLY,
    FSCK_DIFFERS,
    FSCK_NAME_WRONG,
    FSCK_NAME_MISSING,
    FSCK_EXTENT_FREE,
    FSCK_SPACE,
    FSCK_ENTRY_STRANGE,
    FSCK_SEAL,
    FSCK_KINDS
};

enum fsck_phase {
    FSCK_NEVER,
    FSCK_RECORDS,
    FSCK_TABLE,
    FSCK_NAMES,
    FSCK_NODES,
    FSCK_WAITING,
    FSCK_AGAIN,
    FSCK_CONFIRM,
    FSCK_DONE
};

struct fsck_suspect {
    uint64_t put_id;
    struct gva gva;         /* of an extent; else 0 */
    struct names_key *name; /* NAME_WRONG; else NULL */
    /* ENTRY_STRANGE, SEAL */
    uint64_t node; /* id of the one that said so */
    bool asked;    /* once more */
    uint8_t state; /* enum directory_state: what it said then */
};

struct fsck_found {
    struct fsck_suspect suspects[FSCK_SUSPECTS];
    uint32_t suspect_count;
    uint64_t count, mended;
    uint64_t more; /* suspects, which nobody has looked at again */
    struct fsck_suspect first[FSCK_FIRST];
    uint32_t first_count;
};

/* An extent that a node is asked about. */
struct fsck_asked {
    uint64_t put_id;
    struct gva gva;
    struct fsck_suspect *suspect; /* AGAIN; else NULL */
};

struct fsck {
    uint8_t phase; /* enum fsck_phase */
    bool repair;
    struct fsck_found *found;                  /* FSCK_KINDS of them; NULL: never begun */
    uint64_t records, objects, names, entries; /* looked at */
    uint64_t waited_ms;
    struct names_key at; /* RECORDS, NAMES: behind this key */
    uint32_t ref;        /* TABLE */
    /* NODES, AGAIN: one call at a time */
    uint64_t node; /* id of the one that is asked */
    uint64_t cursor, next_cursor;
    bool in_flight;
    uint32_t call;            /* its number: answers to others are late */
    struct fsck_asked *asked; /* FSCK_BATCH of them */
    uint32_t asked_count;     /* 0: the next page is read */
};

/* What a kind is called, and what it means. */
const char *fsck_name(enum fsck_kind kind);
const char *fsck_meaning(enum fsck_kind kind);

/* Begins, unless one is under way. CENOTE_OK or CENOTE_NO_MEMORY. */
int fsck_begin(struct core *c, bool repair);
void fsck_tick(struct core *c);
void fsck_free(struct core *c);

#endif
