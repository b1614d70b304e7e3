/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's decisions, without I/O: who may write, what is fenced, which seals are void.
 *
 * A struct node is one boot: one life of the exporters and of the memory behind them. Memory whose
 * contents have ended is never offered again; the daemon makes a new node with new memory and a new
 * boot number, which knows nothing of the old one but the highest reign. That is why nothing that
 * was granted, cached or queued before can reach the new contents.
 *
 * Threads: the exporters call the gate from theirs; populated bytes may be set from any; all else
 * belongs to one thread.
 */
#ifndef CENOTE_SERVER_NODE_NODE_H
#define CENOTE_SERVER_NODE_NODE_H

#include "meta/stub/messages.h"
#include "server/node/directory.h"
#include "transport/xcopy.h"

#define NODE_EXPORTERS_MAX 4u
#define NODE_FENCES_MAX    4096u /* begun and not done */

struct node;

struct node_options {
    uint64_t boot;
    struct hash_key grant_key;
    uint64_t highest_reign; /* that the former boots of this process have seen ... */
    uint64_t life;          /* ... and the service's life in it; 0: not known */
    struct trace *trace;    /* NULL: nobody traces */
    /* A fence is done; tag is the one given to node_fence(). Called from node_poll(). */
    void (*fenced)(void *arg, uint64_t tag);
    /* node_poll() has something to report. Any thread. */
    void (*nudge)(void *arg);
    void *arg;
};

/* NULL: no memory. */
struct node *node_new(const struct node_options *options);
/* The exporters have stopped. */
void node_free(struct node *n);

struct trace *node_trace(const struct node *n);
/* What the exporters ask; valid as long as the node. */
const struct xcopy_gate *node_gate(const struct node *n);
/* All before the first join. Memory and exporters stay the caller's. */
void node_add_memory(struct node *n, const struct memory *memory);
void node_add_exporter(struct node *n, struct xcopy_exporter *exporter);
/* The memory holds contents already, which a pool has given this incarnation and address; and which
 * pool (node_pool()): its join must confirm all of it. */
void node_take_over(struct node *n, uint32_t segment, uint64_t incarnation, struct gva gva);
void node_take_over_pool(struct node *n, const struct hash128 *pool);
/* The directory of extents; it stays the caller's. Without one the node keeps none. */
void node_set_directory(struct node *n, struct directory *directory);
/* How much of a segment may be used. Any thread. */
void node_set_populated(struct node *n, uint32_t segment, uint64_t bytes);
uint64_t node_populated(const struct node *n);

/* Fills boot, grant key, reign and segments; the rest of the parameters is the caller's. */
void node_join_params(const struct node *n, struct node_join_params *out);
void node_heartbeat_params(const struct node *n, struct node_heartbeat_params *out);
/* The service's answer to a join: its keys and incarnations; the first time, the exporters begin to
 * serve the segments. CENOTE_OK, CENOTE_OLD_REIGN, or CENOTE_PROTOCOL: the answer doesn't fit the
 * segments. */
int node_joined(struct node *n, const struct node_join_result *r);
/* Has it joined once? */
bool node_has_joined(const struct node *n);
/* Has a pool given it incarnations, in this life or in the one that it has taken over? */
bool node_has_contents(const struct node *n);
/* A name of the pool that it has joined, which isn't secret, and the incarnations. */
struct hash128 node_pool(const struct node *n);
const struct xcopy_segment *node_segment_at(const struct node *n, uint32_t segment);
uint64_t node_highest_reign(const struct node *n);
/* Of the service in that reign; 0: not known. */
uint64_t node_service_life(const struct node *n);
/* Every word of the service passes here. CENOTE_OK or CENOTE_OLD_REIGN. */
int node_see_reign(struct node *n, uint64_t reign);

/* Begins to refuse the session's puts up to the horizon, then makes sure that nothing of them can
 * land any more. CENOTE_OK: fenced(tag) follows. CENOTE_OLD_REIGN, CENOTE_LIMIT. */
int node_fence(struct node *n, const struct fence_params *p, uint64_t tag);
/* Nobody waits for the fences under way any more. They go on; the same fence, asked for again,
 * takes over where they are. */
void node_forget_tags(struct node *n);
/* Reports the fences that have been done meanwhile. */
void node_poll(struct node *n);

/* Makes one extent's seal void, and drops its entry in the directory. CENOTE_OK or
 * CENOTE_BAD_RANGE. */
int node_void(struct node *n, struct gva gva, uint64_t payload_len);
/* After the voids of these extents, at most VOID_BATCH_MAX: sets held[i] where somebody looks at
 * extents[i], and clears the others. */
void node_held(struct node *n, const struct gva *extents, uint32_t count, bool *held);
/* How many extents are held by all clients together. */
uint32_t node_hold_count(const struct node *n);

/* The directory's calls (directory_calls.c): CENOTE_OK, and result has its answer; or what is
 * answered instead. */
int node_directory(struct node *n, struct wire_value params, struct wire_buf *result);
int node_directory_read(struct node *n, struct wire_value params, struct wire_buf *result);
int node_directory_look(struct node *n, struct wire_value params, struct wire_buf *result);
/* The extent, as far as it lies in this node's memory; NULL: it doesn't. */
const uint8_t *node_extent_at(const struct node *n, struct gva gva, uint64_t payload_len);
/* Is there a live seal that says the same as the entry, of this life of the segment? */
bool node_seal_matches(const struct node *n, const struct directory_entry *e);
/* The same, for a rebuild. */
bool node_seal_is_live(const struct node *n, const struct directory_entry *e);

/* What the service has asked to keep for it: an encoded array of notes (meta/stub/rebuild.h). */
int node_notes(struct node *n, struct wire_value params);
const struct wire_buf *node_notes_of(const struct node *n);
/* Those of an earlier life; copied. CENOTE_OK or CENOTE_NO_MEMORY. */
int node_take_over_notes(struct node *n, const void *encoded, size_t len_bytes);
int node_notes_read(struct node *n, struct wire_value params, struct wire_buf *result);
int node_settle(struct node *n, struct wire_value params, struct wire_buf *result);

/* NULL: there is none. */
struct directory *node_directory_of(const struct node *n);
/* Does the extent lie in this node's memory? */
bool node_has_extent(const struct node *n, struct gva gva, uint64_t payload_len);

#endif
