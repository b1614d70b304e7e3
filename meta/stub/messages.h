/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control protocol's messages as structs, with an encoder and a decoder of each: the one place
 * that knows the order of fields (doc/PROTOCOL.md says the same in words). The service, its nodes
 * and the client share it. Nothing here does I/O.
 *
 * X_put writes one value; X_get reads one and returns false when it isn't a well-formed X (then the
 * output is undefined). Lists stay in the message: *_get gives the list as a wire_value with its
 * count, elements are read one by one, nothing is copied or allocated.
 *
 * Every method takes one array of parameters. "seq" numbers the changing calls of a session from 1.
 */
#ifndef CENOTE_META_MESSAGES_H
#define CENOTE_META_MESSAGES_H

#include <cenote/cenote.h>

#include "meta/stub/directory.h"
#include "transport/base/extent.h"
#include "transport/base/grant.h"
#include "transport/base/gva.h"
#include "transport/wire/wire.h"

#define PROTOCOL_VERSION 1u
/* The answers to so many of a session's last numbered calls are kept. */
#define PROTOCOL_WINDOW  128u

/* Limits that both sides know. */
#define STRIPES_MAX   1024u /* of one value */
#define REPLICAS_MAX  8u    /* of one stripe */
#define SEGMENTS_MAX  64u   /* of one node */
#define NODE_NAME_MAX 64u
#define TEXT_MAX      128u /* endpoints, host ids, client names */

/* Methods of clients ... */
#define METHOD_SESSION_OPEN   "session_open"
#define METHOD_SESSION_RESUME "session_resume"
#define METHOD_SESSION_CLOSE  "session_close"
#define METHOD_MAP            "map"
#define METHOD_PUT_START      "put_start"
#define METHOD_PUT_COMMIT     "put_commit"
#define METHOD_PUT_ABORT      "put_abort"
#define METHOD_LOOKUP         "lookup"
#define METHOD_EXISTS         "exists"
#define METHOD_REMOVE         "remove"
#define METHOD_KEEP           "keep"
#define METHOD_STAT           "stat"
#define METHOD_LIST           "list"
#define METHOD_STATUS         "status"
#define METHOD_FSCK           "fsck"
#define METHOD_NAMESPACES     "namespaces"
#define METHOD_SPACE_SET      "namespace_set"
#define METHOD_SPACE_REMOVE   "namespace_remove"
/* ... of nodes, and those that the service calls at its nodes. */
#define METHOD_NODE_JOIN      "node_join"
#define METHOD_NODE_HEARTBEAT "node_heartbeat"
#define METHOD_NODE_LEAVE     "node_leave"
#define METHOD_EXTENT_DAMAGED "extent_damaged"
#define METHOD_FENCE          "fence"
#define METHOD_VOID           "void"

/* ---- sessions ------------------------------------------------------------------------------ */

/* session_open [protocol, namespace, client] */
struct session_open_params {
    uint32_t protocol;
    char name_space[CENOTE_NAMESPACE_MAX + 1];
    char client[TEXT_MAX]; /* for people: program, pid */
};
void session_open_params_put(struct wire_buf *b, const struct session_open_params *p);
bool session_open_params_get(struct wire_value v, struct session_open_params *p);

/* -> [session, token:bin16, namespace id, reign] */
struct session_open_result {
    uint64_t session;
    struct session_token token;
    uint32_t name_space;
    uint64_t reign;
};
void session_open_result_put(struct wire_buf *b, const struct session_open_result *r);
bool session_open_result_get(struct wire_value v, struct session_open_result *r);

/* session_resume [protocol, session, token:bin16, namespace id] -> [reign]; CENOTE_NO_SESSION when
 * it has ended. Makes the connection the session's; an older connection of it is closed. */
struct session_resume_params {
    uint32_t protocol;
    uint64_t session;
    struct session_token token;
    uint32_t name_space;
};
void session_resume_params_put(struct wire_buf *b, const struct session_resume_params *p);
bool session_resume_params_get(struct wire_value v, struct session_resume_params *p);

/* session_close [] -> nil: pending puts are aborted, as unknown. */

/* ---- the map of the pool --------------------------------------------------------------------- */

/* map [known version] -> [version, nodes, ranges], or [version] when it is the known one.
 * node:  [node, name, boot, host, zone, shm endpoint, rdma endpoint, tcp endpoint, state]
 * range: [gva, length, incarnation, node, memory kind] */
enum node_state { NODE_ALIVE = 0, NODE_SUSPECT = 1, NODE_DEAD = 2 };

