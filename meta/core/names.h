/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of the tree of names: namespace (u32, big-endian) and key, so that it is in the order of the
 * keys' bytes. A store's keys end at STORE_KEY_MAX bytes, a user's at CENOTE_KEY_MAX: of a key
 * longer than NAMES_PLAIN_MAX come its first NAMES_PLAIN_MAX bytes and its hash.
 */
#ifndef CENOTE_META_NAMES_H
#define CENOTE_META_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meta/core/store.h"
#include "transport/base/hash.h"

#define NAMES_PLAIN_MAX 491u

struct names_key {
    uint8_t data[STORE_KEY_MAX];
    uint32_t len;
};

void names_key_make(struct names_key *out, uint32_t name_space, const void *key, size_t key_len,
                    const struct hash128 *key_hash);
/* What it was made of. True: of a longer key, whose hash is *key_hash; *key is its beginning. */
bool names_key_read(const struct names_key *name, uint32_t *name_space, const uint8_t **key,
                    size_t *key_len, struct hash128 *key_hash);
/* Where the keys with a prefix begin; the namespace with a prefix of length 0. */
void names_key_first(struct names_key *out, uint32_t name_space, const void *prefix,
                     size_t prefix_len);

#endif
