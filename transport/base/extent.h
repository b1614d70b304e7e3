/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of an extent, and the seal.
 *
 *   gva                                                                   gva + extent_size(len)
 *   | payload (len bytes) | 0..15 bytes of padding | chunk sums | seal, 128 bytes |
 *
 * The list of chunk sums is there when there are two chunks or more (the root of a single chunk
 * says as much). The size of an extent follows from its payload's length alone.
 *
 * The seal lies behind the payload and is read after it: a reader that finds it live, with the
 * put id, address and incarnation that it looked up, has read that put's payload (design.md §3).
 * All of it but the state word is written once by the client that puts; the state word is written
 * by the node alone afterwards (void).
 */
#ifndef CENOTE_BASE_EXTENT_H
#define CENOTE_BASE_EXTENT_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/base/gva.h"
#include "transport/base/hash.h"
#include "transport/base/sums.h"

#define SEAL_BYTES        128u
#define SEAL_MAGIC        UINT32_C(0x4c534e43) /* "CNSL" in memory */
#define SEAL_FORMAT       1u
#define SEAL_STATE_OFFSET 112u
#define SEAL_STATE_LIVE   UINT32_C(0x4556494c) /* "LIVE" in memory */
#define SEAL_STATE_VOID   UINT32_C(0x44494f56) /* "VOID" in memory */
#define EXTENT_ALIGN      16u

struct seal {
    uint8_t sum_kind;        /* enum sum_kind                       at offset 6 */
    uint64_t put_id;         /*                                                8 */
    struct gva gva;          /* of the extent                                 16 */
    uint64_t incarnation;    /*                                               24 */
    struct hash128 key_hash; /*                                               32 */
    uint32_t name_space;     /*                                               48 */
    uint16_t stripe;         /* i of stripes                                  52 */
    uint16_t stripes;        /*                                               54 */
    uint64_t stripe_offset;  /* in the value                                  56 */
    uint64_t total_len;      /* of the value                                  64 */
    uint64_t payload_len;    /* of this stripe                                72 */
    uint64_t root;           /* of the chunk sums; 0 with SUM_NONE            80 */
    uint32_t state;          /* SEAL_STATE_*                                 112 */
};

/* Bytes of the list of chunk sums in an extent: 0 or 8 a chunk. */
uint64_t extent_sums_size(uint64_t payload_len);
/* Bytes of the whole extent, a multiple of EXTENT_ALIGN. */
uint64_t extent_size(uint64_t payload_len);
/* Offset of the seal (extent_size - SEAL_BYTES) and of the list of sums (right before it). */
uint64_t extent_seal_offset(uint64_t payload_len);
uint64_t extent_sums_offset(uint64_t payload_len);
/* Longest payload that these functions accept (2^59): callers refuse longer ones first. */
#define EXTENT_PAYLOAD_MAX (UINT64_C(1) << 59)

/* Encodes all of the seal, its own checksum (XXH3-64 of bytes 0..111) at offset 120. */
void seal_encode(const struct seal *s, uint8_t out[SEAL_BYTES]);

/* Decodes and checks magic, format, and the seal's own checksum. The state is not judged.
 * CENOTE_OK, or CENOTE_STALE: these bytes are no seal. */
int seal_decode(const uint8_t in[SEAL_BYTES], struct seal *out);

/* What a reader expects. */
struct seal_want {
    uint64_t put_id;
    struct gva gva;
    uint64_t incarnation;
    uint64_t payload_len;
    uint16_t stripe;
};

/* Decodes and judges a seal that was read after its payload: CENOTE_OK when it is live and names
 * what was wanted, CENOTE_STALE otherwise. */
int seal_check(const uint8_t in[SEAL_BYTES], const struct seal_want *want, struct seal *out);

#endif