struct map_node {
    uint64_t node;
    char name[NODE_NAME_MAX + 1];
    uint64_t boot;
    char host[TEXT_MAX], zone[TEXT_MAX], shm[TEXT_MAX], rdma[TEXT_MAX], tcp[TEXT_MAX];
    uint32_t state; /* enum node_state */
};
struct map_range {
    struct gva gva;
    uint64_t len_bytes;
    uint64_t incarnation;
    uint64_t node;
    uint32_t kind; /* transport/memory.h's enum memory_kind */
};
void map_node_put(struct wire_buf *b, const struct map_node *n);
bool map_node_get(struct wire_value v, struct map_node *n);
void map_range_put(struct wire_buf *b, const struct map_range *r);
bool map_range_get(struct wire_value v, struct map_range *r);

/* ---- puts ------------------------------------------------------------------------------------ */

/* How long and how firmly values are kept: [ttl ms, pin, pin ms, group:bin]; <cenote/policy.h>
 * says what it means. */
#define KEEP_GROUP_MAX  64u
#define KEEP_TTL_MAX_MS (UINT64_C(315576000) * 1000) /* ten years; of a pin likewise */
enum keep_pin { KEEP_PIN_NONE = 0, KEEP_PIN_SOFT = 1, KEEP_PIN_HARD = 2 };
struct keep {
    uint64_t ttl_ms; /* 0: none, or as the namespace says */
    uint32_t pin;    /* enum keep_pin */
    uint64_t pin_ms; /* soft pins: for so long; 0: as long as the value is there */
    uint32_t group_len;
    uint8_t group[KEEP_GROUP_MAX]; /* values of one group are evicted together; empty: none */
};
void keep_put(struct wire_buf *b, const struct keep *k);
/* One that is nil or missing asks for nothing. CENOTE_OK, CENOTE_MALFORMED, or as keep_check(). */
int keep_get(struct wire_value v, struct keep *k);
/* CENOTE_OK; CENOTE_INVALID: a time beyond KEEP_TTL_MAX_MS, no such pin, a pin's time without a
 * soft pin, a group that is too long. */
int keep_check(const struct keep *k);
/* Does it ask for anything? */
bool keep_asks(const struct keep *k);

/* keep [seq, [key, ...], keep, fields] -> [status, ...]: for values that are there. Fields that
 * aren't named stay as they are; times count from now. */
enum keep_fields { KEEP_TTL = 1, KEEP_PIN = 2, KEEP_GROUP = 4, KEEP_ALL = 7 };
struct keep_params {
    uint64_t seq;
    uint32_t count;
    struct wire_value keys; /* as in struct keys_params */
    struct wire_value keep; /* keep_get() */
    uint32_t fields;        /* enum keep_fields */
};
/* The head; count keys follow, then keep and fields. */
void keep_params_put(struct wire_buf *b, uint64_t seq, uint32_t count);
bool keep_params_get(struct wire_value v, struct keep_params *p);

/* put_start [seq, flags, [[key, length], ...], keep | nil] -> [[status] | start_item, ...] in order
 * of the keys; the last parameter may be missing */
enum put_start_flags {
    PUT_START_REPLACE = 1,
    PUT_START_REPLICAS = 15 << 8 /* how many of each stripe; 0: one */
};
/* Replicas lie in the flags because a service that doesn't know of them must refuse the put. */
static inline uint32_t put_start_flags(bool replace, uint32_t replicas)
{
    return (replace ? PUT_START_REPLACE : 0) | (replicas << 8 & PUT_START_REPLICAS);
}
static inline uint32_t put_start_replicas(uint32_t flags)
{
    uint32_t replicas = (flags & PUT_START_REPLICAS) >> 8;
    return replicas == 0 ? 1 : replicas;
}

struct put_start_params {
    uint64_t seq;
    uint32_t flags;
    uint32_t count;
    struct wire_value items;
    struct wire_value keep; /* of all of them; keep_get() */
};
bool put_start_params_get(struct wire_value v, struct put_start_params *p);
/* The head; count items follow. */
void put_start_params_put(struct wire_buf *b, uint64_t seq, uint32_t flags, uint32_t count);
/* The same when a keep follows behind the items. */
void put_start_kept_put(struct wire_buf *b, uint64_t seq, uint32_t flags, uint32_t count);
void put_start_key_put(struct wire_buf *b, const void *key, size_t key_len, uint64_t len_bytes);
bool put_start_key_get(struct wire_value v, const uint8_t **key, size_t *key_len,
                       uint64_t *len_bytes);

