/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of db.h share. */
#ifndef CENOTE_META_STORE_DB_PRIVATE_H
#define CENOTE_META_STORE_DB_PRIVATE_H

#include <lmdb.h>

#include "meta/store/db.h"

struct db {
    MDB_env *env;
    MDB_dbi trees[STORE_TREES];
    const char *path; /* for messages; the caller's during db_open(), then our copy */
    char *path_copy;
    uint64_t page_bytes, limit_bytes;

    /* Writer. */
    bool commits_synced;
    bool broken;
    uint64_t used_bytes;
    uint64_t reserve_bytes;   /* of the map, for changes that free */
    uint64_t ahead_bytes;     /* of the disk, behind the last page */
    uint64_t allocated_bytes; /* of the file, as far as we have seen to it */
    uint64_t bound_bytes;     /* at least what the transaction under way uses by now */
    /* Of the transaction under way, opened when first used. Neighbours are found by the page where
     * the one before them lay, without a search from the root. */
    MDB_cursor *cursors[STORE_TREES];
    uint8_t last_object[8]; /* the highest key of STORE_OBJECTS that was appended */
    bool disk_full;         /* changes that don't free must do with what is allocated */
    uint64_t logged_ms;     /* a failing disk must not fill the log too */

    /* Owner: get's transaction, reset by db_forget() so that it pins no pages, its cursors, and its
     * answer. */
    MDB_txn *reader;
    bool reading; /* it isn't reset */
    MDB_cursor *read_cursors[STORE_TREES];
    bool read_renewed[STORE_TREES]; /* the cursor is this snapshot's */
    void *answer;
    size_t answer_cap;
};

const char *db_tree_name(enum store_tree tree);

/* Logs "what: reason" and gives the status for a code of LMDB (which are errnos too). */
int db_fail(const struct db *db, const char *what, int mdb_rc);

/* sums.c: every value ends with a checksum of the tree, the key and the value, so that a record
 * that was damaged, or came to lie under another key, isn't believed. */
#define SUM_BYTES       8u
#define VALUE_MAX_BYTES (1u << 20) /* longer ones were never written: their length is damaged */
/* Writes behind a value that lies at its final place. */
void sum_write(enum store_tree tree, const MDB_val *key, uint8_t *value, size_t len_bytes);
/* Takes the checksum off the value. False, logged: it is damaged. */
bool sum_take(const struct db *db, enum store_tree tree, const MDB_val *key, MDB_val *value);

/* room.c: the space that is left. */
void room_init(struct db *db);
/* Bytes of the pages in use, as this transaction sees it. */
uint64_t room_used_bytes(struct db *db, MDB_txn *txn);
/* Before a transaction: allocates disk blocks ahead, or finds that the disk is full. */
void room_ahead(struct db *db);
/* A transaction begins; each change of it is asked about before it is written. */
void room_begin(struct db *db, MDB_txn *txn);
/* Does the change fit: one that doesn't free, beside the reserve? */
bool room_for(struct db *db, MDB_txn *txn, const struct change *c);

#endif
