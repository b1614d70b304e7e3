/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What authorises a client at a node.
 *
 * A session token proves that the service opened the session: SipHash-128 with the pool's key over
 * (session, namespace). A write grant proves that the service gave one extent to one put:
 * SipHash-64 with the key that the node drew for its present boot, over (session, put id, extent,
 * boot). A grant ends with the boot, or when the session is fenced past its put id; no clock ends
 * it.
 */
#ifndef CENOTE_BASE_GRANT_H
#define CENOTE_BASE_GRANT_H

#include <stdbool.h>
#include <stdint.h>

#include "transport/base/gva.h"
#include "transport/base/hash.h"

#define TOKEN_BYTES 16
#define GRANT_BYTES 16

struct session_token {
    uint8_t b[TOKEN_BYTES];
};

/* On the wire: boot, mac; both u64 little-endian. */
struct write_grant {
    uint64_t boot;
    uint64_t mac;
};

struct session_token token_make(const struct hash_key *pool_key, uint64_t session,
                                uint32_t name_space);
bool token_valid(const struct hash_key *pool_key, uint64_t session, uint32_t name_space,
                 const struct session_token *token);

struct write_grant grant_make(const struct hash_key *node_key, uint64_t boot, uint64_t session,
                              uint64_t put_id, struct gva gva, uint64_t extent_len);
/* Compares in constant time; also checks the boot. CENOTE_OK, CENOTE_OLD_BOOT, CENOTE_BAD_GRANT. */
int grant_check(const struct hash_key *node_key, uint64_t boot, uint64_t session, uint64_t put_id,
                struct gva gva, uint64_t extent_len, const struct write_grant *grant);

#endif