/* One stripe with its replicas. Stripes come in the order of their offsets and cover the value; a
 * value of 0 bytes has one stripe of 0 bytes. */
struct stripe {
    uint64_t offset; /* in the value; a multiple of SUMS_CHUNK_BYTES */
    uint64_t payload_len;
    uint64_t root; /* of its sums; lookup and stat only */
    uint32_t replicas;
    struct gva gva[REPLICAS_MAX];
    struct write_grant grant[REPLICAS_MAX]; /* put_start only */
};

/* start_item: [0, put id, key hash:bin16, [stripe ...]], stripe: [offset, length, [[gva, boot, mac]
 * ...]] */
struct put_start_item {
    int status; /* the rest only with CENOTE_OK */
    uint64_t put_id;
    struct hash128 key_hash;
    uint32_t stripe_count;
    struct wire_value stripes;
};
void put_start_item_put(struct wire_buf *b, const struct put_start_item *item); /* stripes follow */
bool put_start_item_get(struct wire_value v, struct put_start_item *item);
void granted_stripe_put(struct wire_buf *b, const struct stripe *s);
bool granted_stripe_get(struct wire_value v, struct stripe *s);

/* put_commit [seq, [[put id, sum kind, [root of each stripe], [state of each extent]], ...]]
 *   -> [[status, ...], nil]   (nil: kept for grants of the next puts)
 * put_abort the same, roots may be empty. Extents count stripe by stripe, replica by replica. */
enum extent_state {
    EXTENT_VISIBLE = 0, /* written, and every later reader sees it */
    EXTENT_DRAINED = 1, /* not (wholly) written, and no write of it is in flight */
    EXTENT_UNKNOWN = 2  /* a write may still land: it needs a fence */
};
struct put_end_params {
    uint64_t seq;
    uint32_t count;
    struct wire_value items;
};
struct put_end_item {
    uint64_t put_id;
    uint32_t sum_kind;
    uint32_t root_count, state_count;
    struct wire_value roots, states;
};
void put_end_params_put(struct wire_buf *b, uint64_t seq, uint32_t count); /* items follow */
bool put_end_params_get(struct wire_value v, struct put_end_params *p);
void put_end_item_put(struct wire_buf *b, uint64_t put_id, uint32_t sum_kind, const uint64_t *roots,
                      uint32_t root_count, const uint8_t *states, uint32_t state_count);
bool put_end_item_get(struct wire_value v, struct put_end_item *item);

/* ---- lookups --------------------------------------------------------------------------------- */

/* lookup [[key, ...]] -> [leading keys that are there, [[status] | lookup_item, ...]]
 * exists [[key, ...]] -> [leading keys, bitmap:bin]   (bit i % 8 of byte i / 8)
 * stat   [[key, ...]] -> [[status] | stat_item, ...]
 * remove [seq, [key, ...]] -> [status, ...] */
struct keys_params {
    uint64_t seq; /* remove only */
    uint32_t count;
    struct wire_value keys; /* each bin, 1 to CENOTE_KEY_MAX bytes */
};
void keys_params_put(struct wire_buf *b, uint32_t count);                 /* keys follow, as bin */
void remove_params_put(struct wire_buf *b, uint64_t seq, uint32_t count); /* likewise */
bool keys_params_get(struct wire_value v, struct keys_params *p);
bool remove_params_get(struct wire_value v, struct keys_params *p);
/* Why a list of keys, or of [key, length], was not taken; it is element "at" of the parameters:
 * CENOTE_LIMIT (too many), CENOTE_KEY_SIZE, CENOTE_MALFORMED. */
int keys_refusal(struct wire_value params, uint32_t at);

/* lookup_item: [0, put id, length, sum kind, lease ms, [[offset, length, root, [gva ...]] ...]]
 * stat_item:   [0, put id, length, sum kind, created ms, [stripe as above ...], keep]; the times
 * in keep are what is left of them */
struct lookup_item {
    int status; /* the rest only with CENOTE_OK */
    uint64_t put_id;
    uint64_t len_bytes;
    uint32_t sum_kind;
    uint64_t lease_ms;   /* lookup: how long the reader may use it, from before it asked */
    uint64_t created_ms; /* stat */
    uint32_t stripe_count;
    struct wire_value stripes;
};
void lookup_item_put(struct wire_buf *b, const struct lookup_item *item); /* stripes follow */
bool lookup_item_get(struct wire_value v, struct lookup_item *item);
/* Stripes follow, and a keep. */
void stat_item_put(struct wire_buf *b, const struct lookup_item *item);
bool stat_item_get(struct wire_value v, struct lookup_item *item);
/* Of the same item; CENOTE_OK only. */
bool stat_keep_get(struct wire_value v, struct keep *keep);
void located_stripe_put(struct wire_buf *b, const struct stripe *s);
bool located_stripe_get(struct wire_value v, struct stripe *s);

