/* SPDX-License-Identifier: Apache-2.0 */
#include "transport/base/hash.h"

#include <assert.h>
#include <pthread.h>
#include <sodium.h>

#include "transport/base/bytes.h"
#include "transport/base/xxh3.h"

static_assert(HASH_KEY_BYTES == crypto_shorthash_siphash24_KEYBYTES, "the key of SipHash");
static_assert(HASH_KEY_BYTES == crypto_shorthash_siphashx24_KEYBYTES, "the key of SipHash-128");
static_assert(sizeof(struct hash128) == crypto_shorthash_siphashx24_BYTES, "its result");

static pthread_once_t hash_once = PTHREAD_ONCE_INIT;

static void hash_init_once(void)
{
    /* Only inputs longer than 240 bytes go through xxhash's dispatcher. */
    static const uint8_t long_input[256];
    int rc = sodium_init();
    assert(rc >= 0);
    uint64_t sum = XXH3_64bits(long_input, sizeof long_input);
    (void)sum;
}

void hash_init(void)
{
    int rc = pthread_once(&hash_once, hash_init_once);
    assert(rc == 0);
}

struct hash128 hash_siphash128(const struct hash_key *key, const void *data, size_t len_bytes)
{
    struct hash128 out;
    crypto_shorthash_siphashx24(out.b, data, len_bytes, key->b);
    return out;
}

uint64_t hash_siphash64(const struct hash_key *key, const void *data, size_t len_bytes)
{
    uint8_t out[crypto_shorthash_siphash24_BYTES];
    crypto_shorthash_siphash24(out, data, len_bytes, key->b);
    struct bytes b = bytes_over(out, sizeof out);
    return bytes_get_u64(&b);
}

uint64_t hash_xxh3(const void *data, size_t len_bytes)
{
    return XXH3_64bits(data, len_bytes);
}

uint64_t hash_xxh3_seeded(const void *data, size_t len_bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len_bytes, seed);
}

void hash_random(void *out, size_t len_bytes)
{
    if (len_bytes > 0) /* libsodium takes no NULL, however short */
        randombytes_buf(out, len_bytes);
}

uint64_t hash_random_u64(void)
{
    uint64_t v;
    hash_random(&v, sizeof v);
    return v;
}
