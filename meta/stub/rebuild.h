/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a service that has lost its database asks its nodes, besides their directories
 * (directory.h): the notes that it gave them before, and whether everything of before has settled.
 */
#ifndef CENOTE_META_STUB_REBUILD_H
#define CENOTE_META_STUB_REBUILD_H

#include "meta/stub/messages.h"

/* Called by the service at its nodes. */
#define METHOD_NOTES      "notes"
#define METHOD_NOTES_READ "notes_read"
#define METHOD_SETTLE     "settle"

/* A note: [kind, key:bin, value:bin]. What the service knows besides the objects and would need to
 * find them again; a node keeps it as it comes. */
enum note_kind {
    NOTE_META = 1,      /* a named value of the store: its name, its bytes */
    NOTE_NAMESPACE = 2, /* a namespace's record in the store: its key, its bytes */
    NOTE_NODE = 3       /* a node of the pool: its name, nothing */
};
#define NOTES_MAX       16384u
#define NOTE_KEY_MAX    256u
#define NOTE_VALUE_MAX  4096u
#define NOTES_BYTES_MAX (8u << 20) /* of all, encoded */
struct note {
    uint32_t kind; /* enum note_kind; others come from later versions, and are kept, too */
    const uint8_t *key, *value;
    size_t key_len, value_len;
};
void note_put(struct wire_buf *b, const struct note *n);
bool note_get(struct wire_value v, struct note *n);

/* notes [reign, [note, ...]] -> nil: in place of all that the node had. */
struct notes_params {
    uint64_t reign;
    uint32_t count;
    struct wire_value notes;
};
void notes_params_put(struct wire_buf *b, uint64_t reign, uint32_t count); /* notes follow */
bool notes_params_get(struct wire_value v, struct notes_params *p);

/* notes_read [] -> [note, ...]. The only call that is answered before the node has joined: it may
 * have to know them to join. */
bool notes_result_get(struct wire_value v, uint32_t *count);

/* settle [reign, horizon] -> [fenced, strays]. From the call on no put with an id up to the horizon
 * may begin to write, of whichever session; fenced: none is writing any more. strays: views that
 * look at what isn't in the node's directory. To be called again until it is as wanted. */
struct settle_params {
    uint64_t reign, horizon;
};
struct settle_result {
    bool fenced;
    uint64_t strays;
};
void settle_params_put(struct wire_buf *b, const struct settle_params *p);
bool settle_params_get(struct wire_value v, struct settle_params *p);
void settle_result_put(struct wire_buf *b, const struct settle_result *r);
bool settle_result_get(struct wire_value v, struct settle_result *r);

#endif