/* [status] in place of an item. */
void status_item_put(struct wire_buf *b, int status);

/* list [prefix:bin, cursor:bin | nil, limit] -> [[[key:bin, length, put id], ...], cursor:bin |
 * nil] limit 1 to LIST_LIMIT_MAX; nil: from the beginning, or: that was all. A cursor says behind
 * what to go on: a key, or the first LIST_PLAIN_MAX bytes of a longer one and 16 more, which only
 * the service knows; all of them 0xff are behind all keys that begin so. */
#define LIST_LIMIT_MAX  1000u
#define LIST_PLAIN_MAX  491u
#define LIST_CURSOR_MAX 507u
struct list_params {
    const uint8_t *prefix, *cursor; /* cursor NULL: nil */
    size_t prefix_len, cursor_len;
    uint32_t limit;
};
void list_params_put(struct wire_buf *b, const struct list_params *p);
bool list_params_get(struct wire_value v, struct list_params *p);
void list_entry_put(struct wire_buf *b, const void *key, size_t key_len, uint64_t len_bytes,
                    uint64_t put_id);
bool list_entry_get(struct wire_value v, const uint8_t **key, size_t *key_len, uint64_t *len_bytes,
                    uint64_t *put_id);

/* ---- namespaces ------------------------------------------------------------------------------ */

/* What an operator has said of a namespace: [quota bytes, quota objects, ttl ms, pin limit bytes].
 */
struct space_settings {
    uint64_t quota_bytes, quota_objects; /* 0: as much as there is room for */
    uint64_t ttl_ms;                     /* of values whose put doesn't say; 0: none */
    uint64_t pin_limit_bytes;            /* hard pins; 0: half of the quota, or of the pool */
};

/* What it has: extents with seal and sums, of all replicas; pending puts count, quarantine doesn't:
 * [bytes, objects, pinned bytes]. */
struct space_use {
    uint64_t bytes, objects;
    uint64_t pinned_bytes; /* hard pins */
};

/* namespaces [] -> [[name, id, settings, use], ...] */
struct space_item {
    char name[CENOTE_NAMESPACE_MAX + 1];
    uint32_t id;
    struct space_settings settings;
    struct space_use use;
};
void space_item_put(struct wire_buf *b, const struct space_item *item);
bool space_item_get(struct wire_value v, struct space_item *item);

/* namespace_set [seq, name, settings, flags] -> [status]; CENOTE_NOT_FOUND, or with
 * SPACE_SET_CREATE CENOTE_EXISTS. namespace_remove [seq, name] -> [status]; CENOTE_IN_USE while it
 * has sessions, values, or memory in quarantine. */
enum space_set_flags { SPACE_SET_CREATE = 1 };
struct space_params {
    uint64_t seq;
    char name[CENOTE_NAMESPACE_MAX + 1];
    struct space_settings settings; /* namespace_set only, like flags */
    uint32_t flags;
};
void space_set_params_put(struct wire_buf *b, const struct space_params *p);
bool space_set_params_get(struct wire_value v, struct space_params *p);
void space_remove_params_put(struct wire_buf *b, const struct space_params *p);
bool space_remove_params_get(struct wire_value v, struct space_params *p);

/* ---- the state of the pool ------------------------------------------------------------------- */

/* status [] -> a map for people and programs; its names are in doc/PROTOCOL.md. */

/* fsck [what] -> a map likewise. */
enum fsck_what { FSCK_LOOK = 0, FSCK_BEGIN = 1, FSCK_BEGIN_REPAIR = 2 };

/* ---- nodes ----------------------------------------------------------------------------------- */

/* node_join [protocol, name, boot, host, zone, shm, rdma, tcp, grant key:bin16, highest reign seen,
 *            [[length, kind, incarnation, gva], ...], life]
 *   -> [node, reign, pool key:bin16, heartbeat ms, [[incarnation, gva], ...], life]
 * life: a number that each start of the service draws. A database that was restored may come to a
 * reign that was there before; one that this service had with another life is refused like a higher
 * one.
 * incarnation 0 asks for a new one (then gva is 0, too); otherwise the segment kept its contents
 * since the service gave it that incarnation, and joins again: CENOTE_NODE_UNKNOWN when that one
 * has ended meanwhile. Errors: CENOTE_NODE_KNOWN (a live node with another boot has the name),
 * CENOTE_OLD_REIGN. */
