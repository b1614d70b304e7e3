/* SPDX-License-Identifier: Apache-2.0 */
#include "meta/core/names.h"

#include <string.h>

void names_key_first(struct names_key *out, uint32_t name_space, const void *prefix,
                     size_t prefix_len)
{
    size_t plain = prefix_len < NAMES_PLAIN_MAX ? prefix_len : NAMES_PLAIN_MAX;
    for (unsigned i = 0; i < 4; i++)
        out->data[i] = (uint8_t)(name_space >> (24 - 8 * i));
    if (plain > 0)
        memcpy(out->data + 4, prefix, plain);
    out->len = (uint32_t)(4 + plain);
}

void names_key_make(struct names_key *out, uint32_t name_space, const void *key, size_t key_len,
                    const struct hash128 *key_hash)
{
    _Static_assert(4 + NAMES_PLAIN_MAX + sizeof(*key_hash) == STORE_KEY_MAX, "fills a store's key");
    names_key_first(out, name_space, key, key_len);
    if (key_len <= NAMES_PLAIN_MAX)
        return;
    memcpy(out->data + out->len, key_hash->b, sizeof(key_hash->b));
    out->len += (uint32_t)sizeof(key_hash->b);
}

bool names_key_read(const struct names_key *name, uint32_t *name_space, const uint8_t **key,
                    size_t *key_len, struct hash128 *key_hash)
{
    size_t len = name->len < 4 ? 0 : name->len - 4;
    *name_space = 0;
    for (unsigned i = 0; i < 4 && i < name->len; i++)
        *name_space = *name_space << 8 | name->data[i];
    *key = name->data + 4;
    *key_len = len <= NAMES_PLAIN_MAX ? len : NAMES_PLAIN_MAX;
    if (len != NAMES_PLAIN_MAX + sizeof(key_hash->b))
        return false;
    memcpy(key_hash->b, *key + NAMES_PLAIN_MAX, sizeof(key_hash->b));
    return true;
}
