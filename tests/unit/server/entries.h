/* SPDX-License-Identifier: Apache-2.0 */
/* Entries of a directory, made of numbers. */
#ifndef CENOTE_TESTS_ENTRIES_H
#define CENOTE_TESTS_ENTRIES_H

#include <stdio.h>
#include <string.h>

#include "server/node/directory.h"

#define ENTRY_LEN   1000u
#define ENTRY_GVA   (GVA_FIRST + (UINT64_C(4) << 30))
#define ENTRY_RANGE (UINT64_C(1) << 30)

static const struct directory_range entry_range = {{ENTRY_GVA}, ENTRY_RANGE};

static inline uint32_t entry_key_len(uint64_t i, uint64_t put_id)
{
    return 1 + (uint32_t)((i * 37 + put_id * 101) % CENOTE_KEY_MAX);
}

/* Number i of a put; its key is of any length, and follows from both. It is valid until the next
 * call. */
static inline struct directory_entry entry_make(uint64_t i, uint64_t put_id)
{
    static uint8_t key[CENOTE_KEY_MAX];
    struct directory_entry e = {.gva = gva_make(ENTRY_GVA + i * 16),
                                .payload_len = ENTRY_LEN,
                                .put_id = put_id,
                                .name_space = 3,
                                .key = key,
                                .key_len = entry_key_len(i, put_id),
                                .len_bytes = 4 * ENTRY_LEN,
                                .sum_kind = 1,
                                .created_ms = UINT64_C(1) << 40,
                                .flags = i & DIRECTORY_REPLACE,
                                .stripe = 2,
                                .stripes = 4,
                                .replicas = 1 + i % 8,
                                .offset = 2 * ENTRY_LEN,
                                .root = put_id ^ 77};
    snprintf(e.space_name, sizeof e.space_name, "space-%llu", (unsigned long long)put_id);
    memset(e.key_hash.b, (int)(i & 255), sizeof e.key_hash.b);
    memset(key, (int)('a' + (i + put_id) % 26), sizeof key);
    return e;
}

static inline bool entry_equal(const struct directory_entry *a, const struct directory_entry *b)
{
    return a->gva.v == b->gva.v && a->payload_len == b->payload_len && a->put_id == b->put_id &&
           a->name_space == b->name_space && strcmp(a->space_name, b->space_name) == 0 &&
           a->key_len == b->key_len && memcmp(a->key, b->key, a->key_len) == 0 &&
           memcmp(&a->key_hash, &b->key_hash, sizeof a->key_hash) == 0 &&
           a->len_bytes == b->len_bytes && a->sum_kind == b->sum_kind &&
           a->created_ms == b->created_ms && a->flags == b->flags && a->stripe == b->stripe &&
           a->stripes == b->stripes && a->replicas == b->replicas && a->offset == b->offset &&
           a->root == b->root;
}

/* Is what the directory has under the number's address this put's entry, whole? */
static inline bool entry_is(const struct directory *d, uint64_t i, uint64_t put_id)
{
    struct directory_entry found, e = entry_make(i, put_id);
    return directory_find(d, e.gva, &found) && entry_equal(&found, &e);
}

/* The put id under the number's address, of an entry that is whole. 0: none; UINT64_MAX: damaged.
 */
static inline uint64_t entry_put(const struct directory *d, uint64_t i)
{
    struct directory_entry found;
    if (!directory_find(d, gva_make(ENTRY_GVA + i * 16), &found))
        return 0;
    return entry_is(d, i, found.put_id) ? found.put_id : UINT64_MAX;
}

#endif
