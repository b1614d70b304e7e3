/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the store, encoded field by field, little-endian, with a format number in front. What
 * can't be decoded is CENOTE_IO: the store isn't what we wrote.
 *
 * An object's record holds all that the table holds, and the key. Its state is what recovery goes
 * by; fence says that writes of an ABORTING put may still have been in flight when it was written.
 */
#ifndef CENOTE_META_RECORD_H
#define CENOTE_META_RECORD_H

#include <cenote/cenote.h>

#include "meta/core/store.h"
#include "meta/core/table.h"
#include "meta/stub/messages.h"

#define RECORD_HEAD_MAX 256u
#define RECORD_MAX      (RECORD_HEAD_MAX + CENOTE_KEY_MAX + STRIPES_MAX * (16u + REPLICAS_MAX * 8u))

/* What was asked for a value, and since when (wall clock) its times count: 0 before its commit. */
struct kept {
    struct keep keep;
    uint64_t ttl_from_ms, pin_from_ms;
};

/* The same, encoded, as it lies in records and in entries of directories; 0 bytes: nothing was
 * asked for. */
#define KEPT_MAX (34u + KEEP_GROUP_MAX)
uint32_t kept_encode(const struct kept *kept, uint8_t out[KEPT_MAX]);
/* False: these bytes don't say how to keep anything. */
bool kept_decode(const void *data, size_t len, struct kept *out);

struct record {
    uint8_t state; /* enum object_state */
    uint8_t sum_kind;
    bool replace;
    bool fence;
    uint32_t name_space;
    uint64_t session;
    uint64_t len_bytes;
    uint64_t created_ms; /* wall clock, at commit */
    struct hash128 key_hash;
    uint32_t stripes, replicas;
    uint32_t key_len;
    const uint8_t *key;  /* lies in the encoded record */
    const uint8_t *body; /* likewise: see record_piece() */
    struct kept kept;    /* while it is PENDING or COMMITTED */
};

/* From an object of the table, with the key; returns the length of what it wrote to out. */
uint32_t record_encode(const struct object *o, uint8_t state, bool fence, uint64_t created_ms,
                       const void *key, uint32_t key_len, uint8_t out[RECORD_MAX]);
/* The same of a value that is kept in its own way, without a fence; kept may be NULL. */
uint32_t record_encode_kept(const struct object *o, uint8_t state, const struct kept *kept,
                            uint64_t created_ms, const void *key, uint32_t key_len,
                            uint8_t out[RECORD_MAX]);
int record_decode(const void *data, uint32_t len, struct record *out);
/* Of replica i % replicas of stripe i / replicas. */
struct piece record_piece(const struct record *r, uint32_t i);

/* The key of an object's record: the put id, big-endian (appending). */
struct record_key {
    uint8_t b[8];
};
struct record_key record_key(uint64_t id);
bool record_key_read(const void *key, uint32_t key_len, uint64_t *id);

#endif
