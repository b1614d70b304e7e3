/* SPDX-License-Identifier: Apache-2.0 */
/* Checksums of records. */
#include <stdio.h>
#include <string.h>

#include "meta/store/db_private.h"
#include "transport/base/bytes.h"
#include "transport/base/hash.h"
#include "transport/base/log.h"
#include "transport/base/testswitch.h"

#define SHOWN_BYTES 16u /* of a key, in the log */

static uint64_t sum_of(enum store_tree tree, const MDB_val *key, const void *value,
                       size_t len_bytes)
{
    uint64_t of_key = hash_xxh3_seeded(key->mv_data, key->mv_size, (uint64_t)tree);
    return hash_xxh3_seeded(value, len_bytes, of_key);
}

void sum_write(enum store_tree tree, const MDB_val *key, uint8_t *value, size_t len_bytes)
{
    struct bytes b = bytes_over(value + len_bytes, SUM_BYTES);
    bytes_put_u64(&b, sum_of(tree, key, value, len_bytes));
}

static void log_damage(const struct db *db, enum store_tree tree, const MDB_val *key)
{
    const uint8_t *bytes = key->mv_data;
    char shown[2 * SHOWN_BYTES + 1] = "";
    for (size_t i = 0; i < key->mv_size && i < SHOWN_BYTES; i++)
        snprintf(shown + 2 * i, 3, "%02x", bytes[i]);
    log_error("store",
              "%s: the record %s in the tree of %s is damaged: restore a backup, or begin anew "
              "with --rebuild",
              db->path, shown, db_tree_name(tree));
}

bool sum_take(const struct db *db, enum store_tree tree, const MDB_val *key, MDB_val *value)
{
    bool sane = key->mv_size <= STORE_KEY_MAX && value->mv_size >= SUM_BYTES &&
                value->mv_size <= VALUE_MAX_BYTES;
    if (sane) {
        size_t len = value->mv_size - SUM_BYTES;
        struct bytes b = bytes_over_const((const uint8_t *)value->mv_data + len, SUM_BYTES);
        uint64_t found = bytes_get_u64(&b);
        value->mv_size = len;
        if (test_off(TEST_RECORDS) || found == sum_of(tree, key, value->mv_data, len))
            return true;
    }
    log_damage(db, tree, key);
    return false;
}
