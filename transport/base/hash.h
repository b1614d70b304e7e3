/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyed hashes (SipHash-2-4 of libsodium) and random numbers. Key hashes are keyed with a secret of
 * the namespace, so that nobody who chooses keys can make two of them meet.
 */
#ifndef CENOTE_BASE_HASH_H
#define CENOTE_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_KEY_BYTES 16

struct hash128 {
    uint8_t b[16];
};

struct hash_key {
    uint8_t b[HASH_KEY_BYTES];
};

/* Once per process before anything else here; idempotent. Any thread. */
void hash_init(void);

/* SipHash-2-4 with 128 and 64 bit results. */
struct hash128 hash_siphash128(const struct hash_key *key, const void *data, size_t len_bytes);
uint64_t hash_siphash64(const struct hash_key *key, const void *data, size_t len_bytes);

/* XXH3-64 without seed. */
uint64_t hash_xxh3(const void *data, size_t len_bytes);
/* The same with one, for tables in memory: a few ns, and with a random seed keys don't meet unless
 * somebody who sees the table's timing works at it. */
uint64_t hash_xxh3_seeded(const void *data, size_t len_bytes, uint64_t seed);

/* From the operating system's generator. */
void hash_random(void *out, size_t len_bytes);
uint64_t hash_random_u64(void);

#endif