struct node_segment {
    uint64_t len_bytes;
    uint32_t kind;
    uint64_t incarnation;
    struct gva gva;
};
struct node_join_params {
    uint32_t protocol;
    char name[NODE_NAME_MAX + 1];
    uint64_t boot;
    char host[TEXT_MAX], zone[TEXT_MAX], shm[TEXT_MAX], rdma[TEXT_MAX], tcp[TEXT_MAX];
    struct hash_key grant_key;
    uint64_t highest_reign;
    uint64_t life; /* of the service in that reign; 0: not known */
    uint32_t segment_count;
    struct node_segment segments[SEGMENTS_MAX];
};
struct node_join_result {
    uint64_t node;
    uint64_t reign;
    uint64_t life;
    struct hash_key pool_key;
    uint32_t heartbeat_ms;
    uint32_t segment_count;
    struct node_segment segments[SEGMENTS_MAX];
};
void node_join_params_put(struct wire_buf *b, const struct node_join_params *p);
bool node_join_params_get(struct wire_value v, struct node_join_params *p);
void node_join_result_put(struct wire_buf *b, const struct node_join_result *r);
bool node_join_result_get(struct wire_value v, struct node_join_result *r);

/* What a node uses for RDMA, for people: [[text of each rail], connections, queue pairs, regions,
 * errors, fenced, rails lost]. */
#define RDMA_RAILS_MAX 8u
struct rdma_report {
    uint32_t rail_count;
    char rails[RDMA_RAILS_MAX][TEXT_MAX];
    uint64_t connections, queue_pairs, regions, errors, fenced, rails_lost;
};

/* node_heartbeat [[bytes populated of each segment], holds, sum of the directory | nil,
 *                 rdma report | nil] -> [reign]
 * nil: the node keeps no directory, doesn't serve RDMA. node_leave [] -> nil. */
struct node_heartbeat_params {
    uint32_t segment_count;
    uint64_t populated_bytes[SEGMENTS_MAX];
    bool has_directory;
    struct directory_sum directory;
    uint64_t holds; /* open views of all clients */
    bool has_rdma;
    struct rdma_report rdma;
};
void node_heartbeat_params_put(struct wire_buf *b, const struct node_heartbeat_params *p);
bool node_heartbeat_params_get(struct wire_value v, struct node_heartbeat_params *p);

/* extent_damaged [put id, gva] -> nil. An extent of the node isn't as it was committed: the service
 * drops that replica, or the value if it was the last. Nothing is done, with success, if it isn't
 * known any more. CENOTE_LIMIT: not now. */
void extent_damaged_params_put(struct wire_buf *b, uint64_t put_id, struct gva gva);
bool extent_damaged_params_get(struct wire_value v, uint64_t *put_id, struct gva *gva);

/* Service to node. fence [reign, session, horizon] -> nil, once no write of the session's puts with
 * an id up to the horizon can land on this node; until then no answer. */
struct fence_params {
    uint64_t reign, session, horizon;
};
void fence_params_put(struct wire_buf *b, const struct fence_params *p);
bool fence_params_get(struct wire_value v, struct fence_params *p);

/* void [reign, [[gva, payload length], ...]] -> nil | [index, ...], once the seal of every
 * extent is void. The list names those that somebody still looks at, by their places in the
 * call, ascending. The service only sends it for extents that no writer can reach any more, and
 * sends it again for those that are held, until they aren't. CENOTE_BAD_RANGE: one of them is
 * not this node's; the others are void all the same. */
#define VOID_BATCH_MAX 1024u
void void_params_put(struct wire_buf *b, uint64_t reign, uint32_t count); /* extents follow */
bool void_params_get(struct wire_value v, uint64_t *reign, uint32_t *count,
                     struct wire_value *extents);
void void_extent_put(struct wire_buf *b, struct gva gva, uint64_t payload_len);
bool void_extent_get(struct wire_value v, struct gva *gva, uint64_t *payload_len);
/* held: of each of count extents. */
void void_result_put(struct wire_buf *b, const bool *held, uint32_t count);
bool void_result_get(struct wire_value v, bool *held, uint32_t count);

#endif
